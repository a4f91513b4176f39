"""Target transforms and weights: what is done to labels and rows before a fit, era by era.

The two that look at a benchmark are those of the official pipeline (``model.target_transform`` of
``numerai/example-scripts``, ``agents/code/modeling/utils/target_transforms.py``), with its names and defaults:

- ``residual_to_benchmark``: y - mean(y) - slope (b - mean(b)), slope = cov(b, y) / var(b), both over the rows of
  the era where target and benchmark are known; of it ``proportion``, of the target the rest. Without
  ``fit_intercept`` nothing is centred; without ``per_era`` all rows are one era.
- ``subtract_benchmark_zscore``: y - scale (b - mean(b)) / std(b), ddof 0, over the rows of the era where the
  benchmark is known.

``rank_target`` and ``gaussianize_target`` are numerai-tools' ``tie_kept_rank`` and ``gaussian`` of each era.

NaN means unknown, and the caller drops such rows from training: rows without a target stay NaN, and rows without
a benchmark become NaN in the first two transforms, at any proportion and scale. Benchmarks start at era 0158, so
these transforms cost the eras before it; that is a smaller training set, to be said wherever it is compared with
one that has them. Infinite values count as unknown, as in the official pipeline. A benchmark that is constant in
an era has the slope 0 and the z-score 0 there (the official pipeline may divide rounding by rounding).
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike

from numerai_ray.metrics.era_columns import (
    FloatArray,
    by_era,
    column,
    columns_of,
    era_rows,
    gaussianize,
    is_constant,
    uniform_ranks,
)


def residual_to_benchmark(
    target: ArrayLike,
    benchmark: ArrayLike,
    era_starts: ArrayLike,
    *,
    proportion: float = 1.0,
    fit_intercept: bool = True,
    per_era: bool = True,
) -> FloatArray:
    """(n,): ``target`` less ``proportion`` of what a line in ``benchmark`` explains; see the module's text.

    ``target`` and ``benchmark`` are (n,), ordered by era. Raises ValueError when the proportion is not in [0, 1] or
    lengths do not fit.
    """
    if not 0 <= proportion <= 1:
        raise ValueError(f"`0 <= proportion <= 1` must hold, but got {proportion=}")

    def residual(y: FloatArray, b: FloatArray) -> FloatArray:
        known = np.isfinite(y) & np.isfinite(b)
        result = np.full(len(y), np.nan)
        if known.any():
            result[known] = _line_residual(y[known], b[known], fit_intercept=fit_intercept)
        return result if proportion == 1 else (1 - proportion) * y + proportion * result

    return _pairwise(residual, target, benchmark, era_starts if per_era else (0, np.size(target)))


def subtract_benchmark_zscore(
    target: ArrayLike, benchmark: ArrayLike, era_starts: ArrayLike, *, scale: float = 0.07
) -> FloatArray:
    """(n,): ``target`` less ``scale`` z-scores of the era's ``benchmark``; see the module's text.

    ``target`` and ``benchmark`` are (n,), ordered by era. Raises ValueError when the scale is not finite or lengths
    do not fit.
    """
    if not np.isfinite(scale):
        raise ValueError(f"`scale` must be a finite number, but got {scale=}")

    def difference(y: FloatArray, b: FloatArray) -> FloatArray:
        z = np.full(len(b), np.nan)
        known = np.isfinite(b)
        if known.any():
            x = b[known]
            z[known] = 0.0 if is_constant(x) else (x - x.mean()) / x.std()
        return np.where(np.isfinite(y), y, np.nan) - scale * z

    return _pairwise(difference, target, benchmark, era_starts)


def rank_target(target: ArrayLike, era_starts: ArrayLike) -> FloatArray:
    """(n,): (rank - 0.5) / n of each era's known targets, in (0, 1), ties averaged."""
    return by_era(uniform_ranks, target, era_starts)


def gaussianize_target(target: ArrayLike, era_starts: ArrayLike) -> FloatArray:
    """(n,): normal quantiles of :func:`rank_target`."""
    return by_era(gaussianize, target, era_starts)


def recency_weights(eras: ArrayLike, rows: ArrayLike, half_life_eras: float) -> FloatArray:
    """(n,) row weights that halve every ``half_life_eras`` before the latest era, with the mean 1.

    ``eras`` (n_eras,) are era numbers, ``rows`` (n_eras,) how many rows of each are trained on, after dropping the
    unknown; n is their sum. Numbers, not positions: on every-4th-era data a half-life of 52 is still a year. The
    mean is 1 so that ``min_data_in_leaf``-like sums and penalties keep their scale. Raises ValueError when the
    half-life is not positive or shapes do not fit.
    """
    if not half_life_eras > 0:
        raise ValueError(f"`half_life_eras > 0` must hold, but got {half_life_eras=}")
    numbers = column("eras", eras)
    counts = _counts(rows)
    if len(numbers) != len(counts):
        raise ValueError(f"eras and rows must be equally long, but have {len(numbers)} and {len(counts)} entries")
    present = numbers[counts > 0]
    latest = present.max() if present.size else 0.0
    return _mean_one(np.repeat(0.5 ** ((latest - numbers) / half_life_eras), counts))


def equal_era_weights(rows: ArrayLike) -> FloatArray:
    """(n,) row weights by which each era with rows weighs the same in total, with the mean 1.

    ``rows`` (n_eras,) are how many rows of each era are trained on; n is their sum. Scores are means over eras,
    while a fit on bare rows listens to the large, late eras more. Raises ValueError when counts are not whole
    numbers >= 0.
    """
    counts = _counts(rows)
    return _mean_one(np.repeat(1 / np.maximum(counts, 1), counts))


def _pairwise(
    function: Callable[[FloatArray, FloatArray], FloatArray],
    target: ArrayLike,
    benchmark: ArrayLike,
    era_starts: ArrayLike,
) -> FloatArray:
    y, b = columns_of(("target", "benchmark"), (target, benchmark))
    result = np.empty(len(y))
    for rows in era_rows(era_starts, len(y)):
        result[rows] = function(y[rows], b[rows])
    return result


def _line_residual(y: FloatArray, b: FloatArray, *, fit_intercept: bool) -> FloatArray:
    if fit_intercept:
        if is_constant(b):
            return np.asarray(y - y.mean())
        y, b = y - y.mean(), b - b.mean()
    squares = float((b * b).sum())
    slope = float((b * y).sum()) / squares if squares > 0 else 0.0
    return np.asarray(y - b * slope)


def _counts(rows: ArrayLike) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    counts = np.asarray(rows)
    if counts.ndim != 1 or not np.issubdtype(counts.dtype, np.integer) or (counts < 0).any():
        raise ValueError(f"rows must be (n_eras,) whole numbers >= 0, but is {counts.dtype} {counts.shape}")
    return counts.astype(np.int64)


def _mean_one(weights: FloatArray) -> FloatArray:
    return np.asarray(weights / weights.mean()) if weights.size else weights
