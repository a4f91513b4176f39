"""What lies in a fit store, whether it is whole, and what may go.

Nothing in a store is needed by a decided round: the ledger and the results files hold those. What is removed is
trained again when a later round asks for it, and that is all it costs.
"""

import os
import shutil
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Literal

from numerai_ray.errors import EnvironmentFault
from numerai_ray.system.storage import FileFacts, Place, each_file_below
from numerai_ray.training.store.cut import ENTRIES, KINDS, StoreFile, beyond
from numerai_ray.training.store.diagnostics import DiagnosticsStore
from numerai_ray.training.store.fits import FitStore
from numerai_ray.training.store.models import ModelStore

DAY_S = 86_400.0
# A writer takes seconds; what is older was left behind by one that died.
PARTIAL_S = 3_600.0
# Why a file is removed; the first that holds.
Reason = Literal["damaged", "left behind by a writer that died", "a model", "older than asked", "beyond the size asked"]


@dataclass(frozen=True)
class Removal:
    """A file that may go, and why."""

    file: StoreFile
    reason: Reason


@dataclass(frozen=True)
class Limits:
    """What ``gc`` keeps: entries younger than ``days`` (None: any), the youngest up to ``size_bytes``; ``models``."""

    days: float | None = None
    size_bytes: int | None = None
    models: bool = True


@dataclass(frozen=True)
class StoreCheck:
    """What reading every entry found; ``damaged`` are keys, set aside; ``models`` counts by who made them.

    ``unread`` says of each entry that could not be read why: it may be whole.
    """

    whole: int
    damaged: tuple[str, ...]
    models: dict[str, int]
    unread: tuple[str, ...] = ()


@dataclass(frozen=True)
class StoreFiles:
    """Every file of a store that is or was to be an entry, in no order; ``now_s`` is seconds since 1970.

    It is read from the disk each time it is gone through, and never held: a store may have millions.
    A folder under the name of an entry is one too: it stands where that was to be.

    Raises:
        EnvironmentFault: a folder of the store cannot be read.

    """

    store: FitStore
    now_s: float

    def __iter__(self) -> Iterator[StoreFile]:
        for file in chain(each_file_below(self.store.root), _folders(self.store.root)):
            kind = KINDS.get("." + file.name.rsplit(".", 1)[-1])
            if kind is not None:
                # A clock that was set back makes a file come from the future: it is new then.
                yield StoreFile(file.name, file.size_bytes, max(0.0, self.now_s - file.changed_ns / 1e9), kind)


def _folders(root: Place) -> Iterator[FileFacts]:
    """Folders below the root that have the name of an entry; object storage has none."""
    if isinstance(root, Path):
        for shard in sorted(root.glob("*/")):
            with os.scandir(shard) as entries:
                there = [each for each in entries if each.is_dir() and Path(each.name).suffix in KINDS]
            yield from (FileFacts(f"{shard.name}/{each.name}", 0, each.stat().st_mtime_ns) for each in there)


def removals(files: Iterable[StoreFile], limits: Limits) -> Iterator[Removal]:
    """What may go, one after the other: ``files`` is gone through once, and some times more beyond a size.

    Beyond a size the oldest entries go, models first: they are the larger part, and no round asks for them.
    """

    def kept() -> Iterator[StoreFile]:
        return (file for file in files if file.kind in ENTRIES and _own_reason(file, limits) is None)

    for file in files:
        reason = _own_reason(file, limits)
        if reason is not None:
            yield Removal(file, reason)
    if limits.size_bytes is not None:
        yield from (Removal(file, "beyond the size asked") for file in beyond(kept, limits.size_bytes))


def _own_reason(file: StoreFile, limits: Limits) -> Reason | None:
    """Why a file may go whatever else is there."""
    if file.kind == "damaged":
        return "damaged"
    if file.kind == "partial":
        return "left behind by a writer that died" if file.age_s >= PARTIAL_S else None
    if file.kind == "model" and not limits.models:
        return "a model"
    return "older than asked" if limits.days is not None and file.age_s >= limits.days * DAY_S else None


def remove(store: FitStore, going: Iterable[Removal]) -> None:
    """Remove files; one that somebody else removed in the meantime is no matter."""
    for each in going:
        where = store.root / each.file.name
        if isinstance(where, Path) and where.is_dir() and not where.is_symlink():
            shutil.rmtree(where, ignore_errors=True)
        else:
            where.unlink(missing_ok=True)


def check_store(store: FitStore, files: Iterable[StoreFile], on_file: Callable[[], None]) -> StoreCheck:
    """Read every entry to its last byte and set aside what is damaged, as reading it in a round would.

    Args:
        store: the store.
        files: its files.
        on_file: called after each fit.

    """
    damaged: list[str] = []
    unread: list[str] = []
    models: Counter[str] = Counter()
    kept, looks = ModelStore(store.root), DiagnosticsStore(store.root)
    for file in (file for file in files if file.kind in ENTRIES):
        try:
            what = _what(file, store, kept, looks)
        except EnvironmentFault as error:
            unread.append(str(error))
        else:
            if what is None:
                damaged.append(file.key)
            else:
                models[what] += 1
        on_file()
    return StoreCheck(sum(models.values()), tuple(damaged), dict(sorted(models.items())), tuple(unread))


def _what(file: StoreFile, store: FitStore, kept: ModelStore, looks: DiagnosticsStore) -> str | None:
    """Of which kind a whole entry is, and who made it; None for one that is damaged."""
    if file.kind == "look":
        return None if looks.get(file.key) is None else "look at predictions"
    entry = store.get(file.key) if file.kind == "fit" else kept.get(file.key)
    of = "" if file.kind == "fit" else "trained model, "
    return None if entry is None else of + str(entry.facts.get("made_by", "unknown"))
