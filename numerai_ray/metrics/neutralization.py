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

One era's features as float32 and X X' are all the memory this takes for each thread: 4 k rows + 12 k^2 bytes. Eras go
side by side in threads, each on one thread of BLAS. X X' of features does not depend on the number of BLAS threads at
all, the linear part by rounding: under 1e-12 for predictions of size 1 (a test measures it).

X X' and its factor are most of the work, and serve all predictions that know the same rows of an era.

NaN means unknown. A row without a prediction, or with an infinite one, or without one of the neutralizers (early
eras have no benchmark) takes no part in the fit, and its linear part is NaN at any proportion: neutralizing to
what is unknown is unknown. So are eras with a constant prediction, which the reference makes NaN too. Where the
neutralizers explain all of a prediction (as many features as rows), the linear part is the prediction itself: the
rest is 0, a constant without a CORR, and not the rounding that the reference would leave to be ranked.
"""

import threading
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.linalg import blas, lapack, lstsq

from numerai_ray.metrics import unlocked_blas
from numerai_ray.metrics.era_columns import EraMatrix, FloatArray, column, columns_of, era_matrix, era_rows, is_constant

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


def linear_part(prediction: ArrayLike, neutralizers: EraMatrix, era_starts: ArrayLike, threads: int = 1) -> FloatArray:
    """(n,): each era's least-squares fit of ``prediction`` on ``neutralizers`` and a constant.

    ``prediction`` is (n,), ordered by era; ``neutralizers`` are (k, n) of any number type, or a function from the
    position of an era to (k, rows of that era), which is asked for eras in order; a benchmark is
    ``benchmark[np.newaxis]``. ``threads`` solve eras side by side while the next are read: the same numbers for any
    number of them, where BLAS is kept to one. The module's text says where the result is NaN. Raises ValueError when
    shapes do not fit each other.
    """
    part: FloatArray = linear_parts([prediction], neutralizers, era_starts, threads)[0]
    return part


def linear_parts(
    predictions: Sequence[ArrayLike], neutralizers: EraMatrix, era_starts: ArrayLike, threads: int = 1
) -> FloatArray:
    """(m, n): :func:`linear_part` of each of m ``predictions``, whatever the others are, to the last bit."""
    columns = columns_of([f"prediction {place}" for place in range(len(predictions))], predictions)
    parts = np.full((len(columns), len(columns[0]) if columns else 0), np.nan)
    slices = list(era_rows(era_starts, parts.shape[1]))
    memory = _Memory()

    def solve(era: int, x: NDArray[np.number]) -> None:
        rows = slices[era]
        parts[:, rows] = _era_parts([p[rows] for p in columns], x, memory)

    matrices = (era_matrix(neutralizers, era, rows) for era, rows in enumerate(slices))
    if threads <= 1:
        for era, x in enumerate(matrices):
            solve(era, x)
        return parts
    with ThreadPoolExecutor(threads, "neutralize") as pool:
        running: deque[Future[None]] = deque()
        for era, x in enumerate(matrices):
            running.append(pool.submit(solve, era, x))
            if len(running) > 2 * threads:  # eras are held that are solved, and as many more
                running.popleft().result()
        for each in running:
            each.result()
    return parts


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
    gaussianize a prediction of unknown scale first (:mod:`numerai_ray.training.post`).
    """
    return remove_part(prediction, linear_part(prediction, neutralizers, era_starts), proportion)


class _Memory(threading.local):
    """Arrays that one era leaves to the next of its thread: pages fresh from the system cost a quarter of the time."""

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


def _era_parts(columns: Sequence[FloatArray], x: NDArray[np.number], memory: _Memory) -> FloatArray:
    """(m, n): the linear part of each of the m ``columns`` (n,) in one era's ``x`` (k, n)."""
    parts = np.full((len(columns), x.shape[1]), np.nan)
    complete = np.True_ if np.issubdtype(x.dtype, np.integer) else np.isfinite(x).all(axis=0)
    alike: dict[bytes, list[int]] = {}
    for place, p in enumerate(columns):
        known = np.isfinite(p) & complete
        if known.any() and not is_constant(p[known]):
            alike.setdefault(known.tobytes(), []).append(place)
    for mask, places in alike.items():
        known = np.frombuffer(mask, np.bool_)
        system = _system(_block(x, memory) if known.all() else x[:, known], memory)
        for place in places:
            parts[place, known] = system.fit(columns[place][known])
    return parts


def _block(x: NDArray[np.number], memory: _Memory) -> NDArray[np.number]:
    """The same in one piece: it is read five times, and apart in memory where it comes from."""
    block = memory.array("era", x.shape, x.dtype.type)
    block[:] = x
    return block


@dataclass(frozen=True, eq=False)
class _System:
    """Least squares on ``x`` (k, n) and a constant, for any prediction that is known and not constant.

    ``x`` has the rows that vary and ``means`` (k,) their means; ``factor`` is that of X X', seen as LAPACK's lower one,
    and None where the reference's own least squares are needed; ``rcond`` is the reciprocal condition. It is good until
    the next one of the same memory.
    """

    x: NDArray[np.number]
    means: FloatArray
    factor: FloatArray | None
    rcond: float
    memory: _Memory

    def fit(self, p: FloatArray) -> FloatArray:
        """(n,): the least-squares fit of ``p`` (n,)."""
        center = p.mean()
        if not len(self.x):
            return np.full(len(p), center)
        if self.factor is None:
            fit = _reference_fit(p, self.x)
        else:
            fit = center + self._solved(self.factor, p - center)
            if self.rcond < REFINED_UNDER:
                fit += self._solved(self.factor, p - fit)
        nothing_left = np.abs(p - fit).max() <= NOTHING_LEFT * np.abs(p - center).max()
        return p if nothing_left else fit

    def _solved(self, factor: FloatArray, p: FloatArray) -> FloatArray:
        """Fit of ``p``, which has the mean 0, on the rows of ``x`` less their means."""
        products = np.empty(len(self.x))
        for rows, block in self.memory.blocks(self.x):
            products[rows] = blas.dgemv(1.0, block.T, p, trans=1)
        # Two triangular solves take half of what dpotrs takes for one right-hand side.
        coefficients = blas.dtrsv(factor, blas.dtrsv(factor, products, lower=1), lower=1, trans=1)
        fit = np.full(len(p), -float(coefficients @ self.means))
        for rows, block in self.memory.blocks(self.x):
            fit = blas.dgemv(1.0, block.T, coefficients[rows], beta=1.0, y=fit, overwrite_y=1)
        return fit


def _system(x: NDArray[np.number], memory: _Memory) -> _System:
    """The normal equations of one era's ``x`` (k, n), solved as far as no prediction is needed."""
    means, products, varies = _centred_products(x, memory)
    if not varies.all():
        x, means, products = x[varies], means[varies], products[np.ix_(varies, varies)]
    factor, rcond = (_cholesky(means, products, x.shape[1]) if len(x) else None) or (None, 0.0)
    return _System(x, means, factor, rcond, memory)


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
        products = memory.array("products", (k, k), np.float64)
        unlocked_blas.products(values, products)
        return means, products, (x != x[:, :1]).any(axis=1)
    values = memory.array("rows", (k, n), np.float32)
    values[:] = x
    exact = memory.array("exact", (k, k), np.float32)
    unlocked_blas.products(values, exact)
    products = memory.array("products", (k, k), np.float64)
    products[:] = exact
    sums = blas.sgemv(1.0, values.T, np.ones(n, np.float32), trans=1).astype(np.float64)
    varies = n * np.diagonal(products) > sums * sums  # integers, all of them exact
    blas.dsyr(-1 / n, sums, lower=1, a=products.T, overwrite_a=1)
    return sums / n, products, varies


def _cholesky(means: FloatArray, products: FloatArray, n: int) -> tuple[FloatArray, float] | None:
    """Lower factor of X X' and its reciprocal condition; None where the reference may see less than full rank."""
    variance = float(np.trace(products))
    if not unlocked_blas.cholesky(products):
        return None
    factor = products.T
    # The smallest eigenvalue of X X' is at least 1 / |inverse|, which is what LAPACK estimates for a norm of 1.
    smallest, _ = lapack.dpocon(factor, 1.0, uplo="L")
    # The reference's matrix has the means in it, and ones: its smallest singular value is at least X's divided by
    # 1 + |means|, its largest at most the root of the sum of its squares.
    shift = float(np.sqrt(means @ means))
    largest = np.sqrt(variance + n * (1 + shift**2))
    if np.sqrt(smallest) <= MARGIN * REFERENCE_RCOND * largest * (1 + shift):
        return None
    return factor, smallest / variance


def _reference_fit(p: FloatArray, x: NDArray[np.number]) -> FloatArray:
    rows = np.concatenate((x, np.ones((1, x.shape[1]))))
    coefficients = lstsq(rows.T, p, cond=REFERENCE_RCOND, lapack_driver="gelsd")[0]
    return np.asarray(blas.dgemv(1.0, rows.T, coefficients))
