"""Names of models in configs, and the files that hold them."""

from collections.abc import Callable
from importlib import import_module

from numerai_ray.config import ModelConfig, nearest
from numerai_ray.errors import Problem
from numerai_ray.models.protocol import Model

# name -> module and class; the module is imported on use, and its library with it
MODELS = {"lightgbm": ("numerai_ray.models.lightgbm", "LightGBM")}


def model_for(name: str) -> Model:
    """The model of this name; raises ``KeyError`` for an unknown one (see :func:`model_problems`)."""
    module, attribute = MODELS[name]
    make: Callable[[], Model] = getattr(import_module(module), attribute)
    return make()


def model_problems(config: ModelConfig) -> list[Problem]:
    """What is wrong with a model section, found before anything is trained."""
    if config.type not in MODELS:
        return [Problem("$.model.type", f"no such model{nearest(config.type, MODELS)}; but is {config.type!r}")]
    found = model_for(config.type).problems(config.params)
    return [Problem(f"$.model.params.{name}".rstrip("."), message) for name, message in found]
