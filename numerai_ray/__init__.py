"""numerai-ray: from an idea to a submitted Numerai model, in rounds that change one variable at a time.

In Python and in notebooks (``numerai_ray/docs/tutorial.ipynb`` goes through all of it)::

    from numerai_ray import Dimension, Experiment, evaluate

    experiment = Experiment.load("experiments/quickstart")
    experiment.run(rounds=1)
    experiment.table()
    experiment.plot.cumulative()
    evaluate("mine.parquet", data_version="v5.3", against=[experiment])

Errors are :class:`RequestError`, with :class:`ConfigError` below it, which lists its problems, and :class:`FitError`;
the other kinds of requests that cannot be carried out stand in :mod:`numerai_ray.errors`.
"""

import os
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from numerai_ray.errors import ConfigError, FitError, NumeraiRayError, RequestError
    from numerai_ray.models.described import Model
    from numerai_ray.session.authoring import Dimension
    from numerai_ray.session.checking import check_model
    from numerai_ray.session.compare import compare
    from numerai_ray.session.data_in_hand import (
        era_folds,
        load_features,
        load_targets,
        post_process,
        transform_target,
    )
    from numerai_ray.session.ensemble import Ensemble
    from numerai_ray.session.evaluate import evaluate
    from numerai_ray.session.experiment import Experiment

# Before any library is loaded that reads them. Threads that spin while they wait take cores from whoever has work:
# beside other programs a run took 64 s that takes 16 s without. LightGBM, XGBoost, scikit-learn and PyTorch use
# OpenMP, GNU's or LLVM's, which has a name of its own for it.
for _name, _value in {"OMP_WAIT_POLICY": "passive", "KMP_BLOCKTIME": "0"}.items():
    os.environ.setdefault(_name, _value)

__all__ = [
    "ConfigError",
    "Dimension",
    "Ensemble",
    "Experiment",
    "FitError",
    "Model",
    "NumeraiRayError",
    "RequestError",
    "check_model",
    "compare",
    "era_folds",
    "evaluate",
    "load_features",
    "load_targets",
    "post_process",
    "transform_target",
]

WINDOWS_ADVICE = (
    "numerai-ray runs on Linux and macOS, not on Windows itself; install WSL there (`wsl --install`), which is a "
    "Linux, and use numerai-ray in it"
)
_HOMES = {
    "Dimension": "numerai_ray.session.authoring",
    "Ensemble": "numerai_ray.session.ensemble",
    "Experiment": "numerai_ray.session.experiment",
    "Model": "numerai_ray.models.described",
    "check_model": "numerai_ray.session.checking",
    "compare": "numerai_ray.session.compare",
    "evaluate": "numerai_ray.session.evaluate",
    **dict.fromkeys(
        ("era_folds", "load_features", "load_targets", "post_process", "transform_target"),
        "numerai_ray.session.data_in_hand",
    ),
}


def __getattr__(name: str) -> Any:
    # On first use: the command line imports this package every time, and pandas is half of what it waits for.
    if name not in __all__:
        raise AttributeError(f"module 'numerai_ray' has no attribute {name!r}")
    if os.name == "nt":
        raise ImportError(WINDOWS_ADVICE)
    return getattr(import_module(_HOMES.get(name, "numerai_ray.errors")), name)


def __dir__() -> list[str]:
    return sorted(__all__)
