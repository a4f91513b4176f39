"""Sequential judgement: what live eras say of a promise, at any time, however often somebody looks.

A search promised a mean (a gain over the base, a BMC) with a standard error; then an era a week arrives. Intervals and
tests made for one look say "worse" sooner or later to nearly everybody who looks each week. Here every statement holds
at all looks together: the chance that it is ever wrong is at most LEVEL.

The model. An era's value is x_e = mean + noise, the noise of eras d and e having covariance

    s² R_de = a max(0, 1 - |d - e| / (overlap + 1)) + b [d = e]

as in :mod:`numerai_ray.metrics.significance`: labels of nearby eras overlap. a and b are those of the eras that the
promise was made on, so s² is known to B degrees of freedom, and x / s is multivariate t with B degrees. What the
promise itself does not know, its standard error, is one more shift that all live eras share: the covariance
k 11' beside R, with k = (standard error / s)². The deviation of live eras from the promise has then a known
distribution when the market goes on as before, and ratios of densities of it are test martingales (Ville 1939;
Robbins 1970; Ramdas and others 2023): the chance that one ever reaches 1 / LEVEL is at most LEVEL.

- *Interval* of the live mean: the values that the normal-mixture ratio (Robbins' method of mixtures, here of
  multivariate t densities, in closed form) does not exclude at LEVEL on each side.
- *Worse than promised*: the promise against a mixture of means below it, half of it on "it pays nothing any more".
- *As promised*: the promise against "it pays nothing".

The best of many variants is promised too much by luck: of ``looks`` equal ones the best shows, on average,
``expected_best(looks)`` standard errors more than it has. That is taken off the promise before it is tested.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.linalg import solve_triangular
from threadpoolctl import threadpool_limits

from numerai_ray.metrics.distributions import logsumexp, ndtri, stdtrit
from numerai_ray.metrics.significance import LEVEL, MIN_ERAS, Series
from numerai_ray.metrics.standard_error import degrees_of_freedom, noise_parts

FloatArray = NDArray[np.float64]
Word = Literal["worse than promised", "as promised", "too early"]

# Means that "worse" is mixed of, as shifts below the promise in units of it, and their shares.
SHIFTS, SHARES = (0.5, 1.0, 2.0), (0.2, 0.5, 0.3)
# The interval is at its tightest, relative to one for a single look, after about so many independent weeks.
TUNED_FOR_ERAS = 52
POWER = 0.8
MOST_ERAS = 520  # ten years of weeks: who must wait longer is told that it cannot be told


@dataclass(frozen=True)
class Noise:
    """Variances of an era's ``overlapping`` and ``own`` noise, and the degrees of ``freedom`` they are known to."""

    overlapping: float
    own: float
    freedom: int
    overlap_eras: int

    @property
    def variance(self) -> float:
        """Of one era."""
        return self.overlapping + self.own

    def correlation(self, eras: ArrayLike) -> FloatArray:
        """(n, n) correlation of the noise of (n,) eras."""
        at = np.asarray(eras, np.float64)
        share = self.overlapping / self.variance
        shape = np.clip(1.0 - np.abs(at[:, None] - at) / (self.overlap_eras + 1.0), 0.0, None)
        found: FloatArray = share * shape + (1.0 - share) * np.eye(len(at))
        return found


@dataclass(frozen=True)
class Promise:
    """A mean per era as it was measured over ``eras`` eras, its standard error, and the noise of one era.

    ``looks`` is how many variants it was the best of, on the eras that it was measured on.
    """

    mean: float
    standard_error: float
    noise: Noise
    eras: int
    looks: int = 1

    @property
    def expected(self) -> float:
        """What live eras should show: the mean without what the best of so many owes to luck."""
        return self.mean - expected_best(self.looks) * self.standard_error


@dataclass(frozen=True)
class Live:
    """What (n,) live eras say, after each of them; the last entries are the state of things.

    ``mean`` is the best estimate, not the plain average: eras that overlap others count less. ``low`` and ``high``
    bound its interval, infinite while nothing can be said. ``against`` is the evidence for "worse than promised" and
    ``favour`` that for the promise against "it pays nothing", as betting odds: 1 is none, 1 / LEVEL is enough.
    """

    eras: tuple[int, ...]
    mean: FloatArray
    low: FloatArray
    high: FloatArray
    against: FloatArray
    favour: FloatArray

    @property
    def word(self) -> Word:
        """The state in words; what was once said of the eras so far stays said."""
        if self.worse_since is not None:
            return "worse than promised"
        return "as promised" if len(self.eras) and self.favour.max() >= 1 / LEVEL else "too early"

    @property
    def worse_since(self) -> int | None:
        """The era after which the promise had become implausible."""
        over = np.flatnonzero(self.against >= 1 / LEVEL)
        return self.eras[int(over[0])] if over.size else None


def promise_of(series: Series, overlap_eras: int, looks: int = 1) -> Promise | None:
    """What per-era values promise; None where they are too few, or all alike, so that their noise is unknown."""
    values = np.asarray(series.values, np.float64)
    known = ~np.isnan(values)
    values, eras = values[known], np.asarray(series.eras, np.int64)[known]
    if len(values) < MIN_ERAS or np.ptp(values) == 0:
        return None
    overlapping, own = noise_parts(values[:, None], tuple((eras - eras[0]).tolist()), overlap_eras)[:, 0].tolist()
    noise = Noise(overlapping, own, int(degrees_of_freedom(len(values))), overlap_eras)
    error = math.sqrt(noise.variance * float(noise.correlation(eras).mean()))
    return Promise(float(values.mean()), error, noise, len(values), looks)


def expected_best(looks: int) -> float:
    """Mean of the largest of ``looks`` independent standard normal numbers (Chen and Tyler 1999: within .01)."""
    return float(ndtri(0.5264 ** (1 / looks))) if looks > 1 else 0.0


def judge_live(series: Series, promise: Promise) -> Live:
    """What live eras say of a promise.

    Args:
        series: values of (n,) ascending eras, in the promise's units; unknown ones (NaN) are left out.
        promise: see :func:`promise_of`.

    """
    values = np.asarray(series.values, np.float64)
    known = ~np.isnan(values)
    eras = [era for era, there in zip(series.eras, known.tolist(), strict=True) if there]
    if not eras:
        none = np.empty(0)
        return Live((), none, none, none, none, none)
    noise = promise.noise
    scale, freedom = math.sqrt(noise.variance), noise.freedom
    sums = _Sums.of(values[known] / scale, noise.correlation(eras))
    shared = (promise.standard_error / scale) ** 2
    expected = promise.expected / scale
    half = (freedom + sums.count) / 2

    # The promise against what is below it: both know as little of the promise, so only the distances differ.
    unit = max(expected, promise.standard_error / scale)
    at_promise = np.log(freedom + sums.distance(expected, shared))
    below = [
        math.log(share) + half * (at_promise - np.log(freedom + sums.distance(expected - shift * unit, shared)))
        for shift, share in zip(SHIFTS, SHARES, strict=True)
    ]
    against = np.asarray(logsumexp(below))
    favour = np.full(len(eras), -np.inf)
    if expected > 0:
        nothing = np.log(freedom + sums.distance(0.0, 0.0))
        favour = half * (nothing - at_promise) - np.log1p(shared * sums.weight) / 2
    mean = sums.cross / sums.weight
    reach = _reach(sums, freedom)
    low, high = (mean - reach) * scale, (mean + reach) * scale
    with np.errstate(over="ignore"):
        return Live(tuple(eras), mean * scale, low, high, np.exp(against), np.exp(favour))


def eras_needed(promise: Promise, drop: float | None = None, step: int = 1) -> int | None:
    """Live eras after which "worse than promised" is said with a chance of POWER, when the mean falls by ``drop``.

    ``drop`` is all of the promise unless given; ``step`` the weeks from one era to the next. None where ten years
    would not do, as when the promise itself is hardly surer than its standard error.
    """
    fallen = promise.expected if drop is None else drop
    if fallen <= 0:
        return None
    z = float(ndtri(POWER))
    # The log of the ratio is normal with mean D / 2 and variance D, D the squared distance in standard errors.
    distance = (z + math.sqrt(z**2 + 2 * math.log(1 / (LEVEL * SHARES[1])))) ** 2
    noise = promise.noise
    eras = step * np.arange(MOST_ERAS)
    weight = _Sums.of(np.zeros(MOST_ERAS), noise.correlation(eras)).weight
    variance = noise.variance / weight + promise.standard_error**2
    enough = np.flatnonzero(fallen**2 / variance >= distance)
    return int(enough[0]) + 1 if enough.size else None


def expected_range(promise: Promise) -> tuple[float, float]:
    """Where an era lies in nine of ten cases, while things go on as promised."""
    reach = float(stdtrit(promise.noise.freedom, 1 - LEVEL))
    reach *= math.sqrt(promise.noise.variance + promise.standard_error**2)
    return promise.expected - reach, promise.expected + reach


def weekly(positions: Sequence[int], values: ArrayLike) -> Series:
    """One value a week: the mean of those whose position, a week's number, is the same.

    Rounds open on five days of a week and their labels overlap all but entirely; counted as one era they are never
    taken for more evidence than an era of the search is.
    """
    at, found = np.asarray(positions, np.int64), np.asarray(values, np.float64)
    known = ~np.isnan(found)
    weeks = np.unique(at[known])
    return Series(weeks.tolist(), np.array([found[known & (at == week)].mean() for week in weeks]))


@dataclass(frozen=True, eq=False)
class _Sums:
    """Of the first n eras, for every n: 1'R⁻¹1, 1'R⁻¹x and x'R⁻¹x, each (n,)."""

    count: FloatArray
    weight: FloatArray
    cross: FloatArray
    power: FloatArray

    @classmethod
    def of(cls, values: FloatArray, correlation: FloatArray) -> "_Sums":
        # The factor of a leading block is a leading block of the factor: one solution serves every n.
        with threadpool_limits(1, user_api="blas"):  # several threads on a small matrix spin for ten times its work
            root = np.linalg.cholesky(correlation)
            ones, own = solve_triangular(root, np.column_stack([np.ones(len(values)), values]), lower=True).T
        count = np.arange(1.0, len(values) + 1)
        return cls(count, np.cumsum(ones**2), np.cumsum(ones * own), np.cumsum(own**2))

    def distance(self, mean: float, shared: float) -> FloatArray:
        """(x - mean)' (R + shared 11')⁻¹ (x - mean)."""
        plain = self.power - 2 * mean * self.cross + mean**2 * self.weight
        off = self.cross - mean * self.weight
        found: FloatArray = plain - shared * off**2 / (1 + shared * self.weight)
        return found


def _reach(sums: _Sums, freedom: int) -> FloatArray:
    """Half the width of the interval, (n,), in units of the noise.

    A mean at distance u is inside while (1 + t w)^(-1/2) ((C + w u²) / (C + w u² / (1 + t w)))^((B + n) / 2) is below
    1 / (2 LEVEL), with w = 1'R⁻¹1, C = B + the distance at u = 0, and t the variance of the mixture.
    """
    mixed = 8.0 / TUNED_FOR_ERAS
    rest = freedom + sums.power - sums.cross**2 / sums.weight
    spread = 1 + mixed * sums.weight
    g = (spread / (2 * LEVEL) ** 2) ** (1 / (freedom + sums.count))
    room = 1 - g / spread
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(room > 0, np.sqrt(rest * (g - 1) / (sums.weight * room)), np.inf)
