"""Diagnostics of a prediction beside its scores: what it leans on, what is left without, how it moves, whom it copies.

None of them decides a round; they say what kind of model won it. Columns are (n,), ordered by era (see
:mod:`numerai_ray.metrics.era_columns`); NaN means unknown, is left out row by row, and where nothing is left the answer
is NaN.

- Feature exposure: Pearson correlation of the prediction, as given, with each feature in an era
  (``max_feature_correlation`` of numerai-tools 0.7.2). Give it ranks (:func:`numerai_ray.training.post.rank`) to
  compare models whose predictions have different shapes.
- FNC, feature-neutral CORR: CORR of the gaussianized prediction neutralized to features (``feature_neutral_corr``);
  with the feature set ``fncv3_features`` it is what Numerai shows as FNCv3.
- Churn: 1 - Spearman correlation of one era's prediction with the next one's, over the ids that both have
  (``numerai_tools.signals.churn``). Numerai Classic gives every row a new id, so it has no churn: this is for ids
  that persist.
- Turnover: half the sum of absolute changes of a portfolio's weights from one era to the next
  (``numerai_tools.signals.turnover``). The weights are the era's centred ranks, their absolute values summing to 1; an
  id that comes or goes had, or has, none.
- Correlation of predictions: mean over eras of their Spearman correlation.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import ArrayLike, NDArray

from numerai_ray.metrics.era_columns import (
    EraMatrix,
    FloatArray,
    by_era,
    column,
    columns_of,
    era_rows,
    gaussianize,
    is_constant,
    spearman,
    uniform_ranks,
)
from numerai_ray.metrics.scoring import score_eras

# Features converted to float64 at a time.
BLOCK = 64


@dataclass(frozen=True)
class Churn:
    """Of each era but the first to the one before, (n_eras - 1,): both measures, and how many ids are ``common``."""

    churn: FloatArray
    turnover: FloatArray
    common: NDArray[np.int64]


@dataclass(frozen=True)
class PredictionCorrelations:
    """``mean`` (m, m) of per-era Spearman correlations, and over how many eras, ``n_eras`` (m, m)."""

    mean: FloatArray
    n_eras: NDArray[np.int64]


def feature_exposure(prediction: ArrayLike, features: NDArray[np.number]) -> FloatArray:
    """(k,): Pearson correlations of one era's ``prediction`` (n,) with its ``features`` (k, n).

    Rows without a prediction are left out. NaN where either is constant, and for a feature with NaN in those rows.
    Raises ValueError when shapes do not fit.
    """
    exposure: FloatArray = feature_exposures([prediction], features)[0]
    return exposure


def feature_exposures(predictions: Sequence[ArrayLike], features: NDArray[np.number]) -> FloatArray:
    """(m, k): :func:`feature_exposure` of each of m ``predictions``, whatever the others are, to the last bit.

    Turning the features into numbers is most of the work, and is done once for all that know the same rows.
    """
    columns = [column("prediction", prediction) for prediction in predictions]
    alike: dict[bytes, list[int]] = {}
    for place, p in enumerate(columns):
        if features.ndim != 2 or features.shape[1] != len(p):
            raise ValueError(f"features must be (k, {len(p)}), but are {features.shape}")
        alike.setdefault(np.isfinite(p).tobytes(), []).append(place)
    result = np.full((len(columns), len(features)), np.nan)
    for places in alike.values():
        known = np.isfinite(columns[places[0]])
        result[places] = _correlations(
            [columns[place][known] for place in places], features if known.all() else features[:, known]
        )
    return result


def feature_neutral_corr(
    prediction: ArrayLike, target: ArrayLike, features: EraMatrix, era_starts: ArrayLike
) -> FloatArray:
    """(n_eras,): CORR of ``prediction`` (n,), gaussianized and neutralized to ``features``, with ``target`` (n,).

    NaN where the prediction is constant and where the features explain all of it. Source: numerai-tools
    ``feature_neutral_corr``. Its division by a std is left out, because CORR looks at ranks.
    """
    corr: FloatArray = feature_neutral_corrs([prediction], target, features, era_starts)[0]
    return corr


def feature_neutral_corrs(
    predictions: Sequence[ArrayLike], target: ArrayLike, features: EraMatrix, era_starts: ArrayLike
) -> FloatArray:
    """(m, n_eras): :func:`feature_neutral_corr` of each of m ``predictions``, whatever the others are, to the last bit.

    What there is to compute of the features alone is most of the work, and is done once for all.
    """
    # It brings scipy.linalg, which takes longer to import than a command that trains nothing has to take.
    from numerai_ray.metrics.neutralization import linear_parts, remove_part  # noqa: PLC0415

    shapes = [by_era(gaussianize, prediction, era_starts) for prediction in predictions]
    parts = linear_parts(shapes, features, era_starts)
    neutral = (remove_part(shape, part, 1.0) for shape, part in zip(shapes, parts, strict=True))
    return np.stack([score_eras(each, target, None, era_starts).corr for each in neutral])


def churn(prediction: ArrayLike, ids: ArrayLike, era_starts: ArrayLike) -> Churn:
    """How far each era's prediction moves from that of the era before: churn over ids with both, turnover over all.

    ``prediction`` and ``ids`` are (n,); ids are numbers, bytes or text. Of churn 0 is the same order, 1 an unrelated
    one, 2 the reverse; of turnover 0 is the same portfolio, 1 wholly another one. NaN under two common ids, and where
    either era's prediction is constant (churn: on them); the reference refuses under 80 % of common ids, ``common``
    lets the caller judge. Raises ValueError when an era has an id twice.
    """
    p, names = column("prediction", prediction), np.asarray(ids)
    if names.shape != p.shape:
        raise ValueError(f"prediction and ids must be equally long, but are {p.shape} and {names.shape}")
    eras = []
    for position, rows in enumerate(era_rows(era_starts, len(p))):
        known = ~np.isnan(p[rows])
        own = names[rows][known]
        if len(np.unique(own)) < len(own):
            raise ValueError(f"an era must have each id once, but the era at position {position} has one twice")
        eras.append((own, p[rows][known]))
    found, moved, common = [], [], []
    for (old_ids, old), (new_ids, new) in pairwise(eras):
        both, before, after = np.intersect1d(old_ids, new_ids, assume_unique=True, return_indices=True)
        found.append(1 - spearman(old[before], new[after]))
        common.append(len(both))
        held, wanted = _weights(old), _weights(new)
        kept = np.abs(held[before] - wanted[after]).sum()
        rest = np.abs(np.delete(held, before)).sum() + np.abs(np.delete(wanted, after)).sum()
        moved.append((kept + rest) / 2 if len(both) > 1 else np.nan)
    return Churn(np.array(found, np.float64), np.array(moved, np.float64), np.array(common, np.int64))


def _weights(prediction: FloatArray) -> FloatArray:
    """(n,) centred ranks whose absolute values sum to 1; NaN where all are one."""
    if not len(prediction) or is_constant(prediction):
        return np.full(len(prediction), np.nan)
    centred = uniform_ranks(prediction) - 0.5
    return np.asarray(centred / np.abs(centred).sum(), np.float64)


def prediction_correlations(predictions: Sequence[ArrayLike], era_starts: ArrayLike) -> PredictionCorrelations:
    """Mean per-era Spearman correlation of each pair of m ``predictions``, each (n,).

    A pair is ranked over the rows that both know. Eras where either is constant, or with under two such rows, do
    not count; without one that does the mean is NaN. The diagonal is 1 where the prediction is known at all.
    Raises ValueError when lengths differ.
    """
    columns = columns_of([f"prediction {position}" for position in range(len(predictions))], predictions)
    m = len(columns)
    total, n_eras = np.zeros((m, m)), np.zeros((m, m), np.int64)
    for rows in era_rows(era_starts, len(columns[0]) if columns else 0):
        correlations = _rank_correlations(np.stack([each[rows] for each in columns]))
        known = ~np.isnan(correlations)
        total[known] += correlations[known]
        n_eras += known
    mean = np.divide(total, n_eras, out=np.full((m, m), np.nan), where=n_eras > 0)
    return PredictionCorrelations(mean, n_eras)


def _correlations(columns: Sequence[FloatArray], x: NDArray[np.number]) -> FloatArray:
    """(m, k): Pearson correlations of known ``columns`` (n,) with the rows of ``x`` (k, n)."""
    result = np.full((len(columns), len(x)), np.nan)
    centred = {place: p - p.mean() for place, p in enumerate(columns) if p.size and not is_constant(p)}
    if not centred:
        return result
    for start in range(0, len(x), BLOCK):
        block = x[start : start + BLOCK].astype(np.float64)
        varies = (block != block[:, :1]).any(axis=1)
        block -= block.mean(axis=1, keepdims=True)
        sizes = np.where(varies, np.sqrt(np.einsum("ij,ij->i", block, block)), np.nan)
        for place, p in centred.items():  # one at a time: a product of matrices would round otherwise
            size = np.sqrt((p * p).sum())
            result[place, start : start + BLOCK] = np.clip(block @ p / (sizes * size), -1, 1)
    return result


def _rank_correlations(values: FloatArray) -> FloatArray:
    """(m, m): Spearman correlations of one era's rows of ``values`` (m, n)."""
    m = len(values)
    missing = np.isnan(values)
    result = np.full((m, m), np.nan)
    if (missing == missing[0]).all():  # the usual case: all know the same rows, and each is ranked once
        kept = values[:, ~missing[0]]
        usable = [i for i in range(m) if kept.shape[1] and not is_constant(kept[i])]
        ranks = np.array([uniform_ranks(kept[i]) - 0.5 for i in usable]).reshape(len(usable), kept.shape[1])
        ranks /= np.sqrt(np.einsum("ij,ij->i", ranks, ranks))[:, np.newaxis]
        result[np.ix_(usable, usable)] = np.clip(ranks @ ranks.T, -1, 1)
        return result
    for i in range(m):
        for j in range(i + 1):
            both = ~(missing[i] | missing[j])
            result[i, j] = result[j, i] = spearman(values[i, both], values[j, both])
    return result
