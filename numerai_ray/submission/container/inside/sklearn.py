"""scikit-learn in the container: an estimator as itself, trained by the very version that loads it.

A pickled estimator belongs to one version of the library. So what travels to the packing is what it is trained on,
and what goes into the pickle is the estimator that the container's own library made of it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any

import numpy as np


def fit_sklearn(payload: Mapping[str, Any]) -> Any:
    """The trained estimator; ``payload``: estimators as ``module:Class``, params, and the training rows as bytes."""
    made = [getattr(import_module(module), name)() for module, _, name in (e.partition(":") for e in payload["steps"])]
    model = made[0]
    if len(made) > 1:
        from sklearn.pipeline import make_pipeline

        model = make_pipeline(*made)
    model.set_params(**payload["params"])
    features = np.frombuffer(payload["features"], np.float32).reshape(payload["shape"])
    weights = {}
    if payload["weights"] is not None:
        name = f"{model.steps[-1][0]}__sample_weight" if len(made) > 1 else "sample_weight"
        weights[name] = np.frombuffer(payload["weights"], np.float64)
    return model.fit(features, np.frombuffer(payload["target"], np.float32), **weights)


def sklearn(payload: Any) -> Callable[[Any], Any]:
    """Payload: the trained estimator."""
    return lambda matrix: payload.predict(matrix)
