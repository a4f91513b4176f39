"""Names of models in configs, and the files that hold them."""

from collections.abc import Callable
from functools import lru_cache
from importlib import import_module
from pathlib import Path
from typing import Any

from numerai_ray.config import ModelConfig, nearest
from numerai_ray.errors import ConfigError, EnvironmentFault, Problem
from numerai_ray.models.protocol import Model
from numerai_ray.models.user import ModelSource, UserModel, find_source, is_user_model

# name -> module and class; the module is imported on use, and its library with it
MODELS = {
    "lightgbm": ("numerai_ray.models.lightgbm", "LightGBM"),
    "xgboost": ("numerai_ray.models.xgboost", "XGBoost"),
    "catboost": ("numerai_ray.models.catboost", "CatBoost"),
    "sklearn": ("numerai_ray.models.sklearn", "Sklearn"),
    "mlp": ("numerai_ray.models.mlp", "Mlp"),
}


@lru_cache(maxsize=64)
def model_for(name: str, source: ModelSource | None = None) -> Model:
    """The model of this name; a user's own comes out of its ``source``.

    Raises:
        KeyError: no such model (see :func:`model_problems`).
        ConfigError: the user's file does not run, or lacks the class.

    """
    if is_user_model(name):
        return UserModel(name, source or find_source(name, Path.cwd()))
    module, attribute = MODELS[name]
    make: Callable[[], Model] = getattr(import_module(module), attribute)
    return make()


def source_of(config: ModelConfig, folder: Path) -> ModelSource | None:
    """The source of a user's own model, None for the others; raises :class:`ConfigError` when it is not there."""
    return find_source(config.type, folder) if is_user_model(config.type) else None


def model_problems(config: ModelConfig, source: ModelSource | None = None) -> list[Problem]:
    """What is wrong with a model section, found before anything is trained."""
    if config.type not in MODELS and not is_user_model(config.type):
        hint = nearest(config.type, MODELS)
        return [Problem("$.model.type", f"no such model{hint}; but is {config.type!r}")]
    try:
        found = model_for(config.type, source).problems(config.params)
    except ConfigError as error:
        return list(error.problems)
    except EnvironmentFault as error:
        return [Problem("$.model.type", str(error))]
    return [Problem(f"$.model.params.{name}".rstrip("."), message) for name, message in found]


def read_benchmarks(model: Model) -> tuple[str, ...]:
    """Benchmark columns that the model looks at."""
    return tuple(getattr(model, "benchmarks", ()))


def gpus_of(model: Model, params: Any) -> float:
    """GPUs that a fit takes, where the model knows."""
    asked = getattr(model, "gpus", None)
    return 0.0 if asked is None else float(asked(params))
