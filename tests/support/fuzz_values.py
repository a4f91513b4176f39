"""Values that nobody meant, and trees of values with such values in them."""

import random
from collections.abc import Iterator
from copy import deepcopy
from typing import Any, get_args, get_origin

import annotated_types
from pydantic import BaseModel

NASTY: tuple[Any, ...] = (
    None,
    True,
    False,
    0,
    -1,
    1,
    2,
    3,
    7,
    1.5,
    -0.5,
    1e-300,
    1e300,
    float("nan"),
    float("inf"),
    10**9,
    10**15,
    2**63,
    10**400,
    "",
    " ",
    "x",
    "nan",
    "1e5",
    "../x",
    "a/b",
    "/",
    ".",
    "x:y",
    "*",
    "\x1b[31mred\x1b[0m",
    "a\nb",
    "a\x00b",
    "é𝔘\u202e",
    "y" * 5000,
    "{x}",
    "%s",
    [],
    {},
    [1],
    [None],
    [[]],
    ["x", "x"],
    {"x": 1},
    {"type": "x"},
    {"": {}},
)
NAMES = ("small", "medium", "all", "target_ender_20", "target_ender_60", "v52_lgbm_ender20", "benchmark", "v5.2")

Path = tuple[str | int, ...]


def places(tree: Any, at: Path = ()) -> Iterator[Path]:
    """Where values stand in a tree of mappings and lists, itself left out."""
    items: Any = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ()
    for key, value in items:
        yield (*at, key)
        yield from places(value, (*at, key))


def value_at(tree: Any, path: Path) -> Any:
    for key in path:
        tree = tree[key]
    return tree


def fields(kind: type[BaseModel], at: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Every key that a schema knows, with its type."""
    for name, field in kind.model_fields.items():
        yield (*at, name), field
        for inner in _sections(field.annotation):
            yield from fields(inner, (*at, name))


def _sections(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    elif get_origin(annotation) is not dict:
        for each in get_args(annotation):
            yield from _sections(each)


def plausible(field: Any, draw: random.Random) -> Any:
    """A value that a key of a schema might take; a key that is listed with its values takes one of them."""
    if isinstance(field, tuple):
        return draw.choice(field)
    choices = list(_literals(field.annotation))
    if choices and draw.random() < 0.8:
        return draw.choice(choices)
    text = str(field.annotation)
    pools: list[Any] = []
    if "int" in text:
        low = max((each.ge for each in field.metadata if isinstance(each, annotated_types.Ge)), default=0)
        pools += [low, low + 1, 2, 3, 5, 16, 40]
    if "float" in text:
        pools += [0.0, 0.1, 0.5, 1.0, 2.0]
    if "bool" in text:
        pools += [True, False]
    if "str" in text:
        pools += list(NAMES)
    if "list" in text:
        pools += [[draw.choice(NAMES)], [1, 2], [draw.choice(NAMES), draw.choice(NAMES)]]
    if "dict" in text:
        members = {"a": {}, "b": {"model": {"params": {"num_leaves": 3}}}}
        pools += [{draw.choice(NAMES): draw.choice((0.5, 1, 2))}, members]
    return draw.choice(pools or [None])


def _literals(annotation: Any) -> Iterator[Any]:
    for each in get_args(annotation):
        if isinstance(each, str):
            yield each
        else:
            yield from _literals(each)


def mutated(tree: dict[str, Any], known: list[tuple[tuple[str, ...], Any]], draw: random.Random) -> dict[str, Any]:
    """A copy of ``tree`` with one to four changes; ``known`` are keys that the schema has, with their fields."""
    tree = deepcopy(tree)
    wild = ("set", "set", "delete", "rename", "swap", "add", "add", "add nasty", "nest")
    mild = draw.random() < 0.5  # what a schema takes is looked at further on
    acts = ("add",) if mild else wild
    for _ in range(draw.choice((1, 1, 1, 2) if mild else (1, 1, 1, 2, 2, 3, 4))):
        there = list(places(tree))
        act = draw.choice(acts)
        if act in ("add", "add nasty") or not there:
            path, field = draw.choice(known)
            _put(tree, path, plausible(field, draw) if act == "add" else draw.choice(NASTY))
            continue
        path = draw.choice(there)
        parent = value_at(tree, path[:-1])
        last: Any = path[-1]
        if act == "set":
            parent[last] = deepcopy(draw.choice(NASTY))
        elif act == "delete":
            del parent[last]
        elif act == "nest":
            parent[last] = draw.choice(([parent[last]], {"x": parent[last]}))
        elif act == "swap":
            other = draw.choice(there)
            parent[last] = deepcopy(value_at(tree, other))
        elif isinstance(parent, dict):
            text = str(last)
            cut = draw.randrange(len(text) + 1)
            parent[text[:cut] + draw.choice(("", "_", "e", "é", " ", ".", "\x1b")) + text[cut + 1 :]] = parent.pop(last)
    return tree


def _put(tree: dict[str, Any], path: tuple[str, ...], value: Any) -> None:
    node = tree
    for part in path[:-1]:
        if not isinstance(node.get(part), dict):
            node[part] = {}
        node = node[part]
    node[path[-1]] = deepcopy(value)


def broken(text: bytes, draw: random.Random) -> bytes:
    """A text with bytes changed, left out or put in, or cut short."""
    content = bytearray(text)
    for _ in range(draw.choice((1, 1, 2, 5))):
        place = draw.randrange(len(content) + 1)
        act = draw.choice(("set", "insert", "delete", "cut"))
        if act == "insert" or place == len(content):
            content[place:place] = draw.choice((b"\x00", b"\xff", b"\t", b"- ", b": ", b"{", b"[", b"&a ", b"*a "))
        elif act == "set":
            content[place] = draw.randrange(256)
        elif act == "delete":
            del content[place : place + draw.choice((1, 3, 20))]
        else:
            del content[max(place, len(content) // 2) :]
    return bytes(content)
