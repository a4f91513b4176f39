"""Names of models in configs, and the files that hold them."""

from collections.abc import Callable
from functools import lru_cache
from importlib import import_module
from pathlib import Path

from numerai_ray.config import ModelConfig, Resources
from numerai_ray.errors import ConfigError, EnvironmentFault, Problem, nearest
from numerai_ray.models.engine import FIVE_VALUES, UNFILTERED
from numerai_ray.models.protocol import Accelerated, Model
from numerai_ray.models.user import ModelSource, UserModel, find_source, is_user_model
from numerai_ray.system.resources import GB, Needs

# name -> module and class; the module is imported on use, and its library with it
MODELS = {
    "lightgbm": ("numerai_ray.models.lightgbm", "LightGBM"),
    "xgboost": ("numerai_ray.models.xgboost", "XGBoost"),
    "catboost": ("numerai_ray.models.catboost", "CatBoost"),
    "sklearn": ("numerai_ray.models.sklearn", "Sklearn"),
    "mlp": ("numerai_ray.models.mlp", "Mlp"),
}
# what grows the trees of "lightgbm", where that is not LightGBM as it is
ENGINES = {
    FIVE_VALUES: ("numerai_ray.models.five_values", "FiveValues"),
    UNFILTERED: ("numerai_ray.models.lightgbm", "UnfilteredLightGBM"),
}


@lru_cache(maxsize=64)
def model_for(name: str, source: ModelSource | None = None, engine: str = "") -> Model:
    """The model of this name; a user's own comes out of its ``source``. ``engine`` grows LightGBM's trees.

    Raises:
        KeyError: no such model (see :func:`model_problems`).
        ConfigError: the user's file does not run, or lacks the class.

    """
    if is_user_model(name):
        return UserModel(name, source or find_source(name, Path.cwd()))
    module, attribute = ENGINES.get(engine) or MODELS[name]
    make: Callable[[], Model] = getattr(import_module(module), attribute)
    return make()


def source_of(config: ModelConfig, folder: Path) -> ModelSource | None:
    """The source of a user's own model, None for the others; raises :class:`ConfigError` when it is not there."""
    return find_source(config.type, folder) if is_user_model(config.type) else None


def is_known(name: str) -> bool:
    """Whether ``name`` is a built-in model's, or has the form of a user's."""
    return name in MODELS or is_user_model(name)


def model_problems(config: ModelConfig, source: ModelSource | None = None) -> list[Problem]:
    """What is wrong with a model section, found before anything is trained."""
    if not is_known(config.type):
        hint = nearest(config.type, MODELS)
        return [Problem("$.model.type", f"no such model{hint}; but is {config.type!r}")]
    try:
        model = model_for(config.type, source)
        found = model.problems(settled(model, config)[0].params)
    except ConfigError as error:
        return list(error.problems)
    except EnvironmentFault as error:
        return [Problem("$.model.type", str(error))]
    return [Problem(f"$.model.params.{name}".rstrip("."), message) for name, message in found]


def read_benchmarks(model: Model) -> tuple[str, ...]:
    """Benchmark columns that the model looks at."""
    return tuple(getattr(model, "benchmarks", ()))


def needs_of(model: Model, config: ModelConfig) -> Needs:
    """What a fit asks for: the config's word goes before that of the model."""
    own = model.resources if isinstance(model, UserModel) else Resources()
    if isinstance(model, Accelerated):
        own = own.model_copy(update={"gpus": model.gpus(config.params)})
    said = config.resources or Resources()
    cores, gpus, memory_gb = (
        getattr(own if getattr(said, name) is None else said, name) for name in ("cores", "gpus", "memory_gb")
    )
    return Needs(cores, gpus or 0.0, None if memory_gb is None else int(memory_gb * GB))


def settled(model: Model, config: ModelConfig, *, elsewhere: bool = False) -> tuple[ModelConfig, str]:
    """``config`` as it can be trained, and a note where that is not as it is written.

    A GPU that is asked for and cannot be had is replaced by the processor, whose predictions differ: so it is settled
    before a fit gets its key.

    Args:
        model: the registered model that trains.
        config: the plan's ``model`` section.
        elsewhere: fits run on other machines than this one, and only what the build of a library lacks is known here.

    Returns:
        The config to train with, and the note ("" where it is the one that was given).

    """
    if not isinstance(model, Accelerated) or not model.gpus(config.params):
        return config, ""
    lacking = model.no_device(config.params)
    if lacking is None or (elsewhere and not lacking.in_build):
        return config, ""
    asked = config.params.get(lacking.parameter)
    resources = config.resources and config.resources.model_copy(update={"gpus": None})
    changes = {"params": model.on_processor(config.params), "resources": resources}
    note = (
        f"$.model.params.{lacking.parameter}: {asked} cannot be had here ({lacking.words}), so the processor trains; a "
        f"GPU's predictions would differ a little"
    )
    return config.model_copy(update=changes), note
