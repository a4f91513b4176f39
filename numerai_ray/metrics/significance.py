"""How much of a gain is noise: paired per-era deltas, their intervals, and what the best of many owes to luck.

Two variants scored on the same eras share the market, so their *per-era difference* is judged, not two means. Labels
of nearby eras overlap, so neighbouring differences move together and the textbook standard error is far too small.

The standard error is that of :mod:`numerai_ray.metrics.standard_error`, read against Student's t.

The joint distribution of several variants comes from the stationary bootstrap (Politis and Romano 1994): the same
blocks of eras for all variants, deviations divided by their own spread. Its spread is too small where blocks are few,
which is why only its shape is used and the scale is that of ``se``. The best of k variants is judged against the
best of k draws (White's reality check, 2000), studentized, and without counting variants that are clearly bad
(Hansen's test for superior predictive ability, 2005); the p-values hold for every variant of the round at once. Where
the bootstrap has too few draws to tell, they are the tail of t as the best of k. What was found in several rounds is
judged as that: :mod:`numerai_ray.metrics.selection`.

Rules have versions, and an experiment is judged by the one that it began with. :data:`RULE` 1 knew no p-value below
that of 2,000 draws, corrected it for a count of variants after that, and called a loss clear without asking among how
many it is the worst.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from numerai_ray.metrics.by_content import ByContent
from numerai_ray.metrics.distributions import ndtr, ndtri, stdtr, stdtrit
from numerai_ray.metrics.selection import ALONE, LEVEL, FloatArray, Search, best_of, selected_p_value
from numerai_ray.metrics.standard_error import degrees_of_freedom, standard_errors

__all__ = [
    "ALL_ERAS",
    "ALONE",
    "INTERVAL_PERCENT",
    "LEVEL",
    "MIN_ERAS",
    "ROUNDING",
    "RULE",
    "Comparison",
    "Evidence",
    "HasInterval",
    "PairedDelta",
    "Search",
    "Series",
    "Verdict",
    "delta_text",
    "e4",
    "e4_interval",
    "judge",
    "paired_delta",
    "paired_deltas",
    "verdict",
]

Verdict = Literal["clear gain", "clear loss", "inside the noise", "no difference", "unknown"]

RULE = 2  # the version of the rule in the module's text
ALL_ERAS = 10**9  # a window that leaves no era out
# Both ends of an interval leave out LEVEL, so that it excludes 0 exactly when one variant alone would be clear.
INTERVAL_PERCENT = round(100 * (1 - 2 * LEVEL))
# Under this many common eras an interval is itself a guess.
MIN_ERAS = 10
# Deltas that differ by less than this are one number and rounding.
ROUNDING = 1e-12
_JUDGED = ByContent(4096)  # an experiment of hundreds of variants asks for thousands of comparisons


@dataclass(frozen=True)
class Comparison:
    """How per-era scores are compared: the ``last`` common eras, labels that overlap ``overlap_eras`` later eras.

    ``rule`` is the version of the rule, see the module's text.
    """

    last: int = 200
    overlap_eras: int = 4
    draws: int = 2000
    seed: int = 0
    rule: int = RULE


@dataclass(frozen=True, eq=False)
class Series:
    """Per-era scores (n_eras,) of ``eras``, ascending; NaN where there is none."""

    eras: Sequence[int]
    values: ArrayLike


@dataclass(frozen=True)
class PairedDelta:
    """Mean per-era difference and how sure it is; in units of the score, NaN where it cannot be told.

    ``low`` and ``high`` bound the 90 % interval of this pair alone, ``probability`` is that of an improvement, of the
    pair alone too. ``p_value`` is the share of searches in mere noise whose best of ``judged`` variants does as well,
    ``p_loss`` that of rounds whose worst does as badly (NaN by rule 1, which did not ask).
    ``share_improved`` of the eras are above 0, in ``thirds`` of the period oldest first. ``dropped`` eras have only
    one of the two scores, or neither.
    """

    mean: float
    standard_error: float
    low: float
    high: float
    probability: float
    p_value: float
    judged: int
    share_improved: float
    thirds: tuple[float, float, float]
    eras: int
    dropped: int
    first_era: int
    last_era: int
    p_loss: float = math.nan


@dataclass(frozen=True)
class Evidence:
    """A variant against its round's base, and against the round's best (None for the best itself)."""

    to_base: PairedDelta
    to_best: PairedDelta | None


def judge(
    base: Series, variants: Mapping[str, Series], comparison: Comparison, search: Search = ALONE
) -> dict[str, Evidence]:
    """What the per-era scores say about each of a round's variants; one without an era in common is left out.

    Args:
        base: scores of the round's base.
        variants: scores by name; judged together, so that p-values hold for the best of them.
        comparison: window, overlap and bootstrap.
        search: how one variant was chosen, where that one alone is judged on the same eras.

    """
    eras = np.array(sorted(set(base.eras).union(*(each.eras for each in variants.values()))))
    theirs = _aligned(base, eras)
    deltas = {name: _aligned(each, eras) - theirs for name, each in variants.items()}
    deltas = {name: delta for name, delta in deltas.items() if not np.isnan(delta).all()}
    if not deltas:
        return {}
    to_base = dict(zip(deltas, paired_deltas(_columns(deltas), eras, comparison, search), strict=True))
    best = max(to_base, key=lambda name: to_base[name].mean)
    others = {name: delta - deltas[best] for name, delta in deltas.items() if name != best}
    others = {name: delta for name, delta in others.items() if not np.isnan(delta).all()}
    to_best = dict(zip(others, paired_deltas(_columns(others), eras, comparison), strict=True)) if others else {}
    return {name: Evidence(delta, to_best.get(name)) for name, delta in to_base.items()}


def paired_delta(variant: Series, base: Series, comparison: Comparison, search: Search = ALONE) -> PairedDelta | None:
    """``variant`` minus ``base`` over the last eras that both have; None without a common era."""
    found = judge(base, {"": variant}, comparison, search).get("")
    return None if found is None else found.to_base


def paired_deltas(
    deltas: ArrayLike, eras: ArrayLike, comparison: Comparison, search: Search = ALONE
) -> list[PairedDelta]:
    """Judge k columns of per-era deltas together.

    Args:
        deltas: (n_eras, k), NaN where unknown; every column has a known era.
        eras: (n_eras,) ascending calendar eras.
        comparison: each column counts its own last known eras.
        search: see :func:`judge`.

    """
    values, positions = np.asarray(deltas, np.float64), np.asarray(eras, np.int64)
    if values.ndim != 2 or len(values) != len(positions):
        raise ValueError(f"deltas must have shape (n_eras, k), but have {values.shape} for {len(positions)} eras")
    known = ~np.isnan(values)
    if not known.any(axis=0).all():
        raise ValueError(f"every column must have a known era, but column {int(known.any(axis=0).argmin())} has none")
    values = _window(values, comparison.last)
    used = ~np.isnan(values).all(axis=1)
    values, positions = values[used], positions[used]
    certainty = _certainty(values, positions, comparison)
    p_values = _p_values(certainty[4], certainty[5], comparison, search)
    count = values.shape[1]
    losses = [best_of(1 - tail, count) if comparison.rule > 1 else math.nan for tail in certainty[5]]
    dropped = np.count_nonzero(~known, axis=0)
    judged = max(count, search.variants)
    return [
        _described(column, positions, certainty[:4, k], (p_values[k], losses[k], judged, int(dropped[k])))
        for k, column in enumerate(values.T)
    ]


def _p_values(drawn: FloatArray, tails: FloatArray, comparison: Comparison, search: Search) -> list[float]:
    """p-values of k columns from those by draws as the best of all k, and the tails of each alone."""
    least = 1 / (comparison.draws + 1)
    if comparison.rule == 1:
        corrected: list[float] = np.clip(1 - (1 - drawn) ** search.variants, least, 1.0).tolist()
        return corrected
    if search != ALONE:
        return [selected_p_value(float(tail), search) for tail in tails]
    count = len(tails)
    # Draws know the shape and how variants hang together; the tail knows what is rarer than one draw.
    return [
        min(float(p), best_of(float(tail), count)) if p <= least else float(p)
        for p, tail in zip(drawn, tails, strict=True)
    ]


def block_length(overlap_eras: int, era_step: int, n_eras: int) -> int:
    """Mean length of bootstrap blocks, in eras of data that keep every ``era_step``-th one.

    As long as one label and what it overlaps with; at least n^(1/3), the rate at which the best length grows
    (Politis and Romano 1994); at most a third of the data.
    """
    covering, growing = overlap_eras // era_step + 1, round(math.cbrt(n_eras))
    return max(1, min(max(covering, growing), n_eras // 3))


def bootstrap_draws(deltas: FloatArray, eras: NDArray[np.int64], comparison: Comparison) -> FloatArray:
    """Deviations of (n_eras, k) deltas' means in stationary bootstrap samples, (draws, k), each column of unit spread.

    All columns are drawn in the same blocks, so that what they share stays shared.
    """
    n = len(eras)
    step = int(np.median(np.diff(eras))) if n > 1 else 1
    counts = _resamples(n, block_length(comparison.overlap_eras, step, n), comparison.draws, comparison.seed)
    known = ~np.isnan(deltas)
    sums: FloatArray = counts @ np.where(known, deltas - np.nanmean(deltas, axis=0), 0.0)
    means = sums / np.maximum(counts @ known, 1.0)
    means -= means.mean(axis=0)
    # Rounded far below what a draw tells, so that no p-value hangs on the order of a sum.
    return np.asarray(np.round(means / means.std(axis=0), 9), np.float64)


def spa_p_values(scores: FloatArray, draws: FloatArray, n_eras: int) -> FloatArray:
    """p-value of each of k scores as the best of all k, (k,).

    White (2000) compares with the best of k centred draws. Hansen (2005) leaves a variant as bad as it is when it is
    worse than -sqrt(2 log log n) standard errors: it cannot be the best by luck.
    """
    hopeless = scores <= -math.sqrt(2 * math.log(math.log(max(n_eras, 3))))
    best = np.sort((draws + np.where(hopeless, scores, 0.0)).max(axis=1))
    as_good = len(best) - np.searchsorted(best, np.round(scores, 9), side="left")
    return np.asarray((1.0 + as_good) / (1.0 + len(best)), np.float64)


def verdict(delta: PairedDelta | None) -> Verdict:
    """The delta in words: clear when the interval excludes 0, and a gain also as the best of all judged."""
    if delta is None or math.isnan(delta.low):
        return "unknown"
    if delta.low == delta.high and abs(delta.mean) <= ROUNDING:
        return "no difference"
    if delta.high < 0 and not delta.p_loss > LEVEL:
        return "clear loss"
    return "clear gain" if delta.low > 0 and delta.p_value <= LEVEL else "inside the noise"


def delta_text(delta: PairedDelta) -> str:
    """Interval and p-value as a sentence for a decision; a loss is not asked whether luck brings as much."""
    if math.isnan(delta.low):
        return f"how much of it is noise cannot be told from {delta.eras} common eras ({MIN_ERAS} are needed)"
    shown = (
        f"{INTERVAL_PERCENT} % interval {e4(delta.low)} to {e4(delta.high)} over {delta.eras} eras: {verdict(delta)}"
    )
    if delta.mean <= 0:
        return shown
    among = f"to the best of {delta.judged} variants" if delta.judged > 1 else "to one variant"
    return f"{shown}, as noise alone brings as much {among} in {_percent(delta.p_value)} of cases"


class HasInterval(Protocol):
    """Anything with an interval; NaN where unknown."""

    @property
    def low(self) -> float: ...

    @property
    def high(self) -> float: ...


def e4_interval(value: float, delta: HasInterval | None) -> str:
    """``+2.1e-4 [-0.9e-4, +5.1e-4]``; without an interval the value alone."""
    if delta is None or not math.isfinite(delta.low):
        return e4(value)
    return f"{e4(value)} [{e4(delta.low)}, {e4(delta.high)}]"


def e4(value: float, *, sign: bool = True) -> str:
    """``value`` in units of 1e-4, the unit in which gains of BMC are spoken of: ``+2.1e-4``; unknown is a dash."""
    if not math.isfinite(value):
        return "–"
    # Rounded first, lest a zero be shown with a sign.
    shown = round(value * 1e4, 1) or 0.0
    return f"{shown:+.1f}e-4" if sign and shown else f"{shown:.1f}e-4"


def _percent(share: float) -> str:
    if share < 0.001:
        return "under 0.1 %"
    return f"{100 * share:.0f} %" if share >= 0.1 else f"{100 * share:.1f} %"


# --- from deltas to certainty ------------------------------------------------------------------------------------


def _certainty(values: FloatArray, eras: NDArray[np.int64], comparison: Comparison) -> FloatArray:
    """Rows standard error, low, high, probability, p-value and tail of (n_eras, k) deltas, NaN for too few eras."""
    n = np.count_nonzero(~np.isnan(values), axis=0)
    mean = np.nanmean(values, axis=0)
    varies = np.nanmax(np.abs(values - mean), axis=0) > ROUNDING
    # A difference in every era alike has no noise to be judged by: it is as sure as can be.
    sign = np.where(np.abs(mean) > ROUNDING, np.sign(mean), 0.0)
    never = np.where(sign > 0, 0.0, 1.0)
    result = np.array([np.zeros_like(mean), mean, mean, (1 + sign) / 2, never, never])
    result[:, n < MIN_ERAS] = np.nan
    varies &= n >= MIN_ERAS
    if varies.any():
        asked = values[:, varies]
        result[:, varies] = _JUDGED.get((asked, eras), comparison, lambda: _of_varying(asked, eras, comparison))
    return result


def _of_varying(values: FloatArray, eras: NDArray[np.int64], comparison: Comparison) -> FloatArray:
    n = np.count_nonzero(~np.isnan(values), axis=0)
    mean, se = np.nanmean(values, axis=0), standard_errors(values, eras, comparison.overlap_eras)
    degrees = degrees_of_freedom(n)
    # Draws are normal in scale, so the studentized mean goes to the normal quantile with its tail, and back.
    t = mean / se
    score = np.copysign(-ndtri(stdtr(degrees, -np.abs(t))), t)
    draws = bootstrap_draws(values, eras, comparison)
    upper, lower = stdtrit(degrees, ndtr(np.quantile(draws, [1 - LEVEL, LEVEL], axis=0)))
    probability = (draws > -score).mean(axis=0)
    drawn = spa_p_values(score, draws, int(n.max()))
    return np.array([se, mean - upper * se, mean - lower * se, probability, drawn, stdtr(degrees, -t)])


# --- samples and columns -----------------------------------------------------------------------------------------


@lru_cache(maxsize=8)
def _resamples(n: int, length: int, draws: int, seed: int) -> FloatArray:
    """How often each of n eras is in each stationary bootstrap sample, (draws, n).

    A block starts anywhere and goes on with probability 1 - 1 / length, from the last era to the first.
    """
    rng = np.random.default_rng([seed, n, length, draws])
    begins = rng.random((draws, n)) < 1.0 / length
    begins[:, 0] = True
    starts = rng.integers(n, size=(draws, n))
    place = np.arange(n)
    begun = np.maximum.accumulate(np.where(begins, place, 0), axis=1)
    drawn = (np.take_along_axis(starts, begun, axis=1) + place - begun) % n
    flat = (drawn + n * np.arange(draws)[:, None]).ravel()
    counts = np.bincount(flat, minlength=draws * n).reshape(draws, n).astype(np.float64)
    counts.setflags(write=False)
    return counts


def _aligned(series: Series, eras: NDArray[np.int64]) -> FloatArray:
    values = np.full(len(eras), np.nan)
    values[np.searchsorted(eras, np.asarray(series.eras, np.int64))] = np.asarray(series.values, np.float64)
    return values


def _columns(deltas: Mapping[str, FloatArray]) -> FloatArray:
    return np.column_stack(list(deltas.values()))


def _window(values: FloatArray, last: int) -> FloatArray:
    """Each column's last known values; what comes before them is unknown."""
    after = np.cumsum(~np.isnan(values)[::-1], axis=0)[::-1]
    windowed: FloatArray = np.where(after <= last, values, np.nan)
    return windowed


def _described(
    column: FloatArray, eras: NDArray[np.int64], certainty: FloatArray, judged: tuple[float, float, int, int]
) -> PairedDelta:
    known = ~np.isnan(column)
    better = column[known] > 0
    first, second, third = (float(part.mean()) if part.size else math.nan for part in np.array_split(better, 3))
    standard_error, low, high, probability = certainty.tolist()
    p_value, p_loss, looks, dropped = judged
    return PairedDelta(
        mean=float(column[known].mean()),
        standard_error=standard_error,
        low=low,
        high=high,
        probability=probability,
        p_value=p_value,
        judged=looks,
        share_improved=float(better.mean()),
        thirds=(first, second, third),
        eras=int(known.sum()),
        dropped=dropped,
        first_era=int(eras[known][0]),
        last_era=int(eras[known][-1]),
        p_loss=p_loss,
    )
