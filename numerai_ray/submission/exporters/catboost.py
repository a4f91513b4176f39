"""CatBoost travels as its own bytes, which other versions of the library read."""

import tempfile
from pathlib import Path

from numerai_ray.submission.exporters.registry import Trained


def portable(trained: Trained) -> bytes:
    """The model in CatBoost's format ``cbm``; the library writes it to a file only."""
    with tempfile.TemporaryDirectory(prefix="numerai-ray-") as folder:
        path = Path(folder) / "model.cbm"
        trained.fitted.predictor.model.save_model(str(path))
        return path.read_bytes()
