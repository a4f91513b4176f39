"""An experiment's copy: carried there and back, kept apart from other heads, resumed from on a new one."""

import json
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from bad_requests import make_market, set_desk
from google_server import google_server
from s3_server import s3_server

from numerai_ray.cli.main import run
from numerai_ray.errors import ExperimentBusy, RequestError
from numerai_ray.experiment.mirror import LEASE, ResultsMirror, last_sign, mirrored
from numerai_ray.system.storage import Place, files_below, place


@pytest.fixture(scope="module")
def server() -> Iterator[Mapping[str, str]]:
    with s3_server() as amazon, google_server() as google:
        yield {**amazon, **google}


@pytest.fixture(params=["folder", "s3", "gs"])
def copy(request: pytest.FixtureRequest, server, monkeypatch, tmp_path: Path) -> Place:
    if request.param == "folder":
        return tmp_path / "copy"
    for name, value in server.items():
        monkeypatch.setenv(name, value)
    return place(f"{request.param}://numerai/{tmp_path.name}")


def fill(folder: Path, lines: int) -> None:
    for name in (
        "experiment.yaml",
        "results/a.json",
        "predictions/a.parquet",
        "logs/progress.json",
        "logs/tune/x",
        ".lock",
    ):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(name)
    (folder / "results" / "rounds.jsonl").write_text("".join(f'{{"round": {n}}}\n' for n in range(lines)))


def test_a_folder_goes_there_and_comes_back(copy: Place, tmp_path: Path) -> None:
    fill(tmp_path / "a", 2)
    mirror = ResultsMirror(tmp_path / "a", copy)
    assert mirror.push() == 5
    assert mirror.push() == 0, "nothing changed"
    assert "logs/tune/x" not in [each.name for each in files_below(copy)]
    (tmp_path / "a" / "results" / "rounds.jsonl").open("a").write('{"round": 2}\n{"cut sho')
    assert mirror.push() == 1
    assert ResultsMirror(tmp_path / "b", copy).fetch() == 5
    assert len((tmp_path / "b" / "results" / "rounds.jsonl").read_text().splitlines()) == 3, "whole lines alone"
    assert (tmp_path / "b" / "predictions" / "a.parquet").read_text() == "predictions/a.parquet"


def test_a_reader_leaves_predictions_and_sees_progress(copy: Place, tmp_path: Path) -> None:
    fill(tmp_path / "a", 1)
    ResultsMirror(tmp_path / "a", copy).push()
    reader = ResultsMirror(tmp_path / "b", copy)
    assert reader.fetch(reader=True) == 4
    assert not (tmp_path / "b" / "predictions").exists()
    (copy / "logs/progress.json").write_bytes(b"newer")
    assert reader.fetch(reader=True) == 1
    assert (tmp_path / "b" / "logs" / "progress.json").read_text() == "newer"


def test_the_longer_ledger_counts_and_two_stories_do_not_mix(copy: Place, tmp_path: Path) -> None:
    fill(tmp_path / "a", 3)
    ResultsMirror(tmp_path / "a", copy).push()
    fill(tmp_path / "behind", 1)
    (tmp_path / "behind" / "experiment.yaml").write_text("my edit")
    ResultsMirror(tmp_path / "behind", copy).fetch()
    assert len((tmp_path / "behind" / "results" / "rounds.jsonl").read_text().splitlines()) == 3
    assert (tmp_path / "behind" / "experiment.yaml").read_text() == "my edit"
    fill(tmp_path / "ahead", 5)
    ResultsMirror(tmp_path / "ahead", copy).fetch()
    assert len((tmp_path / "ahead" / "results" / "rounds.jsonl").read_text().splitlines()) == 5
    (tmp_path / "ahead" / "results" / "rounds.jsonl").write_text('{"another": 1}\n')
    with pytest.raises(RequestError, match="two experiments"):
        ResultsMirror(tmp_path / "ahead", copy).fetch()


def test_two_heads_are_kept_apart(copy: Place, tmp_path: Path) -> None:
    fill(tmp_path / "a", 1)
    with mirrored(tmp_path / "a", copy, beat_s=0.2):
        assert last_sign(copy) is not None
        with pytest.raises(ExperimentBusy, match="is being run by process"), mirrored(tmp_path / "b", copy, beat_s=0.2):
            pass
    assert last_sign(copy) is None, "the lease is given up"
    assert "results/rounds.jsonl" in [each.name for each in files_below(copy)], "the last push comes at the end"


def test_a_dead_heads_lease_is_taken_over_and_the_dead_one_writes_no_more(copy: Place, tmp_path: Path) -> None:
    fill(tmp_path / "a", 1)
    (copy / LEASE).parent.mkdir(parents=True, exist_ok=True) if isinstance(copy, Path) else None
    (copy / LEASE).write_bytes(json.dumps({"token": "dead", "host": "gone", "pid": 1, "at": "2026"}).encode())
    with mirrored(tmp_path / "a", copy, beat_s=0.1):
        # Another head takes over while this one sleeps: this one must not write over its results.
        (copy / LEASE).write_bytes(json.dumps({"token": "other"}).encode())
        (tmp_path / "a" / "results" / "late.json").write_text("late")
    assert "results/late.json" not in [each.name for each in files_below(copy)]
    assert not any(thread.name == "results-mirror" for thread in threading.enumerate())


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_market(tmp_path_factory.mktemp("market"))


@pytest.mark.slow
@pytest.mark.parametrize("copy", ["folder", "s3"], indirect=True)
def test_another_machine_goes_on_and_trains_nothing_twice(
    copy: Place, tiny: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """One round on the first head, which is lost with its disk; the second one goes on from the copy."""
    first, second = set_desk(tmp_path / "first", tiny), set_desk(tmp_path / "second", tiny)
    first.write_plan({"budget": {"rounds": 2}})
    second.write_plan({"budget": {"rounds": 2}})
    assert run([*first.run_arguments(), "--results", str(copy), "--rounds", "1"]) == 0
    assert run(["status", str(second.exp), "--results", str(copy), "--json"]) == 0
    assert len(json.loads(capfd.readouterr().out[-99999:].split("\n{", 1)[-1].join(["{", ""]))["rounds"]) == 1
    assert run([*second.run_arguments(), "--results", str(copy)]) == 0
    ledger = (second.exp / "results" / "rounds.jsonl").read_text().splitlines()
    assert (
        json.loads(ledger[0])["started"]
        == json.loads((first.exp / "results" / "rounds.jsonl").read_text().splitlines()[0])["started"]
    ), "the first round is the first head's"
    assert json.loads(ledger[-1])["stage"] == "final"
    assert {each.name for each in files_below(copy)} >= {"results/rounds.jsonl", "experiment.md"}
    assert run(["report", str(first.exp), "--results", str(copy)]) == 0
    assert "## Final" in (first.exp / "experiment.md").read_text()
