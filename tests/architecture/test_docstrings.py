"""Surfaces are documented: what packages name in ``__all__``, and the methods of what a notebook works with."""

import inspect
import re
from collections.abc import Iterator
from importlib import import_module
from typing import Any

import pytest
from places import PACKAGE

import numerai_ray
from numerai_ray.session.compare import Compared
from numerai_ray.session.evaluate import Evaluation
from numerai_ray.session.plotting import ExperimentPlots
from numerai_ray.session.shown import Forecast

# What public names give back.
RETURNED = (Compared, Evaluation, ExperimentPlots, Forecast)
# So many parameters are not told by names alone.
MANY = 3


def surface() -> dict[str, Any]:
    """Functions and classes by their full name; a package may name modules too, whose content is not its surface."""
    found: dict[str, Any] = {}
    packages = [path.parent.relative_to(PACKAGE.parent).parts for path in PACKAGE.rglob("__init__.py")]
    # What runs in Numerai's container imports what is there.
    for parts in packages:
        if "inside" in parts:
            continue
        module = import_module(".".join(parts))
        for name in getattr(module, "__all__", ()):
            each = getattr(module, name, None)
            if inspect.isfunction(each) or (inspect.isclass(each) and each.__module__.startswith("numerai_ray")):
                found[f"{each.__module__}.{each.__qualname__}"] = each
    for kind in (*(getattr(numerai_ray, name) for name in numerai_ray.__all__), *RETURNED):
        for each in methods(kind):
            found[f"{each.__module__}.{each.__qualname__}"] = each
    return found


def methods(kind: Any) -> Iterator[Any]:
    """Methods and properties of a class, and of what it is made of, that are the project's own."""
    for name in dir(kind) if inspect.isclass(kind) else ():
        member = inspect.getattr_static(kind, name)
        for wrapped in ("__func__", "fget", "func"):
            member = getattr(member, wrapped, member)
        own = inspect.isfunction(member) and member.__module__.startswith("numerai_ray")
        if own and not name.startswith("_"):
            yield member


SURFACE = surface()


def parameters(function: Any) -> list[str]:
    found = inspect.signature(function).parameters
    return [name for name in found if name not in ("self", "cls")]


def test_the_surface_is_found() -> None:
    assert len(SURFACE) > 120
    assert {"session.evaluate.evaluate", "session.plotting.ExperimentPlots.delta", "config.validation.validate"} <= {
        name.removeprefix("numerai_ray.") for name in SURFACE
    }


@pytest.mark.parametrize("name", sorted(SURFACE))
def test_it_says_what_it_is_and_what_it_takes(name: str) -> None:
    each = SURFACE[name]
    text = inspect.cleandoc(each.__doc__ or "")
    assert len(text.split()) > 1, "has no docstring"
    if inspect.isclass(each):
        return
    raised = re.search(r"^\s+raise \w", inspect.getsource(each), re.M)
    assert raised is None or "aises" in text, "does not say what it raises"
    given = inspect.signature(each).return_annotation
    if len(parameters(each)) >= MANY and given not in (None, "None"):
        assert "Returns:\n" in text, f"does not say what {given} it gives back"
    section = re.search(r"^Args:\n((?:[ ]+.*\n?|\n)+)", text, re.M)
    if len(parameters(each)) < MANY and section is None:
        return
    assert section is not None, f"takes {', '.join(parameters(each))} and has no Args"
    told = re.findall(r"^ {4}\*{0,2}(\w+):", section[1], re.M)
    assert told == parameters(each)
