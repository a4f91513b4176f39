"""Standard error of a mean per-era difference, where labels of nearby eras overlap.

Standard error of a mean delta over n eras. With I_j its squared coefficients on n cosines (orthonormal DCT-II, the
constant one left out) and S_j their expectation in the model "overlapping labels plus independent noise"::

    S_j = a F_j + b        F_j = c_j' T c_j,  T_de = max(0, 1 - |era_d - era_e| / (overlap + 1))
    se² = (a 1'T1 / n² + b / n) · sum(I_j / S_j, j = 1 … B + 2) / B           B = 1.15 n^(2/3), rounded down

a, b >= 0 by maximum likelihood. The model takes out the shape that overlap is known to give (Hansen and Hodrick
1980), and the slowest cosines correct its level (prewhitening: Andrews and Monahan 1992; equal-weighted cosines:
Müller 2004; Lazarus, Lewis, Stock and Watson 2018); two of them are paid for a and b. mean / se is read against
Student's t with B degrees of freedom, because so few slow cosines make se itself uncertain (Kiefer and Vogelsang
2005). 1.15 balances false gains against missed ones at 64 eras: ``tests/benchmarks/false_winners.py`` measures both.
Newey-West with a normal quantile calls noise a gain two to three times too often at these sizes.

What lasts longer than labels overlap is not in the model, and the slowest cosines correct it only in part: with a tenth
of the variance in an AR(1) of coefficient .95, 15 % of noise is called a gain instead of 5 %. :func:`persistence` tells
when the data show it, and what the standard error is when only the slowest cosines are believed.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike, NDArray

from numerai_ray.metrics.by_content import ByContent
from numerai_ray.metrics.distributions import fdtrc

FloatArray = NDArray[np.float64]

SHAPE_STEPS = 30
# Cosines with periods above a quarter of the data: as few as still tell a spread.
SLOWEST = 8
# Persistence is told of when chance shows as much in one case of a hundred.
PERSISTENT = 0.01
_CORRELATIONS = ByContent(2048)


@dataclass(frozen=True)
class Persistence:
    """How much more the slowest swings of a difference carry than its model gives them.

    ``ratio`` is 1 where the model holds, ``p_value`` the chance of so high a ratio, ``standard_error`` that of the
    mean by the slowest swings alone (t with :data:`SLOWEST` degrees of freedom); NaN where eras are too few.
    """

    ratio: float
    p_value: float
    standard_error: float

    @property
    def shows(self) -> bool:
        """Whether the data show swings that outlast the overlap."""
        return self.p_value <= PERSISTENT


def persistence(delta: FloatArray, eras: NDArray[np.int64], overlap_eras: int) -> Persistence:
    """What outlasts the overlap in (n_eras,) differences without NaN that vary, at (n_eras,) ascending eras."""
    n = len(delta)
    if n < 4 * SLOWEST:
        return Persistence(np.nan, np.nan, np.nan)
    expected, of_mean, power, scale = _fitted(delta[:, None], tuple((eras - eras[0]).tolist()), overlap_eras)
    found = (power / expected)[:, 0]
    slow, rest = float(found[:SLOWEST].mean()), float(found[SLOWEST:].mean())
    error = float(np.sqrt(of_mean * slow * scale)[0])
    return Persistence(slow / rest, float(fdtrc(SLOWEST, n - 1 - SLOWEST, slow / rest)), error)


def correlation_with_part(
    delta: FloatArray, eras: NDArray[np.int64], part: NDArray[np.bool_], overlap_eras: int
) -> float:
    """Correlation, under the model, of the mean of (n,) differences with their mean over ``part`` of the eras.

    1 where ``part`` is all of them, and where the differences are too few or too constant to fit the model to.
    """
    n, count = len(delta), int(np.count_nonzero(part))
    if count == 0:
        return 0.0
    if count == n or n < 4 * SLOWEST or np.ptp(delta) <= 0:
        return 1.0
    found = _CORRELATIONS.get((delta, eras, part), overlap_eras, lambda: _with_part(delta, eras, part, overlap_eras))
    return float(found)


def _with_part(delta: FloatArray, eras: NDArray[np.int64], part: NDArray[np.bool_], overlap_eras: int) -> FloatArray:
    return np.asarray(correlation_by_model(spread_of(delta, eras, overlap_eras)[1], eras, part, overlap_eras))


def correlation_by_model(
    overlapping: float, eras: NDArray[np.int64], part: NDArray[np.bool_], overlap_eras: int
) -> float:
    """The same where the share of the variance that overlaps is known."""
    at = np.asarray(eras, np.float64)
    covariance = overlapping * np.clip(1.0 - np.abs(at[:, None] - at) / (overlap_eras + 1.0), 0.0, None)
    covariance[np.diag_indices(len(at))] += 1 - overlapping
    whole, half, both = covariance.mean(), covariance[np.ix_(part, part)].mean(), covariance[part].mean()
    return float(min(1.0, both / np.sqrt(whole * half)))


def spread_of(delta: FloatArray, eras: NDArray[np.int64], overlap_eras: int) -> tuple[float, float]:
    """Std of (n,) differences about their mean under the model, and the share of its variance that overlaps."""
    shapes, _ = _overlap_model(tuple((eras - eras[0]).tolist()), overlap_eras)
    weights, _, scale = _likeliest(delta[:, None], shapes)
    overlapping, independent = weights[:, 0]
    return float(np.sqrt((overlapping + independent) * scale[0])), float(overlapping / (overlapping + independent))


def standard_errors(deltas: FloatArray, eras: NDArray[np.int64], overlap_eras: int) -> FloatArray:
    """Standard errors (k,) of the means of (n_eras, k) deltas that vary, by the formula of the module's text."""
    result = np.empty(deltas.shape[1])
    # Columns with the same gaps go together.
    gaps, group = np.unique(np.isnan(deltas), axis=1, return_inverse=True)
    for number in range(gaps.shape[1]):
        known, members = ~gaps[:, number], np.asarray(group).ravel() == number
        positions = tuple((eras[known] - eras[known][0]).tolist())
        result[members] = _of_complete(deltas[np.ix_(known, members)], positions, overlap_eras)
    return result


def _of_complete(deltas: FloatArray, positions: tuple[int, ...], overlap_eras: int) -> FloatArray:
    """The same for (n, k) deltas without NaN."""
    expected, of_mean, power, scale = _fitted(deltas, positions, overlap_eras)
    used = int(degrees_of_freedom(len(deltas)))
    level = (power / expected)[: used + 2].sum(axis=0) / used
    errors: FloatArray = np.sqrt(of_mean * level * scale)
    return errors


def _fitted(
    deltas: FloatArray, positions: tuple[int, ...], overlap_eras: int
) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
    """S_j (n - 1, k), the variance of the mean (k,), I_j (n - 1, k), and what all three are divided by (k,)."""
    shapes, of_mean = _overlap_model(positions, overlap_eras)
    weights, power, scale = _likeliest(deltas, shapes)
    return shapes @ weights, of_mean @ weights, power, scale


def _likeliest(deltas: FloatArray, shapes: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    """A and b (2, k) by maximum likelihood, I_j (n - 1, k), and what both are divided by (k,)."""
    power = _cosines(deltas)[1:] ** 2
    # Relative to its variance, every column is of size 1, whatever its units.
    scale = power.mean(axis=0)
    power = power / scale
    weights = np.full((2, deltas.shape[1]), 0.5)
    # Each step raises the likelihood and keeps both weights positive (Févotte and Idier 2011).
    for _ in range(SHAPE_STEPS):
        expected = shapes @ weights
        weights = weights * np.sqrt((shapes.T @ (power / expected**2)) / (shapes.T @ (1.0 / expected)))
    return weights, power, scale


def noise_parts(deltas: FloatArray, positions: tuple[int, ...], overlap_eras: int) -> FloatArray:
    """Variances (2, k) of an era's overlapping and independent noise in (n, k) complete deltas: a and b, levelled."""
    shapes, _ = _overlap_model(positions, overlap_eras)
    weights, power, scale = _likeliest(deltas, shapes)
    used = int(degrees_of_freedom(len(deltas)))
    level = (power / (shapes @ weights))[: used + 2].sum(axis=0) / used
    parts: FloatArray = weights * level * scale
    return parts


def _cosines(values: FloatArray) -> FloatArray:
    """The orthonormal cosine transform (DCT-II) of columns (n, k), by Fourier's of their reordered rows (Makhoul 1980).

    As SciPy's, whose import takes longer than the rest of what a command on a finished experiment does.
    """
    n, half = len(values), len(values) // 2
    turned = np.exp(-0.5j * np.pi * np.arange(half + 1) / n)[:, None] * np.sqrt(2 / n)
    waves = turned * np.fft.rfft(np.concatenate([values[::2], values[1::2][::-1]]), axis=0)
    found: FloatArray = np.concatenate([waves.real, -waves.imag[(n - 1) // 2 : 0 : -1]])
    found[0] /= np.sqrt(2)
    return found


@lru_cache(maxsize=16)
def _overlap_model(positions: tuple[int, ...], overlap_eras: int) -> tuple[FloatArray, FloatArray]:
    """Expected power on n - 1 cosines, (n - 1, 2), and variance of the mean, (2,): of overlap and of independence."""
    n = len(positions)
    at = np.array(positions, np.float64)
    shape = np.clip(1.0 - np.abs(at[:, None] - at) / (overlap_eras + 1.0), 0.0, None)
    cosines = _cosines(np.eye(n))[1:]
    power = ((cosines @ shape) * cosines).sum(axis=1)
    # A shape can have cosines without any power; rounding must not make it negative.
    shapes = np.column_stack([np.maximum(power, 1e-9), np.ones(n - 1)])
    return shapes, np.array([shape.sum() / n**2, 1.0 / n])


def degrees_of_freedom(n: ArrayLike) -> FloatArray:
    """B of the module's text, for ``n`` eras."""
    found: FloatArray = np.floor(1.15 * np.asarray(n, np.float64) ** (2 / 3))
    return found
