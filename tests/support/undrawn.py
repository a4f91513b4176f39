"""The quick tier without Matplotlib's seconds: pictures of reports are one dot, except where a test looks at them.

A plugin of pytest that ``conftest`` brings along. A run draws twenty pictures, in half a second to three, and most
tests run something to see other things. ``@pytest.mark.pictures`` is for those that see pictures; every other tier has
them.
"""

import base64
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from core_seconds import is_quick_tier

from numerai_ray.report import ensemble
from numerai_ray.report.plots import drawing, registry
from numerai_ray.system.files import whole_file

DOT = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)
DRAWN = drawing.write_pictures


def write_dots(paths: Mapping[Any, Path], draw: Callable[[Any], Any]) -> None:
    """What ``write_pictures`` leaves, but for what is seen: each file, whole or not at all."""
    assert callable(draw)
    for path in paths.values():
        with whole_file(path) as partial:
            partial.write_bytes(DOT)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Before any fixture."""
    seen = not is_quick_tier(item.config) or item.get_closest_marker("pictures")
    for module in (drawing, registry, ensemble):
        module.write_pictures = DRAWN if seen else write_dots  # type: ignore[attr-defined]
