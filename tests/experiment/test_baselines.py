"""``numerai-ray baseline``: run once a data version, found by experiments and ``compare``, never another's."""

import json
import shutil
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml
from desk import BASELINE, Desk
from jsonschema import Draft202012Validator

from numerai_ray.cli.commands.schema import schema_of
from numerai_ray.cli.main import run

ONE_ROUND = {"budget": {"rounds": 1}, "stages": {"scout": {"data": "full", "feature_set": "medium"}}}


@pytest.fixture
def desk(tmp_path: Path, market: Path, monkeypatch: pytest.MonkeyPatch) -> Desk:
    desk = Desk(tmp_path, market, ONE_ROUND)
    own = {**BASELINE, "data": {**BASELINE["data"], "file": "full"}}
    (tmp_path / "experiments" / "baselines" / "tiny.yaml").write_text(yaml.safe_dump(own))
    monkeypatch.chdir(tmp_path)
    return desk


def baseline(capsys: pytest.CaptureFixture[str], name: str = "tiny") -> dict[str, Any]:
    capsys.readouterr()
    assert run(["baseline", name, "--data-dir", "data", "--in-process", "--json"]) == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    Draft202012Validator(schema_of("baseline")).validate(found)
    return found


def baseline_row(desk: Desk, number: int = 0) -> dict[str, Any]:
    return next(each for each in desk.rounds()[number]["variants"] if each["role"] == "baseline")


def test_it_runs_once(desk: Desk, capsys: pytest.CaptureFixture[str]) -> None:
    first = baseline(capsys)
    files = {path: path.stat().st_mtime_ns for path in Path(first["folder"]).iterdir()}
    assert {path.name for path in files} == {"results.json", "predictions.parquet"}
    assert first["ran"]
    assert first["data"] == {
        "version": "tiny",
        "file": "full",
        "feature_set": "medium",
        "target": "target_ender_20",
    }
    again = baseline(capsys)
    assert again == first | {"ran": False}
    assert {path: path.stat().st_mtime_ns for path in Path(first["folder"]).iterdir()} == files
    assert run(["baseline", "tiny", "--data-dir", "data"]) == 0
    text = capsys.readouterr().out
    assert "tiny on tiny, full, medium: bmc_last_200_eras" in text
    assert "nothing was run" in text
    del desk


def test_an_experiment_takes_its_results(desk: Desk, capsys: pytest.CaptureFixture[str]) -> None:
    """The row is what running it would have given, even when the fits themselves are gone."""
    assert desk.run("--rounds", "1") == 0
    trained = baseline_row(desk)
    own = (desk.folder / "results" / "r01-baseline.json", desk.folder / "predictions" / "r01-baseline.parquet")
    scored, predicted = json.loads(own[0].read_text()), pd.read_parquet(own[1])
    shutil.rmtree(desk.folder / "results")
    stored = baseline(capsys)
    shutil.rmtree(desk.data / "store")

    assert desk.run("--rounds", "1") == 0
    taken = baseline_row(desk)
    assert taken["metrics"] == trained["metrics"]
    assert taken["evidence"] == trained["evidence"]
    assert (taken["fits_new"], taken["fits_stored"]) == (0, 3)
    now = json.loads(own[0].read_text())
    assert now["per_era"] == scored["per_era"]
    assert (desk.folder / now["output"]["predictions_file"]) == own[1]
    pd.testing.assert_frame_equal(pd.read_parquet(own[1]), predicted)
    (note,) = [note for note in desk.rounds()[0]["notes"] if note.startswith("baseline")]
    assert note == f"baseline in scout: results of `numerai-ray baseline tiny`, run on {stored['made']}"
    assert note.split("`")[1] in (desk.folder / "experiment.md").read_text()
    base = next(each for each in desk.rounds()[0]["variants"] if each["role"] == "base")
    assert base["fits_new"] == 3, "only the baseline's results were there"


def test_a_plan_counts_its_results_as_stored(desk: Desk, capsys: pytest.CaptureFixture[str]) -> None:
    """While its fits are there, and when only its results are: the plan tells what the run then does."""

    def planned() -> list[tuple[int, int, int]]:
        capsys.readouterr()
        assert run(["plan", str(desk.folder), "--data-dir", "data", "--no-calibrate", "--json"]) == 0
        rounds = json.loads(capsys.readouterr().out)["rounds"]
        return [(each["fits_new"], each["fits_stored"], each["fits_shared"]) for each in rounds[:2]]

    assert planned() == [(12, 0, 0), (6, 0, 6)]
    baseline(capsys)
    assert planned() == [(9, 3, 0), (6, 3, 3)]
    shutil.rmtree(desk.data / "store")
    assert planned() == [(9, 3, 0), (6, 3, 3)]
    assert desk.run("--rounds", "1") == 0
    assert sum(each["fits_new"] for each in desk.rounds()[0]["variants"]) == 9


def test_it_also_serves_where_the_base_is_the_baseline(desk: Desk, capsys: pytest.CaptureFixture[str]) -> None:
    stored = baseline(capsys)
    shutil.rmtree(desk.data / "store")
    plan = yaml.safe_load((desk.folder / "experiment.yaml").read_text())
    space = {"dimensions": {"num_leaves": plan["search_space"]["dimensions"]["num_leaves"]}}
    (desk.folder / "experiment.yaml").write_text(yaml.safe_dump({**plan, "base": {}, "search_space": space}))
    assert desk.run("--rounds", "1") == 0
    base, *others = desk.rounds()[0]["variants"]
    assert (base["role"], base["fits_new"], base["fits_stored"]) == ("base", 0, 3)
    assert base["metrics"]["bmc_last"]["mean"] == stored["metrics"]["bmc_last_200_eras"]["mean"]
    assert [each["role"] for each in others][-1] == "benchmark"


def test_other_data_are_other_results_and_the_report_says_why(desk: Desk, capsys: pytest.CaptureFixture[str]) -> None:
    baseline(capsys)
    desk.plan({**ONE_ROUND, "stages": {"scout": {"data": "full", "feature_set": "small"}}})
    assert desk.run("--rounds", "1") == 0
    (note,) = [note for note in desk.rounds()[0]["notes"] if note.startswith("baseline")]
    assert "the stored results of tiny do not serve: data.feature_set is medium there, small here" in note
    report = (desk.folder / "experiment.md").read_text()
    assert "data.feature_set is medium there, small here" in report
    assert "in scout on feature set small instead of medium" in report


def test_a_damaged_entry_is_run_again(desk: Desk, capsys: pytest.CaptureFixture[str]) -> None:
    first = baseline(capsys)
    (Path(first["folder"]) / "results.json").write_text('{"per_era": ')
    again = baseline(capsys)
    assert (again["ran"], again["metrics"]) == (True, first["metrics"])
    del desk


def test_compare_sets_it_beside_experiments(desk: Desk, capsys: pytest.CaptureFixture[str]) -> None:
    assert desk.run("--rounds", "1") == 0
    arguments = ["compare", str(desk.folder), "--baseline", "tiny", "--data-dir", "data"]
    capsys.readouterr()
    assert run(arguments) == 2
    assert "run it with `numerai-ray baseline tiny`" in capsys.readouterr().err
    stored = baseline(capsys)
    assert run([*arguments, "--json"]) == 0
    row = json.loads(capsys.readouterr().out)["rows"][-1]
    assert row["configuration"] == "tiny (stored baseline)"
    assert row["bmc_last_200_eras"] == stored["metrics"]["bmc_last_200_eras"]["mean"]
    assert run([*arguments, "--plot", "both.png"]) == 0
    assert "stored baseline" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["tinny"], "no baseline named 'tinny'; did you mean 'tiny'?"),
        (["tiny", "--data-version", "v9"], "v9"),
        (["small_lgbm_ender20", "--data-version", "v5.2"], "v5.2"),
        (["../baselines/tiny"], "NAME must be the name of a file of experiments/baselines/"),
    ],
)
def test_what_is_wrong_is_said(desk: Desk, arguments, words, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["baseline", *arguments, "--data-dir", "data", "--in-process"]) == 2
    found = capsys.readouterr()
    assert words in found.err
    assert "Traceback" not in found.err
    del desk
