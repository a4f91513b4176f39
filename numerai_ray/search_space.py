"""Dimensions: the variables a round may change, one at a time.

A dimension is one config path with values. It may be *coupled* to others (a lower learning rate with more trees)
and is then still one decision. A variant is a complete config that differs from its round's base in exactly one
dimension; :func:`check_one_variable` refuses anything else with the list of differences.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import Field

from numerai_ray.config import Config, Json, Name, Section, apply_overrides, leaves, nested, value_at
from numerai_ray.errors import ConfigError, Problem

Coupling = Literal["inverse", "proportional"]

MAX_NAME = 160  # of a variant; file systems take 255 bytes, and more stands before and after it

# What a round may vary: everything else is decided by the stage, or would change what is compared.
VARIABLE_PATHS = ("data.feature_set", "data.target", "data.missing", "model.type", "model.params.")


class Dimension(Section):
    """One variable: a path, its values in the order they are tried, and what moves with it.

    ``coupled`` maps another path to ``inverse`` (their product stays what it is in the base), ``proportional``
    (their ratio stays) or a list with one value for each of ``values``.
    """

    path: str
    values: list[Any] = Field(min_length=1)
    coupled: dict[str, Coupling | list[Any]] = Field(default_factory=dict)
    required: bool = True
    why: str = ""

    def paths(self) -> tuple[str, ...]:
        """The path and the coupled ones."""
        return (self.path, *self.coupled)


class SearchSpace(Section):
    """A search space file: named dimensions, in the order in which rounds take them."""

    why: str = ""
    dimensions: dict[Name, Dimension] = Field(min_length=1)


@dataclass(frozen=True)
class Variant:
    """A variant before it runs: its name after its change, and the values it sets, by path."""

    name: str
    changes: Mapping[str, Any]


def variant_name(dimension: str, value: Any) -> str:
    """``num_leaves=63``: readable, and safe as a file name."""
    if _kind(value) == "number":
        return f"{dimension}={value}"  # with its sign
    text = str(value).lower() if isinstance(value, bool | None) else str(value)
    return f"{dimension}={re.sub(r'[^A-Za-z0-9._+-]+', '-', text).strip('-')}"


def changes_for(dimension: Dimension, value: Any, base: Mapping[str, Any]) -> Json:
    """Values by path that set ``dimension`` to ``value``, coupled paths included.

    Args:
        dimension: its ``values`` hold ``value`` when a coupling is a list.
        value: the new value.
        base: the config (plain values) that the change starts from; couplings are relative to it.

    Raises:
        ConfigError: a coupled path has no number in the base to scale.

    """
    changes = {dimension.path: value}
    for path, coupling in dimension.coupled.items():
        if isinstance(coupling, list):
            changes[path] = coupling[dimension.values.index(value)]
            continue
        old, other = value_at(base, dimension.path), value_at(base, path)
        for where, number in ((dimension.path, old), (path, other)):
            if isinstance(number, bool) or not isinstance(number, int | float) or number == 0:
                rule = f"a coupling scales it, so the base must hold a number other than 0, but it holds {number!r}"
                raise ConfigError("search space", [Problem(f"$.{where}", rule)])
        scaled = other * old / value if coupling == "inverse" else other * value / old
        changes[path] = round(scaled) if isinstance(other, int) else scaled
    return changes


def variants(name: str, dimension: Dimension, values: Sequence[Any], base: Mapping[str, Any]) -> list[Variant]:
    """One variant for each of ``values``, relative to the config ``base`` (plain values)."""
    return [Variant(variant_name(name, value), changes_for(dimension, value, base)) for value in values]


def with_changes(config: Mapping[str, Any], changes: Mapping[str, Any]) -> Json:
    """``config`` (plain values) with ``changes`` by path."""
    for path, value in changes.items():
        config = apply_overrides(config, nested(path, value))
    return dict(config)


def differences(base: Config, variant: Config) -> dict[str, tuple[Any, Any]]:
    """Every leaf that differs, by path: (value in the base, value in the variant)."""
    ours, theirs = leaves(base.to_json()), leaves(variant.to_json())
    return {
        path: (ours.get(path), theirs.get(path))
        for path in sorted(ours.keys() | theirs.keys())
        # an empty mapping is the lack of what it may hold: `params` without and with its first parameter
        if ours.get(path) != theirs.get(path) and {} not in (ours.get(path), theirs.get(path))
    }


def check_one_variable(base: Config, variant: Config, dimension: Dimension, name: str) -> None:
    """Raise unless ``variant`` differs from ``base`` in ``dimension`` (with its couplings) and in nothing else.

    Raises:
        ConfigError: with one problem for each other difference, or for none at all.

    """
    found = differences(base, variant)
    allowed = dimension.paths()
    extra = {path: pair for path, pair in found.items() if path not in allowed}
    problems = [
        Problem(
            f"$.{path}",
            f"changes from {old!r} to {new!r}, but a variant may change only {' and '.join(allowed)}; "
            f"undo it, or declare it under the dimension's 'coupled'",
        )
        for path, (old, new) in extra.items()
    ]
    if dimension.path not in found:
        problems.append(Problem(f"$.{dimension.path}", "does not differ from the base"))
    if problems:
        raise ConfigError(f"variant {name}", problems)


def space_problems(space: SearchSpace, at: str = "$.dimensions") -> list[Problem]:
    """What is wrong with the dimensions themselves, before any config is looked at."""
    problems = []
    owners: dict[str, str] = {}
    for name, dimension in space.dimensions.items():
        where = f"{at}.{name}"
        for path in dimension.paths():
            if not path.startswith(VARIABLE_PATHS) or path.endswith("."):
                rule = f"a round may vary {', '.join(VARIABLE_PATHS)}*; but is {path!r}"
                problems.append(Problem(f"{where}.path" if path == dimension.path else f"{where}.coupled", rule))
        if dimension.path in owners:
            problems.append(Problem(f"{where}.path", f"is also the path of {owners[dimension.path]!r}"))
        owners.setdefault(dimension.path, name)
        if dimension.path in dimension.coupled:
            problems.append(Problem(f"{where}.coupled", f"{dimension.path!r} cannot be coupled to itself"))
        problems += _value_problems(dimension, where) + _name_problems(name, dimension, where)
    return problems


def _name_problems(name: str, dimension: Dimension, where: str) -> list[Problem]:
    """Values become parts of file names: different ones must stay different, and short enough."""
    problems = []
    owners: dict[str, Any] = {}
    for value in dimension.values:
        made = variant_name(name, value)
        if len(made) > MAX_NAME:
            rule = f"must give names of at most {MAX_NAME} characters, but {value!r:.60} gives {len(made)}"
            problems.append(Problem(f"{where}.values", rule))
        if made in owners and owners[made] != value:
            rule = f"{owners[made]!r} and {value!r} have one name, {made!r}, as files; change one"
            problems.append(Problem(f"{where}.values", rule))
        owners.setdefault(made, value)
    return problems


def _value_problems(dimension: Dimension, where: str) -> list[Problem]:
    problems = []
    values = dimension.values
    # 8 and 8.0 are one value, 1 and true are not.
    repeated = [
        repr(value)
        for position, value in enumerate(values)
        if any(value == other and _kind(value) == _kind(other) for other in values[:position])
    ]
    if repeated:
        problems.append(Problem(f"{where}.values", f"each value once, but {', '.join(repeated)} stands there again"))
    kinds = {_kind(value) for value in dimension.values}
    if "mapping" in kinds:
        problems.append(Problem(f"{where}.values", "must be one variable, but a mapping holds several; name its path"))
    if len(kinds) > 1:
        rule = f"must all be of one type, but are {' and '.join(sorted(kinds))}"
        problems.append(Problem(f"{where}.values", rule))
    for path, coupling in dimension.coupled.items():
        if isinstance(coupling, list) and len(coupling) != len(dimension.values):
            rule = f"must hold one value for each of the {len(dimension.values)} values, but holds {len(coupling)}"
            problems.append(Problem(f"{where}.coupled.{path}", rule))
        if isinstance(coupling, str) and not all(_is_positive(value) for value in dimension.values):
            rule = f"{coupling!r} needs values above 0, but values are {dimension.values}"
            problems.append(Problem(f"{where}.coupled.{path}", rule))
    return problems


def _is_positive(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and value > 0


def _kind(value: Any) -> str:
    if isinstance(value, bool):
        return "true/false"
    if isinstance(value, int | float):
        return "number"
    return {str: "text", list: "list", dict: "mapping", type(None): "null"}[type(value)]
