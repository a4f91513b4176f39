"""Sources: the experiments that a dashboard shows: folders of this machine, and copies in object storage.

What lies in a folder may come from anybody, so a path is followed only where it stays inside the experiment's folder,
is a plain file, and is no larger than such a file ever becomes. A copy in object storage is fetched into a temporary
folder of this process (without predictions), again every few seconds while somebody looks.
"""

import hashlib
import os
import stat
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from numerai_ray.errors import DataError, NumeraiRayError, RequestError
from numerai_ray.experiment.mirror import ResultsMirror
from numerai_ray.experiment.paths import ExperimentPaths
from numerai_ray.session.places import answering
from numerai_ray.system.files import plain_file
from numerai_ray.system.storage import FileFacts, Place, Url, download, facts, folders_in, place
from numerai_ray.web.heartbeat import Heartbeat

# Larger files of these kinds are damaged or hostile: nobody's plan has a megabyte.
MOST_BYTES = {
    "plan": 2**20,
    "notes": 4 * 2**20,
    "progress": 4 * 2**20,
    "config": 2**20,
    "ledger": 128 * 2**20,
    "results": 64 * 2**20,
    "report": 64 * 2**20,
    "html": 64 * 2**20,
    "ensemble_results": 64 * 2**20,
    "ensemble_page": 64 * 2**20,
    "ensemble_failure": 2**20,
    "log": 2**60,  # only its end is read
}
REFETCH_S = 10.0


@dataclass(eq=False)
class Source:
    """One experiment: ``key`` in addresses, ``paths`` on this machine, ``shown`` as the user names it.

    ``copy`` is where it really lies, when that is object storage.
    """

    key: str
    paths: ExperimentPaths
    shown: str
    copy: Url | None = None
    fault: str | None = None
    _fetched: float = -1e9
    _seen: dict[str, FileFacts] = field(default_factory=dict)
    _heart: Heartbeat | None = None
    _good: dict[Path, tuple[str, tuple[int, ...]]] = field(default_factory=dict)
    _one_at_a_time: threading.Lock = field(default_factory=threading.Lock)

    @property
    def results(self) -> str | None:
        """Where to ask who runs it elsewhere; None where nobody does."""
        if self._heart is None:
            self._heart = Heartbeat(None if self.copy is None else str(self.copy))
        return self._heart.results()

    def refresh(self) -> None:
        """Fetch the copy again where it is time to; a storage that does not answer is a fault to be shown."""
        if self.copy is None:
            return
        with self._one_at_a_time:
            if time.monotonic() - self._fetched < REFETCH_S:
                return
            try:
                ResultsMirror(self.paths.root, self.copy).fetch(reader=True)
                self._fetch_edited(self.copy)
                self.fault = None
            except (NumeraiRayError, OSError) as error:
                self.fault = str(error)
            self._fetched = time.monotonic()

    def file(self, kind: str, path: Path) -> Path:
        """``path``, which is one of this experiment's, after checking what lies there.

        Raises:
            FileNotFoundError: nothing does.
            DataError: it leads out of the folder, is no plain file, or is larger than it can honestly be.

        """
        # The very file that was found good before, told by its inode, its size and its times: looked at every second.
        try:
            now = os.lstat(path)
        except FileNotFoundError:
            raise
        except (OSError, ValueError) as error:
            raise DataError(f"{path}: cannot be read ({error}); move it away") from error
        facts_now = (now.st_dev, now.st_ino, now.st_size, now.st_mtime_ns, now.st_ctime_ns)
        if stat.S_ISREG(now.st_mode) and self._good.get(path) == (kind, facts_now):
            return path
        real = path.resolve()
        if not real.is_relative_to(self.paths.root.resolve()):
            raise DataError(f"{path}: leads out of the experiment's folder, so it is not read; put the file there")
        try:
            size = plain_file(real).stat().st_size
        except FileNotFoundError:
            raise
        except (OSError, ValueError) as error:
            raise DataError(f"{path}: cannot be read ({error}); move it away") from error
        if size > MOST_BYTES[kind]:
            raise DataError(f"{path}: too large to be true ({size:,} bytes); restore the file")
        self._good[path] = (kind, facts_now)
        return path

    def has(self, kind: str, path: Path) -> bool:
        """Whether the file is there; raises as :meth:`file` does where something else is."""
        with suppress(FileNotFoundError):
            self.file(kind, path)
            return True
        return False

    def _fetch_edited(self, copy: Url) -> None:
        """Plan and notes are edited by people at any time; a mirror takes them once."""
        for name in (self.paths.plan.name, self.paths.notes.name):
            with suppress(FileNotFoundError):
                now = facts(copy / name)
                if self._seen.get(name) != now:
                    download(copy / name, self.paths.root / name)
                    self._seen[name] = now


class Sources:
    """All experiments below the places that a user names, looked for again whenever they are asked for.

    Args:
        named: folders of experiments, folders that hold such folders, or URLs of either.
        cache: a folder of this process for copies of what lies in object storage.

    Raises:
        RequestError: a place is not there.

    """

    def __init__(self, named: Sequence[str], cache: Path):
        self._named = [(text, place(text)) for text in named]
        self._cache = cache
        self._known: dict[str, Source] = {}
        self._lock = threading.Lock()
        for text, where in self._named:
            if isinstance(where, Url):
                answering(where, text)
            elif not where.is_dir():
                raise RequestError(f"{text}: no such folder; give one of an experiment, or the folder above several")

    def all(self) -> list[Source]:
        """Every experiment, in the order of the places and by name in them."""
        with self._lock:
            found: dict[str, Source] = {}
            for text, where in self._named:
                for shown, each in _experiments(text, where):
                    known = self._known.get(shown)
                    source = known or self._source(shown, each, found)
                    found[shown] = source
            self._known = found
            return list(found.values())

    def find(self, key: str) -> Source | None:
        """The experiment of this key, looked for afresh where it is new; keys are compared and never become paths."""
        known = next((each for each in list(self._known.values()) if each.key == key), None)
        return known or next((each for each in self.all() if each.key == key), None)

    def _source(self, shown: str, where: Place, found: dict[str, Source]) -> Source:
        name = where.resolve().name if isinstance(where, Path) else where.name
        taken = {each.key for each in (*self._known.values(), *found.values())}
        key, count = name, 2
        while key in taken:
            key, count = f"{name}~{count}", count + 1
        if isinstance(where, Path):
            return Source(key, ExperimentPaths(where), shown)
        folder = self._cache / hashlib.sha256(str(where).encode()).hexdigest()[:16] / name
        source = Source(key, ExperimentPaths(folder), shown, where)
        source.refresh()
        return source


def _experiments(text: str, where: Place) -> list[tuple[str, Place]]:
    """The experiments at a place: itself, or the folders in it that have a plan."""
    plan = ExperimentPaths(Path()).plan.name
    if (where / plan).is_file():
        return [(text, where)]
    try:
        found = [where / name for name in folders_in(where) if (where / name / plan).is_file()]
        return [(str(each), each) for each in found]
    except (OSError, NumeraiRayError):  # it went away, or may not be read any more: the page says that there is none
        return []
