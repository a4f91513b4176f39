"""A config: frozen sections, validated all at once, with a fingerprint.

``data -> cv -> model`` decide a fit, ``score`` decides what is made of its predictions. Every problem of a file
is reported together, each with its place, its value and the nearest known key.
"""

import difflib
import hashlib
import json
import math
import re
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, get_args, get_origin

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from numerai_ray.eras import CvPlan, EmbargoUnit, Mode
from numerai_ray.errors import ConfigError, Problem

Json = dict[str, Any]
Place = tuple[str | int, ...]
DataFile = Literal["full", "downsampled"]

# A name that becomes a column, a folder or part of a file name.
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._=+-]*$", max_length=120)]
# Relative to the data root, or absolute.
DataPath = Annotated[str, Field(min_length=1)]

DATA_FILES: dict[DataFile, tuple[str, str]] = {
    "full": ("full.parquet", "full_benchmark_models.parquet"),
    "downsampled": ("downsampled_full.parquet", "downsampled_full_benchmark_models.parquet"),
}


class Section(BaseModel):
    """Base of every part of a file: frozen, no unknown keys, no silent conversion of types."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


class DataConfig(Section):
    """What is read: a file of a data version, a feature set, the target trained on."""

    version: Name = "v5.2"
    file: DataFile = "downsampled"
    path: DataPath | None = None
    benchmark_path: DataPath | None = None
    feature_set: Name = "medium"
    target: Name = "target_ender_20"
    # "two" keeps the value 2 that Numerai writes for a missing feature; "nan" makes it missing for the model
    # wherever a whole era of the feature is 2.
    missing: Literal["two", "nan"] = "two"
    era_col: Name = "era"
    id_col: Name = "id"

    def files(self) -> tuple[str, str]:
        """Path of the data file and of its benchmark file, relative to the data root unless absolute."""
        data, benchmark = (f"{self.version}/{name}" for name in DATA_FILES[self.file])
        return self.path or data, self.benchmark_path or benchmark


class CvConfig(Section):
    """How eras are cut into folds; see :mod:`numerai_ray.eras`."""

    n_splits: int = Field(default=5, ge=2, le=1000)
    mode: Mode = "expanding"
    embargo_eras: int = Field(default=16, ge=0)
    embargo_unit: EmbargoUnit = "weeks"
    min_train_eras: int = Field(default=0, ge=0)

    def plan(self) -> CvPlan:
        return CvPlan(self.n_splits, self.mode, self.embargo_eras, self.embargo_unit, self.min_train_eras)


class ModelConfig(Section):
    """What is trained. ``params`` are the library's own; threads are never among them."""

    type: Name = "lightgbm"
    params: dict[str, Any] = Field(default_factory=dict)
    max_train_samples: int | None = Field(default=None, ge=1)
    sample_seed: int = Field(default=1337, ge=0)


class ScoreConfig(Section):
    """What predictions are scored against. ``last_eras`` counts scored eras, as the official metric does."""

    target: Name = "target_ender_20"
    benchmark: Name = "v52_lgbm_ender20"
    last_eras: int = Field(default=200, ge=1)


class Config(Section):
    """One complete configuration; a variant is one of these."""

    data: DataConfig = DataConfig()
    cv: CvConfig = CvConfig()
    model: ModelConfig = ModelConfig()
    score: ScoreConfig = ScoreConfig()

    def to_json(self) -> Json:
        """Plain values, every default written out."""
        return self.model_dump(mode="json")

    def fingerprint(self) -> str:
        """Twelve hex digits that depend on the values alone, not on key order or file format."""
        return fingerprint(self.to_json())


def canonical_json(value: Any) -> str:
    """One text for equal values: sorted keys, no spaces; 1.0 and 1 stay different, as libraries may tell them apart."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def fingerprint(value: Any, digits: int = 12) -> str:
    """First ``digits`` hex digits of the SHA-256 of :func:`canonical_json`."""
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()[:digits]


class _Loader(yaml.SafeLoader):
    """YAML 1.2 numbers (``1e-3`` is a number; dates, ``1:30`` and ``010`` are text) and no repeated keys."""


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if not tag.endswith((":timestamp", ":float", ":int"))]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(
        r"^[-+]?(?:(?:[0-9][0-9_]*\.[0-9_]*|\.[0-9][0-9_]*)(?:[eE][-+]?[0-9]+)?|[0-9][0-9_]*[eE][-+]?[0-9]+"
        r"|\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))$"
    ),
    list("-+0123456789."),
)
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:int", re.compile(r"^(?:[-+]?(?:0|[1-9][0-9_]*)|0x[0-9a-fA-F]+)$"), list("-+0123456789")
)


def _mapping_without_repeats(loader: yaml.SafeLoader, node: yaml.MappingNode) -> dict[Any, Any]:
    seen: set[Any] = set()
    for key_node, _ in node.value:
        key = loader.construct_object(key_node, deep=True)
        if not isinstance(key_node, yaml.ScalarNode):
            raise yaml.constructor.ConstructorError(None, None, f"a key must be text, not {key!r}", key_node.start_mark)
        if key in seen:
            raise yaml.constructor.ConstructorError(None, None, f"the key {key!r} is given twice", key_node.start_mark)
        seen.add(key)
    return dict(loader.construct_pairs(node, deep=True))


_Loader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _mapping_without_repeats)


def parse_yaml(text: str, source: str) -> Json:
    """The mapping in ``text`` (YAML or JSON)."""
    language = "JSON" if source.endswith(".json") else "YAML"
    try:
        value = _parse(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"line {mark.line + 1}, column {mark.column + 1}" if mark else "$"
        raise ConfigError(
            source, [Problem(where, f"not valid {language}: {getattr(error, 'problem', error)}")]
        ) from None
    except RecursionError:
        raise ConfigError(source, [Problem("$", f"not valid {language}: nested too deep")]) from None
    except ValueError as error:
        raise ConfigError(source, [Problem("$", f"not valid {language}: {error}")]) from None
    if value is None:
        value = {}
    if not isinstance(value, dict):
        raise ConfigError(source, [Problem("$", f"must be a mapping of keys to values, but is {value!r:.60}")])
    return value


def _parse(text: str) -> Any:
    # JSON first: PyYAML refuses its tabs and splits its surrogate pairs. YAML then names the line of a fault.
    with suppress(ValueError):
        return json.loads(text, object_pairs_hook=_pairs_without_repeats)
    return yaml.load(text, _Loader)


def _pairs_without_repeats(pairs: list[tuple[str, Any]]) -> Json:
    if len(dict(pairs)) < len(pairs):
        raise ValueError("a key is given twice")
    return dict(pairs)


def read_text(path: Path) -> str:
    """Text of a file that the user named, or one clear error."""
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ConfigError(str(path), [Problem("$", "no such file; check the path")]) from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(str(path), [Problem("$", f"cannot be read: {error}")]) from None


S = TypeVar("S", bound=BaseModel)


def validate(kind: type[S], value: Mapping[str, Any], source: str) -> S:
    """``value`` as a ``kind``; raises one :class:`ConfigError` with every problem."""
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


def apply_overrides(base: Mapping[str, Any], changes: Mapping[str, Any]) -> Json:
    """``base`` with ``changes`` laid over it, mapping by mapping; other values are replaced whole."""
    merged = dict(base)
    for key, value in changes.items():
        old = merged.get(key)
        merged[key] = apply_overrides(old, value) if isinstance(old, dict) and isinstance(value, Mapping) else value
    return merged


def value_at(tree: Mapping[str, Any], path: str, default: Any = None) -> Any:
    """Value at a dotted path such as ``model.params.num_leaves``."""
    node: Any = tree
    for part in path.split("."):
        if not isinstance(node, Mapping) or part not in node:
            return default
        node = node[part]
    return node


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


def nearest(word: str, known: Iterable[str]) -> str:
    """``; did you mean 'num_leaves'?`` or, with nothing near, the known words."""
    candidates = list(known)
    close = difflib.get_close_matches(word, candidates, n=1, cutoff=0.6)
    if close:
        return f"; did you mean {close[0]!r}?"
    listed = ", ".join(sorted(candidates)[:12]) + (", …" if len(candidates) > 12 else "")
    return f"; known: {listed}" if listed else ""


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
