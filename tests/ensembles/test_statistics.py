"""Sums of eras: what they say of a candidate and of a blend, against scores of the rows themselves."""

from dataclasses import replace

import numpy as np
import pytest
from ensemble_markets import PlantedSpec, planted
from oracles import oracle_scores

from numerai_ray.ensembles.blends import Blend, Post, blended
from numerai_ray.ensembles.confirmation import scores_of
from numerai_ray.ensembles.panel import SORTED_ROWS, Panel, panel_of_columns, scaled_ranks, untied_quantiles
from numerai_ray.ensembles.statistics import EraStatistics, statistics_of
from numerai_ray.training.post import rank_gauss

BLEND = Blend((0, 2, 3), (0.5, 0.3, 0.2))


def sums(panel: Panel) -> EraStatistics:
    return statistics_of(panel.scaled, panel.target, panel.benchmark, panel.eras, panel.era_starts)


@pytest.fixture(scope="module")
def panel() -> Panel:
    return planted(PlantedSpec(eras=12, rows=2000, candidates=5, seed=3))[0]


def test_a_candidates_gain_is_its_bmc(panel: Panel) -> None:
    stats = sums(panel)
    for position in range(5):
        exact = scores_of(panel, panel.prediction(position)).bmc
        np.testing.assert_allclose(stats.gain[:, position], exact, atol=1e-7)
        np.testing.assert_allclose(stats.per_era(Blend((position,), (1.0,))), exact, atol=1e-7)


@pytest.mark.parametrize("post", [Post(), Post(neutral=0.5), Post(neutral=1.0), Post(share=-0.2)])
def test_a_blend_is_known_from_the_sums_up_to_its_ranking(panel: Panel, post: Post) -> None:
    blend = replace(BLEND, post=post)
    exact = scores_of(panel, blended(blend, panel.prediction, panel.benchmark, panel.era_starts)).bmc
    close = sums(panel).per_era(blend)
    assert abs(close - exact).mean() < 0.25 * exact.std()
    assert close.mean() == pytest.approx(
        exact.mean(), rel=0.08 if post.share else 0.04
    )  # shares mix ranks, not normal columns
    if post != Post():
        plain = sums(panel).per_era(BLEND)
        assert abs(plain - exact).mean() > abs(close - exact).mean(), "what is done to the mixture counts"


def test_exact_scores_are_the_oracles(panel: Panel) -> None:
    prediction = blended(BLEND, panel.prediction, panel.benchmark, panel.era_starts)
    found = scores_of(panel, prediction)
    rows = slice(0, 2000)
    oracle = oracle_scores(prediction[rows], panel.target[rows], panel.benchmark[rows], np.ones(2000))
    assert found.bmc[0] == pytest.approx(oracle["bmc"][0], abs=1e-9)
    assert found.corr[0] == pytest.approx(oracle["corr"][0], abs=1e-9)


def test_rows_without_benchmark_or_target_are_left_out(panel: Panel) -> None:
    benchmark, target = panel.benchmark.copy(), panel.target.copy()
    benchmark[100:200], target[300:400] = np.nan, np.nan
    gaps = replace(panel, benchmark=benchmark, target=target)
    exact = scores_of(gaps, gaps.prediction(1)).bmc
    assert not np.isnan(exact).any()
    np.testing.assert_allclose(sums(gaps).gain[:, 1], exact, atol=2e-3)
    assert np.isfinite(sums(gaps).products).all()


def test_ranks_with_and_without_ties_are_rank_gauss() -> None:
    rng = np.random.default_rng(0)
    starts = np.array([0, 50, 120])
    for values in (rng.normal(size=120), np.round(rng.normal(size=120)), np.r_[np.ones(50), rng.normal(size=70)]):
        found = scaled_ranks(values, untied_quantiles(starts), starts)
        np.testing.assert_allclose(found, rank_gauss(values, starts), atol=1e-14)
    # More rows than are sorted by one call, in eras of any size, one of them larger than that; and infinities.
    starts = np.cumsum([0, 1, 3, SORTED_ROWS + 1, *rng.integers(2, 900, 400)])
    values = rng.normal(size=starts[-1])
    for infinite in (np.zeros(len(values), bool), rng.random(len(values)) < 1e-3):
        values = np.where(infinite, np.inf, np.where(rng.random(len(values)) < 1e-4, 0.0, values))
        found = scaled_ranks(values, untied_quantiles(starts), starts)
        np.testing.assert_allclose(found, rank_gauss(values, starts), atol=1e-14)


def test_a_constant_candidate_has_no_gain_and_breaks_nothing() -> None:
    rng = np.random.default_rng(0)
    columns = [np.zeros(200), rng.normal(size=200)]
    panel = panel_of_columns(columns, rng.integers(5, size=200) / 4, rng.normal(size=200), (1, 2), (0, 100, 200))
    stats = sums(panel)
    assert (stats.gain[:, 0] == 0).all()
    assert np.isfinite(stats.per_era(Blend((0,), (1.0,)))).all()
