"""Limits of the container in the search: too much is refused with its numbers, and the best that fits is offered."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from ensemble_markets import PlantedSpec, planted

from numerai_ray.config import Config
from numerai_ray.ensembles.candidates import Candidate, LeftOut
from numerai_ray.ensembles.costs import FIXED_BYTES, Cost, cost_of, costs_of, room_of, that_fit, whole_cost
from numerai_ray.ensembles.evaluation import refused_blend, walk_forward
from numerai_ray.ensembles.search import Limits, found_blends
from numerai_ray.ensembles.statistics import EraStatistics, statistics_of

LIMIT = Cost(4e9, 600.0)


def config_of(trees: int, leaves: int = 63, **more: object) -> Config:
    model = {"params": {"n_estimators": trees, "num_leaves": leaves}, **more}
    return Config.model_validate({"model": model})


@pytest.fixture(scope="module")
def stats() -> EraStatistics:
    panel, _ = planted(PlantedSpec(eras=150, rows=200, candidates=12, seed=4))
    return statistics_of(panel.scaled, panel.target, panel.benchmark, panel.eras, panel.era_starts)


def test_costs_grow_with_trees_leaves_seeds_and_targets_and_are_measured_ones() -> None:
    plain = cost_of(config_of(1000))
    assert plain.memory_bytes == pytest.approx(1000 * 63 * 300)
    assert cost_of(config_of(1000, seeds=[1, 2, 3])).memory_bytes == pytest.approx(3 * plain.memory_bytes)
    both = config_of(1000).model_copy(
        update={"data": config_of(1).data.model_copy(update={"target": {"target_ender_20": 1, "target_ender_60": 1}})}
    )
    assert cost_of(both).seconds == pytest.approx(2 * plain.seconds)
    ridge = Config.model_validate({"model": {"type": "sklearn_ridge", "params": {}}})
    assert cost_of(ridge) == Cost()
    assert whole_cost([plain, plain]).memory_bytes == pytest.approx(FIXED_BYTES + 2 * plain.memory_bytes)


def test_a_candidate_that_is_too_much_by_itself_is_left_out_with_its_numbers() -> None:
    ground = Candidate("small", Path(), "small", "scout", Path(), config_of(1000), ())
    large = replace(ground, name="large", config=config_of(30_000, 1023))
    slow = replace(ground, name="slow", config=config_of(6_000_000, 2))
    kept = list(that_fit([ground, large, slow, replace(large, name="theirs", foreign=True)], LIMIT))
    assert [each.name for each in kept if isinstance(each, Candidate)] == ["small", "theirs"]
    told = {each.name: each.why for each in kept if isinstance(each, LeftOut)}
    assert "about 9.81 GB" in told["large"]
    assert "over the limit of 4.00 GB and 600 s" in told["large"]
    assert "over the limit" in told["slow"]


def test_every_blend_fits_and_what_is_refused_does_not(stats: EraStatistics) -> None:
    rng = np.random.default_rng(0)
    costs = rng.uniform(0.4, 1.0, (12, 1))
    free = Limits(members=6)
    tight = replace(free, costs=costs, room=np.array([1.9]))
    for blend in found_blends(stats, tight).values():
        assert costs[list(blend.members)].sum() <= 1.9
    delivered = walk_forward(stats, tight, 5).delivered
    refused = refused_blend(stats, delivered, tight)
    assert refused is not None
    assert costs[list(refused.members)].sum() > 1.9
    chosen = stats.of(delivered.block.chosen)
    assert chosen.mean(refused) > chosen.mean(delivered.blend), "it is refused for its size, not for its score"
    roomy = replace(tight, room=np.array([100.0]))
    assert refused_blend(stats, delivered, roomy) is None
    assert found_blends(stats, roomy) == found_blends(stats, free)


def test_foreign_members_take_nothing_of_the_container_and_read_nothing(stats: EraStatistics) -> None:
    ground = Candidate("a", Path(), "a", "scout", Path(), config_of(1000), ())
    assert costs_of([ground, replace(ground, foreign=True)])[1].tolist() == [0, 0]
    assert room_of(LIMIT).memory_bytes == LIMIT.memory_bytes - FIXED_BYTES
    kinds = np.array([0, 1, -1] * 4)
    limits = Limits(members=12, needs=1, kinds=kinds)
    chosen = np.zeros(12, bool)
    chosen[0] = True
    assert (limits.allowed(chosen) == (kinds != 1)).all()
    for blend in found_blends(stats, limits).values():
        assert len(set(kinds[list(blend.members)].tolist()) - {-1}) <= 1
