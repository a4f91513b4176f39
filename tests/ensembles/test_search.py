"""The search: finds what is planted, is what a slow loop finds, keeps its limits."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from support.ensemble_markets import PlantedSpec, noise_statistics, planted

from numerai_ray.ensembles.blends import Blend, Post, blend_of, rounded
from numerai_ray.ensembles.search import (
    POSTS,
    Limits,
    Strategy,
    best_single,
    diverse,
    found_blends,
    greedy,
    least_squares,
    parts_of,
    shrunk,
)
from numerai_ray.ensembles.statistics import EraStatistics, statistics_of

STEPS = 6


@pytest.fixture(scope="module")
def market() -> tuple[EraStatistics, np.ndarray]:
    panel, best = planted(PlantedSpec(eras=150, rows=400, candidates=12, seed=1))
    return statistics_of(panel.scaled, panel.target, panel.benchmark, panel.eras, panel.era_starts), best


def mean_products(stats: EraStatistics) -> np.ndarray:
    return np.asarray(stats.products.mean(axis=0, dtype=np.float64))


def slow_greedy(stats: EraStatistics, neutral: float) -> np.ndarray:
    """Every mixture on the way, each scored from scratch."""
    counts, best, kept = np.zeros(stats.n_candidates), -np.inf, np.zeros(stats.n_candidates)
    for _ in range(STEPS):
        tried = [counts + np.eye(stats.n_candidates)[each] for each in range(stats.n_candidates)]
        values = [stats.mean(blend_of(each, Post(neutral=neutral))) for each in tried]
        counts = tried[int(np.argmax(values))]
        if max(values) > best + 1e-12:
            best, kept = max(values), counts
    return kept


@pytest.mark.parametrize("neutral", [0.0, 1.0])
def test_forward_selection_is_what_a_slow_loop_finds(market: tuple[EraStatistics, np.ndarray], neutral: float) -> None:
    stats, _ = market
    np.testing.assert_array_equal(greedy(stats, Limits(), neutral, STEPS), slow_greedy(stats, neutral))


def test_the_planted_blend_is_found(market: tuple[EraStatistics, np.ndarray]) -> None:
    stats, best = market
    ideal = stats.mean(blend_of(best))
    for weights in (greedy(stats, Limits()), least_squares(stats, Limits(), 0.0, mean_products(stats))):
        blend = blend_of(weights)
        useful = sum(w for m, w in zip(blend.members, blend.weights, strict=True) if best[m] > 0)
        assert useful > 0.8
        assert stats.mean(blend) >= ideal - 1e-4, "in sample nothing planted can be better"
    assert stats.mean(blend_of(diverse(stats, Limits(), 0.0, mean_products(stats)))) > stats.gain.mean(axis=0).max()


@pytest.mark.parametrize("members", [1, 2, 5])
def test_no_strategy_has_more_members_or_needs(market: tuple[EraStatistics, np.ndarray], members: int) -> None:
    stats, _ = market
    kinds = np.arange(stats.n_candidates) % 4
    for blend in found_blends(stats, Limits(members, 2, kinds)).values():
        assert 1 <= len(blend.members) <= members
        assert len(set(kinds[list(blend.members)])) <= 2
        assert sum(blend.weights) == pytest.approx(1)
        assert min(blend.weights) > 0


def test_every_strategy_is_tried_with_everything_that_can_be_done_to_it(
    market: tuple[EraStatistics, np.ndarray],
) -> None:
    stats, _ = market
    found = found_blends(stats, Limits())
    assert {each.post for each in found} == set(POSTS)
    assert {each.method for each in found} == {"greedy", "nnls", "diverse", "single"}
    assert found[Strategy("single")] == Blend((best_single(stats),), (1.0,))
    full = found[Strategy("greedy", 1.0)]
    assert full.weights == pytest.approx([1 / len(full.members)] * len(full.members))


def test_without_any_skill_there_is_a_blend_all_the_same() -> None:
    stats = noise_statistics(60, 10, 0)
    stats = replace(stats, gain=-abs(stats.gain))
    for blend in found_blends(stats, Limits()).values():
        assert sum(blend.weights) == pytest.approx(1)


def test_shrinking_parts_and_rounding() -> None:
    blend = Blend((1, 4), (0.9, 0.1))
    assert shrunk(blend, 0.5).weights == pytest.approx((0.7, 0.3))
    assert rounded(Blend((1, 4), (0.99999, 0.00001))).members == (1,)
    assert blend.without(1) == Blend((4,), (1.0,))
    stats = noise_statistics(60, 6, 1)
    parts = parts_of(stats, Blend((0, 2, 3, 5), (0.4, 0.3, 0.2, 0.1)))
    assert [len(part.members) for part in parts] == [3, 2, 1]
    for larger, smaller in pairwise(parts):
        assert set(smaller.members) < set(larger.members)
    assert stats.mean(parts[0]) == max(
        stats.mean(Blend((0, 2, 3, 5), (0.4, 0.3, 0.2, 0.1)).without(member)) for member in (0, 2, 3, 5)
    )
