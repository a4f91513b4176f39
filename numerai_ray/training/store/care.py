"""What lies in a fit store, whether it is whole, and what may go.

Nothing in a store is needed by a decided round: the ledger and the results files hold those. What is removed is
trained again when a later round asks for it, and that is all it costs.
"""

import shutil
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from numerai_ray.errors import EnvironmentFault
from numerai_ray.system.storage import FileFacts, Place, files_below
from numerai_ray.training.store.diagnostics import DiagnosticsStore
from numerai_ray.training.store.fits import FitStore
from numerai_ray.training.store.models import ModelStore

Kind = Literal["fit", "model", "look", "damaged", "partial"]
KINDS: dict[str, Kind] = {f".{kind}": kind for kind in get_args(Kind)}
# What somebody may ask for again.
ENTRIES = ("fit", "model", "look")
DAY_S = 86_400.0
# A writer takes seconds; what is older was left behind by one that died.
PARTIAL_S = 3_600.0
# Why a file is removed; the first that holds.
Reason = Literal["damaged", "left behind by a writer that died", "a model", "older than asked", "beyond the size asked"]


@dataclass(frozen=True)
class StoreFile:
    """A file of a store: its name below the root, size, and age since it was written (never below 0)."""

    name: str
    size_bytes: int
    age_s: float
    kind: Kind

    @property
    def key(self) -> str:
        """The key of a fit or of a look; the name of a model, which is a fit's key or a ladder's and a length."""
        return self.name.rsplit("/", 1)[-1].split(".", 1)[0]


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


def store_files(store: FitStore, now_s: float) -> list[StoreFile]:
    """Every file of the store that is or was to be an entry, oldest first; ``now_s`` is seconds since 1970.

    A folder under the name of an entry is one too: it stands where that was to be.

    Raises:
        EnvironmentFault: a folder of the store cannot be read.

    """
    found = []
    for file in [*files_below(store.root), *_folders(store.root)]:
        kind = KINDS.get("." + file.name.rsplit(".", 1)[-1])
        if kind is not None:
            # A clock that was set back makes a file come from the future: it is new then.
            found.append(StoreFile(file.name, file.size_bytes, max(0.0, now_s - file.changed_ns / 1e9), kind))
    return sorted(found, key=lambda file: (-file.age_s, file.name))


def _folders(root: Place) -> list[FileFacts]:
    """Folders below the root that have the name of an entry; object storage has none."""
    if not isinstance(root, Path):
        return []
    there = [path for path in root.glob("*/*") if path.suffix in KINDS and path.is_dir()]
    return [FileFacts(path.relative_to(root).as_posix(), 0, path.stat().st_mtime_ns) for path in there]


def removals(files: Sequence[StoreFile], limits: Limits) -> list[Removal]:
    """What may go, in the order in which it is best removed: rubbish, then the oldest entries.

    Beyond a size models go first: they are the larger part, and no round asks for them.
    """
    found = [Removal(file, "damaged") for file in files if file.kind == "damaged"]
    found += [
        Removal(file, "left behind by a writer that died")
        for file in files
        if file.kind == "partial" and file.age_s >= PARTIAL_S
    ]
    entries = [file for file in files if file.kind in ENTRIES]
    if not limits.models:
        found += [Removal(file, "a model") for file in entries if file.kind == "model"]
        entries = [file for file in entries if file.kind != "model"]
    if limits.days is not None:
        old = [file for file in entries if file.age_s >= limits.days * DAY_S]
        found += [Removal(file, "older than asked") for file in old]
        entries = entries[len(old) :]
    if limits.size_bytes is not None:
        beyond = sum(file.size_bytes for file in entries) - limits.size_bytes
        for file in sorted(entries, key=lambda file: file.kind != "model"):
            if beyond <= 0:
                break
            found.append(Removal(file, "beyond the size asked"))
            beyond -= file.size_bytes
    return found


def remove(store: FitStore, going: Iterable[Removal]) -> None:
    """Remove files; one that somebody else removed in the meantime is no matter."""
    for each in going:
        where = store.root / each.file.name
        if isinstance(where, Path) and where.is_dir() and not where.is_symlink():
            shutil.rmtree(where, ignore_errors=True)
        else:
            where.unlink(missing_ok=True)


def check_store(store: FitStore, files: Sequence[StoreFile], on_file: Callable[[], None]) -> StoreCheck:
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
