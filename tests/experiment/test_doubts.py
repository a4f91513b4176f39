"""What makes a found gain doubtful is said where it is read: kept eras, slow swings, repeated stages, weak models."""

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from builders import DIAGNOSTICS, History, Market, experiment
from false_winners import Shape

from numerai_ray.experiment.answer import Answer, answer_of
from numerai_ray.experiment.records import RoundRecord
from numerai_ray.experiment.scores import ScoreReader, with_evidence
from numerai_ray.experiment.standing import Standing
from numerai_ray.experiment.verdicts import overall_verdicts
from numerai_ray.metrics.scoring import EraScores
from numerai_ray.metrics.significance import ALL_ERAS, Comparison, paired_deltas, verdict
from numerai_ray.report.markdown import report_text
from numerai_ray.report.reading import Reading
from numerai_ray.rounds.recorder import holdout_decision

SAME = {stage: {"data": "full", "feature_set": "all"} for stage in ("scout", "confirm", "final")}


def answered(history: History) -> Answer:
    return answer_of(Standing(history.loaded, history.paths, tuple(history.records)))


def report_of(history: History) -> str:
    return report_text(Reading(history.loaded, history.paths, tuple(history.records)), {})


# The kept eras


def with_holdout(history: History, gain: float, noise: float) -> RoundRecord:
    """The winner and the base on 52 eras that nothing has seen, and what the scheduler would say of them."""
    history.market = Market(eras=tuple(range(1129, 1181)), first_benchmark_era=0, noise=noise)
    config = history.loaded.config("final", history.changes)
    base = history.variant("r04-base", "base", "base", config, 0.004)
    winner = history.variant("r04-winner", "winner", "variant", config, 0.004 + gain)
    (winner,) = with_evidence(
        base, [replace(winner, changes=dict(history.changes))], ScoreReader(history.paths), COMPARED
    )
    last = history.records[-1]
    decision = replace(last.decision, gain=gain, winner=base.id)
    decision = holdout_decision(decision, winner, history.records)
    record = replace(last, number=4, stage="holdout", variants=(base, winner), decision=decision)
    history.records.append(record)
    return record


COMPARED = Comparison(200, 4)


@pytest.mark.parametrize(
    ("gain", "noise", "words"),
    [
        (0.0012, 0.0002, "the gain is there"),
        (-0.0012, 0.0002, "it loses there"),
        # More than was found, so "all of it survived"; and mere noise.
        (0.0012, 0.02, "which neither confirms the gain nor refutes it"),
    ],
)
def test_kept_eras_are_told_with_their_interval(tmp_path: Path, gain: float, noise: float, words: str) -> None:
    history = experiment(tmp_path / "demo", market=Market(noise=0.0002))
    history.scout("num_leaves", {63: 0.0047})
    history.confirm(0.0047)
    history.final(0.0047)
    record = with_holdout(history, gain, noise)
    e4 = r"[+-]\d+\.\d"
    assert re.search(
        rf"differs from the base by {e4}e-4 BMC \(90 % interval {e4}e-4 to {e4}e-4\), in the search by \+\d+\.\de-4: "
        + re.escape(words),
        record.decision.reason,
    ), record.decision.reason
    (check,) = answered(history).checks
    assert re.fullmatch(
        rf"On 52 eras kept out of the search: {e4}e-4 \[{e4}e-4, {e4}e-4\] \(90 % interval\), {re.escape(words)}", check
    )
    assert check in report_of(history)
    assert "survived" not in record.decision.reason


# Slow swings


class Swinging(Market):
    """One variant's difference to the base swings for a year or two."""

    def scores(self, bmc: float, trial: str) -> EraScores:
        made = super().scores(bmc, trial)
        rng, slow = np.random.default_rng(5), np.zeros(len(self.eras))
        for at in range(1, len(slow)):
            slow[at] = 0.97 * slow[at - 1] + 0.002 * rng.normal()
        return replace(made, bmc=made.bmc + slow - slow.mean()) if trial.endswith("=63") else made


@pytest.mark.parametrize("swings", [True, False])
def test_slow_swings_are_warned_of_and_their_standard_error_is_always_told(tmp_path: Path, *, swings: bool) -> None:
    market = (Swinging if swings else Market)(noise=0.001)
    history = experiment(tmp_path / "demo", market=market)
    history.scout("num_leaves", {63: 0.0057})
    flags = [flag for flag in answered(history).flags if flag.startswith("persistence: ")]
    assert bool(flags) == swings
    told = re.search(
        r"by its slowest swings alone that of the scout run's difference is (\S+)e-4, not (\S+)e-4\.",
        report_of(history),
    )
    assert told is not None
    slow, usual = float(told[1]), float(told[2])
    assert (slow > 1.3 * usual) == swings
    if swings:
        assert flags[0].endswith(f"by its slowest swings alone its standard error is {slow}e-4, not {usual}e-4")
        assert flags[0] in "\n".join(answered(history).lines())


# A stage that repeats the one before


@pytest.mark.parametrize("same", [True, False])
def test_a_confirm_stage_with_the_scouts_data_says_that_it_adds_nothing(tmp_path: Path, *, same: bool) -> None:
    changes = {"stages": SAME} if same else {}
    history = experiment(tmp_path / "demo", changes, Market(noise=0.0002))
    history.scout("num_leaves", {63: 0.0047})
    before = answered(history)
    assert not [flag for flag in before.flags if flag.startswith("same data")]
    history.confirm(0.0047)
    found = answered(history)
    note = "same data: the confirm stage repeats the scout's runs, so it adds nothing"
    assert (note in found.flags) == same
    assert (f"note: {note}" in found.lines()) == same
    assert (f"- Note: {note}" in report_of(history)) == same
    if same:
        assert found.p_value >= before.p_value, "and it is no evidence"


# Losses


def test_a_clear_loss_is_one_as_the_worst_of_all_that_were_looked_at() -> None:
    """Each twentieth round of noise shows one by the rule of today; by the one before it, each tenth."""
    shape, rng = Shape(64, 4, 4), np.random.default_rng(11)
    rounds = [shape.noise(rng, 4) for _ in range(250)]
    shares = {}
    for rule in (1, 2):
        comparison = Comparison(200, 4, draws=50, rule=rule)
        found = [paired_deltas(each, shape.numbers(), comparison) for each in rounds]
        shares[rule] = np.mean([any(verdict(delta) == "clear loss" for delta in each) for each in found])
    assert shares[2] <= 0.08 < shares[1]


def test_losses_of_a_whole_search_are_those_of_its_worst(tmp_path: Path) -> None:
    history = experiment(tmp_path / "demo", market=Market(noise=0.004))
    # Two standard errors below the base: clear for one variant alone, not for the worst of seven.
    history.scout("num_leaves", {7: 0.0028, 15: 0.0037, 63: 0.0047, 127: 0.0037})
    history.scout("learning_rate", {0.005: 0.0046, 0.02: 0.0046})
    history.scout("max_depth", {3: 0.0046, 8: -0.0040})
    reader = ScoreReader(history.paths)
    alone = overall_verdicts(history.records[:1], reader, Comparison(ALL_ERAS), {"r01-num_leaves=7"})
    found = overall_verdicts(history.records, reader, Comparison(ALL_ERAS))
    assert found["scout", "r03-max_depth=8"] == "clear loss"
    assert found["scout", "r01-num_leaves=7"] == "inside the noise"
    own = paired_deltas(_difference(history, "r01-num_leaves=7"), history.market.eras, Comparison(ALL_ERAS))[0]
    assert own.high < 0, "alone it would be one"
    assert set(alone.values()) == {"inside the noise"}


def _difference(history: History, trial: str) -> np.ndarray:
    reader = ScoreReader(history.paths)
    ours, theirs = reader.read(trial), reader.read("r01-base")
    assert ours is not None
    assert theirs is not None
    return (ours.scores.bmc - theirs.scores.bmc)[:, None]


# Levels


class Weak(Market):
    """CORR a tenth of what models have."""

    def scores(self, bmc: float, trial: str) -> EraScores:
        made = super().scores(bmc, trial)
        return replace(made, corr=made.corr - made.corr.mean() + 0.0049)


def test_a_corr_too_low_for_a_model_is_flagged_like_one_that_is_too_high(tmp_path: Path) -> None:
    history = experiment(tmp_path / "demo", market=Weak(noise=0.0002))
    record = history.scout("num_leaves", {63: 0.0047})
    flag = "weak: corr_mean 0.0049 is below 0.005"
    assert [flag in each.flags for each in record.variants if each.role == "variant"] == [True]
    found = answered(history)
    assert flag in found.flags
    assert f"note: {flag}" in found.lines()
    assert f"- Sanity: r01-num_leaves=63: {flag}" in report_of(history)


def test_what_is_left_without_features_and_what_moves_stand_in_the_table(tmp_path: Path) -> None:
    history = experiment(tmp_path / "demo", market=Market(noise=0.0002))
    history.scout("num_leaves", {63: 0.0047})
    rows = {row.metric: row for row in answered(history).table}
    assert rows["fnc"].winner == DIAGNOSTICS["feature_neutral_corr"]["mean"]
    assert not {"churn", "turnover"} & set(rows), "no id comes again"
    for trial, churned, turned in (("r01-num_leaves=63", 0.3, 0.2), ("r01-base", 0.4, 0.25)):
        path = history.paths.results(trial)
        value = json.loads(path.read_text())
        value["diagnostics"]["churn"] = {"mean": churned, "turnover": turned, "n_eras": 200, "common_ids": 4000}
        path.write_text(json.dumps(value))
    found = answered(history)
    rows = {row.metric: row for row in found.table}
    assert (rows["churn"].winner, rows["churn"].baseline) == (0.3, 0.4)
    assert (rows["turnover"].winner, rows["turnover"].baseline) == (0.2, 0.25)
    assert "| Turnover | – | 0.200 | 0.250 | – |" in report_of(history)
    assert {"churn", "turnover", "fnc"} <= {row["metric"] for row in found.as_json()["table"]}
