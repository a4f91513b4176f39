"""Stopping variants that are hopeless: a sequential test on paired per-era scores of the primary metric, fold by fold.

Folds have an order, the costliest first, and after each of them but the last - a *look* - every variant that may stop
is compared with the best so far over the eras that both predicted. It stops when noise would bring a lead as large in
at most ``LEVEL`` of cases, allowing for every look that may come (Šidák over looks; the test itself is
:func:`numerai_ray.metrics.significance.paired_delta`, whose standard error knows that labels overlap). A look is made
when every trial still alive has its folds, so who stops depends on scores alone, never on what happened to finish
first.

A variant that loses by less goes on: stopping it would save time and cost the report a number. The base and the
baseline never stop.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np

from numerai_ray.data.eras import least_honest_gap
from numerai_ray.metrics.significance import Comparison, Search, Series, paired_delta
from numerai_ray.training.assembly import is_stacked
from numerai_ray.training.outcome import VariantOutcome, failed
from numerai_ray.training.spec import VariantPlan

# Far below the level of a clear gain: a stopped variant is not heard again.
LEVEL = 0.01
# Over fewer common eras nobody is stopped.
MIN_ERAS = 40
# By trial, then by fold: scores of its eras, or None for a fit that failed. What has not arrived is missing.
Arrived = Mapping[str, Mapping[int, Series | None]]


@dataclass(frozen=True)
class PruningRule:
    """Which trials may stop, in which order folds are looked at, over how many eras labels overlap, and by what."""

    may_stop: frozenset[str]
    folds: tuple[int, ...]
    overlap_eras: int
    metric: str = "BMC"


@dataclass(frozen=True)
class Stopped:
    """Why a trial was stopped: after how many folds, and by how much it trailed whom."""

    folds: int
    best: str
    behind: float
    p_value: float
    eras: int
    metric: str = "BMC"

    def __str__(self) -> str:
        count = f"{self.folds} fold{'s' if self.folds > 1 else ''}"
        return (
            f"pruned after {count}: {self.metric} {self.behind:.5f} behind {self.best} over {self.eras} eras, as noise "
            f"brings in {self.p_value:.2g} of cases"
        )


def stopped(arrived: Arrived, rule: PruningRule) -> dict[str, Stopped]:
    """Trials that are hopeless by what has arrived; with more of it, none of them is taken back."""
    alive = list(arrived)
    found: dict[str, Stopped] = {}
    for look in range(1, len(rule.folds)):
        seen = rule.folds[:look]
        if any(fold not in arrived[trial] for trial in alive for fold in seen):
            break
        series = {trial: together for trial in alive if (together := _together(arrived[trial], seen)) is not None}
        if not series:
            break
        best = max(sorted(series), key=lambda trial: _mean(series[trial]))
        for trial in set(series) & rule.may_stop - {best}:
            reason = _hopeless(series[trial], series[best], rule)
            if reason is not None:
                found[trial] = Stopped(look, best, *reason, rule.metric)
        alive = [trial for trial in series if trial not in found]
    return found


def _hopeless(ours: Series, best: Series, rule: PruningRule) -> tuple[float, float, int] | None:
    """How far behind, how likely by noise, over how many eras; None where it may still win."""
    comparison = Comparison(last=len(best.eras), overlap_eras=rule.overlap_eras)
    lead = paired_delta(best, ours, comparison, Search((max(1, len(rule.folds) - 1),)))
    if lead is None or lead.eras < MIN_ERAS or not lead.p_value <= LEVEL:
        return None
    return lead.mean, lead.p_value, lead.eras


def _together(folds: Mapping[int, Series | None], seen: tuple[int, ...]) -> Series | None:
    """The folds' scores as one series, eras ascending; None where one failed."""
    parts = [part for fold in seen if (part := folds[fold]) is not None]
    if len(parts) < len(seen):
        return None
    eras = np.concatenate([np.asarray(part.eras, np.int64) for part in parts])
    order = np.argsort(eras)
    values = np.concatenate([np.asarray(part.values, np.float64) for part in parts])
    return Series(eras[order].tolist(), values[order])


def _mean(series: Series) -> float:
    values = np.asarray(series.values, np.float64)
    return float(np.nanmean(values)) if not np.isnan(values).all() else -np.inf


@dataclass
class Stops:
    """Who is stopped in a round, by the scores that have arrived; any order of arrival leads to the same end."""

    plans: Sequence[VariantPlan]
    found: dict[str, Stopped] = field(default_factory=dict)
    _arrived: dict[str, dict[int, Series | None]] = field(default_factory=dict)

    def arrive(self, trial: str, fold: int, scores: Series | None) -> dict[str, Stopped]:
        """Note a fold's score (None: its fit failed); returns the trials that are hopeless since."""
        if not self.may_stop:
            return {}
        self._arrived.setdefault(trial, {})[fold] = scores
        arrived = {plan.id: self._arrived.get(plan.id, {}) for plan in self._looked_at}
        overlap = least_honest_gap(tuple(target for plan in self.plans for target in plan.config.score.targets)) - 1
        title = self.plans[0].config.score.primary.metric.title
        now = stopped(arrived, PruningRule(self.may_stop, self._folds(), overlap, title))
        new = {trial: why for trial, why in now.items() if trial not in self.found}
        self.found |= new
        return new

    @cached_property
    def may_stop(self) -> frozenset[str]:
        """Trials that may be stopped; where there are none, nothing is looked at."""
        return frozenset(plan.id for plan in self._looked_at if plan.may_stop)

    @property
    def _looked_at(self) -> list[VariantPlan]:
        """All but stacks: a stacked fold waits for the folds before it, and everybody's look would wait for it."""
        return [plan for plan in self.plans if not is_stacked(plan)]

    def _folds(self) -> tuple[int, ...]:
        """The order of looks: as fits are trained, the largest first."""
        rows = {spec.fold.index: spec.train_rows for plan in self.plans for spec in plan.fits}
        return tuple(sorted(rows, key=lambda fold: (-rows[fold], -fold)))


def given_up(plan: VariantPlan, why: Stopped) -> VariantOutcome:
    """The outcome of a trial that was stopped because it is hopeless."""
    return replace(failed(plan, None), pruned=str(why))
