"""Variants without a metric in a whole experiment: constant predictions, NaN, a constant in most eras."""

from pathlib import Path

import optuna
import pytest
import yaml
from desk import Desk
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState

pytestmark = pytest.mark.slow

OWN_MODEL = """
import numpy as np

class Own:
    def __init__(self, mode):
        self.mode = mode

    def fit(self, rows):
        return self

    def predict(self, rows):
        some = rows.features[:, :5].mean(axis=1)
        constant = np.full(len(some), 0.5)
        return {
            "down": -some,
            "constant": constant,
            "nan": constant * np.nan,
            "mostly constant": np.where(np.arange(len(some)) < 0.95 * len(some), constant, some),
        }[self.mode]
"""
MODES = ["constant", "nan", "mostly constant"]


@pytest.mark.parametrize("proposer", ["listed", "optuna"])
def test_a_variant_without_a_metric_is_told_never_promoted(
    proposer: str, tmp_path: Path, market: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    desk = Desk(tmp_path, market)
    (desk.folder / "own.py").write_text(OWN_MODEL)
    plan = yaml.safe_load((desk.folder / "experiment.yaml").read_text())
    plan["search_space"] = {"dimensions": {"mode": {"path": "model.params.mode", "values": MODES}}}
    plan["base"] = {"model": {"type": "own.py:Own", "params": {"mode": "down"}}}
    plan |= {"rounds": {"variants": 3, "margin": 1e-6, "proposer": proposer}, "budget": {"rounds": 1}}
    (desk.folder / "experiment.yaml").write_text(yaml.safe_dump(plan))
    baseline = tmp_path / "experiments" / "baselines" / "tiny.yaml"
    baseline.write_text(yaml.safe_dump({**yaml.safe_load(baseline.read_text()), **plan["base"]}))

    assert desk.run() == 3, "some trials failed, the rest is saved"
    assert capsys.readouterr().out.endswith("experiment.md\n")
    rounds = desk.rounds()
    assert rounds[-1]["stage"] == "final"
    base = next(each for each in rounds[0]["variants"] if each["role"] == "base")
    assert base["metrics"]["bmc_last"]["mean"] < 0, "a constant's contribution of 0 would be a gain"
    decision = rounds[0]["decision"]
    assert (decision["promoted"], decision["winner"]) == (False, base["id"])
    assert decision["reason"] == "no variant to judge; 3 failed"

    rows = [line for line in (desk.folder / "experiment.md").read_text().splitlines() if line.startswith("|")]
    for name, told in (
        ("mode=constant", "not judged: constant predictions in"),
        ("mode=nan", "the model predicts NaN or infinity"),
        ("mode=mostly", "not judged: constant predictions in"),
    ):
        assert any(name in row and told in row for row in rows), (name, rows)

    if proposer == "optuna":
        storage = JournalStorage(JournalFileBackend(str(desk.folder / "optuna.journal")))
        for study in optuna.get_all_study_names(storage):
            states = [each.state for each in optuna.load_study(study_name=study, storage=storage).trials]
            assert states.count(TrialState.FAIL) == len(MODES), study
