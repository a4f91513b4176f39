"""Models: what turns a training batch into predictions. One file a model, its library imported on use."""

from numerai_ray.models.protocol import Batch, Fitted, Ladder, Model, Prepared, Rungs
from numerai_ray.models.registry import (
    MODELS,
    is_known,
    model_for,
    model_problems,
    needs_of,
    read_benchmarks,
    settled,
    source_of,
)
from numerai_ray.models.user import ModelSource

__all__ = [
    "MODELS",
    "Batch",
    "Fitted",
    "Ladder",
    "Model",
    "ModelSource",
    "Prepared",
    "Rungs",
    "is_known",
    "model_for",
    "model_problems",
    "needs_of",
    "read_benchmarks",
    "settled",
    "source_of",
]
