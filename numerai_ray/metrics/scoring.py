"""The judge: per-era CORR, BMC and correlation with the benchmark, and their summaries.

The formulas are those of numerai-tools 0.7.2 (``numerai_corr``, ``correlation_contribution``), applied era by
era; tests hold the two together to 1e-12. A change of any result here bumps ``SCORING_VERSION``.

One era, with g(x) = ndtri((rank(x) - 0.5) / n), ties sharing their average rank, and s(x) = sign(x) |x|^1.5:

- CORR(p, t) = pearson(s(g(p)), s(t - mean(t)));
- BMC(p, b, t) = (t' - mean(t')) · (g(p) - g(b) (g(p)·g(b)) / (g(b)·g(b))) / n, with t' = 4t when all of the
  era's targets lie in [0, 1] (bins 0, .25, …, 1 become 0 … 4), else t' = t;
- MMC(p, m, t) = the same with the meta model m in the benchmark's place, where there is one;
- benchmark CORR = CORR(p, b) with the raw benchmark column as the target: not symmetric, and kept because it
  is what the official pipeline calls ``avg_corr_with_benchmark``.

NaN means unknown and is never filled. CORR uses the rows where prediction and target are known, BMC those
where the benchmark is known too, benchmark CORR those where prediction and benchmark are known. As in the
reference, CORR centres the target on the mean of *all* its known values, also those without a prediction,
while BMC centres on the rows it uses.

What the formula leaves undefined is NaN:

- no row or one row; an infinite target;
- CORR of a constant prediction or a constant target (BMC of either is 0);
- BMC and benchmark CORR of a constant benchmark.

Where the reference raises, we answer: NaN for no row, one row or a target that is constant on the rows used
(there it may also return rounding noise); the formula's value where under 80 % of the rows are common, and
where |x|^1.5 of an outlier-ridden target correlates under 0.9 with x.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike

from numerai_ray.metrics.era_columns import FloatArray, check_starts, column, gaussianize, is_constant
from numerai_ray.metrics.registry import BMC, METRICS, Primary, primary_named

SCORING_VERSION = 1


@dataclass(frozen=True)
class EraScores:
    """Scores of one prediction, one entry an era in era order, float64, shape (n_eras,); NaN = unknown.

    ``mmc`` is BMC's formula after the meta model; unknown in all eras unless it is given. ``paid_corr`` is CORR with
    the label that Numerai pays, None where that is the label that is scored.
    """

    corr: FloatArray
    bmc: FloatArray
    benchmark_corr: FloatArray
    mmc: FloatArray = field(default_factory=lambda: np.empty(0))
    paid_corr: FloatArray | None = None

    def __post_init__(self) -> None:
        if len(self.mmc) != len(self.corr):
            object.__setattr__(self, "mmc", np.full(len(self.corr), np.nan))

    def at(self, where: Any) -> Self:
        """The scores of some eras: a mask, places or a slice."""
        paid = None if self.paid_corr is None else self.paid_corr[where]
        return type(self)(self.corr[where], self.bmc[where], self.benchmark_corr[where], self.mmc[where], paid)

    @classmethod
    def joined(cls, parts: Sequence[Self]) -> Self:
        """The eras of several, one after the other."""
        paid = [each.paid_corr for each in parts if each.paid_corr is not None]
        return cls(
            np.concatenate([part.corr for part in parts]),
            np.concatenate([part.bmc for part in parts]),
            np.concatenate([part.benchmark_corr for part in parts]),
            np.concatenate([part.mmc for part in parts]),
            np.concatenate(paid) if len(paid) == len(parts) and paid else None,
        )


@dataclass(frozen=True)
class Summary:
    """Official summary of per-era scores, NaN where undefined; ``n_eras`` counts scored (non-NaN) eras."""

    mean: float
    std: float
    sharpe: float
    max_drawdown: float
    n_eras: int


def score_eras(
    prediction: ArrayLike,
    target: ArrayLike,
    benchmark: ArrayLike | None,
    era_starts: ArrayLike,
    meta_model: ArrayLike | None = None,
    paid_target: ArrayLike | None = None,
) -> EraScores:
    """Score contiguous eras; see the module's text for the formulas and for what NaN does.

    ``prediction``, ``target`` and ``benchmark`` are (n,) and ordered by era; era i is the rows
    ``era_starts[i]:era_starts[i + 1]``, so ``era_starts`` is (n_eras + 1,), from 0 to n. Without a benchmark,
    and in eras where it is all NaN, ``bmc`` and ``benchmark_corr`` are NaN; so is ``mmc`` without ``meta_model`` (n,).
    ``paid_target`` (n,) is the label of ``paid_corr``, where that is another. Inputs of any number type are
    computed in float64 and left as they are. Raises ValueError when shapes or offsets do not fit each other.
    """
    p = column("prediction", prediction)
    t = column("target", target)
    b = np.full(len(p), np.nan) if benchmark is None else column("benchmark", benchmark)
    _check_lengths(p, t, b)
    starts = check_starts(era_starts, len(p))
    scores = np.full((3, len(starts) - 1), np.nan)
    with np.errstate(invalid="ignore"):  # an infinite target minus an infinite mean is the NaN we promise
        for era, (start, stop) in enumerate(pairwise(starts.tolist())):
            scores[:, era] = _score_era(p[start:stop], t[start:stop], b[start:stop])
    corr, bmc, benchmark_corr = scores
    mmc = np.full(len(starts) - 1, np.nan)
    if meta_model is not None:
        m = column("meta_model", meta_model)
        _check_lengths(p, t, m)
        with np.errstate(invalid="ignore"):
            for era, (start, stop) in enumerate(pairwise(starts.tolist())):
                mmc[era] = _of_known(p[start:stop], m[start:stop], t[start:stop])
    paid = None if paid_target is None else score_eras(p, paid_target, None, starts).corr
    return EraScores(corr, bmc, benchmark_corr, mmc, paid)


def numerai_corr(prediction: ArrayLike, target: ArrayLike) -> float:
    """CORR of one era; ``prediction`` and ``target`` are (n,). Source: numerai-tools ``numerai_corr``."""
    return float(score_eras(prediction, target, None, (0, np.size(prediction))).corr[0])


def contribution(prediction: ArrayLike, benchmark: ArrayLike, target: ArrayLike) -> float:
    """BMC of one era; all three are (n,). Source: numerai-tools ``correlation_contribution``."""
    return float(score_eras(prediction, target, benchmark, (0, np.size(prediction))).bmc[0])


def summarize(per_era: ArrayLike) -> Summary:
    """Summary of (n_eras,) scores in era order, over the eras that have one. Source: the official pipeline.

    std has ddof 0. sharpe = mean / std, NaN when all scores are equal. max_drawdown = max(running max of the
    cumulative sum minus the cumulative sum) >= 0; the running max starts at the first era's score, so a loss
    before the first peak does not count. Without a scored era all but ``n_eras`` are NaN.
    """
    scores = _scored(per_era)
    if scores.size == 0:
        return Summary(mean=np.nan, std=np.nan, sharpe=np.nan, max_drawdown=np.nan, n_eras=0)
    mean = float(scores.mean())
    # Equal scores can leave a std of 1e-18 from rounding, and a sharpe of 1e16.
    std = 0.0 if is_constant(scores) else float(scores.std())
    cumulative = np.cumsum(scores)
    drawdown = np.maximum.accumulate(cumulative) - cumulative
    return Summary(
        mean=mean,
        std=std,
        sharpe=mean / std if std > 0 else np.nan,
        max_drawdown=float(drawdown.max()),
        n_eras=int(scores.size),
    )


def last_eras(per_era: ArrayLike, count: int) -> FloatArray:
    """Return the last ``count`` scored (non-NaN) of (n_eras,) scores, or all of them when there are fewer.

    "Last 200 eras" in the official sense, retained and scored: on every-4th-era data they span 800 weeks.
    Raises ValueError when ``count`` is not positive.
    """
    if count < 1:
        raise ValueError(f"`count` >= 1 must hold, but got {count=}")
    return _scored(per_era)[-count:]


def _score_era(p: FloatArray, t: FloatArray, b: FloatArray) -> tuple[float, float, float]:
    """(CORR, BMC, benchmark CORR) of one era's rows."""
    has_p, has_t, has_b = ~np.isnan(p), ~np.isnan(t), ~np.isnan(b)
    with_target = has_p & has_t
    with_benchmark = has_p & has_b
    with_all = with_target & has_b
    n_target, n_benchmark, n_all = (int(np.count_nonzero(m)) for m in (with_target, with_benchmark, with_all))
    corr = bmc = benchmark_corr = np.nan

    # Ranks depend on the rows ranked. Most eras have the same rows for all three scores and are ranked once;
    # as `with_all` is part of the two other sets, equal counts mean equal sets.
    g_all = gaussianize(p[with_all])
    if n_target > 1:
        g = g_all if n_target == n_all else gaussianize(p[with_target])
        corr = _power_correlation(g, t[with_target], t[has_t].mean())
    if n_benchmark > 1:
        g = g_all if n_benchmark == n_all else gaussianize(p[with_benchmark])
        benchmark_corr = _power_correlation(g, b[with_benchmark], b[has_b].mean())
    if n_all > 1:
        bmc = _contribution(g_all, b[with_all], t[with_all])
    return corr, bmc, benchmark_corr


def _of_known(p: FloatArray, reference: FloatArray, t: FloatArray) -> float:
    """Contribution after ``reference`` of one era's rows where all three are known."""
    known = ~(np.isnan(p) | np.isnan(reference) | np.isnan(t))
    if np.count_nonzero(known) < 2:
        return math.nan
    return _contribution(gaussianize(p[known]), reference[known], t[known])


def _power_correlation(gaussian: FloatArray, values: FloatArray, center: np.float64) -> float:
    # Constant values minus a mean that is off by one rounding would correlate as noise.
    if is_constant(values):
        return np.nan
    x, y = _power(gaussian), _power(values - center)
    x -= x.mean()
    y -= y.mean()
    scale = math.sqrt(_dot(x, x) * _dot(y, y))
    return min(1.0, max(-1.0, _dot(x, y) / scale)) if scale > 0 else np.nan


def _contribution(p: FloatArray, benchmark: FloatArray, target: FloatArray) -> float:
    if is_constant(benchmark):
        return np.nan
    b = gaussianize(benchmark)
    # Buckets 0 … 1 become 0 … 4; the reference looks at the targets of this era's used rows only.
    t = target * 4 if target.min() >= 0 and target.max() <= 1 else target
    return _dot(t - t.mean(), p - b * (_dot(p, b) / _dot(b, b))) / t.size


def _dot(x: FloatArray, y: FloatArray) -> float:
    # Not BLAS: over 10,000 rows its result depends on the number of threads.
    return float((x * y).sum())


def _power(x: FloatArray) -> FloatArray:
    """sign(x) |x|^1.5; a square root is cheaper than a general power."""
    return x * np.sqrt(np.abs(x))


def _scored(per_era: ArrayLike) -> FloatArray:
    scores = np.asarray(per_era, dtype=np.float64)
    return scores[~np.isnan(scores)]


def _check_lengths(p: FloatArray, t: FloatArray, b: FloatArray) -> None:
    if not len(p) == len(t) == len(b):
        lengths = f"{len(p)}, {len(t)} and {len(b)} rows"
        raise ValueError(f"prediction, target and benchmark must be equally long, but have {lengths}")


@dataclass(frozen=True)
class Judged:
    """What decides where that is another metric than BMC of the last eras: its mean, and that which ties go to."""

    metric: str
    mean: float
    tie_break: float


@dataclass(frozen=True)
class Metrics:
    """Summaries of one variant's out-of-fold scores, official definitions (see :mod:`numerai_ray.metrics.scoring`).

    ``mmc`` is None where no scored era has the meta model; ``others`` are summaries of registered metrics that the
    official pipeline does not know, by name; ``judged`` is None where BMC of the last eras decides.
    """

    corr: Summary
    bmc: Summary
    bmc_last: Summary
    avg_corr_with_benchmark: float
    avg_corr_with_benchmark_last: float
    mmc: Summary | None = None
    others: Mapping[str, Summary] = field(default_factory=dict)
    judged: Judged | None = None

    @property
    def metric(self) -> Primary:
        """By what it is judged; how a payout is made of its parts, the config says."""
        return BMC if self.judged is None else primary_named(self.judged.metric)

    @property
    def primary(self) -> float:
        """The primary metric, by which rounds are decided; NaN where most eras are 0 for being constant."""
        if 2 * self.constant_eras > self.bmc.n_eras:
            return math.nan
        return self.bmc_last.mean if self.judged is None else self.judged.mean

    @property
    def constant_eras(self) -> int:
        """Scored eras in which all rows are predicted alike: a BMC of 0 there says nothing, and there is no CORR."""
        return max(0, self.bmc.n_eras - self.corr.n_eras)

    @property
    def tie_break(self) -> float:
        """``bmc.mean``, or the primary metric over the other eras."""
        return self.bmc.mean if self.judged is None else self.judged.tie_break

    def mean(self, name: str) -> float:
        """Mean of a registered metric over all scored eras, NaN where it is unknown."""
        if name == "corr_with_benchmark":
            return self.avg_corr_with_benchmark
        known = {"corr": self.corr, "bmc": self.bmc, "mmc": self.mmc, **self.others}.get(name)
        return math.nan if known is None else known.mean


def metrics_of(scores: EraScores, last: int, primary: Primary = BMC) -> Metrics:
    """Summaries over all scored eras, and over the ``last`` ones, as the official pipeline makes them.

    Args:
        scores: per-era scores in era order.
        last: how many scored eras at the end a recent mean takes.
        primary: what decides.

    """
    own = ("mmc", *(name for name, each in METRICS.items() if each.official))
    others = {name: METRICS[name].per_era(scores, primary.terms) for name in METRICS if name not in own}
    return Metrics(
        corr=summarize(scores.corr),
        bmc=summarize(scores.bmc),
        bmc_last=summarize(last_eras(scores.bmc, last)),
        avg_corr_with_benchmark=summarize(scores.benchmark_corr).mean,
        avg_corr_with_benchmark_last=summarize(last_eras(scores.benchmark_corr, last)).mean,
        mmc=None if np.isnan(scores.mmc).all() else summarize(scores.mmc),
        others={name: summarize(each) for name, each in others.items() if not np.isnan(each).all()},
        judged=_judged(scores, last, primary),
    )


def _judged(scores: EraScores, last: int, primary: Primary) -> Judged | None:
    if primary.name == BMC.name:
        return None
    values = primary.values(scores)
    recent, every = summarize(last_eras(values, last)).mean, summarize(values).mean
    means = (recent, every) if primary.recent else (every, recent)
    return Judged(primary.name, *means)
