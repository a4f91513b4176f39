"""Metrics that a plan can ask for and that tables show: one entry each, with its name, its column and its function.

A metric is a series of per-era scores. Tables, JSON, plots and the plan's `metric:` read its name and titles here; a
new one is an entry here and nothing else.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from numerai_ray.metrics.era_columns import FloatArray
from numerai_ray.metrics.payout import PayoutTerms, payout
from numerai_ray.metrics.scoring import EraScores


@dataclass(frozen=True)
class Metric:
    """One metric.

    ``per_era`` gives its scores, (n_eras,), NaN where unknown; ``digits`` are those of its mean in tables;
    ``pays`` is whether more of it is better, so that a loss of it is a cost.
    """

    name: str
    title: str
    per_era: Callable[[EraScores, PayoutTerms], FloatArray]
    digits: int = 5
    pays: bool = True


METRICS: Mapping[str, Metric] = {
    each.name: each
    for each in (
        Metric("bmc", "BMC", lambda scores, _: scores.bmc),
        Metric("mmc", "MMC", lambda scores, _: scores.mmc),
        Metric("payout", "Payout score", payout),
        Metric("corr", "CORR", lambda scores, _: scores.corr),
        Metric("corr_with_benchmark", "CORR with benchmark", lambda scores, _: scores.benchmark_corr, 3, pays=False),
    )
}


@dataclass(frozen=True)
class Primary:
    """What decides rounds: the mean of a metric over the last eras, ties by that over all (or the other way round)."""

    series: str
    recent: bool

    @property
    def metric(self) -> Metric:
        return METRICS[self.series]


def primary_named(name: str) -> Primary:
    """The primary metric of a plan's `metric:`: ``bmc``, ``bmc_last_200_eras.mean`` (the same) or ``bmc.mean``."""
    series, _, window = name.removesuffix(".mean").partition("_last_")
    return Primary(series, recent=bool(window) or "." not in name)


def sharpe_values(per_era: FloatArray) -> FloatArray:
    """Scores whose mean is the Sharpe ratio of (n_eras,) scores, NaN where those are.

    To each era the ratio itself and its influence on it are given (the delta method: Lo 2002; Ledoit and Wolf 2008),
    so that the difference of two ratios has a standard error as the difference of two means has.
    """
    known = per_era[~np.isnan(per_era)]
    std = known.std() if len(known) else 0.0
    if not std > 0:
        return np.full(len(per_era), np.nan)
    mean = known.mean()
    standardized = (per_era - mean) / std
    found: FloatArray = mean / std + standardized - mean / (2 * std) * (standardized**2 - 1)
    return found
