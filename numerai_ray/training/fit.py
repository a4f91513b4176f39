"""Train a fit, or a ladder of fits as one, and predict its validation rows. The same function serves every runner."""

import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from numerai_ray.data.dataset import Columns
from numerai_ray.data.features import FeatureMatrix
from numerai_ray.errors import FitError
from numerai_ray.metrics.importance import Importance
from numerai_ray.models import Batch, FitResult, Ladder, Rungs
from numerai_ray.models.engine import FIVE_VALUES, fast_version
from numerai_ray.training.key import library_version
from numerai_ray.training.rows import training_data, validation_batch
from numerai_ray.training.spec import FitSpec
from numerai_ray.training.store.fits import StoredFit
from numerai_ray.training.store.models import StoredModel


def run_fits(
    specs: Sequence[FitSpec],
    features: FeatureMatrix,
    columns: Columns,
    threads: int,
    *,
    keep_model: bool = False,
) -> list[StoredFit]:
    """Train one fold and predict its validation rows: once, whatever the number of lengths asked for.

    Args:
        specs: what to fit: one spec, or several of one family, ascending in length.
        features: the whole dataset's features.
        columns: targets (NaN where unknown; such rows are not trained on) and benchmarks of the whole dataset.
        threads: how many the model may use; predictions do not depend on it.
        keep_model: whether the last fit brings its model, which holds those of the others.

    Returns:
        One fit a spec, in their order. Their seconds add up to the time it took.

    Raises:
        FitError: no labelled row is left, the library refuses, or a prediction is not finite.

    """
    started = time.perf_counter()
    train = training_data(specs[0], features, columns)
    validation = validation_batch(specs[0], features, columns)
    results = _results(specs, train.batch, validation, threads)
    if not all(np.isfinite(each.predictions).all() for each in results):
        raise FitError("the model predicts NaN or infinity; check its parameters and objective")
    shares = np.diff([0, *(spec.length or 1 for spec in specs)]) / (specs[-1].length or 1)
    seconds = np.round(shares * (time.perf_counter() - started), 3).tolist()
    facts = {
        "train_rows": train.batch.n_rows,
        "dropped_rows": train.dropped_rows,
        "made_by": _made_by(specs[0]),
        "engine": specs[0].engine.name,
    }
    fits = [
        StoredFit(each.predictions, {**facts, "seconds": share, **_importance(spec, each.importance)})
        for spec, each, share in zip(specs, results, seconds, strict=True)
    ]
    if keep_model:
        fits[-1] = replace(fits[-1], model=_model(specs[-1], results[-1].model, {**facts, "seconds": sum(seconds)}))
    return fits


def _made_by(spec: FitSpec) -> str:
    if spec.engine.name == FIVE_VALUES:
        return f"{FIVE_VALUES} {fast_version()}"
    return ", ".join(f"{name} {library_version(name)}" for name in spec.model.libraries)


def _model(spec: FitSpec, fitted: Any, facts: dict[str, Any]) -> StoredModel:
    """The trained model as it is kept; what cannot be written down is kept as the reason, and asked for once only."""
    try:
        return StoredModel(spec.model.plain(fitted), np.empty(0), facts)
    except FitError as error:
        return StoredModel(None, np.empty(0), facts).refused(str(error))


def _importance(spec: FitSpec, found: Importance | None) -> dict[str, Any]:
    """What the model says of its features; nothing where it says nothing."""
    if found is None:
        return {}
    if len(found.values) != len(spec.features):
        rule = f"there are {len(spec.features)} features, but it has {len(found.values)}"
        raise FitError(f"importance must have one number a feature: {rule}")
    return {"importance": found.to_json()}


def _results(specs: Sequence[FitSpec], train: Batch, validation: Batch, threads: int) -> list[FitResult]:
    model, params = specs[0].model, specs[-1].config.model.params
    if len(specs) == 1 or not isinstance(model, Ladder):
        return [model.fit_predict(train, validation, params, threads)]
    rungs = Rungs(params, tuple(spec.length or 0 for spec in specs))
    return model.fit_predict_lengths(train, validation, rungs, threads)
