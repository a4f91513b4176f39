"""scikit-learn travels as what it is trained on: the container's own version trains it once more, while packing."""

from typing import Any

import numpy as np

from numerai_ray.errors import RequestError
from numerai_ray.models import Batch
from numerai_ray.models.dense import rows_of
from numerai_ray.models.protocol import Params
from numerai_ray.models.sklearn import Sklearn

# Packages that the container has and that estimators may come from.
THERE = ("sklearn", "lightgbm", "xgboost", "catboost")


def training_rows(batch: Batch, given: Params) -> dict[str, Any]:
    """Estimators as ``module:Class``, their parameters, and the training rows as bytes."""
    params = Sklearn().canonical_params(given)
    named = params.pop("estimator")
    steps = [named] if isinstance(named, str) else list(named)
    strange = [step for step in steps if step.partition(":")[0].partition(".")[0] not in THERE]
    if strange:
        raise RequestError(f"{strange[0]} cannot be exported: Numerai's container has {', '.join(THERE)} only")
    rows = rows_of(batch, 1)
    return {
        "steps": steps,
        "params": params,
        "features": np.ascontiguousarray(rows.features).tobytes(),
        "shape": list(rows.features.shape),
        "target": np.asarray(rows.target, np.float32).tobytes(),
        "weights": None if rows.weights is None else np.asarray(rows.weights, np.float64).tobytes(),
    }
