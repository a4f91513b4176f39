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
    from numerai_ray.session.experiment import Experiment

# Before any library is loaded that reads them. Threads that spin while they wait take cores from whoever has work:
# beside other programs a run took 64 s that takes 16 s without. LightGBM, XGBoost, scikit-learn and PyTorch use
# OpenMP, GNU's or LLVM's, which has a name of its own for it.
for _name, _value in {"OMP_WAIT_POLICY": "passive", "KMP_BLOCKTIME": "0"}.items():
    os.environ.setdefault(_name, _value)

__all__ = ["ConfigError", "DataError", "Experiment", "FitError", "NumeraiRayError", "RequestError"]

WINDOWS_ADVICE = (
    "numerai-ray runs on Linux and macOS, not on Windows itself; install WSL there (`wsl --install`), which is a "
    "Linux, and use numerai-ray in it"
)
_HOMES = {"Experiment": "numerai_ray.session.experiment"}


def __getattr__(name: str) -> Any:
    # On first use: the command line imports this package every time, and pandas is half of what it waits for.
    if name not in __all__:
        raise AttributeError(f"module 'numerai_ray' has no attribute {name!r}")
    if os.name == "nt":
        raise ImportError(WINDOWS_ADVICE)
    return getattr(import_module(_HOMES.get(name, "numerai_ray.errors")), name)


def __dir__() -> list[str]:
    return sorted(__all__)
