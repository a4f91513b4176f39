"""The stage that blends an experiment's own variants after its last round: asked for in the plan, made once."""

import json
from pathlib import Path

import pytest
from desk import Desk
from jsonschema import Draft202012Validator

from numerai_ray import Ensemble
from numerai_ray.cli.commands.schema import schema_of
from numerai_ray.cli.main import run
from numerai_ray.ensembles.outcome import is_ensemble
from numerai_ray.session.experiment import Experiment

pytestmark = pytest.mark.slow
ENSEMBLE = {"members": 3, "blocks": 3}
ASKED = {"stages": {"ensemble": ENSEMBLE}, "budget": {"rounds": 2}}


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory, market: Path) -> Desk:
    """A finished experiment whose plan asks for an ensemble."""
    made = Desk(tmp_path_factory.mktemp("stage"), market, ASKED)
    assert made.run("--stop-after", "final") == 0
    assert not is_ensemble(made.folder / "ensemble"), "a stage before it was asked for"
    assert "is still to be made" in (made.folder / "experiment.md").read_text()
    assert made.run() == 0
    return made


def test_it_is_made_when_the_rounds_are_decided_and_stands_in_report_and_status(
    desk: Desk, capsys: pytest.CaptureFixture[str]
) -> None:
    found = Ensemble.load(desk.folder / "ensemble")
    assert 1 <= len(found.weights) <= 3
    assert len(found.value["blocks"]) == 3
    assert found.value["experiments"] == ["small"]
    for text in ((desk.folder / "experiment.md").read_text(), (desk.folder / "report.html").read_text()):
        assert "ensemble/ensemble.md" in text
        assert all(name in text.replace("\\", "") for name in found.weights)
    capsys.readouterr()
    assert run(["status", str(desk.folder), "--json"]) == 0
    status = json.loads(capsys.readouterr().out)
    Draft202012Validator(schema_of("status")).validate(status)
    assert status["finished"]
    assert status["ensemble"]["weights"] == found.weights
    assert {each["stage"] for each in status["rounds"]} == {"scout", "confirm", "final"}, "it is no round"


def test_it_is_made_once_and_again_when_there_is_something_new(desk: Desk, capsys: pytest.CaptureFixture[str]) -> None:
    page = desk.folder / "ensemble" / "ensemble.html"
    ledger = (desk.folder / "results" / "rounds.jsonl").read_bytes()
    before = page.stat().st_mtime_ns
    assert desk.run() == 0
    assert page.stat().st_mtime_ns == before
    page.unlink()  # as if a run had ended before it was whole
    capsys.readouterr()
    assert desk.run("--json") == 0
    events = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [each["event"] for each in events if each["event"] in ("ensemble_ended", "finished")] == [
        "ensemble_ended",
        "finished",
    ]
    assert page.is_file()
    experiment = Experiment.load(desk.folder)
    winner = next(each for each in desk.rounds()[-1]["variants"] if each["role"] == "base")["id"]
    oof = experiment.oof(winner)
    folds = {fold: [1] for fold in oof["cv_fold"].unique()}
    experiment.add_predictions("theirs", oof, train_eras=folds, scoring={"data": str(desk.data)})
    made = page.stat().st_mtime_ns
    assert desk.run() == 0
    assert page.stat().st_mtime_ns > made, "added predictions are candidates"
    assert (desk.folder / "results" / "rounds.jsonl").read_bytes() == ledger


def test_the_plan_tells_of_it(desk: Desk, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["plan", str(desk.folder), "--data-dir", str(desk.data), "--in-process", "--no-calibrate"]
    capsys.readouterr()
    assert run(arguments) == 0
    assert "then ensemble: the best blend of at most 3 of its own variants" in capsys.readouterr().out
    assert run([*arguments, "--json"]) == 0
    value = json.loads(capsys.readouterr().out)
    Draft202012Validator(schema_of("plan")).validate(value)
    assert value["ensemble"] == {"members": 3, "feature_sets": None, "blocks": 3}


def test_a_plan_without_it_is_what_it_was(desk: Desk, tmp_path: Path, market: Path) -> None:
    plain, asks = Desk(tmp_path / "a", market), Desk(tmp_path / "b", market, {"stages": {"ensemble": ENSEMBLE}})
    ours, theirs = (Experiment.load(each.folder).loaded for each in (plain, asks))
    assert ours.fingerprint() == theirs.fingerprint(), "it decides no round"
    assert ours.readable() == theirs.readable()
    assert "ensemble" not in ours.plan.model_dump(mode="json")["stages"]


def test_what_cannot_be_searched_is_told_and_fails_nothing(desk: Desk, capsys: pytest.CaptureFixture[str]) -> None:
    desk.plan({"stages": {"ensemble": {"blocks": 50}}, "budget": {"rounds": 2}})
    capsys.readouterr()
    assert desk.run() == 0
    told = capsys.readouterr()
    assert "No ensemble of the experiment's variants" in told.out + told.err
    assert "eras in common are too few" in told.out + told.err
