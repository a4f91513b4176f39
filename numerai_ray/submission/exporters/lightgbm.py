"""LightGBM travels as its model text, which other versions of the library read."""

import re

from numerai_ray.submission.exporters.registry import Trained


def portable(trained: Trained) -> str:
    """``Booster.model_to_string``; numbers in it have 17 digits, so nothing is lost.

    It also says how many threads trained it, which decides nothing, and would make equal models differ.
    """
    text = str(trained.fitted.booster.model_to_string())
    return re.sub(r"^\[num_threads: \d+\]$", "[num_threads: 1]", text, flags=re.M)
