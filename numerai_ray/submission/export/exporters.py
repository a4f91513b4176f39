"""Names of models in configs, and what makes them portable."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from numerai_ray.errors import RequestError
from numerai_ray.models import Batch, Model
from numerai_ray.models.dense import rows_of
from numerai_ray.models.protocol import Params
from numerai_ray.models.sklearn import Sklearn
from numerai_ray.models.user import UserModel
from numerai_ray.submission.container.containers import INSIDE


@dataclass(frozen=True, eq=False)
class Trained:
    """A trained model, with what it was trained on and how."""

    model: Model
    fitted: Any
    batch: Batch
    params: Params


@dataclass(frozen=True)
class Exporter:
    """How a kind of model travels.

    ``libraries`` are those that the container must have; ``inside`` is the predictor's name and file in ``inside/``.
    What travels is the model as plain values, or, ``as_rows``, its training rows, which the container's own library
    trains on once more; those the store does not keep.
    """

    libraries: tuple[str, ...]
    inside: str
    as_rows: bool = False

    def portable(self, trained: Trained) -> Any:
        """Text, bytes, numbers, lists and mappings only."""
        if self.as_rows:
            return training_rows(trained.batch, trained.params)
        if isinstance(trained.model, UserModel):
            return own_model(trained.model, trained)
        return trained.model.plain(trained.fitted)

    @property
    def source(self) -> Path:
        return INSIDE / f"{self.inside}.py"


# name of a model in configs -> exporter
EXPORTERS: Mapping[str, Exporter] = {
    "lightgbm": Exporter(("lightgbm",), "lightgbm"),
    "xgboost": Exporter(("xgboost",), "xgboost"),
    "catboost": Exporter(("catboost",), "catboost"),
    "sklearn": Exporter(("scikit-learn",), "sklearn", as_rows=True),
    "mlp": Exporter((), "mlp"),
}

# A file's source travels with what its fit returned.
OWN = Exporter((), "own")


def exporter_for(name: str) -> Exporter:
    """The exporter of a model type; raises :class:`RequestError` where there is none."""
    if ":" in name and name.partition(":")[0].endswith(".py"):
        return OWN
    if ":" in name:
        raise RequestError(
            f"{name!r} is installed here and cannot be exported: Numerai's container has none of its code; write the "
            f"class in a file beside the experiment, or export a built-in model ({', '.join(EXPORTERS)})"
        )
    if name not in EXPORTERS:
        raise RequestError(f"a {name!r} model cannot be exported; models that can: {', '.join(EXPORTERS)}")
    return EXPORTERS[name]


def own_model(model: UserModel, trained: Trained) -> dict[str, Any]:
    """Source, and what ``fit`` returned as a pickle that finds its classes in that source alone."""
    return {
        "source": model.source.text or "",
        "module": model.kind.__module__,
        "fitted": model.plain(trained.fitted),
        "features": list(trained.batch.features.names),
        "takes_frames": model.takes_frames,
    }


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
