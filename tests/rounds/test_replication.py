"""A round's best has to win again with fresh seeds before it becomes the base."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from policy_records import ABC, SETTINGS, base, variant

from numerai_ray.config import Config, validate
from numerai_ray.experiment.decision import decide
from numerai_ray.experiment.paths import ExperimentPaths
from numerai_ray.experiment.records import REPLICATE, RoundRecord
from numerai_ray.experiment.scores import ScoreReader, StoredScores, search_of
from numerai_ray.metrics.scoring import EraScores
from numerai_ray.metrics.selection import selected_p_value
from numerai_ray.rounds.budget import spent_budget
from numerai_ray.rounds.policy import ConfirmRound, ReplicateRound, ScoutRound, flat_rounds, next_step
from numerai_ray.rounds.replication import decide_replication, search_of_replication, with_fresh_seeds

REPLICATED = replace(SETTINGS, accept="replicated")


def waiting() -> RoundRecord:
    rest = (variant("a", 0.0045), variant("other", 0.0039))
    return RoundRecord(1, "scout", "a", {}, (base(), *rest), decide(base(), rest, {}, REPLICATED), {})


def test_a_gain_waits_and_is_run_again_before_anything_else() -> None:
    record = waiting()
    assert (record.decision.promoted, record.decision.changes, record.decision.again) == (False, {}, "r01-a")
    assert next_step([record], ABC, REPLICATED, lambda *_: True) == ReplicateRound("a", {}, "a", {"model.params.a": 1})
    assert flat_rounds([record]) == 0
    small = decide(base(), [variant("a", 0.0041)], {}, REPLICATED)
    assert (small.again, small.promoted) == ("", False)


def test_the_last_round_of_a_budget_still_runs_its_best_again_and_no_other_budget_is_broken_for_it() -> None:
    record = waiting()
    assert spent_budget([record], replace(REPLICATED, max_rounds=1)) == ""
    over = replace(REPLICATED, over="no hours are left")
    assert isinstance(next_step([record], ABC, over, lambda *_: True), ConfirmRound)


def test_without_evidence_the_base_stays_under_its_own_name_and_the_round_counts_once() -> None:
    before = waiting()
    decision = decide_replication(before, replace(base(), id="r02-base"), [variant("a", 0.0046)], REPLICATED)
    assert (decision.promoted, decision.winner) == (False, before.decision.winner)
    failed = RoundRecord(2, "scout", "a", {}, (base(), variant("a", 0.0046)), decision, {}, kind=REPLICATE)
    assert flat_rounds([before, failed]) == 1
    assert search_of([before, failed]).judged == (2,)
    assert isinstance(next_step([before, failed], ABC, REPLICATED, lambda *_: True), ScoutRound)


@pytest.mark.parametrize("seeds", [None, [0, 1, 2]])
def test_seeds_are_fresh_as_many_as_before_and_others_in_each_round(seeds: list[int] | None) -> None:
    config = validate(Config, {"model": {"params": {"num_leaves": 7}} | ({"seeds": seeds} if seeds else {})}, "test")
    second, third = (with_fresh_seeds(config, number).model.seeds or [] for number in (2, 3))
    assert len(second) == len(third) == len(seeds or [None])
    assert len({*second, *third, *(seeds or [])}) == len(second) + len(third) + len(seeds or [])
    assert with_fresh_seeds(config, 2).model.params == config.model.params


@pytest.mark.parametrize(("seed_share", "lowest", "highest"), [(0.0, 0.99, 1.0), (0.5, 0.3, 0.7), (1.0, 0.0, 0.2)])
def test_what_both_runs_share_is_what_chose(tmp_path: Path, seed_share: float, lowest: float, highest: float) -> None:
    rng, eras = np.random.default_rng(3), tuple(range(1, 401))
    market, first, again = rng.normal(size=(3, 400))
    reader = ScoreReader(ExperimentPaths(tmp_path))
    deltas = {"r01-base": np.zeros(400), "r02-base": np.zeros(400)}
    for name, own in (("r01-a", first), ("r02-a", again)):
        deltas[name] = np.sqrt(1 - seed_share) * market + np.sqrt(seed_share) * own
    for name, values in deltas.items():
        reader._held[name] = StoredScores(eras, EraScores(values, values, values), {}, {})
    start, best = replace(base(), id="r02-base"), replace(variant("a", 0.0045), id="r02-a")
    search = search_of_replication(waiting(), start, best, reader, 200)
    assert search.judged == (2,)
    assert lowest <= search.share <= highest
    # The less they share, the less a second win owes to having been chosen.
    assert selected_p_value(0.04, search) <= selected_p_value(0.04, replace(search, share=1.0)) + 1e-3
    assert search_of_replication(waiting(), start, None, reader, 200).share == 1.0
