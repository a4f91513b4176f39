"""A model of the user's own in the container: its source run as a module, and what its ``fit`` returned."""

from __future__ import annotations

import pickle
import sys
from collections.abc import Callable, Mapping
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd


def own(payload: Mapping[str, Any]) -> Callable[..., Any]:
    """Payload: ``source`` and the ``module`` that it was, the pickle ``fitted``, ``features``, ``takes_frames``."""
    module = ModuleType(payload["module"])
    sys.modules[payload["module"]] = module  # where the pickle looks for its classes
    exec(compile(payload["source"], payload["module"], "exec"), module.__dict__)
    fitted = pickle.loads(payload["fitted"])
    names = list(payload["features"])

    def predict(matrix: Any, benchmarks: Mapping[str, Any] | None = None) -> Any:
        eras = np.zeros(len(matrix), np.int32)  # live rows have no number of a week
        if payload["takes_frames"]:
            given: Any = pd.DataFrame(matrix, pd.Index(eras, name="era"), names)
        else:
            given = SimpleNamespace(
                features=matrix,
                names=tuple(names),
                eras=eras,
                target=None,
                weights=None,
                benchmarks=benchmarks or {},
                threads=1,
            )
        found = np.asarray(fitted.predict(given), np.float64)
        return found[:, 0] if found.ndim == 2 else found

    return predict
