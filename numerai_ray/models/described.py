"""Model description: a class, an estimator or a name as a plan's ``model`` section, and its source."""

import importlib
import inspect
import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from numerai_ray.errors import RequestError
from numerai_ray.models.source_text import SourceText, is_installed, source_text
from numerai_ray.system.json_text import parse_json

# Packages whose classes are named, not copied.
ESTIMATORS = ("sklearn", "lightgbm", "xgboost", "catboost")


@dataclass(frozen=True)
class Description:
    """``type`` and ``params`` as in a plan, and the source to save beside it, if any."""

    type: str
    params: Mapping[str, Any]
    source: SourceText | None = None


class Model:
    """A model for a plan: a class of your own, an estimator or pipeline of scikit-learn, or a name such as "xgboost".

    >>> from numerai_ray import Model
    >>> Model("xgboost", max_depth=4).config()
    {'type': 'xgboost', 'params': {'max_depth': 4}}
    >>> from sklearn.linear_model import Ridge
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn.preprocessing import StandardScaler
    >>> Model(make_pipeline(StandardScaler(), Ridge(alpha=2.0))).config()["params"]
    {'estimator': ['sklearn.preprocessing:StandardScaler', 'sklearn.linear_model:Ridge'], 'ridge__alpha': 2.0}

    A class of your own has ``fit(rows)`` or, as in scikit-learn, ``fit(X, y)`` and ``predict(X)`` with frames; its
    source is saved as ``models/NAME.py`` in the experiment's folder, and decides what a stored fit is.

    Args:
        what: the class, the estimator or the name.
        **params: its parameters, plain values.

    Raises:
        RequestError: its source cannot be had, or it needs something that cannot travel; says what to do.

    """

    def __init__(self, what: Any, **params: Any):
        described = describe(what, params)
        self.type = described.type
        self.params = dict(described.params)
        self.source = described.source

    def config(self) -> dict[str, Any]:
        """The plan's ``model`` section."""
        return {"type": self.type, "params": self.params}

    def __repr__(self) -> str:
        listed = "".join(f", {name}={value!r}" for name, value in self.params.items())
        return f"Model({self.type!r}{listed})"


def describe(what: Any, params: Mapping[str, Any]) -> Description:
    """What a plan says of a model; see :class:`Model`."""
    if isinstance(what, str):
        return Description(what, _plain_params(what, params))
    if inspect.isclass(what):
        if _package(what.__module__) in ESTIMATORS:
            return Description("sklearn", {"estimator": _address(what), **_plain_params(what.__name__, params)})
        return _own(what, params)
    if hasattr(what, "get_params") and hasattr(what, "fit"):
        return _estimator(what, params)
    rule = "must be a class, an estimator or pipeline of scikit-learn, or the name of a built-in model"
    raise RequestError(f"Model: {rule}, but is {type(what).__name__}; give the class, and its parameters by name")


def _own(what: type, params: Mapping[str, Any]) -> Description:
    plain = _plain_params(what.__name__, params)
    if is_installed(what.__module__) and _is_there(what):
        return Description(f"{what.__module__}:{what.__qualname__}", plain)
    source = source_text(what)
    return Description(f"models/{source.name}.py:{what.__name__}", plain, source)


def _is_there(what: type) -> bool:
    """Whether the module that a class names has it: one that was made dynamically may name any."""
    found: Any = sys.modules.get(what.__module__)
    for part in what.__qualname__.split("."):
        found = getattr(found, part, None)
    return found is what


def _estimator(what: Any, params: Mapping[str, Any]) -> Description:
    steps = [step for _, step in what.steps] if hasattr(what, "steps") else [what]
    for step in steps:
        if _package(type(step).__module__) not in ESTIMATORS:
            kind = type(step)
            rule = f"{kind.__name__} is an object of your own; its source and parameters are what a round needs"
            raise RequestError(f"Model: {rule}: write Model({kind.__name__}, …) with the class and its parameters")
    names = [type(step).__name__.lower() for step in steps]
    own = [_changed(step) for step in steps]
    if len(steps) > 1:
        if len(set(names)) < len(names):
            raise RequestError(f"Model: a pipeline's steps must be of different classes, but are {', '.join(names)}")
        values = {f"{name}__{key}": value for name, each in zip(names, own, strict=True) for key, value in each.items()}
        addresses: Any = [_address(type(step)) for step in steps]
    else:
        values, addresses = own[0], _address(type(steps[0]))
    return Description("sklearn", {"estimator": addresses, **_plain_params("estimator", {**values, **params})})


def _changed(step: Any) -> dict[str, Any]:
    """Parameters that are not the class's defaults; threads come from the machine."""
    usual = type(step)().get_params(deep=False)
    return {
        name: value
        for name, value in step.get_params(deep=False).items()
        if name != "n_jobs" and (type(value) is not type(usual[name]) or value != usual[name])
    }


def _plain_params(name: str, params: Mapping[str, Any]) -> dict[str, Any]:
    """Parameters as plain values: they are written into a plan, and decide a fit's key."""
    plain = {}
    for key, given in params.items():
        value = given.item() if hasattr(given, "item") and getattr(given, "shape", None) == () else given
        try:
            plain[key] = parse_json(json.dumps(value, allow_nan=False))
        except (TypeError, ValueError):
            rule = "must be text, a finite number, true/false, or lists and mappings of these"
            hint = "make what it stands for inside the class, from plain values"
            raise RequestError(f"Model({name}): {key} {rule}, but is {type(value).__name__}; {hint}") from None
    return plain


def _address(kind: type) -> str:
    """``module:Class`` by the shortest module that offers the class."""
    parts = kind.__module__.split(".")
    for length in range(1, len(parts) + 1):
        module = ".".join(parts[:length])
        if any(part.startswith("_") for part in parts[:length]):
            break
        if getattr(importlib.import_module(module), kind.__name__, None) is kind:
            return f"{module}:{kind.__name__}"
    return f"{kind.__module__}:{kind.__name__}"


def _package(module: str) -> str:
    return module.partition(".")[0]
