"""XGBoost travels as its model in JSON, in the form that the container's older versions read."""

import json
from typing import Any

from numerai_ray.submission.exporters.registry import Trained


def portable(trained: Trained) -> bytes:
    """``Booster.save_raw("json")``. Since 3.1 its base score is a list, which 3.0 cannot read."""
    raw = bytes(trained.fitted.predictor.booster.save_raw("json"))
    model: dict[str, Any] = json.loads(raw)
    own = model["learner"]["learner_model_param"]
    score = str(own.get("base_score", ""))
    if not (score.startswith("[") and score.count(",") == 0):
        return raw
    own["base_score"] = score.strip("[]")
    return json.dumps(model).encode()
