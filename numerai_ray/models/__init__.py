"""Models: what turns a training batch into predictions. One file a model, its library imported on use."""

from numerai_ray.models.protocol import Batch, Fitted, Ladder, Model, Prepared, Rungs
from numerai_ray.models.registry import MODELS, model_for, model_problems

__all__ = ["MODELS", "Batch", "Fitted", "Ladder", "Model", "Prepared", "Rungs", "model_for", "model_problems"]
