"""A search, then weeks that it has not seen: scored once, kept apart from the ledger, told in the report."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from jsonschema import Draft202012Validator
from live_desk import LiveDesk

from numerai_ray.cli.commands.schema import schema_of
from numerai_ray.cli.main import run
from numerai_ray.config import Config, validate
from numerai_ray.errors import DataError
from numerai_ray.experiment.paths import ExperimentPaths
from numerai_ray.experiment.rechecks import live_scores, read_rechecks
from numerai_ray.session import recheck as recheck_module
from numerai_ray.session.recheck import train_eras


class Weeks(LiveDesk):
    """An experiment on the weeks up to 0125, finished."""

    def arguments(self) -> list[str]:
        return [str(self.exp), "--data-dir", str(self.data), "--in-process"]

    def recheck(self, capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
        capsys.readouterr()
        assert run(["recheck", *self.arguments(), "--json"]) == 0
        found: dict[str, Any] = json.loads(capsys.readouterr().out)
        Draft202012Validator(schema_of("recheck")).validate(found)
        return found


@pytest.fixture
def weeks(live_desk: LiveDesk, tmp_path: Path) -> Weeks:
    return Weeks(live_desk.copy(tmp_path / "own").root)


def test_each_new_era_is_scored_once(weeks: Weeks, capsys: pytest.CaptureFixture[str]) -> None:
    paths = ExperimentPaths(weeks.exp)
    ledger = paths.ledger.read_bytes()
    nothing = weeks.recheck(capsys)
    assert (nothing["last_era"], nothing["eras_added"], nothing["eras_waiting"]) == (120, [], 5)

    weeks.arrive(135)
    first = weeks.recheck(capsys)
    assert first["eras_added"] == list(range(121, 131))
    assert first["fits"]["trained"] > 0
    assert weeks.recheck(capsys)["eras_added"] == []

    weeks.arrive(145)
    second = weeks.recheck(capsys)
    assert second["eras_added"] == list(range(131, 141))
    assert second["eras"] == list(range(121, 141))
    for role, scores in first["scores"].items():
        assert second["scores"][role]["bmc"][:10] == scores["bmc"]
    assert paths.ledger.read_bytes() == ledger
    report = paths.report.read_text()
    assert "## Since the decision" in report
    assert "| 0140 |" in report
    assert paths.plot("since-dark").is_file()
    capsys.readouterr()
    assert run(["recheck", *weeks.arguments()]) == 0
    assert "no new era to score after era 0120" in capsys.readouterr().out


def test_what_is_scored_is_what_a_fresh_look_gives(weeks: Weeks, capsys: pytest.CaptureFixture[str]) -> None:
    """In two steps or in one: the models saw the same eras, so the scores are the same."""
    weeks.arrive(135)
    weeks.recheck(capsys)
    weeks.arrive(145)
    stepwise = weeks.recheck(capsys)
    ExperimentPaths(weeks.exp).rechecks.unlink()
    at_once = weeks.recheck(capsys)
    assert at_once["eras_added"] == stepwise["eras"]
    for role, scores in at_once["scores"].items():
        np.testing.assert_allclose(scores["bmc"], stepwise["scores"][role]["bmc"], rtol=1e-9)


def test_kept_models_serve_later_eras_without_training(weeks: Weeks, capsys: pytest.CaptureFixture[str]) -> None:
    """The same file, more of its eras: as if the labels of the last ten had only just been scored."""
    weeks.arrive(145)
    whole = weeks.recheck(capsys)
    path = ExperimentPaths(weeks.exp).rechecks
    line = json.loads(path.read_text())
    path.unlink()
    # The first recheck as it would have been ten eras ago, on a file of which nothing but those is new.
    for store in (weeks.data / "store").rglob("*.fit"):
        store.unlink()
    known = recheck_module._scorable
    try:
        recheck_module._scorable = lambda *given: known(*given)[:10]  # type: ignore[assignment]
        first = weeks.recheck(capsys)
    finally:
        recheck_module._scorable = known
    assert first["eras_added"] == line["eras"][:10]
    second = weeks.recheck(capsys)
    assert second["eras_added"] == line["eras"][10:]
    assert second["fits"] == {"trained": 0, "stored": 0, "models_kept": first["fits"]["trained"]}
    for role, scores in whole["scores"].items():
        np.testing.assert_allclose(second["scores"][role]["bmc"], scores["bmc"], rtol=1e-12)


def test_a_line_cut_short_is_scored_again_and_damage_is_told(weeks: Weeks, capsys: pytest.CaptureFixture[str]) -> None:
    weeks.arrive(135)
    weeks.recheck(capsys)
    path = ExperimentPaths(weeks.exp).rechecks
    whole = path.read_bytes()
    path.write_bytes(whole[:-40])
    again = weeks.recheck(capsys)
    assert again["eras_added"] == list(range(121, 131))
    assert again["fits"]["trained"] == 0
    path.write_bytes(b'{"decision": 3}\n' + whole)
    with pytest.raises(DataError, match=r"line 1: damaged .* scored again by `numerai-ray recheck`"):
        read_rechecks(path)
    assert run(["report", str(weeks.exp)]) == 0
    assert "## Since the decision" not in ExperimentPaths(weeks.exp).report.read_text()


def test_a_decision_since_begins_a_new_record(weeks: Weeks, capsys: pytest.CaptureFixture[str]) -> None:
    weeks.arrive(135)
    weeks.recheck(capsys)
    path = ExperimentPaths(weeks.exp).rechecks
    old = json.loads(path.read_text())
    path.write_text(json.dumps(old | {"decision": "0" * 12}) + "\n")
    assert weeks.recheck(capsys)["eras_added"] == list(range(121, 131))
    lines = read_rechecks(path)
    assert len({each.decision for each in lines}) == 2
    assert live_scores(lines[1:], "winner") is not None


def test_refusals(weeks: Weeks, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.rmtree(weeks.exp / "results")
    assert run(["recheck", *weeks.arguments()]) == 2
    assert "no round is decided yet; start with `numerai-ray run" in capsys.readouterr().err


def test_training_ends_an_honest_gap_before() -> None:
    def config(**cv: Any) -> Config:
        return validate(Config, {"data": {"version": "tiny", "feature_set": "medium"}, "cv": cv}, "test")

    eras = range(1, 131)
    assert train_eras(config(embargo_eras=5), eras, 120, 121)[-1] == 115
    assert train_eras(config(embargo_eras=16), eras, 120, 121)[-1] == 104
    assert train_eras(config(embargo_eras=2, embargo_unit="retained"), eras, 120, 121)[-1] == 115
    moved = train_eras(config(embargo_eras=5, mode="walk_forward", window_eras=30), eras, 120, 121)
    assert (moved[0], moved[-1]) == (86, 115)
    with pytest.raises(DataError, match="no era up to 0003"):
        train_eras(config(embargo_eras=5), range(1, 9), 3, 4)
