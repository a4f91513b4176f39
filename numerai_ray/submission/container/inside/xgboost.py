"""XGBoost in the container: the model's own bytes, loaded by the container's own library."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


def xgboost(payload: bytes) -> Callable[[Any], Any]:
    """Payload: ``Booster.save_raw("json")``."""
    from xgboost import Booster

    booster = Booster()
    booster.load_model(bytearray(payload))
    booster.set_param({"nthread": 1})
    return booster.inplace_predict
