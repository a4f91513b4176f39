"""Tags: names of what an answer is made from, so that a page that has the answer is told so and nothing is made.

A page asks for all of an experiment whenever a round is decided. Per-era scores and configurations of earlier rounds
never change, and files are told apart by size and time, as everywhere here.
"""

import hashlib
import secrets
from collections.abc import Mapping
from typing import Any

from numerai_ray.errors import NumeraiRayError
from numerai_ray.web.values import DECISIVE, OF_STATUS, STAMPED, Reader

# Another process may make something else of the same files.
_PROCESS = secrets.token_hex(8)
_FILES = {"status": OF_STATUS, "overview": STAMPED, "leaderboard": DECISIVE}
# What answers about variants are made from, beside the ledger that names these: kind of file, and the ids' parameters.
_OF_VARIANTS = {"per-era": ("results", ("id",)), "diff": ("config", ("first", "second")), "log": ("log", ("id",))}


def tag_of(name: str, reader: Reader, query: Mapping[str, str]) -> str | None:
    """The tag of an answer, without making it; None where something is amiss, which making it will say.

    Args:
        name: which answer, as its address has it.
        reader: of the experiment.
        query: what else was asked for.

    """
    try:
        if name in _FILES:
            made_from: list[Any] = [reader.signature(_FILES[name]), reader.live() if name == "status" else None]
        else:
            kind, parameters = _OF_VARIANTS[name]
            made_from = [(query.get(each), _facts(reader, kind, query.get(each))) for each in parameters]
    except (NumeraiRayError, OSError, ValueError):
        return None
    return hashlib.blake2b(repr((_PROCESS, name, reader.source.key, made_from)).encode(), digest_size=16).hexdigest()


def _facts(reader: Reader, kind: str, variant: str | None) -> tuple[int, ...]:
    found = reader.file_of(kind, variant).stat()
    return (found.st_ino, found.st_size, found.st_mtime_ns)
