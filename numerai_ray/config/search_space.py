"""Dimensions: the variables a round may change, one at a time.

A dimension is one config path with values. It may be *coupled* to others (a lower learning rate with more trees)
and is then still one decision. A variant is a complete config that differs from its round's base in exactly one
dimension; :func:`check_variables` refuses anything else with the list of differences.
"""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field

from numerai_ray.config.ranges import Range, implied_range, is_number
from numerai_ray.config.schema import Config
from numerai_ray.config.schema_rules import CHANGES, ONE_TYPE, begins_with, dimension_rules
from numerai_ray.config.validation import Json, Name, Section, leaves, value_at
from numerai_ray.errors import ConfigError, Problem

Coupling = Literal["inverse", "proportional"]
MAX_PARTS = 16  # of a path: twice what any config has
MAX_NAME = 160  # of a variant; file systems take 255 bytes, and more stands before and after it
# What a round may vary: everything else is decided by the stage, or would change what is compared.
VARIABLE_PATHS = (
    "data.feature_set",
    "data.target",
    "data.missing",
    "cv.window_eras",
    "model.type",
    "model.params.",
    "model.seeds",
    "model.target_transform",
    "model.era_weights",
    "model.era_sample",
    "model.feature_sample",
    "model.max_train_samples",
    "ensemble",
    "post.",
)
# Another model type takes other parameters, all of them together.
MODEL_TYPE, MODEL_PARAMS = "model.type", "model.params"


class Dimension(Section):
    """One variable: a path, what to try on it, and what moves with it.

    ``values`` are tried in their order; a ``range`` of numbers is spread over, and says how far a search may go beyond
    the values. ``coupled`` maps another path to ``inverse`` (their product stays what it is in the base),
    ``proportional`` (their ratio stays) or a list with one value for each of ``values``. ``when`` makes it conditional:
    it is varied only around a base that holds, at each path, one of the listed values.
    """

    model_config = ConfigDict(json_schema_extra=dimension_rules())

    path: str = Field(
        description="Where in a config: what a round may vary.",
        examples=["model.params.num_leaves", "data.target"],
        json_schema_extra={"pattern": begins_with(VARIABLE_PATHS)},
    )
    values: Annotated[list[Any], Field(min_length=1)] = Field(
        default_factory=list,
        description="Tried in their order; all of one type, each once.",
        examples=[[15, 31, 63]],
        json_schema_extra={"uniqueItems": True, "anyOf": ONE_TYPE},
    )
    range: Range | None = Field(
        default=None,
        description="Numbers between two ends, instead of values or beside them.",
        examples=[{"low": 4, "high": 256, "scale": "log", "integer": True}],
    )
    coupled: dict[str, Coupling | list[Any]] = Field(
        default_factory=dict,
        description="What moves with it, by path: inverse, proportional, or a list with one value for each of values.",
        examples=[{"model.params.n_estimators": "inverse"}],
        json_schema_extra={
            "propertyNames": {"anyOf": [{"pattern": begins_with(VARIABLE_PATHS)}, {"const": MODEL_PARAMS}]}
        },
    )
    when: dict[str, list[Any]] = Field(
        default_factory=dict,
        description="Varied only around a base that holds, at each path, one of the listed values.",
        examples=[{"model.type": ["lightgbm"]}],
    )
    required: bool = Field(
        default=True, description="Whether it must be tried before a plateau ends the search.", examples=[False]
    )
    why: str = Field(default="", description="What this variable may bring.", examples=["the number of regions"])

    @property
    def span(self) -> Range | None:
        """The numbers that may be tried; None when the values are a plain choice.

        Values that are coupled one by one stand for themselves alone.
        """
        if any(isinstance(coupling, list) for coupling in self.coupled.values()):
            return None
        return self.range or implied_range(self.values)

    def examples(self) -> list[Any]:
        """What stands for the dimension when its values are checked: all listed ones, and the ends of its range."""
        ends = [] if self.range is None else [self.range.at(0.0), self.range.at(1.0)]
        return [*self.values, *(end for end in ends if end not in self.values)]

    def applies(self, base: Mapping[str, Any]) -> bool:
        """Whether ``base`` (plain values) holds what ``when`` asks for."""
        return all(value_at(base, path) in allowed for path, allowed in self.when.items())

    def paths(self) -> tuple[str, ...]:
        """The path and the coupled ones."""
        return (self.path, *self.coupled)


class SearchSpace(Section):
    """A search space file: named dimensions, in the order in which rounds take them.

    ``base`` is what they need of the experiment's base (the model that has these parameters, say); a plan's own base
    is laid over it.
    """

    why: str = Field(default="", description="What these dimensions have in common.", examples=["size of trees"])
    base: dict[str, Any] = Field(
        default_factory=dict,
        description="What the dimensions need of the experiment's base.",
        examples=[{"model": {"type": "xgboost", "params": {"n_estimators": 2000}}}],
        json_schema_extra={CHANGES: "ConfigChanges"},
    )
    dimensions: dict[Name, Dimension] = Field(
        min_length=1,
        description="Variables by name, in the order in which rounds take them.",
        examples=[{"num_leaves": {"path": "model.params.num_leaves", "values": [15, 31, 63]}}],
    )


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
        ConfigError: a coupled path has no number in the base to scale, or is scaled beyond all numbers.

    """
    changes = {dimension.path: value}
    for path, coupling in dimension.coupled.items():
        if isinstance(coupling, list):
            changes[path] = coupling[dimension.values.index(value)]
            continue
        old, other = value_at(base, dimension.path), value_at(base, path)
        for where, number in ((dimension.path, old), (path, other)):
            if not is_number(number) or number == 0:
                rule = f"a coupling scales it, so the base must hold a number other than 0, but it holds {number!r}"
                rule += "; set it in base, or remove the coupling" if number is None else ""
                rule += "; write it without quotes" if isinstance(number, str) else ""
                raise ConfigError("search space", [Problem(f"$.{where}", rule)])
        try:
            scaled = other * old / value if coupling == "inverse" else other * value / old
        except (OverflowError, ZeroDivisionError):
            scaled = math.inf
        if not math.isfinite(scaled):
            rule = f"is {coupling} to {dimension.path}, and goes beyond what a number holds where that is {value!r}"
            raise ConfigError("search space", [Problem(f"$.{path}", f"{rule}; try values nearer to {old!r}")])
        changes[path] = round(scaled) if isinstance(other, int) else scaled
    return changes


def variants(name: str, dimension: Dimension, values: Sequence[Any], base: Mapping[str, Any]) -> list[Variant]:
    """One variant for each of ``values``, relative to the config ``base`` (plain values)."""
    return [Variant(variant_name(name, value), changes_for(dimension, value, base)) for value in values]


def with_changes(config: Mapping[str, Any], changes: Mapping[str, Any]) -> Json:
    """``config`` (plain values) with ``changes`` by path."""
    for path, value in changes.items():
        config = _with_value(config, path.split("."), value)
    return dict(config)


def _with_value(tree: Mapping[str, Any], parts: Sequence[str], value: Any) -> Json:
    """``tree`` with the value in its place, whole: a mapping replaces what stood there."""
    first, *rest = parts
    held = tree.get(first)
    return {**tree, first: _with_value(held if isinstance(held, Mapping) else {}, rest, value) if rest else value}


def differences(base: Config, variant: Config) -> dict[str, tuple[Any, Any]]:
    """Every leaf that differs, by path: (value in the base, value in the variant)."""
    ours, theirs = leaves(base.to_json()), leaves(variant.to_json())
    return {
        path: (ours.get(path), theirs.get(path))
        for path in sorted(ours.keys() | theirs.keys())
        # an empty mapping is the lack of what it may hold: `params` without and with its first parameter
        if ours.get(path) != theirs.get(path) and {} not in (ours.get(path), theirs.get(path))
    }


def check_variables(base: Config, variant: Config, dimensions: Sequence[Dimension], name: str) -> None:
    """Raise unless ``variant`` differs from ``base`` in ``dimensions`` (with their couplings) and in nothing else.

    A round's variants differ in one dimension, those of a joint round in several.

    Raises:
        ConfigError: with one problem for each other difference, or for none at all.

    """
    found = differences(base, variant)
    allowed = [path for dimension in dimensions for path in dimension.paths()]
    own = [dimension.path for dimension in dimensions]
    problems = [
        Problem(
            f"$.{path}",
            f"changes from {old!r} to {new!r}, but a variant may change only {' and '.join(allowed)}; "
            f"undo it, or declare it under the dimension's 'coupled'",
        )
        for path, (old, new) in found.items()
        if not _is_within(path, allowed)
    ]
    if not any(_is_within(path, own) for path in found):
        problems.append(Problem(f"$.{own[0]}", "does not differ from the base"))
    if problems:
        raise ConfigError(f"variant {name}", problems)


def _is_within(path: str, allowed: Sequence[str]) -> bool:
    return any(path == each or path.startswith(f"{each}.") for each in allowed)


def space_problems(space: SearchSpace, at: str = "$.dimensions") -> list[Problem]:
    """What is wrong with the dimensions themselves, before any config is looked at."""
    problems = []
    owners: dict[str, str] = {}
    for name, dimension in space.dimensions.items():
        where = f"{at}.{name}"
        for path in dimension.paths():
            with_type = path == MODEL_PARAMS and dimension.path == MODEL_TYPE and path in dimension.coupled
            if not with_type and (not path.startswith(VARIABLE_PATHS) or path.endswith(".")):
                rule = f"a round may vary {', '.join(VARIABLE_PATHS)}*; but is {path!r:.120}"
                problems.append(Problem(f"{where}.path" if path == dimension.path else f"{where}.coupled", rule))
        for path in (*dimension.paths(), *dimension.when):
            if len(parts := path.split(".")) > MAX_PARTS:
                rule = f"a path has at most {MAX_PARTS} parts, but {path!r:.60}… has {len(parts):,}"
                problems.append(Problem(where, rule))
        if dimension.path in owners:
            problems.append(Problem(f"{where}.path", f"is also the path of {owners[dimension.path]!r}"))
        owners.setdefault(dimension.path, name)
        if dimension.path in dimension.coupled:
            problems.append(Problem(f"{where}.coupled", f"{dimension.path!r} cannot be coupled to itself"))
        problems += _value_problems(dimension, where) + _name_problems(name, dimension, where)
        problems += _range_problems(dimension, where)
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
    if "mapping" in kinds and dimension.path.startswith("model.params."):
        problems.append(Problem(f"{where}.values", "must be one variable, but a mapping holds several; name its path"))
    # Where a mapping or a list may stand, it stands beside a name or nothing: one target or several, weighted or not.
    sections = kinds & {"mapping", "list"} and kinds <= {"mapping", "list", "null", "text"}
    if len(kinds) > 1 and not sections:
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


def _range_problems(dimension: Dimension, where: str) -> list[Problem]:
    """A dimension has values, a range or both, and all of them agree."""
    span = dimension.range
    if span is None:
        if dimension.values:
            return []
        return [Problem(where, "must have values, a range, or both; add one, e.g. range: {low: 4, high: 64}")]
    problems = []
    outside = [repr(value) for value in dimension.values if not span.contains(value)]
    if outside:
        rule = f"must lie in the range {span.low:g} to {span.high:g}, but {', '.join(outside)} does not"
        problems.append(Problem(f"{where}.values", rule))
    for path, coupling in dimension.coupled.items():
        if isinstance(coupling, list):
            rule = "a list couples listed values only; leave the range out, or couple by 'inverse' or 'proportional'"
            problems.append(Problem(f"{where}.coupled.{path}", rule))
        elif span.low <= 0:
            rule = f"{coupling!r} needs numbers above 0, but the range begins at {span.low:g}"
            problems.append(Problem(f"{where}.range", rule))
    return problems


def _is_positive(value: Any) -> bool:
    return is_number(value) and value > 0


def _kind(value: Any) -> str:
    if isinstance(value, bool):
        return "true/false"
    if isinstance(value, int | float):
        return "number"
    return {str: "text", list: "list", dict: "mapping", type(None): "null"}[type(value)]


def changes_label(changes: Mapping[str, Any]) -> str:
    """``num_leaves=63, learning_rate=0.005``; the base for no changes."""
    if not changes:
        return "the experiment's base"
    told = merged_changes(changes)
    return ", ".join(f"{path.rsplit('.', 1)[-1]}={value_text(value)}" for path, value in told.items())


def value_text(value: Any) -> str:
    """A value as a plan writes it: ``{to: small, proportion: 0.5}``."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key}: {value_text(each)}" for key, each in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(value_text, value)) + "]"
    return "none" if value is None else str(value)


def merged_changes(changes: Mapping[str, Any]) -> Mapping[str, Any]:
    """``changes`` by path without those that stand inside another one, which then has their values."""
    found: dict[str, Any] = {}
    for path, value in changes.items():
        above = next((each for each in found if path.startswith(f"{each}.") and isinstance(found[each], Mapping)), None)
        if above is None:
            found[path] = value
        else:
            found[above] = with_changes(found[above], {path.removeprefix(f"{above}."): value})
    return found
