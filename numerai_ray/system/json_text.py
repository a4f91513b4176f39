"""JSON that somebody else may have written, or that was damaged since: a value, or :class:`ValueError`."""

import json
import math
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from numerai_ray.errors import EnvironmentFault
from numerai_ray.system.files import write_text
from numerai_ray.system.storage import Place

# What we write is nested a few levels deep; thousands of them would end whatever walks through a value.
MOST_LEVELS = 100


def parse_json(text: str | bytes) -> Any:
    """The value; raises :class:`ValueError` for what is no JSON, no UTF-8, or nested too deep."""
    # Five times as fast as the standard library: a report reads every results file.
    from pydantic_core import from_json  # noqa: PLC0415

    content = text.encode() if isinstance(text, str) else text
    try:
        value = from_json(content)
    except ValueError:
        # The standard library knows byte order marks and lone surrogates too, and its words are what users have read.
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


def without_nan(value: Any) -> Any:
    """``value`` with NaN and infinities as None: JSON knows neither."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: without_nan(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [without_nan(item) for item in value]
    return value


def to_json(value: Any, indent: int | None = None) -> str:
    """JSON text of plain values and records; NaN becomes null."""
    plain = asdict(value) if hasattr(value, "__dataclass_fields__") else value
    return json.dumps(without_nan(plain), indent=indent, sort_keys=indent is not None)


def write_json(path: Path, value: Any) -> None:
    """Write a readable JSON file whole or not at all."""
    write_text(path, to_json(value, indent=2) + "\n")
