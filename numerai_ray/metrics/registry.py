"""Metrics that a plan can ask for and that tables, JSON and plots show: one entry each, its function in a file.

A metric is a series of per-era scores. A new one is a file with a function ``(scores, terms) -> (n_eras,)`` and its
entry here: the plan's ``metric:``, results files, leaderboard, report, dashboard and trackers read the rest off the
entry. Its function is imported on use, so that reading a plan costs no import of arrays.
"""

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

# What a plan's `metric:` ends with when the last scored eras decide; ``score.last_eras`` says how many those are.
RECENT = "_last_200_eras"
MEAN = ".mean"


@dataclass(frozen=True)
class PayoutTerms:
    """Weight of CORR, weight of MMC, and the largest payout of an era, up or down."""

    corr: float = 0.5
    mmc: float = 2.0
    clip: float = 0.25


@dataclass(frozen=True)
class Metric:
    """One metric.

    ``function`` is ``module:name`` of ``(EraScores, PayoutTerms) -> (n_eras,)`` scores, NaN where unknown; ``digits``
    are those of its mean in tables; ``pays`` is whether more of it is better, so that a plan may ask for it and a loss
    of it is a cost; ``official`` is whether results files of Numerai's own pipeline hold it.
    """

    name: str
    title: str
    function: str
    digits: int = 5
    pays: bool = True
    official: bool = False

    @property
    def noun(self) -> str:
        """The title as it stands within a sentence: ``payout score``, but ``CORR``."""
        first, *rest = self.title.split(" ")
        return self.title if first.isupper() else " ".join([first.lower(), *rest])

    def per_era(self, scores: Any, terms: PayoutTerms) -> Any:
        """Scores of each era, (n_eras,), NaN where unknown; see :class:`~numerai_ray.metrics.scoring.EraScores`."""
        return _function(self.function)(scores, terms)


_SERIES = "numerai_ray.metrics.series"
METRICS: Mapping[str, Metric] = {
    each.name: each
    for each in (
        Metric("bmc", "BMC", f"{_SERIES}:bmc", official=True),
        Metric("mmc", "MMC", f"{_SERIES}:mmc"),
        Metric("payout", "Payout score", "numerai_ray.metrics.payout:payout"),
        Metric("corr", "CORR", f"{_SERIES}:corr", official=True),
        Metric(
            "corr_with_benchmark",
            "CORR with benchmark",
            f"{_SERIES}:corr_with_benchmark",
            digits=3,
            pays=False,
            official=True,
        ),
    )
}


@dataclass(frozen=True)
class Primary:
    """What decides rounds: the mean of a metric over the last eras, ties by that over all (or the other way round)."""

    series: str = "bmc"
    recent: bool = True
    terms: PayoutTerms = PayoutTerms()

    @property
    def metric(self) -> Metric:
        return METRICS[self.series]

    @property
    def name(self) -> str:
        """As a plan writes it: ``bmc_last_200_eras.mean``."""
        return f"{self.series}{RECENT if self.recent else ''}{MEAN}"

    @property
    def tie_break(self) -> str:
        """What ties go to: the same metric over the other eras."""
        return f"{self.series}{'' if self.recent else RECENT}{MEAN}"

    def titled(self, last: int) -> str:
        """``BMC last 200``, or ``BMC``."""
        return f"{self.metric.title} last {last}" if self.recent else self.metric.title

    def values(self, scores: Any) -> Any:
        """Its per-era scores, (n_eras,), NaN where unknown."""
        return self.metric.per_era(scores, self.terms)


# What decides where a plan says nothing.
BMC = Primary()


def primary_names() -> list[str]:
    """Everything that a plan's ``metric:`` may say, the short names last."""
    paying = [name for name, each in METRICS.items() if each.pays]
    return [Primary(name, recent=recent).name for name in paying for recent in (True, False)] + paying


def primary_named(name: str, terms: PayoutTerms = BMC.terms) -> Primary:
    """The primary metric of a plan's ``metric:``: ``mmc`` and ``mmc_last_200_eras.mean`` are one, ``mmc.mean`` is all.

    Raises:
        KeyError: there is no such metric; :func:`primary_names` has all.

    """
    if name not in primary_names():
        raise KeyError(name)
    series = name.removesuffix(MEAN)
    return Primary(series.removesuffix(RECENT), recent=series.endswith(RECENT) or not name.endswith(MEAN), terms=terms)


@cache
def _function(path: str) -> Callable[[Any, PayoutTerms], Any]:
    module, _, name = path.partition(":")
    found: Callable[[Any, PayoutTerms], Any] = getattr(importlib.import_module(module), name)
    return found
