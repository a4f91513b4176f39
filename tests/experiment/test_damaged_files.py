"""Files of an experiment that are damaged: named with their line, restored from what is left, or made again."""

import json
import os
import re
import shutil
from copy import copy
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
from desk import Desk
from ledger_lines import decided, variant

from numerai_ray.cli.main import run
from numerai_ray.data.dataset import file_fingerprint
from numerai_ray.errors import DataError
from numerai_ray.experiment.baselines import BaselineStore
from numerai_ray.experiment.ledger import append_ledger, read_ledger
from numerai_ray.experiment.paths import ExperimentPaths
from numerai_ray.experiment.variant_files import lost_files
from numerai_ray.progress.round_state import running_of
from numerai_ray.report.plots.registry import Drawn, drawn_plots
from numerai_ray.rounds.restore import restore_files
from numerai_ray.rounds.time_model import Calibration, Speed, read_calibration, write_calibration
from numerai_ray.session.opening import catalog_of
from numerai_ray.session.places import open_experiment
from numerai_ray.system.json_text import read_json, to_json, write_json
from numerai_ray.training.store.fits import FitStore

# The ledger


@pytest.fixture
def ledger(tmp_path: Path) -> Path:
    return ExperimentPaths(tmp_path).ledger


def without(key: str) -> str:
    return json.dumps({name: item for name, item in json.loads(to_json(decided(2))).items() if name != key})


def flattened() -> str:
    value = json.loads(to_json(decided(2, variant("a"))))
    value["variants"][0]["metrics"]["corr"] = 0.02
    return json.dumps(value)


def other_type(*path: str | int, value: Any) -> str:
    """A line whose value at ``path`` is of another type."""
    line = json.loads(to_json(decided(2, variant("a"))))
    at = line
    for key in path[:-1]:
        at = at[key]
    at[path[-1]] = value
    return json.dumps(line)


OTHER_TYPES = [
    ("number", "2"),
    ("wall_s", "long"),
    ("wall_s", None),
    ("base_changes", [1]),
    ("variants", 5),
    ("variants", {}),
    ("variants", 0, "id", 7),
    ("variants", 0, "role", "king"),
    ("variants", 0, "metrics", "good"),
    ("variants", 0, "metrics", "bmc", "n_eras", 1.5),
    ("variants", 0, "metrics", "bmc_last", "mean", "0.1"),
    ("variants", 0, "evidence", {"to_base": 1, "to_best": None}),
    ("variants", 0, "flags", "suspect"),
    ("decision", "winner", 1),
    ("decision", "gain", "large"),
    ("decision", "promoted", "yes"),
    ("origin", {"the base config": 1}),
    ("importances", {"leaves": "most"}),
    ("notes", [1]),
    ("notes", None),
]


@pytest.mark.parametrize(
    "line",
    [
        "",
        "not json",
        to_json(decided(2))[:-5],
        "[1, 2]",
        "5",
        without("decision"),
        without("number"),
        flattened(),
        json.dumps({**json.loads(to_json(decided(2))), "colour": "red"}),
        "\udcff",
        "[" * 100_000,
        '{"number": ' + "[" * 500 + "]" * 500 + "}",
        to_json(decided(3)),  # a line before it is lost, and the next round would write over another's files
        to_json(replace(decided(2), stage="scouting")),
        *(other_type(*path, value=value) for *path, value in OTHER_TYPES),
    ],
)
def test_a_damaged_line_in_the_middle_is_named(ledger: Path, line) -> None:
    append_ledger(ledger, decided(1))
    with ledger.open("ab") as handle:
        handle.write(line.encode(errors="surrogateescape") + b"\n")
    append_ledger(ledger, decided(3))
    before = ledger.read_bytes()
    with pytest.raises(DataError) as refusal:
        read_ledger(ledger)
    assert str(refusal.value).startswith(f"{ledger}, line 2: damaged (")
    assert "restore the file, or remove this line and those after it" in str(refusal.value)
    assert ledger.read_bytes() == before


@pytest.mark.parametrize("make", [Path.mkdir, os.mkfifo])
def test_a_ledger_that_is_no_file_is_one_message(ledger: Path, make: Any) -> None:
    ledger.parent.mkdir()
    make(ledger)
    with pytest.raises(DataError, match=r"rounds\.jsonl"):
        read_ledger(ledger)


# What lies between the ledger and the fit store


@pytest.fixture(scope="module")
def decided_round(tmp_path_factory: pytest.TempPathFactory, market: Path) -> Desk:
    """One decided round, never changed."""
    desk = Desk(tmp_path_factory.mktemp("decided"), market)
    assert desk.run("--rounds", "1") == 0
    return desk


@pytest.fixture
def desk(decided_round: Desk, tmp_path: Path) -> Desk:
    """A copy of it, to be damaged."""
    own = copy(decided_round)
    own.folder, own.data = tmp_path / "experiments" / "small", tmp_path / "data"
    shutil.copytree(decided_round.folder.parent.parent, tmp_path, symlinks=True, dirs_exist_ok=True)
    return own


def files_of(desk: Desk) -> dict[str, bytes]:
    return {
        path.relative_to(desk.folder).as_posix(): path.read_bytes()
        for folder in ("results", "predictions")
        for path in sorted((desk.folder / folder).iterdir())
    }


def test_results_and_predictions_are_made_again_from_stored_fits(
    desk: Desk, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each kind of damage on a file of its own; what is made again is what was there, to the last byte."""
    before, paths = files_of(desk), ExperimentPaths(desk.folder)
    cut, flat, gone, half = [each["id"] for each in desk.rounds()[0]["variants"]][:4]
    paths.results(cut).write_text("{}")
    value = json.loads(paths.results(flat).read_text())
    value["diagnostics"]["importance"] = {"top": ["a"], "per_feature": 7}
    paths.results(flat).write_text(json.dumps(value))
    paths.predictions(flat).unlink()
    paths.results("benchmark-scout").unlink()
    paths.predictions(gone).write_bytes(paths.predictions(gone).read_bytes()[:-100])
    paths.results(half).write_bytes(b"\xff" + before[f"results/{half}.json"][:200])
    capsys.readouterr()

    assert run(["report", str(desk.folder)]) == 0
    said = capsys.readouterr().err
    assert len(said.splitlines()) == 6
    assert f"note: {paths.results(cut)}: damaged (per_era: field required); what it tells is left out" in said
    assert f"`numerai-ray run {desk.folder}` makes it again" in said

    _, loaded = open_experiment(desk.folder)
    history, store = read_ledger(paths.ledger), FitStore.below(desk.data)
    lines = restore_files(paths, history, catalog_of(loaded, desk.data, paths), store, 2)
    assert len(lines) == 6
    assert all(line.endswith("; made again from stored fits") for line in lines), lines
    assert files_of(desk) == before
    assert not lost_files(paths, history)


def test_what_cannot_be_made_again_is_told_and_the_run_goes_on(desk: Desk, capsys: pytest.CaptureFixture[str]) -> None:
    paths = ExperimentPaths(desk.folder)
    (first, second, *_) = [each["id"] for each in desk.rounds()[0]["variants"]]
    paths.results(first).unlink()
    paths.results(second).unlink()
    paths.config(second).write_text("data: [")
    shutil.rmtree(desk.data / "store")
    capsys.readouterr()
    assert desk.run("--rounds", "1") == 0
    said = " ".join(capsys.readouterr().out.split())
    assert f"{first}.json: missing; what it tells is left out: its fits are not stored" in said
    assert f"{second}.json: missing; what it tells is left out: {paths.config(second)}" in said
    assert not paths.results(first).exists()


# Caches


WRONG = {
    "nothing": b"",
    "half": b'{"speeds": {"a": ',
    "another text": b"\x89PNG\r\n",
    "nested": b"[" * 100_000,
    "a list": b"[1, 2]",
    "numbers": b'{"speeds": 7, "running": 7, "full.parquet": 7, "rounds": 7, "after": 1, "delta": 1}',
    "other types": b'{"speeds": {"a": {"fixed_s": "long"}}, "running": {"round": [], "trials": 1},'
    b' "delta": {"mark": {}}, "full.parquet": ["1", 2, 3]}',
}


@pytest.mark.parametrize("content", WRONG.values(), ids=WRONG.keys())
def test_a_cache_of_wrong_content_is_made_again(tmp_path: Path, content: bytes) -> None:
    paths = ExperimentPaths(tmp_path)
    for path in (paths.calibration, paths.progress, paths.plot_index, tmp_path / ".fingerprints.json"):
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content)
    assert read_calibration(paths) == Calibration()
    assert running_of(paths.progress) is None
    assert drawn_plots(paths) == {}
    data = tmp_path / "full.parquet"
    data.write_bytes(b"rows")
    digest = file_fingerprint(data)
    assert re.fullmatch("[0-9a-f]{16}", digest)
    kept = json.loads((tmp_path / ".fingerprints.json").read_text())
    assert kept["full.parquet"][2] == digest
    assert file_fingerprint(data) == digest


def test_a_pipe_in_the_place_of_a_cache_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "cache.json")
    assert read_json(tmp_path / "cache.json") == {}


def test_what_is_whole_in_a_cache_is_used(tmp_path: Path) -> None:
    paths = ExperimentPaths(tmp_path)
    known = Calibration({"lightgbm/1": Speed(1.0, 2.0, 3.0)}, {"row": 0.5}, 1.0, 2.0, 2)
    write_calibration(paths, known)
    assert read_calibration(paths) == known
    drawn = Drawn("Title", "Caption.", "0" * 16, 1, "0" * 16)
    write_json(paths.plot_index, {"delta": asdict(drawn), "../../other": asdict(drawn)})
    assert drawn_plots(paths) == {"delta": drawn}


@pytest.mark.slow
def test_a_damaged_picture_is_drawn_again(desk: Desk) -> None:
    paths = ExperimentPaths(desk.folder)
    assert run(["report", str(desk.folder)]) == 0
    pictures = {path: path.read_bytes() for path in paths.plots.glob("*.png")}
    assert pictures
    path = min(pictures)
    path.write_bytes(pictures[path][:-50])
    others = {each: each.stat().st_mtime_ns for each in pictures if each.stem.rsplit("-", 1)[0] not in path.stem}
    assert run(["report", str(desk.folder)]) == 0
    assert path.read_bytes() == pictures[path]
    assert {each: each.stat().st_mtime_ns for each in others} == others, "whole ones are not drawn again"


@pytest.mark.parametrize("how", ["cut", "a list", "flags", "no predictions"])
def test_damaged_results_of_a_baseline_are_told_and_run_again(tmp_path: Path, how: str) -> None:
    folder = tmp_path / "baselines" / "tiny-0123456789abcdef"
    config = {"model": {}, "score": {"last_eras": 1}}
    value = {
        "per_era": {"era": ["0001"], "corr": [0.1], "bmc": [0.1], "corr_with_benchmark": [0.1]},
        "baseline": {"name": "tiny", "made": "2026-11-30", "config": config, "fits": 1, "flags": []},
    }
    write_json(folder / "results.json", value)
    (folder / "predictions.parquet").touch()
    store = BaselineStore(tmp_path / "baselines")
    assert [each.name for each in store.all()] == ["tiny"]
    damaged = {
        "cut": "{",
        "a list": json.dumps(value | {"baseline": [1]}),
        "flags": json.dumps(value | {"baseline": value["baseline"] | {"flags": 7}}),
        "no predictions": json.dumps(value),
    }[how]
    (folder / "results.json").write_text(damaged)
    if how == "no predictions":
        (folder / "predictions.parquet").unlink()
    assert store.all() == []
