"""Names of models in configs, and what makes them portable."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from numerai_ray.errors import RequestError
from numerai_ray.models import Batch
from numerai_ray.models.protocol import Params

INSIDE = Path(__file__).resolve().parent.parent / "inside"


@dataclass(frozen=True, eq=False)
class Trained:
    """A trained model, with what it was trained on and how."""

    fitted: Any
    batch: Batch
    params: Params


@dataclass(frozen=True)
class Exporter:
    """How a kind of model travels.

    ``libraries`` are those that the container must have; ``inside`` is the predictor's name and file in ``inside/``;
    ``portable`` turns a trained model into a payload of plain values, and lives in ``module``; ``kept`` says whether
    the store keeps it: not where it is the training rows, which the container trains on once more.
    """

    libraries: tuple[str, ...]
    inside: str
    module: str
    kept: bool = True

    def portable(self, trained: Trained) -> Any:
        """Text, bytes, numbers, lists and mappings only."""
        make: Callable[[Trained], Any] = import_module(f"numerai_ray.submission.exporters.{self.module}").portable
        return make(trained)

    @property
    def source(self) -> Path:
        return INSIDE / f"{self.inside}.py"


# name of a model in configs -> exporter
EXPORTERS: Mapping[str, Exporter] = {
    "lightgbm": Exporter(("lightgbm",), "lightgbm", "lightgbm"),
    "xgboost": Exporter(("xgboost",), "xgboost", "xgboost"),
    "catboost": Exporter(("catboost",), "catboost", "catboost"),
    "sklearn": Exporter(("scikit-learn",), "sklearn", "sklearn", kept=False),
    "mlp": Exporter((), "mlp", "mlp"),
}


def exporter_for(name: str) -> Exporter:
    """The exporter of a model type; raises :class:`RequestError` where there is none."""
    if ":" in name:
        raise RequestError(
            f"{name!r} is a model of your own and cannot be exported: Numerai's container has none of its code; "
            f"export a variant of a built-in model ({', '.join(EXPORTERS)})"
        )
    if name not in EXPORTERS:
        raise RequestError(f"a {name!r} model cannot be exported; models that can: {', '.join(EXPORTERS)}")
    return EXPORTERS[name]
