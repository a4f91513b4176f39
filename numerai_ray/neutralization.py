"""What of a prediction is linear in some columns, era by era, and the prediction without it.

The definition is ``neutralize`` of numerai-tools 0.7.2, applied to each era: the least-squares fit of the
prediction on the neutralizers and a constant is its *linear part*, and

    neutral = prediction - proportion * linear part.

Tests and ``tests/benchmarks/neutralization_speed.py`` hold the two together to 1e-8. The linear part does not
depend on the proportion: :func:`linear_part` once serves any number of them, at the price of a subtraction each.

How one era is solved. With X the neutralizers less their means, the normal equations X X' c = X p are solved by
Cholesky, and where they are badly conditioned once more for what is left of p, which brings the error of the
squared condition back to rounding.

- Features are small integers, so their products are summed in float32 without any rounding (all sums stay under
  2^24), twice as fast as in float64. Everything else is float64, a few features at a time.
- Features that are constant in the era (all 2: no data) say nothing beyond the constant and are left out.
- The reference drops directions under 1e-6 of the largest singular value. Where it might, and where Cholesky
  fails, its own least squares are used: the same answer, as slow as its own.

One era's features as float32 and X X' are all the memory this takes: 4 k rows + 12 k^2 bytes. X X' of features
does not depend on the number of BLAS threads at all, the linear part by rounding: under 1e-12 for predictions of
size 1 (a test measures it).

NaN means unknown. A row without a prediction, or with an infinite one, or without one of the neutralizers (early
eras have no benchmark) takes no part in the fit, and its linear part is NaN at any proportion: neutralizing to
what is unknown is unknown. So are eras with a constant prediction, which the reference makes NaN too. Where the
neutralizers explain all of a prediction (as many features as rows), the linear part is the prediction itself: the
rest is 0, a constant without a CORR, and not the rounding that the reference would leave to be ranked.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.linalg import blas, lapack, lstsq

from numerai_ray.era_columns import EraMatrix, FloatArray, column, era_matrix, era_rows, is_constant

# The reference's cut-off for singular values, relative to the largest.
REFERENCE_RCOND = 1e-6
# How far above the cut-off the smallest singular value must be: what is compared is an estimate.
MARGIN = 3.0
# Reciprocal condition of X X' under which one solution is off by more than 1e-12.
REFINED_UNDER = 1e-5
# A rest this small, relative to the prediction, is rounding.
NOTHING_LEFT = 1e-11
# float32 holds integers up to this one exactly.
EXACT_IN_FLOAT32 = 2**24
# Features converted to float64 at a time: 64 x 6,000 rows are 3 MB.
BLOCK = 64


def linear_part(prediction: ArrayLike, neutralizers: EraMatrix, era_starts: ArrayLike) -> FloatArray:
    """(n,): each era's least-squares fit of ``prediction`` on ``neutralizers`` and a constant.

    ``prediction`` is (n,), ordered by era; ``neutralizers`` are (k, n) of any number type, or a function from the
    position of an era to (k, rows of that era); a benchmark is ``benchmark[np.newaxis]``. The module's text says where
    the result is NaN. Raises ValueError when shapes do not fit each other.
    """
    p = column("prediction", prediction)
    part = np.full(len(p), np.nan)
    memory = _Memory()
    for era, rows in enumerate(era_rows(era_starts, len(p))):
        part[rows] = _era_part(p[rows], era_matrix(neutralizers, era, rows), memory)
    return part


def remove_part(prediction: ArrayLike, part: FloatArray, proportion: float) -> FloatArray:
    """(n,): ``prediction - proportion * part``; proportion 0 is the identity where the part is known.

    Raises ValueError when the proportion is not in [0, 1].
    """
    if not 0 <= proportion <= 1:
        raise ValueError(f"`0 <= proportion <= 1` must hold, but got {proportion=}")
    return column("prediction", prediction) - proportion * part


def neutralize(
    prediction: ArrayLike, neutralizers: EraMatrix, era_starts: ArrayLike, proportion: float = 1.0
) -> FloatArray:
    """(n,): ``prediction`` without ``proportion`` of its linear part; arguments as for :func:`linear_part`.

    Scores look at ranks only, and the reference neutralizes gaussianized ranks (``feature_neutral_corr``): rank or
    gaussianize a prediction of unknown scale first (:mod:`numerai_ray.post`).
    """
    return remove_part(prediction, linear_part(prediction, neutralizers, era_starts), proportion)


class _Memory:
    """Arrays that one era leaves to the next: pages fresh from the system cost a quarter of the time."""

    def __init__(self) -> None:
        self._held: dict[tuple[str, type[Any]], NDArray[Any]] = {}

    def array(self, use: str, shape: tuple[int, int], dtype: type[Any]) -> NDArray[Any]:
        """A C-ordered array of any content, valid until the next one of the same use."""
        size = shape[0] * shape[1]
        held = self._held.get((use, dtype))
        if held is None or held.size < size:
            held = self._held[use, dtype] = np.zeros(size, dtype)  # no stray NaN to warn of
        return held[:size].reshape(shape)

    def blocks(self, x: NDArray[np.number]) -> Iterator[tuple[slice, FloatArray]]:
        """Rows of ``x`` as float64, a few at a time."""
        for start in range(0, len(x), BLOCK):
            rows = slice(start, min(start + BLOCK, len(x)))
            block = self.array("block", (rows.stop - start, x.shape[1]), np.float64)
            block[:] = x[rows]
            yield rows, block


def _era_part(p: FloatArray, x: NDArray[np.number], memory: _Memory) -> FloatArray:
    known = np.isfinite(p)
    if not np.issubdtype(x.dtype, np.integer):
        known &= np.isfinite(x).all(axis=0)
    part = np.full(len(p), np.nan)
    if known.all():
        block = memory.array("era", x.shape, x.dtype.type)  # read five times, and apart in memory where it comes from
        block[:] = x
        x = block
    else:
        p, x = p[known], x[:, known]
    if p.size and not is_constant(p):
        part[known] = _fit(p, x, memory)
    return part


def _fit(p: FloatArray, x: NDArray[np.number], memory: _Memory) -> FloatArray:
    """Least-squares fit of ``p`` (n,), known and not constant, on ``x`` (k, n) and a constant."""
    center = p.mean()
    means, products, varies = _centred_products(x, memory)
    if not varies.any():
        return np.full(len(p), center)
    if not varies.all():
        x, means, products = x[varies], means[varies], products[np.ix_(varies, varies)]
    solution = _cholesky(means, products, x.shape[1])
    if solution is None:
        fit = _reference_fit(p, x)
    else:
        factor, rcond = solution
        fit = center + _solved(factor, p - center, (x, means), memory)
        if rcond < REFINED_UNDER:
            fit += _solved(factor, p - fit, (x, means), memory)
    nothing_left = np.abs(p - fit).max() <= NOTHING_LEFT * np.abs(p - center).max()
    return p if nothing_left else fit


def _centred_products(x: NDArray[np.number], memory: _Memory) -> tuple[FloatArray, FloatArray, NDArray[np.bool_]]:
    """Means (k,) of the rows of ``x``, X X' (k, k) of the rows less their means, and which rows vary (k,).

    Of X X', only the upper triangle is filled in: seen through ``.T``, it is LAPACK's lower one, and no copy is made.
    """
    k, n = x.shape
    largest = max(int(x.max(initial=0)), -int(x.min(initial=0))) if np.issubdtype(x.dtype, np.integer) else None
    if largest is None or largest**2 * n >= EXACT_IN_FLOAT32:
        values = memory.array("rows", (k, n), np.float64)
        means = x.mean(axis=1, dtype=np.float64)
        np.subtract(x, means[:, np.newaxis], out=values)
        return means, blas.dsyrk(1.0, values.T, trans=1, lower=1).T, (x != x[:, :1]).any(axis=1)
    values = memory.array("rows", (k, n), np.float32)
    values[:] = x
    exact = memory.array("exact", (k, k), np.float32)
    blas.ssyrk(1.0, values.T, trans=1, lower=1, c=exact.T, overwrite_c=1)
    products = memory.array("products", (k, k), np.float64)
    products[:] = exact
    sums = blas.sgemv(1.0, values.T, np.ones(n, np.float32), trans=1).astype(np.float64)
    varies = n * np.diagonal(products) > sums * sums  # integers, all of them exact
    blas.dsyr(-1 / n, sums, lower=1, a=products.T, overwrite_a=1)
    return sums / n, products, varies


def _cholesky(means: FloatArray, products: FloatArray, n: int) -> tuple[FloatArray, float] | None:
    """Lower factor of X X' and its reciprocal condition; None where the reference may see less than full rank."""
    variance = float(np.trace(products))
    factor, fault = lapack.dpotrf(products.T, lower=1, clean=0, overwrite_a=1)
    if fault:
        return None
    # The smallest eigenvalue of X X' is at least 1 / |inverse|, which is what LAPACK estimates for a norm of 1.
    smallest, _ = lapack.dpocon(factor, 1.0, uplo="L")
    # The reference's matrix has the means in it, and ones: its smallest singular value is at least X's divided by
    # 1 + |means|, its largest at most the root of the sum of its squares.
    shift = float(np.sqrt(means @ means))
    largest = np.sqrt(variance + n * (1 + shift**2))
    if np.sqrt(smallest) <= MARGIN * REFERENCE_RCOND * largest * (1 + shift):
        return None
    return factor, smallest / variance


def _solved(
    factor: FloatArray, p: FloatArray, centred: tuple[NDArray[np.number], FloatArray], memory: _Memory
) -> FloatArray:
    """Fit of ``p``, which has the mean 0, on ``centred``: rows, and their means to be taken off."""
    x, means = centred
    products = np.empty(len(x))
    for rows, block in memory.blocks(x):
        products[rows] = blas.dgemv(1.0, block.T, p, trans=1)
    # Two triangular solves take half of what dpotrs takes for one right-hand side.
    coefficients = blas.dtrsv(factor, blas.dtrsv(factor, products, lower=1), lower=1, trans=1)
    fit = np.full(len(p), -float(coefficients @ means))
    for rows, block in memory.blocks(x):
        fit = blas.dgemv(1.0, block.T, coefficients[rows], beta=1.0, y=fit, overwrite_y=1)
    return fit


def _reference_fit(p: FloatArray, x: NDArray[np.number]) -> FloatArray:
    rows = np.concatenate((x, np.ones((1, x.shape[1]))))
    coefficients = lstsq(rows.T, p, cond=REFERENCE_RCOND, lapack_driver="gelsd")[0]
    return np.asarray(blas.dgemv(1.0, rows.T, coefficients))
