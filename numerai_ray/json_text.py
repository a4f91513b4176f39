"""JSON that somebody else may have written, or that was damaged since: a value, or :class:`ValueError`."""

import json
from typing import Any

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


def _check_levels(value: Any) -> None:
    level = [value]
    for _ in range(MOST_LEVELS):
        inside = (each.values() if isinstance(each, dict) else each for each in level if isinstance(each, dict | list))
        level = [inner for each in inside for inner in each if isinstance(inner, dict | list)]
        if not level:
            return
    raise ValueError("nested too deep")
