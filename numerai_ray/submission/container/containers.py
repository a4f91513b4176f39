"""Numerai's containers, in which submitted pickles run: library versions by Python version, and the limits of a run.

Pins: ``py3.*/poetry.lock`` of ``numerai/numerai-predict``, from which the images install (the ``requirements.txt``
beside it may be older), as read in November 2026. Limits: Numerai's page on model uploads. Only what a prediction may
need is listed.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from numerai_ray.errors import RequestError, nearest

DEFAULT_PYTHON = "3.12"
MEMORY_BYTES = 4 * 10**9
SECONDS = 600.0
# What a round's live data has at most; times of smaller data are scaled up to it.
LIVE_ROWS = 7_200
_COMMON = {"threadpoolctl": "3.6.0", "python-dateutil": "2.9.0.post0", "pytz": "2025.2"}
_OLDER = (
    _COMMON
    | {"tzdata": "2025.2", "six": "1.17.0", "cloudpickle": "3.1.1", "scikit-learn": "1.6.1"}
    | {"joblib": "1.5.2", "pandas": "2.3.2", "scipy": "1.16.2"}
)
_NEWER = (
    _COMMON
    | {"tzdata": "2025.3", "six": "1.17.0", "cloudpickle": "3.1.2", "scikit-learn": "1.6.1"}
    | {"joblib": "1.5.3"}
)
# Libraries that train models. The rest of their requirements (NCCL, plotting) plays no part in predictions.
MODEL_LIBRARIES = ("lightgbm", "xgboost", "catboost", "scikit-learn")
# The same code of the same version without its GPU half, which the container has no use for: 5 MB instead of 250.
INSTALLED_AS = {"xgboost": "xgboost-cpu"}


@dataclass(frozen=True)
class Container:
    """One of Numerai's images: a Python version and the versions of its libraries."""

    python: str
    pins: Mapping[str, str]

    @property
    def image(self) -> str:
        """The image's name at Numerai, without its tag."""
        return f"numerai_predict_py_{self.python.replace('.', '_')}"

    def requirements(self) -> tuple[str, ...]:
        """``name==version`` of everything that a prediction may need, sorted."""
        return tuple(sorted(f"{INSTALLED_AS.get(name, name)}=={number}" for name, number in self.pins.items()))

    def check(self, libraries: Sequence[str]) -> None:
        """Raise :class:`RequestError` where the container lacks one of the libraries."""
        missing = [name for name in libraries if name not in self.pins]
        if missing:
            known = ", ".join(f"{name} {self.pins[name]}" for name in MODEL_LIBRARIES)
            raise RequestError(
                f"Numerai's container for Python {self.python} has no {missing[0]}, so it cannot run this model; "
                f"it has {known}; export another variant"
            )


CONTAINERS: Mapping[str, Container] = {
    each.python: each
    for each in (
        Container(
            "3.11",
            _OLDER
            | {"numpy": "2.1.3", "pyarrow": "21.0.0"}
            | {"lightgbm": "4.6.0", "xgboost": "3.0.5", "catboost": "1.2.8"},
        ),
        Container(
            "3.12",
            _OLDER
            | {"numpy": "2.1.3", "pyarrow": "18.1.0"}
            | {"lightgbm": "4.5.0", "xgboost": "3.0.5", "catboost": "1.2.8"},
        ),
        Container(
            "3.13",
            _NEWER
            | {"numpy": "2.2.6", "pandas": "2.3.3", "pyarrow": "18.1.0", "scipy": "1.17.1"}
            | {"lightgbm": "4.5.0", "xgboost": "3.0.5", "catboost": "1.2.10"},
        ),
        Container(
            "3.14",
            _NEWER
            | {"numpy": "2.4.6", "pandas": "3.0.5", "pyarrow": "25.0.0", "scipy": "1.17.1"}
            | {"lightgbm": "4.5.0", "xgboost": "3.0.5", "catboost": "1.2.10"},
        ),
    )
}
# Images that Numerai has and that are not offered, and why.
NOT_OFFERED = {
    "3.10": "its libraries (lightgbm 4.0.0, xgboost 1.7.5, numpy 1.26.4) are years older than those that models are "
    "trained with here, and Python 3.10 gets no more fixes",
}


def container_for(python: str) -> Container:
    """Numerai's container of this Python version; raises :class:`RequestError` for one that is not offered."""
    if python in NOT_OFFERED:
        offered = ", ".join(CONTAINERS)
        raise RequestError(
            f"--python: Numerai's container for Python {python} is not offered: {NOT_OFFERED[python]}; choose one of "
            f"{offered} (default {DEFAULT_PYTHON}), which Numerai runs just as well"
        )
    if python not in CONTAINERS:
        hint = nearest(python, CONTAINERS)
        raise RequestError(f"--python: Numerai has no container for Python {python!r}{hint}; default {DEFAULT_PYTHON}")
    return CONTAINERS[python]


INSIDE = Path(__file__).resolve().parent / "inside"
