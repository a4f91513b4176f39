"""The rows a fit is trained on: labels transformed, the unknown dropped, sampled and weighted."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from numerai_ray.config import EraWeights, ModelConfig
from numerai_ray.data.dataset import Columns, load_columns, load_features
from numerai_ray.data.features import FeatureMatrix, RowRange
from numerai_ray.errors import FitError
from numerai_ray.models import Batch
from numerai_ray.training.spec import FitSpec
from numerai_ray.training.target_transforms import (
    equal_era_weights,
    gaussianize_target,
    rank_target,
    recency_weights,
    residual_to_benchmark,
    subtract_benchmark_zscore,
)

Labels = npt.NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class TrainingData:
    """A training batch, and how many rows of its eras it leaves out because their label is unknown."""

    batch: Batch
    dropped_rows: int


def take(values: npt.NDArray[np.generic], ranges: Sequence[RowRange]) -> npt.NDArray:  # type: ignore[type-arg]
    """Rows of ``values`` (n_rows,) in ``ranges``: a view of one range, a copy of several."""
    if len(ranges) == 1:
        return values[slice(*ranges[0])]
    return np.concatenate([values[start:stop] for start, stop in ranges])


def inputs_of(spec: FitSpec) -> tuple[FeatureMatrix, Columns]:
    """What one fit by itself is trained on, as a round would; raises :class:`~numerai_ray.errors.DataError`."""
    benchmarks = [name for name in (spec.asked.transform_benchmark, *spec.asked.read_benchmarks) if name]
    columns = load_columns(spec.index, spec.config.data, [spec.target], benchmarks)
    return load_features(spec.index, spec.features), columns


def training_data(spec: FitSpec, features: FeatureMatrix, columns: Columns) -> TrainingData:
    """What ``spec`` trains on.

    Raises:
        FitError: no labelled row is left.

    """
    index, model = spec.index, spec.config.model
    eras = spec.fold.train_eras
    ranges = index.row_ranges(eras)
    labels = _labels(spec, columns)
    known = np.flatnonzero(~np.isnan(labels))
    dropped = len(labels) - len(known)
    drawn = _drawn(known, model)
    keep = None if len(drawn) == len(labels) else drawn
    if len(drawn) < len(known):
        labels = _labels(spec, columns, drawn)  # a transform looks at the rows that are trained on and at no others
    elif keep is not None:
        labels = labels[keep]
    if not len(labels):
        why = "is NaN" if model.target_transform is None else "is NaN once transformed (a benchmark may be missing)"
        raise FitError(f"every {spec.target} of the training eras {why}; train on a target with labels")
    sizes = np.diff(index.era_starts)[index.positions(eras)]
    positions = np.repeat(np.arange(len(eras)), sizes)
    if keep is not None:
        positions = positions[keep]
    batch = Batch(
        features,
        ranges,
        missing_as_null=spec.config.data.missing == "nan",
        target=labels,
        keep=keep,
        eras=np.asarray(eras, np.int32)[positions],
        weights=_weights(model.era_weights, eras, np.bincount(positions, minlength=len(eras))),
        benchmarks=_benchmarks(spec, columns, ranges, keep),
    )
    return TrainingData(batch, dropped)


def validation_batch(spec: FitSpec, features: FeatureMatrix, columns: Columns) -> Batch:
    """The rows that ``spec`` predicts; no target is handed over."""
    index, eras = spec.index, spec.fold.validation_eras
    ranges = index.row_ranges(eras)
    sizes = np.diff(index.era_starts)[index.positions(eras)]
    return Batch(
        features,
        ranges,
        missing_as_null=spec.config.data.missing == "nan",
        eras=np.repeat(np.asarray(eras, np.int32), sizes),
        benchmarks=_benchmarks(spec, columns, ranges, None),
    )


def _benchmarks(
    spec: FitSpec, columns: Columns, ranges: Sequence[RowRange], keep: npt.NDArray[np.int64] | None
) -> dict[str, npt.NDArray[np.float64]]:
    """What the model reads, and not what else the round has loaded: predictions must not depend on company."""
    taken = {name: take(columns.benchmarks[name], ranges) for name in spec.asked.read_benchmarks}
    return taken if keep is None else {name: values[keep] for name, values in taken.items()}


def _labels(spec: FitSpec, columns: Columns, drawn: npt.NDArray[np.int64] | None = None) -> Labels:
    """(n,): the target of the training eras, transformed where the config says so; NaN where unknown.

    Of those rows alone that are ``drawn``, ascending positions within the training eras; None for all.
    """
    index, transform = spec.index, spec.config.model.target_transform
    ranges, starts = index.row_ranges(spec.fold.train_eras), index.starts_of(spec.fold.train_eras)
    if drawn is not None:
        starts = np.searchsorted(drawn, starts)

    def rows(values: npt.NDArray[np.generic]) -> npt.NDArray:  # type: ignore[type-arg]
        taken = take(values, ranges)
        return taken if drawn is None else taken[drawn]

    labels: Labels = rows(columns.targets[spec.target])
    if transform is None:
        return labels
    if transform.type == "rank":
        return rank_target(labels, starts).astype(np.float32)
    if transform.type == "gauss":
        return gaussianize_target(labels, starts).astype(np.float32)
    benchmark = rows(columns.benchmarks[spec.asked.transform_benchmark or ""])
    if transform.type == "subtract_benchmark_zscore":
        return subtract_benchmark_zscore(labels, benchmark, starts, scale=transform.scale).astype(np.float32)
    return residual_to_benchmark(
        labels,
        benchmark,
        starts,
        proportion=transform.proportion,
        fit_intercept=transform.fit_intercept,
        per_era=transform.per_era,
    ).astype(np.float32)


def _drawn(known: npt.NDArray[np.int64], model: ModelConfig) -> npt.NDArray[np.int64]:
    """Positions that are trained on: of the ``known`` those that ``max_train_samples`` draws, as the official pipeline.

    There the rows stay in the order in which they were drawn, and here in the file's, so that eras are slices: trees
    without bagging depend on the order of rows only through rounding.
    """
    size = model.max_train_samples
    if size is None or len(known) <= size:
        return known
    chosen = np.random.default_rng(model.sample_seed).choice(len(known), size=size, replace=False)
    return known[np.sort(chosen)]


def _weights(
    plan: EraWeights | None, eras: Sequence[int], rows: npt.NDArray[np.int64]
) -> npt.NDArray[np.float64] | None:
    if plan is None:
        return None
    if plan.half_life_eras is not None:
        return recency_weights(eras, rows, plan.half_life_eras)
    return equal_era_weights(rows)
