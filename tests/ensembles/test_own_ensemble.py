"""How an experiment's ensemble stands, told alike everywhere; what a run that was ended in the middle leaves."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from desk import Desk
from jsonschema import Draft202012Validator

from numerai_ray.cli.commands.schema import schema_of
from numerai_ray.cli.main import run
from numerai_ray.config.plan_schema import EnsemblePlan
from numerai_ray.ensembles.evaluation import RULE
from numerai_ray.experiment.ledger import read_ledger
from numerai_ray.experiment.own_ensemble import FIRST_RULE, asked_of, own_ensemble
from numerai_ray.experiment.paths import EnsemblePaths, ExperimentPaths
from numerai_ray.report import ensemble as ensemble_report
from numerai_ray.session.ensemble import Ensemble
from numerai_ray.web.sources import Sources
from numerai_ray.web.values import Reader

PLAN = EnsemblePlan(members=3, blocks=3)
GAIN = {"mean": 2e-4, "low": -1e-4, "high": 5e-4}
VALUE = {
    "asked": {},
    "verdict": "inside the noise",
    "gain": GAIN,
    "single": "a",
    "members": [{"name": "a", "weight": 0.75}, {"name": "b", "weight": 0.25}],
    "blocks": [],
}


def written(folder: Path, asked: Any, **more: Any) -> ExperimentPaths:
    """An experiment's folder with an ensemble of these results."""
    paths = ExperimentPaths(folder)
    own = EnsemblePaths(paths.ensemble)
    own.own_results.parent.mkdir(parents=True, exist_ok=True)
    value = {"metrics": {}, "per_era": {"era": [], "corr": [], "bmc": [], "corr_with_benchmark": []}}
    own.own_results.write_text(json.dumps({**value, "ensemble": {**VALUE, "asked": asked, **more}}))
    own.html.write_text("page")
    return paths


def test_what_is_there_is_held_against_what_is_asked_for(tmp_path: Path) -> None:
    paths = ExperimentPaths(tmp_path)
    assert own_ensemble(None, paths, (), finished=True) is None
    states = [own_ensemble(PLAN, paths, (), finished=finished) for finished in (False, True)]
    assert [each and (each.state, each.there) for each in states] == [("waiting", False), ("to be made", False)]
    assert states[0] is not None
    assert states[0].sentence == ""
    asked = asked_of(PLAN, paths, ())
    written(tmp_path, asked, rule="ensemble/7")
    made = own_ensemble(PLAN, paths, (), finished=True)
    assert made is not None
    assert made.sentence == (
        "Ensemble of 2 variants: +2.0e-4 [-1.0e-4, +5.0e-4] over the best single one on later eras, "
        "inside the noise (rule ensemble/7)"
    ), "what another version decided stays"
    assert made.weights == {"a": 0.75, "b": 0.25}
    assert made.state == "made"
    # The plan asks for another one, or predictions were added.
    other = own_ensemble(EnsemblePlan(members=4, blocks=3), paths, (), finished=True)
    paths.ledger.parent.mkdir()
    paths.results("foreign-theirs").write_text("{}")
    added = own_ensemble(PLAN, paths, (), finished=True)
    assert [each and each.state for each in (other, added)] == ["outdated"] * 2


def test_results_without_a_rule_were_decided_by_the_first(tmp_path: Path) -> None:
    paths = written(tmp_path, asked_of(PLAN, ExperimentPaths(tmp_path), ()))
    found = own_ensemble(PLAN, paths, (), finished=True)
    assert found is not None
    assert (found.state, found.rule) == ("made", FIRST_RULE)


@pytest.mark.parametrize("damage", ["[]", "{", '{"ensemble": 3}', '{"ensemble": {"members": [3]}}', ""])
def test_damaged_results_are_none(tmp_path: Path, damage: str) -> None:
    paths = written(tmp_path, {})
    EnsemblePaths(paths.ensemble).own_results.write_text(damage)
    found = own_ensemble(PLAN, paths, (), finished=True)
    assert found is not None
    assert found.state == "to be made"


def test_a_failure_counts_for_what_was_asked_then(tmp_path: Path) -> None:
    paths = ExperimentPaths(tmp_path)
    paths.ensemble_failure.parent.mkdir()
    paths.ensemble_failure.write_text(json.dumps({"asked": asked_of(PLAN, paths, ()), "why": "too few eras"}))
    found = own_ensemble(PLAN, paths, (), finished=True)
    assert found is not None
    assert found.sentence == "No ensemble of the experiment's variants: too few eras"
    again = own_ensemble(EnsemblePlan(), paths, (), finished=True)
    assert again is not None
    assert again.state == "to be made"


@pytest.mark.slow
def test_ended_in_the_middle_it_is_still_to_be_made_and_then_the_same(
    tmp_path: Path, market: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    desk = Desk(tmp_path, market, {"stages": {"ensemble": {"members": 3, "blocks": 3}}, "budget": {"rounds": 1}})
    own = EnsemblePaths(desk.folder / "ensemble")
    # Everything is written but the page, which a kill leaves out.
    with monkeypatch.context() as patched:
        patched.setattr(ensemble_report, "write_text", _interrupted)
        assert desk.run() == 130
    assert own.own_results.is_file()
    first, recipe, predictions = _content(own)
    # Page, status, answer and report say the same, and what to do.
    told = _told(desk, capsys)
    assert {each["state"] for each in told.values()} == {"to be made"}
    assert status_of(desk, capsys)["ensemble"] is None
    ledger = (desk.folder / "results" / "rounds.jsonl").read_bytes()
    assert desk.run() == 0
    assert _content(own) == (first, recipe, predictions)
    assert (desk.folder / "results" / "rounds.jsonl").read_bytes() == ledger
    told = _told(desk, capsys)
    assert {each["state"] for each in told.values()} == {"made"}
    assert {each["rule"] for each in told.values()} == {f"ensemble/{RULE}"}
    assert len({each["gain"] for each in told.values()}) == 1
    assert status_of(desk, capsys)["ensemble"] == told["status"]
    assert Ensemble.load(own.root).value["rule"] == f"ensemble/{RULE}"
    paths = ExperimentPaths(desk.folder)
    found = own_ensemble(PLAN, paths, read_ledger(paths.ledger), finished=True)
    assert found is not None
    shown = Reader(next(iter(Sources([str(desk.folder)], tmp_path / "cache").all()))).overview()
    assert found.sentence in shown["answer"]["notes"]
    for text in (paths.report.read_text(), re.sub(r"<[^>]*>", "", paths.html.read_text())):
        assert found.sentence in text
        assert f"Decided by rule ensemble/{RULE}" in text
    assert f"Decided by rule ensemble/{RULE}" in own.report.read_text()


def _interrupted(*_: Any) -> None:
    raise KeyboardInterrupt


def _content(own: EnsemblePaths) -> tuple[bytes, bytes, bytes]:
    return own.own_results.read_bytes(), own.recipe.read_bytes(), own.own_predictions.read_bytes()


def _told(desk: Desk, capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    """What each command's answer says of the ensemble."""
    found = {}
    for name in ("status", "report"):
        capsys.readouterr()
        assert run([name, str(desk.folder), "--json"]) == 0
        value = json.loads(capsys.readouterr().out)
        Draft202012Validator(schema_of(name)).validate(value)
        found[name] = value["answer"]["ensemble"]
        step = value["answer"]["next"][0]["command"]
        assert (step == f"numerai-ray run {desk.folder}") == (found[name]["state"] == "to be made")
    return found


def status_of(desk: Desk, capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    capsys.readouterr()
    assert run(["status", str(desk.folder), "--json"]) == 0
    value: dict[str, Any] = json.loads(capsys.readouterr().out)
    return value
