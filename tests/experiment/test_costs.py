"""Costs: a variant that gains and pays for it is flagged, and `accept: pareto` does not promote it."""

from dataclasses import replace
from pathlib import Path

import pytest
from builders import Market, experiment

from numerai_ray.config.plan import LoadedPlan
from numerai_ray.experiment.costs import with_costs
from numerai_ray.experiment.decision import PolicySettings, decide, rule_version
from numerai_ray.experiment.scores import ScoreReader, with_evidence
from numerai_ray.metrics.scoring import EraScores
from numerai_ray.metrics.significance import Comparison

SETTINGS = PolicySettings(margin=2e-4, patience=2, max_rounds=12)


class Dear(Market):
    """One variant, num_leaves=63, has more BMC and less CORR; the others only differ by noise."""

    def scores(self, bmc: float, trial: str) -> EraScores:
        made = super().scores(bmc, trial)
        return EraScores(made.corr - (0.012 if trial.endswith("=63") else 0.0), made.bmc, made.benchmark_corr)


def test_pareto_takes_the_gain_that_costs_nothing(tmp_path: Path) -> None:
    history = experiment(tmp_path / "demo", market=Dear(noise=0.0005))
    record = history.scout("num_leaves", {63: 0.0050, 127: 0.0045})
    base, *rest = [each for each in record.variants if each.role in ("base", "variant")]
    reader, comparison = ScoreReader(history.paths), Comparison(200, 4)
    judged = with_costs(base, with_evidence(base, rest, reader, comparison), reader, comparison)
    flags = {each.name: [flag for flag in each.flags if flag.startswith("trade-off")] for each in judged}
    assert flags == {
        "num_leaves=63": ["trade-off: loses CORR and CORR Sharpe by more than noise does"],
        "num_leaves=127": [],
    }
    assert decide(base, judged, {}, SETTINGS).winner == "r01-num_leaves=63"
    free = decide(base, judged, {}, replace(SETTINGS, accept="pareto"))
    assert free.winner == "r01-num_leaves=127"
    assert "1 set aside for what they cost" in free.reason


def test_seeds_of_the_plan_are_averaged_in_every_configuration(tmp_path: Path) -> None:
    loaded: LoadedPlan = experiment(tmp_path / "a", changes={"rounds": {"seeds": 3}}).loaded
    assert loaded.config("scout", {}).model.seeds == [0, 1, 2]
    assert loaded.config("final", {}).model.seeds == [0, 1, 2]
    own = experiment(tmp_path / "b", changes={"rounds": {"seeds": 3}, "base": {"model": {"seeds": [7]}}}).loaded
    assert own.config("scout", {}).model.seeds == [7]


@pytest.mark.parametrize(("rule", "version"), [("", 1), ("margin/1", 1), ("significant/2", 2)])
def test_an_experiment_keeps_the_rule_that_it_began_with(tmp_path: Path, rule: str, version: int) -> None:
    record = experiment(tmp_path / "demo").scout("num_leaves", {63: 0.0047})
    assert rule_version([replace(record, decision=replace(record.decision, rule=rule))]) == version
    assert rule_version([]) == 2
