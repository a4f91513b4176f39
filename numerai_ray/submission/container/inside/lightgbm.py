"""LightGBM in the container: the model's text, loaded by the container's own library."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


def lightgbm(payload: str) -> Callable[[Any], Any]:
    """Payload: ``Booster.model_to_string()``."""
    from lightgbm import Booster

    booster = Booster(model_str=payload)
    return lambda matrix: booster.predict(matrix)
