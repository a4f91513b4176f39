"""A multilayer perceptron in the container: matrices and numpy, no PyTorch."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np


def mlp(payload: Sequence[Mapping[str, Any]]) -> Callable[[Any], Any]:
    """Payload: a mapping a layer, ``weight`` (out, in) and ``bias`` (out,) as float32 bytes, and their ``shape``."""
    layers = [
        (
            np.frombuffer(each["weight"], np.float32).reshape(each["shape"]),
            np.frombuffer(each["bias"], np.float32),
        )
        for each in payload
    ]

    def predict(matrix: Any) -> Any:
        values = np.nan_to_num((matrix - np.float32(2.0)) / np.float32(1.4142135), nan=0.0)
        for position, (weight, bias) in enumerate(layers):
            values = values @ weight.T + bias
            if position < len(layers) - 1:
                values = np.maximum(values, np.float32(0))
        return values[:, 0]

    return predict
