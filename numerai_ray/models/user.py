"""A user's own model: ``package.module:Class``, or ``file.py:Class`` beside the experiment.

The class is made with the config's ``params`` and has one method, ``fit(rows)``, which returns something with
``predict(rows)``; it may return itself. ``rows`` are :class:`numerai_ray.models.dense.Rows`. A class whose method is
``fit(X, y)``, as in scikit-learn, gets frames instead: ``X`` a DataFrame of features whose index is each row's era,
``y`` a Series; ``sample_weight`` too where it takes one. A parameter named ``seed`` or ``random_state`` takes the
config's seeds. ``benchmarks`` of the class names the benchmark columns it reads, and
``resources = {"gpus": 0.5, "cores": 2, "memory_gb": 4}`` what a fit takes.

The text of the file decides the fit's key and travels with the fit, so that workers need no copy of it; what it
imports must be installed there. BLAS gets one thread, because its sums depend on how many there are; whoever uses
``rows.threads`` promises that predictions do not depend on them. ``numerai-ray check-model`` tries all of this.
"""

import hashlib
import importlib
import importlib.util
import inspect
import sys
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import numpy.typing as npt
from threadpoolctl import threadpool_limits

from numerai_ray.config import Resources, validate
from numerai_ray.errors import ConfigError, FitError, NumeraiRayError, Problem, nearest
from numerai_ray.models.dense import DenseModel, FittedDense, Rows, pickled, unpickled
from numerai_ray.models.protocol import Params
from numerai_ray.system.files import read_plain_text

SEEDS = ("seed", "random_state")
POSITIONAL = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)


@dataclass(frozen=True)
class ModelSource:
    """A model file: its path for messages, its text for everything else; None for an installed module."""

    path: str
    text: str | None

    @property
    def digest(self) -> str:
        """Stands for the text in a fit's key."""
        return hashlib.sha256((self.text or "").encode()).hexdigest()[:16]


def is_user_model(name: str) -> bool:
    """Whether a ``model.type`` names a class of the user's."""
    return ":" in name


def find_source(name: str, folder: Path) -> ModelSource:
    """Where the class ``name`` comes from; a file is looked for in ``folder``.

    Raises:
        ConfigError: there is no such file or module.

    """
    where = name.partition(":")[0]
    try:
        if where.endswith(".py"):
            path = (folder / where).expanduser()
            return ModelSource(str(path), read_plain_text(path))
        spec = importlib.util.find_spec(where)
    except (OSError, ImportError, ValueError) as error:
        raise ConfigError(name, [Problem("$.model.type", f"cannot be found: {error}; but is {name!r}")]) from None
    if spec is None or spec.origin is None:
        rule = f"there is no module {where!r}; install it, or put its folder on PYTHONPATH; but is {name!r}"
        raise ConfigError(name, [Problem("$.model.type", rule)])
    return ModelSource(spec.origin, None)


class UserModel(DenseModel):
    """The class that a config names, behind what the rest of the program knows of a model."""

    def __init__(self, name: str, source: ModelSource):
        self.name = name
        self.source = source
        self.kind = _class(name, source)
        self.libraries: tuple[str, ...] = ()

    @property
    def benchmarks(self) -> tuple[str, ...]:
        """Benchmark columns that the class reads."""
        return tuple(getattr(self.kind, "benchmarks", ()))

    @property
    def resources(self) -> Resources:
        """What the class asks for a fit, where it has an attribute ``resources``.

        Raises:
            ConfigError: it is not as in ``model.resources``.

        """
        said = getattr(self.kind, "resources", None)
        if said is None:
            return Resources()
        try:
            return validate(Resources, dict(said), self.name)
        except (ConfigError, TypeError, ValueError) as error:
            found = error.problems if isinstance(error, ConfigError) else [Problem("$", f"must be a mapping: {error}")]
            told = [Problem("$.model.type", f"{self.name}, resources{each.path[1:]}: {each.message}") for each in found]
            raise ConfigError(self.name, told) from None

    @property
    def identity(self) -> str:
        """What of the code decides a fit: the file's text, or that of the installed module."""
        if self.source.text is not None:
            return self.source.digest
        return ModelSource(self.source.path, Path(self.source.path).read_text(encoding="utf-8")).digest

    def canonical_params(self, params: Params) -> dict[str, Any]:
        defaults = {name: each.default for name, each in self._accepted().items() if _is_plain(each.default)}
        return {**defaults, **params}

    def with_seed(self, params: Params, seed: int) -> dict[str, Any]:
        name = next((name for name in SEEDS if name in self._accepted()), None)
        return dict(params) if name is None else {**params, name: seed}

    def problems(self, params: Params) -> list[tuple[str, str]]:
        _ = self.resources
        accepted = self._accepted()
        open_ended = any(each.kind is inspect.Parameter.VAR_KEYWORD for each in accepted.values())
        found = [
            (name, f"{self.name} has no such parameter{nearest(name, accepted)}")
            for name in params
            if name not in accepted and not open_ended
        ]
        required = [
            name
            for name, each in accepted.items()
            if each.default is inspect.Parameter.empty
            and each.kind not in (inspect.Parameter.VAR_KEYWORD, inspect.Parameter.VAR_POSITIONAL)
        ]
        found += [(name, f"{self.name} needs it; set it") for name in required if name not in params]
        if found:
            return found
        try:
            made = self.kind(**params)
        except Exception as error:
            named = next((name for name in params if name in str(error)), "")
            return [(named, f"{self.name} says: {type(error).__name__}: {error}")]
        return [] if callable(getattr(made, "fit", None)) else [("", f"{self.name} has no method fit(rows)")]

    def fit_rows(self, rows: Rows, params: Params) -> "FittedUser":
        with threadpool_limits(1, user_api="blas"):
            try:
                made = self.kind(**params)
                fitted = self._fit_frames(made, rows) if self.takes_frames else made.fit(rows)
            except NumeraiRayError:
                raise
            except Exception as error:
                raise FitError(f"{self.name}, fit: {type(error).__name__}: {error}") from error
        if not callable(getattr(fitted, "predict", None)):
            rule = "fit(rows) must return something with predict(rows)"
            raise FitError(f"{self.name}: {rule}, but returns {fitted!r:.60}")
        return FittedUser(self.name, fitted, self.takes_frames)

    @property
    def takes_frames(self) -> bool:
        """Whether its ``fit`` takes X and y, as in scikit-learn, and not rows."""
        fit = getattr(self.kind, "fit", None)
        taken = list(inspect.signature(fit).parameters.values())[1:] if inspect.isfunction(fit) else []
        return sum(each.default is each.empty and each.kind in POSITIONAL for each in taken) > 1

    def _fit_frames(self, made: Any, rows: Rows) -> Any:
        weights: dict[str, Any] = {}
        if rows.weights is not None:
            if "sample_weight" not in inspect.signature(made.fit).parameters:
                raise FitError(f"{self.name}: model.era_weights is set, so fit(X, y, sample_weight) must take weights")
            weights["sample_weight"] = rows.weights
        from numerai_ray.models.frames import target_of  # noqa: PLC0415 - pandas, where it is asked for

        fitted = made.fit(_frame_of(rows), target_of(rows), **weights)
        return made if fitted is None else fitted

    def plain(self, fitted: Any) -> bytes:
        """A pickle of what the class's ``fit`` returned; the class itself comes from its file."""
        return pickled(fitted.predictor.fitted)

    def restored(self, plain: bytes) -> FittedDense:
        return FittedDense(FittedUser(self.name, unpickled(plain), self.takes_frames))

    def _accepted(self) -> dict[str, inspect.Parameter]:
        found = dict(inspect.signature(self.kind.__init__).parameters)
        found.pop("self", None)
        return {} if self.kind.__init__ is object.__init__ else found


def _frame_of(rows: Rows) -> Any:
    from numerai_ray.models.frames import frame_of  # noqa: PLC0415

    return frame_of(rows)


@dataclass(frozen=True, eq=False)
class FittedUser:
    """What the user's ``fit`` returned; its predictions are looked at before they are believed."""

    name: str
    fitted: Any
    takes_frames: bool = False

    @property
    def native(self) -> Any:
        return self.fitted

    def predict(self, rows: Rows) -> npt.NDArray[np.float64]:
        with threadpool_limits(1, user_api="blas"):
            try:
                given = _frame_of(rows) if self.takes_frames else rows
                found = np.asarray(self.fitted.predict(given), np.float64)
                found = found[:, 0] if self.takes_frames and found.ndim == 2 and found.shape[1] == 1 else found
            except Exception as error:
                raise FitError(f"{self.name}, predict: {type(error).__name__}: {error}") from error
        if found.shape != (len(rows.features),):
            rule = f"predict must return ({len(rows.features)},), one number a row"
            raise FitError(f"{self.name}: {rule}, but returns {found.shape}")
        return found

    def importance(self, length: int | None = None) -> tuple[str, npt.ArrayLike] | None:  # noqa: ARG002
        own = getattr(self.fitted, "importance", None)
        if not callable(own):
            return None
        try:
            return "own", np.asarray(own(), np.float64)
        except Exception as error:
            raise FitError(f"{self.name}, importance: {type(error).__name__}: {error}") from error


@lru_cache(maxsize=32)
def _module(source: ModelSource) -> ModuleType:
    """A file's text as a module of its own; pickles of its classes find it again in this process."""
    name = f"numerai_ray_user_{source.digest}"
    module = ModuleType(name)
    module.__file__ = source.path
    sys.modules[name] = module
    try:
        exec(compile(source.text or "", source.path, "exec"), module.__dict__)
    except BaseException:
        del sys.modules[name]
        raise
    return module


def _class(name: str, source: ModelSource) -> Any:
    where, _, attribute = name.partition(":")
    try:
        module = importlib.import_module(where) if source.text is None else _module(source)
        found = getattr(module, attribute, None)
    except (Exception, SystemExit) as error:  # whatever a user's file does when it is run
        rule = f"running {source.path} raised {type(error).__name__}: {error}"
        raise ConfigError(name, [Problem("$.model.type", rule)]) from error
    if not inspect.isclass(found):
        classes = [key for key, value in vars(module).items() if inspect.isclass(value)]
        rule = f"{source.path} has no class {attribute!r}{nearest(attribute, classes)}"
        raise ConfigError(name, [Problem("$.model.type", rule)])
    return found


def _is_plain(value: Any) -> bool:
    return value is None or (isinstance(value, bool | int | float | str))
