"""LightGBM travels as its model text, which other versions of the library read."""

from typing import Any


def portable(fitted: Any) -> str:
    """``Booster.model_to_string``; numbers in it have 17 digits, so nothing is lost."""
    return str(fitted.booster.model_to_string())
