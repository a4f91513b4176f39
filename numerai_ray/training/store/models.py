"""Trained models beside the predictions: kept when somebody asks for a model itself, as an export does.

An entry's name begins with the key of its fit, or of its ladder, which holds everything that decides the model; it has
the model as plain values. It is no pickle, and where the bytes of a model are one, nothing here reads them: checking a
store runs nobody's code.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from numerai_ray.system.json_text import parse_json
from numerai_ray.system.storage import Place, files_below
from numerai_ray.training.store.entry import mapping, read_entry, write_entry

MAGIC = b"numerai-ray model 1\n"
BYTES = "$bytes"  # what stands for bytes in the tree of a model: where they begin and end in the payload


@dataclass(frozen=True, eq=False)
class StoredModel:
    """A model as text, bytes, numbers, lists and mappings; facts about its training.

    ``predictions`` (n,) float64 are what it predicts where nothing else keeps that, as for an export's proof.
    """

    model: Any
    predictions: npt.NDArray[np.float64]
    facts: Mapping[str, Any]

    def refused(self, why: str) -> "StoredModel":
        """Stands for a model that cannot be kept, so that it is not asked for again."""
        return replace(self, model=None, facts={**self.facts, "refused": why})


@dataclass(frozen=True)
class ModelStore:
    """The models in a store of fits; safe for concurrent writers, as the fits are."""

    root: Place

    def path(self, key: str) -> Place:
        return self.root / key[:2] / f"{key}.model"

    def names(self, family: str) -> list[str]:
        """Names of the entries that begin with ``family``, without reading them."""
        folder = self.path(family).parent
        files = (file.name for file in files_below(folder) if file.name.startswith(family))
        return [name.removesuffix(".model") for name in files if name.endswith(".model")]

    def put(self, key: str, kept: StoredModel) -> None:
        """Keep a model.

        Raises:
            EnvironmentFault: the store cannot be written (disk full, no rights).
            TypeError: the model holds something else than plain values.

        """
        parts = [np.ascontiguousarray(kept.predictions, np.float64).tobytes()]
        model = _apart(kept.model, parts)
        tree = {"model": model, "facts": dict(kept.facts), "predictions": len(kept.predictions)}
        # The tree lies in what the checksum is of; the head says where.
        blob, text = b"".join(parts), json.dumps(tree).encode()
        write_entry(self.path(key), MAGIC, {"tree_at": len(blob)}, blob + text)

    def get(self, key: str) -> StoredModel | None:
        """The model, or None; a damaged entry is renamed to ``*.damaged`` and counts as none.

        Raises:
            EnvironmentFault: the entry cannot be read.

        """
        return read_entry(self.path(key), MAGIC, _decode, f"{key}-model.damaged")


def _decode(head: Mapping[str, Any], payload: bytes) -> StoredModel:
    tree = parse_json(payload[head["tree_at"] :])
    predictions = np.frombuffer(payload, np.float64, tree["predictions"])
    return StoredModel(_together(tree["model"], payload), predictions, mapping(tree["facts"]))


def _apart(value: Any, parts: list[bytes]) -> Any:
    """``value`` with its bytes moved to ``parts``."""
    if isinstance(value, bytes):
        begin = sum(len(part) for part in parts)
        parts.append(value)
        return {BYTES: [begin, begin + len(value)]}
    if isinstance(value, Mapping):
        return {name: _apart(each, parts) for name, each in value.items()}
    return [_apart(each, parts) for each in value] if isinstance(value, list) else value


def _together(value: Any, payload: bytes) -> Any:
    if isinstance(value, dict):
        if set(value) == {BYTES}:
            return payload[slice(*value[BYTES])]
        return {name: _together(each, payload) for name, each in value.items()}
    return [_together(each, payload) for each in value] if isinstance(value, list) else value
