"""What was trained is kept: a content-addressed store of fold predictions, and of the models when they are asked for.

An entry's name is the fit's key, made of what decides its predictions (dataset, eras, features, target, model,
parameters, library versions). An entry is written whole or not at all, and verified when read; a damaged one is set
aside and its fit trained again.
"""

from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from numerai_ray.fit_claims import claimed
from numerai_ray.model_store import StoredModel
from numerai_ray.store_entry import mapping, read_entry, set_aside, write_entry
from numerai_ray.system.storage import Place, local_folder

MAGIC = b"numerai-ray fit 1\n"
FOLDER = "store"  # below the data root


@dataclass(frozen=True, eq=False)
class StoredFit:
    """Predictions (n,) float64 of a fold's validation rows in file order of eras, and facts about the fit.

    ``model`` is on its way to the store of models (see :mod:`numerai_ray.fold_models`); what is read has none.
    """

    predictions: npt.NDArray[np.float64]
    facts: Mapping[str, Any]
    model: StoredModel | None = None


@dataclass(frozen=True)
class FitStore:
    """A folder of fits, local or a URL, shared by all experiments on one data root; safe for concurrent writers.

    ``keep_models`` asks those who train into it to keep each fit's model as well.
    """

    root: Place
    keep_models: bool = False

    @classmethod
    def below(cls, data_root: Place, *, keep_models: bool = False) -> "FitStore":
        """The store of all experiments on a data root."""
        return cls(data_root / FOLDER, keep_models)

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
        write_entry(self.path(key), MAGIC, {"facts": dict(fit.facts)}, payload)

    def get(self, key: str) -> StoredFit | None:
        """The fit, or None when there is none; a damaged entry is renamed to ``*.damaged`` and counts as none.

        Raises:
            EnvironmentFault: the entry cannot be read.

        """
        return read_entry(self.path(key), MAGIC, _decode, f"{key}.damaged")

    def set_aside(self, key: str) -> None:
        """Rename an entry that turned out to be damaged to ``*.damaged``, where that can be done."""
        set_aside(self.path(key), f"{key}.damaged")


def _decode(head: Mapping[str, Any], payload: bytes) -> StoredFit:
    return StoredFit(np.frombuffer(payload, np.float64), mapping(head["facts"]))
