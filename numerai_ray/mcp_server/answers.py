"""Answers: what a command said, made small enough for an agent: pages of long lists, and nothing beyond a limit."""

import json
from collections.abc import Mapping
from typing import Any

from numerai_ray.errors import RequestError
from numerai_ray.mcp_server.tools import Tool

# About ten thousand tokens; what is longer is cut where it says so.
MOST_CHARACTERS = 40_000
CUTS = (50, 20, 10, 5, 2)
MOST_A_PAGE = 500


def answer(tool: Tool, value: Any, given: Mapping[str, Any]) -> Any:
    """``value`` with the page of its list that was asked for, cut to the limit."""
    if isinstance(value, dict) and isinstance(value.get(tool.page), list):
        value = _paged(tool, value, given)
    shown, cut = value, 0
    for most in CUTS:
        if len(json.dumps(shown)) <= MOST_CHARACTERS:
            break
        shown, cut = _cut(value, most), most
    if cut and isinstance(shown, dict):
        return {**shown, "cut": f"lists are cut after {cut} entries, because the answer was too long; ask for less"}
    return shown


def _paged(tool: Tool, value: dict[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    limit, offset = (_whole(given, name, low) for name, low in (("limit", 1), ("offset", 0)))
    limit = min(limit or tool.per_page, MOST_A_PAGE)
    offset = offset or 0
    whole = value[tool.page]
    listed = list(reversed(whole)) if tool.latest else whole
    page = {"of": tool.page, "total": len(whole), "offset": offset, "limit": limit}
    return {**value, tool.page: listed[offset : offset + limit], "paging": page}


def _whole(given: Mapping[str, Any], name: str, low: int) -> int | None:
    value = given.get(name)
    if value is not None and value < low:
        raise RequestError(f"{name}: must be {low} or more, but is {value}")
    return None if value is None else int(value)


def _cut(value: Any, most: int) -> Any:
    if isinstance(value, dict):
        return {key: _cut(each, most) for key, each in value.items()}
    if isinstance(value, list):
        return [_cut(each, most) for each in value[:most]]
    return value
