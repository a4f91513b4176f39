"""numerai-ray: from an idea to a submitted Numerai model, in rounds that change one variable at a time.

For notebooks::

    from numerai_ray import Experiment

    experiment = Experiment.load("experiments/quickstart")
    experiment.table()
    experiment.oof(experiment.best)
"""

import os
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from numerai_ray.errors import ConfigError, DataError, FitError, NumeraiRayError, RequestError
    from numerai_ray.experiment import Experiment

__all__ = ["ConfigError", "DataError", "Experiment", "FitError", "NumeraiRayError", "RequestError"]

WINDOWS_ADVICE = (
    "numerai-ray runs on Linux and macOS, not on Windows itself; install WSL there (`wsl --install`), which is a "
    "Linux, and use numerai-ray in it"
)
_HOMES = {"Experiment": "numerai_ray.experiment"}


def __getattr__(name: str) -> Any:
    # On first use: the command line imports this package every time, and pandas is half of what it waits for.
    if name not in __all__:
        raise AttributeError(f"module 'numerai_ray' has no attribute {name!r}")
    if os.name == "nt":
        raise ImportError(WINDOWS_ADVICE)
    return getattr(import_module(_HOMES.get(name, "numerai_ray.errors")), name)


def __dir__() -> list[str]:
    return sorted(__all__)
