"""JSON that somebody else may have written, or that was damaged since: a value, or :class:`ValueError`."""

import json
from typing import Any

from numerai_ray.errors import EnvironmentFault
from numerai_ray.storage import Place

# What we write is nested a few levels deep; thousands of them would end whatever walks through a value.
MOST_LEVELS = 100


def parse_json(text: str | bytes) -> Any:
    """The value; raises :class:`ValueError` for what is no JSON, no UTF-8, or nested too deep."""
    content = text.encode() if isinstance(text, str) else text
    try:
        value = json.loads(content)
    except RecursionError:
        raise ValueError("nested too deep") from None
    if content.count(b"[") + content.count(b"{") > MOST_LEVELS:
        _check_levels(value)
    return value


def read_json(where: Place) -> dict[str, Any]:
    """A JSON mapping that we wrote and can do without; empty when it is missing, damaged, or no file."""
    try:
        value = parse_json(where.read_bytes()) if where.is_file() else None  # a pipe would be waited for
    except (OSError, ValueError, EnvironmentFault):
        return {}
    return value if isinstance(value, dict) else {}


def _check_levels(value: Any) -> None:
    level = [value]
    for _ in range(MOST_LEVELS):
        inside = (each.values() if isinstance(each, dict) else each for each in level if isinstance(each, dict | list))
        level = [inner for each in inside for inner in each if isinstance(inner, dict | list)]
        if not level:
            return
    raise ValueError("nested too deep")
