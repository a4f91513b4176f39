"""CatBoost in the container: the model's own bytes, loaded by the container's own library."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


def catboost(payload: bytes) -> Callable[[Any], Any]:
    """Payload: the model in CatBoost's format ``cbm``."""
    from catboost import CatBoost

    model = CatBoost()
    model.load_model(blob=payload)
    return lambda matrix: model.predict(matrix, thread_count=1)
