"""The payout score, and the Sharpe ratio as a mean of per-era values."""

import numpy as np
import pytest

from numerai_ray.metrics.payout import payout
from numerai_ray.metrics.registry import METRICS, PayoutTerms, primary_named
from numerai_ray.metrics.scoring import EraScores, summarize
from numerai_ray.metrics.series import sharpe_values

NAN = np.nan


def test_payout_is_clipped_and_bmc_stands_in_for_mmc_where_there_is_none() -> None:
    corr, bmc = np.array([0.02, 0.02, 0.3, -0.3, NAN, 0.01]), np.array([0.01, 0.01, 0.2, -0.2, 0.01, NAN])
    mmc = np.array([0.03, NAN, 0.2, -0.2, 0.01, NAN])
    found = payout(EraScores(corr, bmc, corr, mmc), PayoutTerms(corr=0.5, mmc=2.0, clip=0.25))
    assert found == pytest.approx([0.07, 0.03, 0.25, -0.25, NAN, NAN], nan_ok=True)


def test_every_metric_gives_a_score_an_era() -> None:
    scores = EraScores(np.ones(3), 2 * np.ones(3), 3 * np.ones(3))
    assert {name: each.per_era(scores, PayoutTerms()).tolist() for name, each in METRICS.items()} == {
        "bmc": [2.0] * 3,
        "mmc": pytest.approx([NAN] * 3, nan_ok=True),
        "payout": [0.25] * 3,
        "corr": [1.0] * 3,
        "corr_with_benchmark": [3.0] * 3,
    }


@pytest.mark.parametrize(
    ("name", "series", "recent"),
    [("bmc", "bmc", True), ("bmc_last_200_eras.mean", "bmc", True), ("payout.mean", "payout", False)],
)
def test_a_plans_metric_is_a_series_and_a_window(name: str, series: str, recent: bool) -> None:
    found = primary_named(name)
    assert (found.series, found.recent, found.metric.name) == (series, recent, series)


def test_sharpe_values_have_the_sharpe_ratio_as_their_mean_and_its_spread_as_theirs() -> None:
    rng = np.random.default_rng(3)
    scores = rng.normal(0.01, 0.02, 400)
    scores[5] = NAN
    values = sharpe_values(scores)
    assert np.nanmean(values) == pytest.approx(summarize(scores).sharpe)
    # Lo (2002): the variance of a ratio of independent normal scores is (1 + ratio² / 2) / n.
    ratios = [summarize(rng.normal(0.01, 0.02, 400)).sharpe for _ in range(2000)]
    assert np.nanstd(values) / 20 == pytest.approx(np.std(ratios), rel=0.1)
    assert np.isnan(sharpe_values(np.full(5, 0.1))).all()
