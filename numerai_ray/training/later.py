"""Later eras: predicted by models that were kept when they were trained, without training anything again."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from numerai_ray.data.dataset import Columns, DatasetIndex, load_columns
from numerai_ray.data.era_slabs import Slab, era_slabs
from numerai_ray.data.features import FeatureMatrix, values_seen
from numerai_ray.models import Fitted
from numerai_ray.training.assembly import assemble_fold
from numerai_ray.training.outcome import FoldScore, score_assembled
from numerai_ray.training.rows import validation_batch
from numerai_ray.training.spec import VariantPlan
from numerai_ray.training.store.fits import FitStore, StoredFit, serving
from numerai_ray.training.store.models import ModelStore


@dataclass(frozen=True, eq=False)
class _EraRows:
    """Some eras of a file alone: their index, columns and features."""

    index: DatasetIndex
    columns: Columns
    features: FeatureMatrix


def kept_models(plan: VariantPlan, store: FitStore) -> list[Fitted] | None:
    """The models of a plan's fits, in their order; None unless the store has every one of them."""
    models, found = ModelStore(store.root), []
    for spec in plan.fits:
        name = serving(models, spec)
        kept = None if name is None else models.get(name)
        if kept is None or "refused" in kept.facts:
            return None
        found.append(spec.model.restored(kept.model))
    return found


def score_later(plan: VariantPlan, models: Sequence[Fitted], threads: int) -> FoldScore:
    """Score the one fold of a plan whose fits are not trained: ``models``, in their order, predict it.

    Only the rows of the fold's validation eras are read.

    Raises:
        DataError: the data file cannot be read.

    """
    (fold,) = plan.folds.trainable
    rows = _era_rows(plan, fold.validation_eras)
    own = replace(plan, index=rows.index)
    fits: Mapping[str, StoredFit] = {
        spec.key: StoredFit(
            fitted.predict(
                validation_batch(replace(spec, index=rows.index), rows.features.select(spec.features), rows.columns),
                threads,
                spec.length,
            ),
            {},
        )
        for spec, fitted in zip(plan.fits, models, strict=True)
    }
    starts = rows.index.era_starts.tolist()

    def slabs(names: Sequence[str]) -> Iterator[Slab]:
        neutral = rows.features.select(names)
        return (neutral.slab(slice(*each)) for each in pairwise(starts))

    return score_assembled(own, 0, assemble_fold(own, 0, fits, rows.columns, slabs), (), rows.columns)


def _era_rows(plan: VariantPlan, eras: Sequence[int]) -> _EraRows:
    index = plan.index
    used = {name for spec in plan.fits for name in spec.features} | set(plan.neutralizers)
    names = [name for name in index.columns if name in used]
    values = np.concatenate(list(era_slabs(index, names, eras)), axis=1)
    starts = index.starts_of(eras).astype(np.int64)
    whole = load_columns(index, plan.config.data, plan.targets, plan.benchmarks)
    rows = np.concatenate([np.arange(start, stop) for start, stop in index.row_ranges(eras)])
    columns = Columns(
        ids=whole.ids[rows],
        targets={name: each[rows] for name, each in whole.targets.items()},
        benchmarks={name: each[rows] for name, each in whole.benchmarks.items()},
        ids_persist=whole.ids_persist,
    )
    features = FeatureMatrix(tuple(names), tuple(values), values_seen(values, starts))
    return _EraRows(replace(index, eras=tuple(eras), era_starts=starts, order=None), columns, features)
