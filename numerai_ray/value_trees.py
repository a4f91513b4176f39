"""Plain values in mappings of mappings: laid over each other, looked up by dotted path, fingerprinted."""

import difflib
import hashlib
import json
from collections.abc import Iterable, Mapping
from typing import Any

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
    """Value at a dotted path such as ``model.params.num_leaves``."""
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


def nearest(word: str, known: Iterable[str]) -> str:
    """``; did you mean 'num_leaves'?`` or, with nothing near, the known words."""
    candidates = list(known)
    close = difflib.get_close_matches(word, candidates, n=1, cutoff=0.6)
    if close:
        return f"; did you mean {close[0]!r}?"
    listed = ", ".join(sorted(candidates)[:12]) + (", …" if len(candidates) > 12 else "")
    return f"; known: {listed}" if listed else ""
