"""Columns of numbers ordered by era: the checks, loops and ranks that scoring, transforms and diagnostics share.

A column is (n,), ordered by era; era i is the rows ``era_starts[i]:era_starts[i + 1]``, so ``era_starts`` is
(n_eras + 1,), from 0 to n. A matrix beside it, such as features, is feature-major: (k, n), or handed over era by
era (:data:`EraMatrix`), because no machine should have to hold a second copy of all features.

Ranks are those of numerai-tools 0.7.2 (``tie_kept_rank``, ``gaussian``): rank / n - 1 / 2n, ties sharing their
average rank, and its normal quantile.
"""

from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from numerai_ray.metrics.distributions import ndtri

FloatArray = NDArray[np.float64]
# (k, n) for all rows, or a function: position of an era -> (k, rows of that era).
EraMatrix = NDArray[Any] | Callable[[int], NDArray[Any]]


def column(name: str, values: ArrayLike) -> FloatArray:
    """``values`` as (n,) float64; ``name`` is for the ValueError that any other shape raises."""
    result = np.ascontiguousarray(values, dtype=np.float64)
    if result.ndim != 1:
        raise ValueError(f"{name} must have shape (n,), but has {result.shape}")
    return result


def check_starts(era_starts: ArrayLike, n_rows: int) -> NDArray[np.integer[Any]]:
    """``era_starts`` as integers; ValueError unless they ascend from 0 to ``n_rows``."""
    starts = np.asarray(era_starts)
    if starts.ndim != 1 or starts.size == 0 or not np.issubdtype(starts.dtype, np.integer):
        raise ValueError(f"era_starts must be (n_eras + 1,) integers, but is {starts.dtype} {starts.shape}")
    if starts[0] != 0 or starts[-1] != n_rows or (np.diff(starts) < 0).any():
        raise ValueError(f"era_starts must ascend from 0 to {n_rows} (the rows), but is {starts}")
    return starts


def era_rows(era_starts: ArrayLike, n_rows: int) -> Iterator[slice]:
    """The rows of each era; checks ``era_starts`` first."""
    return (slice(start, stop) for start, stop in pairwise(check_starts(era_starts, n_rows).tolist()))


def columns_of(names: Sequence[str], values: Sequence[ArrayLike]) -> list[FloatArray]:
    """Each of ``values`` as (n,) float64; ValueError when they are not equally long."""
    columns = [column(name, each) for name, each in zip(names, values, strict=True)]
    lengths = [len(each) for each in columns]
    if len(set(lengths)) > 1:
        raise ValueError(f"{', '.join(names)} must be equally long, but have {', '.join(map(str, lengths))} rows")
    return columns


def by_era(function: Callable[[FloatArray], FloatArray], values: ArrayLike, era_starts: ArrayLike) -> FloatArray:
    """(n,): ``function`` of each era's known (non-NaN) values, in their places; NaN stays NaN."""
    x = column("values", values)
    result = np.full(len(x), np.nan)
    for rows in era_rows(era_starts, len(x)):
        known = ~np.isnan(x[rows])
        if known.any():
            result[rows][known] = function(x[rows][known])
    return result


def era_matrix(matrix: EraMatrix, era: int, rows: slice) -> NDArray[Any]:
    """(k, rows of the era); ValueError when what is there has another shape."""
    block = np.asarray(matrix(era) if callable(matrix) else matrix[..., rows])
    if block.ndim != 2 or block.shape[1] != rows.stop - rows.start:
        rule = f"must be (features, {rows.stop - rows.start}), but is {block.shape}"
        raise ValueError(f"the matrix of the era at position {era} (rows {rows.start} to {rows.stop}) {rule}")
    return block


def uniform_ranks(values: FloatArray) -> FloatArray:
    """(rank - 0.5) / n of (n,) known values, in (0, 1), ties averaged. Source: ``tie_kept_rank``."""
    return _by_rank(values, lambda quantiles: quantiles)


def gaussianize(values: FloatArray) -> FloatArray:
    """Normal quantiles of :func:`uniform_ranks`. Source: ``gaussian`` after ``tie_kept_rank``."""
    return _by_rank(values, ndtri)


def is_constant(values: FloatArray) -> bool:
    """Whether all of at least one value are the same; a mean that is off by one rounding would hide it."""
    return bool((values == values[0]).all())


def spearman(x: FloatArray, y: FloatArray) -> float:
    """Pearson correlation of the ranks of two known (n,) columns; NaN when one is constant or has no row."""
    if x.size == 0 or is_constant(x) or is_constant(y):
        return np.nan
    a, b = uniform_ranks(x) - 0.5, uniform_ranks(y) - 0.5  # ranks of any column, ties or not, have the mean 1/2
    correlation = float((a * b).sum() / np.sqrt((a * a).sum() * (b * b).sum()))
    return min(1.0, max(-1.0, correlation))


def _by_rank(values: FloatArray, curve: Callable[[FloatArray], FloatArray]) -> FloatArray:
    n = values.size
    order = np.argsort(values)
    ordered = values[order]
    is_new = ordered[1:] != ordered[:-1]
    result = np.empty(n)
    if is_new.all():
        result[order] = curve((np.arange(n) + 0.5) / n)
        return result
    # Ties at sorted positions first … end - 1 have ranks first + 1 … end, on average (first + 1 + end) / 2.
    bounds = np.concatenate(([0], np.flatnonzero(is_new) + 1, [n]))
    first, end = bounds[:-1], bounds[1:]
    result[order] = np.repeat(curve((first + end) / 2 / n), end - first)
    return result
