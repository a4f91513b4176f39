"""What was trained is kept: a content-addressed store of fold predictions.

An entry's name is the fit's key, made of what decides its predictions (dataset, eras, features, target, model,
parameters, library versions). An entry is written whole or not at all, and verified when read; a damaged one is set
aside and its fit trained again.
"""

import hashlib
import json
from collections.abc import Mapping
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from numerai_ray.errors import EnvironmentFault
from numerai_ray.fit_claims import claimed
from numerai_ray.storage import Place, local_folder, rename, write_whole

MAGIC = b"numerai-ray fit 1\n"


@dataclass(frozen=True, eq=False)
class StoredFit:
    """Predictions (n,) float64 of a fold's validation rows in file order of eras, and facts about the fit."""

    predictions: npt.NDArray[np.float64]
    facts: Mapping[str, Any]


@dataclass(frozen=True)
class FitStore:
    """A folder of fits, local or a URL, shared by all experiments on one data root; safe for concurrent writers."""

    root: Place

    def path(self, key: str) -> Place:
        return self.root / key[:2] / f"{key}.fit"

    def claim(self, family: str) -> AbstractContextManager[None]:
        """Hold the claim on a family of fits while it is trained (see :mod:`numerai_ray.fit_claims`).

        Object storage knows no locks: there the claim holds on this machine, and two machines may train the same.
        """
        return claimed(local_folder(self.root), family)

    def has(self, key: str) -> bool:
        """Whether there is an entry; reading it may still find it damaged."""
        return self.path(key).exists()

    def put(self, key: str, fit: StoredFit) -> None:
        """Keep a fit. Two writers of one key write the same contents, and the last one stays.

        Raises:
            EnvironmentFault: the store cannot be written (disk full, no rights).

        """
        payload = np.ascontiguousarray(fit.predictions, np.float64).tobytes()
        head = json.dumps({"facts": dict(fit.facts), "sha256": hashlib.sha256(payload).hexdigest()}).encode()
        write_whole(self.path(key), MAGIC + len(head).to_bytes(8, "little") + head + payload)

    def get(self, key: str) -> StoredFit | None:
        """The fit, or None when there is none; a damaged entry is renamed to ``*.damaged`` and counts as none."""
        path = self.path(key)
        try:
            content = path.read_bytes()
        except FileNotFoundError:
            return None
        fit = _decode(content)
        if fit is None:
            self.set_aside(key)
        return fit

    def set_aside(self, key: str) -> None:
        """Rename a damaged entry to ``*.damaged``, where that can be done."""
        path = self.path(key)
        with suppress(OSError, EnvironmentFault):
            rename(path, f"{path.stem}.damaged")


def _decode(content: bytes) -> StoredFit | None:
    start = len(MAGIC) + 8
    size = int.from_bytes(content[len(MAGIC) : start], "little")
    if not content.startswith(MAGIC) or len(content) < start + size:
        return None
    payload = content[start + size :]
    try:
        head = json.loads(content[start : start + size])
        if hashlib.sha256(payload).hexdigest() != head["sha256"]:
            return None
        return StoredFit(np.frombuffer(payload, np.float64), head["facts"])
    except (ValueError, KeyError, TypeError):
        return None
