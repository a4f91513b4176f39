"""Rules of our validators that JSON Schema can tell as well: each beside its validator's section, made here.

A validator decides; what stands here tells editors and other programs the same. A rule that compares two values
(`offset < every`), looks into another file or at the data is the loader's alone.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic.config import JsonDict

# Marks a mapping that is laid over a config; names the definition of what may stand in it.
CHANGES = "x-changes"
# A section's rules that a part of it need not keep by itself: what is missing stands in what it is laid over.
OF_THE_WHOLE = ("required", "if", "then", "else", "default")
WHOLE_OR_FRACTION: list[Any] = [
    {"type": "null"},
    {"type": "number", "minimum": 0, "maximum": 1},
    {"type": "number", "minimum": 0, "multipleOf": 1},
]
# Values of a dimension are of one type; where a mapping or a list may stand, it stands beside a name or nothing.
ONE_TYPE: list[Any] = [
    *({"items": {"type": kind}} for kind in ("boolean", "number", "string", "null")),
    {"items": {"type": ["object", "array", "null", "string"]}, "contains": {"type": ["object", "array"]}},
]
RANGE_RULES: JsonDict = {
    "allOf": [
        {
            "if": {"properties": {"scale": {"const": "log"}}, "required": ["scale"]},
            "then": {"properties": {"low": {"exclusiveMinimum": 0}}},
        },
        {
            "if": {"properties": {"integer": {"const": True}}, "required": ["integer"]},
            "then": {"properties": {"low": {"multipleOf": 1}, "high": {"multipleOf": 1}}},
        },
    ]
}

TWO_METRICS: JsonDict = {
    "if": {"properties": {"metrics": {"type": "array"}}, "required": ["metrics"]},
    "then": {
        "properties": {"proposer": {"const": "optuna"}, "joint": {"const": True}, "prune": {"const": False}},
        "required": ["proposer", "joint"],
    },
}


def only_with(key: str, value: str, needed: str, default: str | None = None) -> JsonDict:
    """``needed`` must be given where ``key`` is ``value``, and must not where it is anything else."""
    is_value: JsonDict = {"properties": {key: {"const": value}}}
    if default != value:
        is_value["required"] = [key]
    return {
        "if": is_value,
        "then": {"required": [needed], "properties": {needed: {"not": {"type": "null"}}}},
        "else": {"properties": {needed: {"type": "null"}}},
    }


def keys_by_type(own_keys: Mapping[str, frozenset[str]]) -> JsonDict:
    """Beside ``type``, only the keys of that type."""
    return {
        "allOf": [
            {
                "if": {"properties": {"type": {"const": kind}}, "required": ["type"]},
                "then": {"propertyNames": {"enum": ["type", *sorted(keys)]}},
            }
            for kind, keys in own_keys.items()
        ]
    }


def begins_with(paths: Sequence[str]) -> str:
    """The pattern of a path that begins with one of ``paths`` and does not end in a dot."""
    return rf"^(?!.*\.$)(?:{'|'.join(re.escape(path) for path in paths)})"


def dimension_rules() -> JsonDict:
    """What holds between the keys of a dimension."""
    has_range: JsonDict = {"required": ["range"], "properties": {"range": {"type": "object"}}}
    scaled: JsonDict = {
        "required": ["coupled"],
        "properties": {"coupled": {"type": "object", "not": {"additionalProperties": {"type": "array"}}}},
    }
    positive: JsonDict = {
        "values": {"items": {"type": "number", "exclusiveMinimum": 0}},
        "range": {"properties": {"low": {"exclusiveMinimum": 0}}},
    }
    # Another model type takes other parameters, all of them together.
    with_type: JsonDict = {"properties": {"path": {"const": "model.type"}}}
    param: JsonDict = {"required": ["path"], "properties": {"path": {"pattern": r"^model\.params\."}}}
    return {
        "anyOf": [{"required": ["values"]}, has_range],
        "allOf": [
            {"if": scaled, "then": {"properties": positive}},
            {
                "if": has_range,
                "then": {"properties": {"coupled": {"additionalProperties": {"not": {"type": "array"}}}}},
            },
            {
                "if": with_type,
                "else": {"properties": {"coupled": {"propertyNames": {"not": {"const": "model.params"}}}}},
            },
            {"if": param, "then": {"properties": {"values": {"items": {"not": {"type": "object"}}}}}},
        ],
    }
