"""LightGBM's trees by our own engine; see :mod:`numerai_ray.trees`, and ``docs/trees.md`` for which trees are the same.

A fit reads the int8 features where they lie. Its rows are a span of the dataset in which those that it does not train
on do not count, so an expanding window is a slice, and a blocked one, or one without some labels, is still no copy.
"""

from collections.abc import Sequence
from dataclasses import fields
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from numerai_ray.data.features import harmless_name
from numerai_ray.errors import EnvironmentFault
from numerai_ray.metrics.importance import Importance, importance_of
from numerai_ray.models.engine import IDLE
from numerai_ray.models.lightgbm import FittedLightGBM, LightGBM
from numerai_ray.models.protocol import Batch, FitResult, Params, Rungs
from numerai_ray.models.reports import beat

Floats = npt.NDArray[np.float64]
# Rows of a span that must be trained on; of fewer the features are copied together.
LEAST_SHARE = 0.6
# A thread for so many rows: with fewer, another one makes hardly any tree a fifth faster.
ROWS_A_THREAD = 1 << 16


class FiveValues(LightGBM):
    """LightGBM's parameters, and trees; none of its training."""

    libraries: ClassVar[tuple[str, ...]] = ()

    def canonical_params(self, params: Params) -> dict[str, Any]:
        return {name: value for name, value in super().canonical_params(params).items() if name not in IDLE}

    def warm_up(self) -> None:
        """Have the kernels ready that most fits need."""
        _growing().warm_up()

    def fit(self, batch: Batch, params: Params, threads: int) -> "FittedForest":  # type: ignore[override]
        canonical = self.canonical_params(params)
        trees = int(canonical.get("num_iterations", 100))
        useful = max(1, min(threads, batch.n_rows // ROWS_A_THREAD))
        grown = _growing().grow(_training_rows(batch), _settings(canonical), trees, useful, beat)
        return FittedForest(grown, batch.features.names, canonical)

    def fit_predict(self, train: Batch, validation: Batch, params: Params, threads: int) -> FitResult:
        fitted = self.fit(train, params, threads)
        return FitResult(fitted.predict(validation, threads), fitted.importance(), fitted)

    def fit_predict_lengths(self, train: Batch, validation: Batch, ladder: Rungs, threads: int) -> list[FitResult]:
        fitted = self.fit(train, self.at_length(ladder.params, max(ladder.lengths)), threads)
        predicted = fitted.predict_lengths(validation, threads, ladder.lengths)
        rungs = zip(ladder.lengths, predicted, strict=True)
        return [FitResult(predictions, fitted.importance(length), fitted) for length, predictions in rungs]

    def plain(self, fitted: Any) -> str:
        return fitted.text() if isinstance(fitted, FittedForest) else super().plain(fitted)


class FittedForest:
    """Trees of ours."""

    def __init__(self, forest: Any, names: Sequence[str], params: Params):
        self.forest, self._names, self._params = forest, tuple(names), params

    @property
    def native(self) -> Any:
        """The same trees as LightGBM's own object."""
        return FittedLightGBM.of_text(self.text()).native

    def text(self) -> str:
        """The trees as LightGBM writes them."""
        from numerai_ray.trees.model_text import model_text  # noqa: PLC0415

        return model_text(self.forest, [harmless_name(name) for name in self._names], self._params)

    def importance(self, length: int | None = None) -> Importance | None:
        """Gain of each feature, in all trees or in the first ``length``."""
        return importance_of("gain", self.forest.importance(length))

    def predict(self, batch: Batch, threads: int, length: int | None = None) -> Floats:
        return self.predict_lengths(batch, threads, None if length is None else (length,))[0]

    def predict_lengths(self, batch: Batch, threads: int, lengths: Sequence[int] | None) -> list[Floats]:
        """(n,) predictions after each of ``lengths`` trees, ascending; after all of them where None."""
        found: list[Floats] = self.forest.predict(batch.features.columns, batch.ranges, lengths, threads)
        return found


def _growing() -> Any:
    """Numba takes half a second to import: where trees are grown, and nowhere else."""
    try:
        from numerai_ray.trees import growing  # noqa: PLC0415
    except ImportError as error:
        raise EnvironmentFault(
            f"the engine five_values needs numba, which is not to be had here ({error}); install it as the driver has "
            f"it, or set model.engine: lightgbm in a new experiment"
        ) from error
    return growing


def _settings(canonical: Params) -> Any:
    from numerai_ray.trees.draws import Seeds, seeds_from  # noqa: PLC0415
    from numerai_ray.trees.grower import Settings  # noqa: PLC0415

    seeds = seeds_from(canonical["seed"]) if "seed" in canonical else Seeds()
    own = {
        "data": canonical.get("data_random_seed", seeds.data),
        "bagging": canonical.get("bagging_seed", seeds.bagging),
        "features": canonical.get("feature_fraction_seed", seeds.features),
    }
    names = {each.name for each in fields(Settings)} & canonical.keys()
    return Settings(seeds=Seeds(**own), **{name: canonical[name] for name in names})


def _training_rows(batch: Batch) -> Any:
    from numerai_ray.trees.grower import TrainingRows  # noqa: PLC0415

    if batch.target is None:
        raise ValueError("a training batch needs a target")
    columns, first, stop = batch.features.columns, batch.ranges[0][0], batch.ranges[-1][1]
    weight = None if batch.weights is None else batch.weights.astype(np.float32)
    if batch.n_rows < LEAST_SHARE * (stop - first):
        rows = batch.rows()
        return TrainingRows([column[rows] for column in columns], batch.target, weight)
    sliced = [column[first:stop] for column in columns]
    if batch.n_rows == stop - first:
        return TrainingRows(sliced, batch.target, weight)
    rows = batch.rows() - first
    used = np.zeros(stop - first, np.bool_)
    used[rows] = True
    spread = None if weight is None else _spread(weight, rows, stop - first)
    return TrainingRows(sliced, _spread(batch.target, rows, stop - first), spread, used)


def _spread(values: npt.NDArray[np.float32], rows: npt.NDArray[np.int64], n: int) -> npt.NDArray[np.float32]:
    """``values`` (k,) at the ``rows`` of a span (n,); 0 elsewhere, where nothing counts."""
    found = np.zeros(n, np.float32)
    found[rows] = values
    return found
