"""What is done to predictions after a fit, era by era: rank, blend, stack (neutralize: ``neutralization``).

Everything here is decided by a config's ``post`` section and costs no training. Columns are (n,), ordered by era
(see :mod:`numerai_ray.metrics.era_columns`). NaN means unknown: a row without a prediction is not ranked and stays NaN;
a row that lacks one of the columns mixed, as early eras lack a benchmark, is NaN in the mixture. Filling it with the
others would be another model in those rows.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from numerai_ray.metrics.era_columns import FloatArray, by_era, columns_of, era_rows, gaussianize, uniform_ranks

Scale = Literal["rank", "gauss"]


@dataclass(frozen=True)
class StackPlan:
    """How stacking weights are fitted.

    ``eras`` (n_eras,) are the numbers of the eras of the columns, ascending; ``folds`` their validation blocks, one
    sequence of era numbers a fold, as :class:`numerai_ray.data.eras.Fold` has them. A fold's weights are fitted on eras
    that end ``embargo_eras`` calendar eras before its first: labels of nearer eras overlap its own. ``penalty`` is
    that of a ridge, relative to the mean variance of the columns, in both methods. Folds with fewer than
    ``min_fit_eras`` to fit on weigh all columns alike.
    """

    eras: Sequence[int]
    folds: Sequence[Sequence[int]]
    embargo_eras: int
    method: Literal["nnls", "ridge"] = "nnls"
    penalty: float = 0.01
    min_fit_eras: int = 20


@dataclass(frozen=True)
class Stack:
    """A stacked prediction and the weights it is made with.

    ``prediction`` (n,), NaN outside the folds; ``weights`` (n_folds, m), absolute values adding up to 1;
    ``fit_eras`` (n_folds,) how many eras they were fitted on; ``fitted`` (n_folds,) is false where the columns
    weigh alike, because there were too few eras or because no column earned a weight over 0.
    """

    prediction: FloatArray
    weights: FloatArray
    fit_eras: NDArray[np.int64]
    fitted: NDArray[np.bool_]


def rank(prediction: ArrayLike, era_starts: ArrayLike) -> FloatArray:
    """(n,): (rank - 0.5) / n of each era's known predictions, in (0, 1), ties averaged.

    What a submission may hold, and all that scores look at. Source: numerai-tools ``tie_kept_rank``.
    """
    return by_era(uniform_ranks, prediction, era_starts)


def rank_gauss(prediction: ArrayLike, era_starts: ArrayLike) -> FloatArray:
    """(n,): normal quantiles of each era's ranks, divided by their std (ddof 0) where that is not 0.

    Source: the official pipeline's ``rank_gauss`` (``numerai/example-scripts``, ``utils/ensemble.py``).
    """
    return by_era(_unit_gaussian, prediction, era_starts)


def blend(
    columns: Sequence[ArrayLike], weights: Sequence[float], era_starts: ArrayLike, scale: Scale = "rank"
) -> FloatArray:
    """(n,): weighted mean of the eras' ranks of m ``columns``, each (n,): predictions of variants, the benchmark.

    Weights are divided by their sum. One may be negative, to lean away from the benchmark, as long as the sum is
    positive. A column of weight 0 is not looked at: its unknown rows are not lost. Each column is ranked over the
    rows it knows, and the mean is taken where all are known. With ``scale="gauss"`` the mean is over
    :func:`rank_gauss`, and its order is that of the official ``blend_rank_gauss``; a mean of ranks lies in (0, 1)
    when no weight is negative. Neither is ranked again: :func:`rank` does.

    Raises ValueError when there is no column, a weight is not finite, their sum is not positive, or lengths differ.
    """
    values = np.asarray(weights, np.float64)
    if values.ndim != 1 or len(values) != len(columns) or not len(values):
        raise ValueError(f"one weight a column is needed, but got {len(columns)} columns and weights {values.shape}")
    if not np.isfinite(values).all() or values.sum() <= 1e-9 * np.abs(values).max():
        raise ValueError(f"weights must be finite with a sum over 0, but are {values.tolist()}")
    shares = values / values.sum()
    ranked = rank if scale == "rank" else rank_gauss
    known = columns_of([f"column {position}" for position in range(len(columns))], columns)
    mixture = np.zeros(len(known[0]))
    for share, each in zip(shares, known, strict=True):
        if share:
            mixture += share * ranked(each, era_starts)
    return mixture


def stack(columns: Sequence[ArrayLike], target: ArrayLike, era_starts: ArrayLike, plan: StackPlan) -> Stack:
    """Mix m ``columns`` of out-of-fold predictions with weights that each fold learns from earlier eras.

    ``columns`` are m sequences (n,), ``target`` (n,), all ordered by era. With R the ranks of each era less 1/2
    (over the rows that know all columns) and t the target less its mean in the era, a fold's weights minimize

        mean over eras of  mean over rows of  (t - R w)^2   +   penalty mean(diag) |w|^2

    over the eras that end before the fold's embargo begins, for ``method="nnls"`` with w >= 0; the fold's
    prediction is the mean of ranks with these weights. Eras count alike, rows that lack a column or the target are
    left out. Nothing of a fold, and nothing after it, enters its weights; the predictions of earlier eras must be
    out of fold themselves. In blocked cross-validation they come from models that were trained on later eras too:
    only expanding folds make this free of the future.

    Raises ValueError when shapes do not fit, eras do not ascend, or a fold names an era that is not there.
    """
    target_column, *known = columns_of(
        ["target", *(f"column {position}" for position in range(len(columns)))], [target, *columns]
    )
    matrix = np.stack(known)
    slices = list(era_rows(era_starts, len(target_column)))
    eras = _ascending(plan.eras, len(slices))
    ranks = np.full(matrix.shape, np.nan)
    for rows in slices:
        complete = ~np.isnan(matrix[:, rows]).any(axis=0)
        for each, out in zip(matrix, ranks, strict=True):
            out[rows][complete] = uniform_ranks(each[rows][complete]) - 0.5
    moments = [_moments(ranks[:, rows], target_column[rows]) for rows in slices]

    prediction = np.full(len(target_column), np.nan)
    weights, counts, fitted = [], [], []
    for fold in plan.folds:
        inside = _positions(eras, fold)
        usable = eras < min(fold) - plan.embargo_eras
        past = [moments[position] for position in np.flatnonzero(usable)]
        found = _fold_weights([each for each in past if each is not None], plan)
        weights.append(np.full(len(matrix), 1 / len(matrix)) if found is None else found)
        counts.append(sum(each is not None for each in past))
        fitted.append(found is not None)
        for position in inside:
            prediction[slices[position]] = weights[-1] @ ranks[:, slices[position]] + 0.5
    return Stack(
        prediction,
        np.array(weights).reshape(len(plan.folds), len(matrix)),
        np.array(counts, np.int64),
        np.array(fitted, bool),
    )


def _unit_gaussian(values: FloatArray) -> FloatArray:
    gaussian = gaussianize(values)
    std = gaussian.std()
    return gaussian / std if std > 0 else gaussian


def _ascending(eras: Sequence[int], n_eras: int) -> NDArray[np.int64]:
    numbers = np.asarray(eras, np.int64)
    if numbers.shape != (n_eras,):
        raise ValueError(f"eras must be ({n_eras},), one number an era of era_starts, but are {numbers.shape}")
    if (np.diff(numbers) <= 0).any():
        raise ValueError(f"eras must ascend, but are {numbers.tolist()}")
    return numbers


def _positions(eras: NDArray[np.int64], fold: Sequence[int]) -> NDArray[np.intp]:
    missing = sorted(set(fold) - set(eras.tolist()))
    if missing or not len(fold):
        found = f"misses {missing}" if fold else "one names none"
        raise ValueError(f"each fold must name eras of the columns, but {found}")
    return np.searchsorted(eras, np.asarray(fold, np.int64))


def _moments(ranks: FloatArray, target: FloatArray) -> tuple[FloatArray, FloatArray] | None:
    """One era's mean of R R' (m, m) and of R t (m,), or None without two rows that know everything."""
    known = ~np.isnan(target) & ~np.isnan(ranks).any(axis=0)
    n = int(np.count_nonzero(known))
    if n < 2:
        return None
    r, t = ranks[:, known], target[known]
    t = t - t.mean()
    return r @ r.T / n, r @ t / n


def _fold_weights(past: Sequence[tuple[FloatArray, FloatArray]], plan: StackPlan) -> FloatArray | None:
    """Weights (m,) with absolute values adding up to 1, or None where nothing can be learned."""
    if len(past) < max(1, plan.min_fit_eras):
        return None
    squares = np.mean([each for each, _ in past], axis=0)
    products = np.mean([each for _, each in past], axis=0)
    squares += plan.penalty * np.diagonal(squares).mean() * np.eye(len(squares))
    if not np.diagonal(squares).all():  # constant columns and no penalty
        return None
    if plan.method == "ridge":
        found = np.linalg.solve(squares, products)
    else:
        # Loaded here: its import takes a fifth of a second, which every command would spend.
        from scipy import linalg, optimize  # noqa: PLC0415

        root = linalg.cholesky(squares, lower=True)
        found, _ = optimize.nnls(root.T, linalg.solve_triangular(root, products, lower=True))
    size = float(np.abs(found).sum())
    return np.asarray(found / size) if size > 0 else None
