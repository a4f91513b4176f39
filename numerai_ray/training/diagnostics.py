"""What kind of model a variant is: what its predictions lean on, and what is left of them without it.

A fold is diagnosed when its predictions are there, era by era, in the memory of one row group
(:mod:`numerai_ray.data.era_slabs`), whatever the size of the data. Nothing is decided by it, and nothing is trained.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from threadpoolctl import threadpool_limits

from numerai_ray.data.dataset import Columns
from numerai_ray.data.era_slabs import era_slabs
from numerai_ray.metrics.era_columns import uniform_ranks
from numerai_ray.metrics.exposure import Churn, churn, feature_exposures, feature_neutral_corrs
from numerai_ray.metrics.scoring import numerai_corr
from numerai_ray.training.rows import take
from numerai_ray.training.spec import VariantPlan

Floats = npt.NDArray[np.float64]
# Evenly spread over the predicted ones. Every era of downsampled data, every fourth or so of full data: a mean over
# so many is known far better than it differs between variants, and the cost has an end.
MOST_ERAS = 300


@dataclass(frozen=True, eq=False)
class Diagnosis:
    """Of some eras of a variant, one entry an era: exposure of the prediction's ranks, and CORR without features.

    ``strongest``, ``mean`` (n_eras,) are the largest and the mean absolute exposure, ``feature`` (n_eras,) the
    position of the one with the largest (-1: none); ``exposure`` (k,) is each feature's mean over ``counted`` (k,)
    eras. ``corr`` and ``neutral_corr`` (n_eras,) are CORR and feature-neutral CORR; ``churn`` and
    ``turnover`` (n_eras,) are those from the era before, with which it has ``common`` ids; NaN where that is not in the
    same fold or has no id in common.
    """

    eras: tuple[int, ...]
    strongest: Floats
    mean: Floats
    feature: npt.NDArray[np.int64]
    exposure: Floats
    counted: npt.NDArray[np.int64]
    corr: Floats
    neutral_corr: Floats
    churn: Floats
    turnover: Floats
    common: npt.NDArray[np.int64]


def diagnosed_eras(plan: VariantPlan) -> frozenset[int]:
    """The predicted eras that are looked at."""
    eras = [era for fold in plan.folds.trainable for era in fold.validation_eras]
    step = -(-len(eras) // MOST_ERAS)
    return frozenset(eras[::step])


def alike(plans: Sequence[VariantPlan]) -> list[list[VariantPlan]]:
    """``plans`` in groups that one look serves: the same features of the same eras, held against the same target."""
    groups: dict[object, list[VariantPlan]] = {}
    for plan in plans:
        validated = tuple(fold.validation_eras for fold in plan.folds.trainable)
        looked = (plan.diagnosed.features, plan.diagnosed.neutral_to, plan.config.score.target)
        groups.setdefault((plan.index.fingerprint, validated, looked), []).append(plan)
    return list(groups.values())


def diagnose_fold(plan: VariantPlan, position: int, predictions: Sequence[Floats], columns: Columns) -> list[Diagnosis]:
    """What ``predictions`` (n,) of the fold at ``position`` of the trainable ones lean on, each as if by itself.

    ``plan`` is any of those that are :func:`alike`: its features are read once for all of them.

    Raises:
        DataError: features cannot be read.

    """
    fold, index = plan.folds.trainable[position], plan.index
    wanted, starts = diagnosed_eras(plan), index.starts_of(fold.validation_eras)
    chosen = [place for place, era in enumerate(fold.validation_eras) if era in wanted]
    eras = tuple(fold.validation_eras[place] for place in chosen)
    names = tuple(dict.fromkeys((*plan.diagnosed.features, *plan.diagnosed.neutral_to)))
    n_exposed = len(plan.diagnosed.features)
    where = {name: place for place, name in enumerate(names)}
    neutral = [where[name] for name in plan.diagnosed.neutral_to]
    target = take(columns.targets[plan.config.score.target], index.row_ranges(fold.validation_eras))
    exposures = np.full((len(predictions), len(eras), n_exposed), np.nan)
    corr, neutral_corr = np.full((2, len(predictions), len(eras)), np.nan)
    with threadpool_limits(1, user_api="blas"):  # folds are looked at side by side
        for row, (place, slab) in enumerate(zip(chosen, era_slabs(index, names, eras), strict=True)):
            rows = slice(starts[place], starts[place + 1])
            own, t, rest = [p[rows] for p in predictions], target[rows], slab[neutral]
            exposures[:, row] = feature_exposures([_ranked(p) for p in own], slab[:n_exposed])
            corr[:, row] = [numerai_corr(p, t) for p in own]
            if neutral:
                neutral_corr[:, row] = feature_neutral_corrs(own, t, rest, (0, len(t)))[:, 0]
    found = []
    for each, prediction in enumerate(predictions):
        turned = _churn(plan, position, prediction, columns)
        found.append(
            Diagnosis(
                eras,
                *_by_era(exposures[each]),
                *_by_feature(exposures[each]),
                corr[each],
                neutral_corr[each],
                np.append(np.nan, turned.churn)[chosen],
                np.append(np.nan, turned.turnover)[chosen],
                np.append(0, turned.common)[chosen],
            )
        )
    return found


def joined(parts: Sequence[Diagnosis]) -> Diagnosis:
    """The diagnosis of several folds of one variant, in fold order."""
    counted = np.sum([part.counted for part in parts], axis=0)
    total = np.sum([np.where(part.counted > 0, part.exposure, 0) * part.counted for part in parts], axis=0)

    def together(name: str) -> npt.NDArray[np.generic]:
        return np.concatenate([getattr(part, name) for part in parts])

    return Diagnosis(
        eras=tuple(era for part in parts for era in part.eras),
        exposure=np.divide(total, counted, out=np.full(len(total), np.nan), where=counted > 0),
        counted=counted,
        **{name: together(name) for name in _PER_ERA},  # type: ignore[arg-type]
    )


def _churn(plan: VariantPlan, position: int, prediction: Floats, columns: Columns) -> Churn:
    """Churn and turnover of the fold's eras; nothing where no id comes again, as in all of Numerai Classic."""
    eras = plan.folds.trainable[position].validation_eras
    if columns.ids_persist:
        return churn(prediction, take(columns.ids, plan.index.row_ranges(eras)), plan.index.starts_of(eras))
    unknown = np.full(len(eras) - 1, np.nan)
    return Churn(unknown, unknown, np.zeros(len(eras) - 1, np.int64))


_PER_ERA = ("strongest", "mean", "feature", "corr", "neutral_corr", "churn", "turnover", "common")


def _ranked(prediction: Floats) -> Floats:
    """Ranks compare models whose predictions have different shapes; scores look at nothing else."""
    found = np.full(len(prediction), np.nan)
    known = ~np.isnan(prediction)
    if known.any():
        found[known] = uniform_ranks(prediction[known])
    return found


def _by_era(exposures: Floats) -> tuple[Floats, Floats, npt.NDArray[np.int64]]:
    """Largest, mean and strongest feature of each era; NaN and -1 where nothing is known."""
    sizes = np.abs(exposures)
    known = ~np.isnan(sizes)
    counts = known.sum(axis=1)
    filled = np.where(known, sizes, 0.0)
    largest = np.where(counts > 0, filled.max(axis=1, initial=0.0), np.nan)
    mean = np.divide(filled.sum(axis=1), counts, out=np.full(len(sizes), np.nan), where=counts > 0)
    strongest = np.where(counts > 0, np.where(known, sizes, -1.0).argmax(axis=1), -1)
    return largest, mean, strongest


def _by_feature(exposures: Floats) -> tuple[Floats, npt.NDArray[np.int64]]:
    """Mean of each feature over the eras in which it has one, and how many those are."""
    known = ~np.isnan(exposures)
    counts = known.sum(axis=0)
    total = np.where(known, exposures, 0.0).sum(axis=0)
    return np.divide(total, counts, out=np.full(exposures.shape[1], np.nan), where=counts > 0), counts
