"""YAML and JSON files that users write, read strictly: one clear message with the place of a fault; and written."""

import json
import re
from contextlib import suppress
from pathlib import Path
from typing import Any

import yaml

from numerai_ray.config.validation import Json
from numerai_ray.errors import ConfigError, Problem
from numerai_ray.system.files import read_plain_text

# Far more than any plan or config has.
MOST_VALUES = 100_000


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


class _Dumper(yaml.SafeDumper):
    """Quotes every text that :class:`_Loader`, or a loader of YAML 1.1, would take for something else."""


_Dumper.yaml_implicit_resolvers = {
    first: [*_Loader.yaml_implicit_resolvers.get(first, ()), *resolvers]
    for first, resolvers in yaml.SafeDumper.yaml_implicit_resolvers.items()
}


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


def _as_compiled(loader: type[yaml.SafeLoader]) -> Any:
    """The same loader over libyaml, nine times as fast; None where PyYAML was built without it."""
    compiled = getattr(yaml, "CSafeLoader", None)
    same = {name: getattr(loader, name) for name in ("yaml_implicit_resolvers", "yaml_constructors")}
    return compiled and type("_Compiled", (compiled,), same)


_Compiled = _as_compiled(_Loader)


def parse_yaml(text: str, source: str) -> Json:
    """The mapping in ``text`` (YAML or JSON).

    Raises:
        ConfigError: it cannot be read, or holds something else; ``source`` names it, and JSON by its ending.

    """
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


def yaml_text(value: Json) -> str:
    """``value`` as YAML in the order of its keys; :func:`parse_yaml` gives it back, type by type."""
    return yaml.dump(value, Dumper=_Dumper, sort_keys=False)


def _parse(text: str) -> Any:
    # JSON first: PyYAML refuses its tabs and splits its surrogate pairs. YAML then names the line of a fault.
    with suppress(ValueError):
        return json.loads(text, object_pairs_hook=_pairs_without_repeats)
    value = _loaded(text)
    if "*" in text:
        _check_written_out(value, {})
    return value


def _loaded(text: str) -> Any:
    # libyaml takes tabs where YAML has none. Faults are told in PyYAML's own words, whichever found them.
    if _Compiled is not None and "\t" not in text:
        with suppress(yaml.YAMLError, ValueError):
            return yaml.load(text, _Compiled)
    return yaml.load(text, _Loader)


def _check_written_out(value: Any, sizes: dict[int, int]) -> int:
    """How many values there are once every alias is written out; a few lines of aliases can stand for billions."""
    if not isinstance(value, dict | list):
        return 1
    if id(value) in sizes:
        if sizes[id(value)] == 0:
            raise ValueError("it holds itself; write it out")
        return sizes[id(value)]
    sizes[id(value)] = 0
    inside = value.values() if isinstance(value, dict) else value
    size = 1 + sum(_check_written_out(each, sizes) for each in inside)
    if size > MOST_VALUES:
        raise ValueError(f"with its aliases written out it has more than {MOST_VALUES:,} values; use fewer")
    sizes[id(value)] = size
    return size


def _pairs_without_repeats(pairs: list[tuple[str, Any]]) -> Json:
    if len(dict(pairs)) < len(pairs):
        raise ValueError("a key is given twice")
    return dict(pairs)


def read_text(path: Path) -> str:
    """Text of a file that the user named.

    Raises:
        ConfigError: it is not there, or no text.

    """
    try:
        return read_plain_text(path)
    except FileNotFoundError:
        raise ConfigError(str(path), [Problem("$", "no such file; check the path")]) from None
    except OSError as error:
        raise ConfigError(str(path), [Problem("$", f"cannot be read: {error}; name a file that can be")]) from None
    except ValueError as error:
        raise ConfigError(str(path), [Problem("$", f"cannot be read: {error}")]) from None
