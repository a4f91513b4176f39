"""LightGBM travels as its model text, which other versions of the library read."""

from numerai_ray.submission.exporters.registry import Trained


def portable(trained: Trained) -> str:
    """``Booster.model_to_string``; numbers in it have 17 digits, so nothing is lost."""
    return str(trained.fitted.booster.model_to_string())
