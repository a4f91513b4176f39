"""Validation: values against a schema, all problems at once with place, value and nearest key; trees of values."""

import hashlib
import json
import math
from collections.abc import Iterable, Mapping
from typing import Annotated, Any, ClassVar, TypeVar, get_args, get_origin

from pydantic import BaseModel, ConfigDict, Field, SerializerFunctionWrapHandler, ValidationError, model_serializer

from numerai_ray.errors import ConfigError, Problem, nearest

Place = tuple[str | int, ...]
# A name that becomes a column, a folder or part of a file name.
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._=+-]*$", max_length=120)]
# A built-in model, ``package.module:Class``, or ``file.py:Class`` (a path relative to the experiment's folder).
ModelType = Annotated[
    str, Field(pattern=r"^[A-Za-z0-9_./~][A-Za-z0-9_./+ ~-]*(:[A-Za-z_][A-Za-z0-9_]*)?$", max_length=240)
]
# Relative to the data root, or absolute.
DataPath = Annotated[str, Field(min_length=1)]
Share = Annotated[float, Field(gt=0, le=1)]
# Sums of weights, and of what they multiply, stay finite.
Weight = Annotated[float, Field(gt=0, le=1e9)]
Seed = Annotated[int, Field(ge=0, lt=2**31)]


EVERY_KEY = frozenset({"*"})


class Section(BaseModel):
    """Base of every part of a file: frozen, no unknown keys, no silent conversion of types.

    Keys in ``added`` came after the first release: they are written only where they differ from their default, so
    that a config without them is written, and has the fingerprint, that it always had. ``EVERY_KEY`` is all of them.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)
    added: ClassVar[frozenset[str]] = frozenset()

    @model_serializer(mode="wrap")
    def _without_untouched(self, serialize: SerializerFunctionWrapHandler) -> dict[str, Any]:
        fields = type(self).model_fields
        added = fields if self.added is EVERY_KEY else self.added
        untouched = {
            name for name in added if getattr(self, name) == fields[name].get_default(call_default_factory=True)
        }
        return {name: value for name, value in serialize(self).items() if name not in untouched}


S = TypeVar("S", bound=BaseModel)


def validate(kind: type[S], value: Mapping[str, Any], source: str) -> S:
    """``value`` as a ``kind``.

    Args:
        kind: the section that it must be.
        value: plain values, as a file has them.
        source: where it is from, for the error.

    Returns:
        The section, every default filled in.

    Raises:
        ConfigError: everything that is wrong with it, at once.

    """
    try:
        problems = [Problem(path, message) for path, message in _not_json(value, "$")]
    except RecursionError:
        raise ConfigError(source, [Problem("$", "nested too deep, or holds itself; write it out")]) from None
    if problems:
        raise ConfigError(source, problems)
    try:
        return kind.model_validate_json(json.dumps(value))
    except ValidationError as error:
        raise ConfigError(source, _problems(kind, value, error.errors())) from None


def _not_json(value: Any, path: str) -> Iterable[tuple[str, str]]:
    if isinstance(value, Mapping):
        for key, item in value.items():
            if not isinstance(key, str):
                yield path, f"keys must be text, but got {key!r}"
            else:
                yield from _not_json(item, f"{path}.{key}")
    elif isinstance(value, list | tuple):
        for index, item in enumerate(value):
            yield from _not_json(item, f"{path}[{index}]")
    elif isinstance(value, float) and not math.isfinite(value):
        yield path, f"must be a finite number, but is {value}"
    elif value is not None and not isinstance(value, str | int | float | bool):
        yield path, f"must be plain text, a number, true/false, a list or a mapping, but is {type(value).__name__}"


def _problems(kind: type[BaseModel], value: Mapping[str, Any], errors: Iterable[Any]) -> list[Problem]:
    """One problem a place. Where several types are allowed, the one that the value comes closest to is meant."""
    placed = [(_place(value, item), item) for item in errors]
    messages: dict[Place, list[str]] = {}
    for place, item in placed:
        nearer = any(other[: len(place)] == place and len(other) > len(place) for other, _ in placed)
        if not (nearer and item["loc"] != place):
            messages.setdefault(place, []).append(_message(kind, place, item))
    shown = {place: _shown(item) for place, item in placed}
    return [
        Problem(
            "$" + "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in place),
            ", or ".join(dict.fromkeys(found)) + shown[place],
        )
        for place, found in messages.items()
    ]


def _place(value: Any, item: Any) -> Place:
    """Keys and positions that lead to an error; pydantic's names for the members of a union are left out."""
    place: list[str | int] = []
    for part in item["loc"]:
        if (isinstance(value, Mapping) and part in value) or (isinstance(value, list) and isinstance(part, int)):
            value = value[part]
            place.append(part)
    return (*place, item["loc"][-1]) if item["type"] == "missing" else tuple(place)


def _message(kind: type[BaseModel], place: Place, item: Any) -> str:
    if item["type"] == "extra_forbidden":
        return f"unknown key{nearest(str(place[-1]), _keys_at(kind, place[:-1]))}"
    if item["type"] == "missing":
        return "required key is missing"
    message = str(item["msg"]).removeprefix("Value error, ")
    for theirs, ours in (("Input should be", "must be"), ("an object", "a mapping"), ("a valid array", "a list")):
        message = message.replace(theirs, ours)
    return message


def _shown(item: Any) -> str:
    if item["type"] in ("extra_forbidden", "missing"):
        return ""
    if isinstance(item["input"], dict):
        return ", but is a mapping" if item["type"].endswith("_type") else ""
    return f", but is {item['input']!r:.80}"


def _keys_at(kind: type[BaseModel], place: Place) -> list[str]:
    """Known keys of the section at ``place``."""
    current: Any = kind
    for part in place:
        if _is_section(current):
            current = current.model_fields[part].annotation if part in current.model_fields else None
        else:  # a mapping: the type of its values
            current = get_args(current)[-1] if get_args(current) else None
        if get_origin(current) is not dict and not _is_section(current):
            members = get_args(current)
            current = next((each for each in members if _is_section(each) or get_origin(each) is dict), None)
    return list(current.model_fields) if _is_section(current) else []


def _is_section(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, BaseModel)


Json = dict[str, Any]


def canonical_json(value: Any) -> str:
    """One text for equal values: sorted keys, no spaces; 1.0 and 1 stay different, as libraries may tell them apart."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def fingerprint(value: Any, digits: int = 12) -> str:
    """First ``digits`` hex digits of the SHA-256 of :func:`canonical_json`."""
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()[:digits]


def apply_overrides(base: Mapping[str, Any], changes: Mapping[str, Any]) -> Json:
    """``base`` with ``changes`` laid over it, mapping by mapping; other values are replaced whole."""
    merged = dict(base)
    for key, value in changes.items():
        old = merged.get(key)
        merged[key] = apply_overrides(old, value) if isinstance(old, dict) and isinstance(value, Mapping) else value
    return merged


def value_at(tree: Mapping[str, Any], path: str, default: Any = None) -> Any:
    """Value at a dotted path.

    Args:
        tree: nested mappings.
        path: such as ``model.params.num_leaves``.
        default: what is given back where nothing stands there.

    Returns:
        What stands there, as it is.

    """
    node: Any = tree
    for part in path.split("."):
        if not isinstance(node, Mapping) or part not in node:
            return default
        node = node[part]
    return node


def without(tree: Mapping[str, Any], path: str) -> Json:
    """``tree`` without what is at a dotted path; the same where there is nothing."""
    first, _, rest = path.partition(".")
    held = tree.get(first)
    if rest and isinstance(held, Mapping):
        return {**tree, first: without(held, rest)}
    return dict(tree) if rest else {key: value for key, value in tree.items() if key != first}


def nested(path: str, value: Any) -> Json:
    """``{"a": {"b": value}}`` for ``"a.b"``: what :func:`apply_overrides` lays over."""
    for part in reversed(path.split(".")):
        value = {part: value}
    return dict(value)


def leaves(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Every leaf of a tree by its dotted path; lists and empty mappings are leaves."""
    flat: dict[str, Any] = {}
    for key, value in tree.items():
        path = f"{prefix}{key}"
        if isinstance(value, Mapping) and value:
            flat |= leaves(value, f"{path}.")
        else:
            flat[path] = value
    return flat
