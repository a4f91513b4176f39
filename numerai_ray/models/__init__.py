"""Models: what turns a training batch into predictions. One file a model, its library imported on use."""

from numerai_ray.models.engine import FIVE_VALUES, LIBRARY, RULES, Engine, Rule, engine_of, rule_here, rule_of
from numerai_ray.models.protocol import Batch, Compiled, FitResult, Fitted, Ladder, Model, Rungs
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
    "FIVE_VALUES",
    "LIBRARY",
    "MODELS",
    "RULES",
    "Batch",
    "Compiled",
    "Engine",
    "FitResult",
    "Fitted",
    "Ladder",
    "Model",
    "ModelSource",
    "Rule",
    "Rungs",
    "engine_of",
    "is_known",
    "model_for",
    "model_problems",
    "needs_of",
    "read_benchmarks",
    "rule_here",
    "rule_of",
    "settled",
    "source_of",
]
