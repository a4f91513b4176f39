"""Looks at predictions, kept beside the fits: a round whose fits are stored has nothing to compute but its scores.

An entry's name is made of what decides a look: the data, the eras, the features and target that a prediction is held
against, and the prediction itself. So it serves any variant that predicts the same, whatever it is made of.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, fields
from io import BytesIO
from typing import Any

import numpy as np
import numpy.typing as npt

from numerai_ray.config import fingerprint
from numerai_ray.system.storage import Place
from numerai_ray.training.diagnostics import Diagnosis
from numerai_ray.training.key import library_version
from numerai_ray.training.spec import VariantPlan
from numerai_ray.training.store.entry import read_entry, write_entry

Floats = npt.NDArray[np.float64]
MAGIC = b"numerai-ray look 1\n"
# Raised whenever the code comes to see something else in the same predictions.
LOOK_VERSION = 1


@dataclass(frozen=True)
class DiagnosticsStore:
    """The looks in a store of fits; safe for concurrent writers, as the fits are."""

    root: Place

    def path(self, key: str) -> Place:
        return self.root / key[:2] / f"{key}.look"

    def put(self, key: str, look: Diagnosis) -> None:
        """Keep a look.

        Raises:
            EnvironmentFault: the store cannot be written (disk full, no rights).

        """
        content = BytesIO()
        arrays: dict[str, Any] = {field.name: np.asarray(getattr(look, field.name)) for field in fields(look)}
        np.savez(content, **arrays)
        write_entry(self.path(key), MAGIC, {}, content.getvalue())

    def get(self, key: str) -> Diagnosis | None:
        """The look, or None; a damaged entry is renamed to ``*.damaged`` and counts as none.

        Raises:
            EnvironmentFault: the entry cannot be read.

        """
        return read_entry(self.path(key), MAGIC, _decode, f"{key}-look.damaged")


def _decode(head: Mapping[str, Any], payload: bytes) -> Diagnosis:
    del head
    parts = np.load(BytesIO(payload), allow_pickle=False)
    eras = parts["eras"]
    # Looks of version 0.2 knew no turnover.
    held = {"turnover": np.full(len(eras), np.nan), **parts}
    arrays = {field.name: held[field.name] for field in fields(Diagnosis) if field.name != "eras"}
    for name, each in arrays.items():
        of = arrays["exposure"] if name in ("exposure", "counted") else eras
        if each.shape != (len(of),) or each.dtype.kind not in "fi":
            raise ValueError(f"{name}: {each.dtype} {each.shape}")
    return Diagnosis(eras=tuple(eras.tolist()), **arrays)


def diagnostics_key(plan: VariantPlan, prediction: Floats) -> str:
    """64 hex digits of everything that decides what is seen in ``prediction`` (n,), in fold order."""
    decides = {
        "look_version": LOOK_VERSION,
        "content": plan.predicted["diagnosed"],
        "eras": [fold.validation_eras for fold in plan.folds.trainable],
        "looked": [plan.diagnosed.features, plan.diagnosed.neutral_to],
        "target": plan.config.score.target,
        "prediction": hashlib.sha256(np.ascontiguousarray(prediction, np.float64).tobytes()).hexdigest(),
        "libraries": {name: library_version(name) for name in ("numpy", "scipy")},
    }
    return fingerprint(decides, digits=64)
