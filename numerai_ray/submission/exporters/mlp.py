"""The MLP travels as its matrices: the container multiplies them with numpy, and needs no PyTorch."""

from typing import Any

import numpy as np

from numerai_ray.submission.exporters.registry import Trained


def portable(trained: Trained) -> list[dict[str, Any]]:
    """A mapping a linear layer; rectifiers lie between them, and dropout is not there when predicting."""
    layers = [each for each in trained.fitted.predictor.network if hasattr(each, "weight")]
    found = []
    for layer in layers:
        weight = np.ascontiguousarray(layer.weight.detach().cpu().numpy(), np.float32)
        bias = np.ascontiguousarray(layer.bias.detach().cpu().numpy(), np.float32)
        found.append({"weight": weight.tobytes(), "shape": list(weight.shape), "bias": bias.tobytes()})
    return found
