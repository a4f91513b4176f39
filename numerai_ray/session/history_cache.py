"""History cache: what was worked out of each experiment below one root, good as long as nothing it rests on changes.

One file in the folder that holds the experiments. An entry is used where every file that it rests on still has the size
and the time of change it had, or is still not there; where names of baselines and search spaces lead to the same files;
and where the program is the same. A file that is damaged, or of another program, is as none. Where the folder cannot be
written nothing is kept.
"""

import gc
import hashlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from numerai_ray.errors import EnvironmentFault
from numerai_ray.experiment.paths import ExperimentPaths, history_file
from numerai_ray.system.files import whole_file
from numerai_ray.system.json_text import parse_json, without_nan
from numerai_ray.system.storage import DATA_ROOT_VARIABLE

if TYPE_CHECKING:
    from numerai_ray.session.judging import RestsOn

# A file may change twice within a tick of the file system's clock, and keep its size: what is younger is not kept.
YOUNG_NS = 2 * 10**9
PACKAGE = Path(__file__).resolve().parent.parent
PLAN = str(ExperimentPaths(Path()).plan)

Seen = Sequence[Any]  # path, size, time of change in ns; the last two None for what is not there


class HistoryCache:
    """What is known of the experiments below ``root``; ``names`` are their folders, sorted."""

    def __init__(self, root: Path):
        self._root = str(root)
        self._file = history_file(root)
        self._kept: dict[str, Any] = {}
        self._changed = False
        self._named: dict[tuple[str, str], Seen | None] = {}
        self._data: list[Any] | None = None
        links = set()
        with os.scandir(root) as entries:
            there = [each for each in entries if each.is_dir()]
            links |= {each.name for each in there if each.is_symlink()}
        self.names = sorted(each.name for each in there if _seen(f"{each.path}/{PLAN}") != (None, None))
        self._links = links  # beside what they lead to stand other baselines

    @contextmanager
    def open(self) -> Iterator["HistoryCache"]:
        """With what was kept before; what is new is kept at the end, also of a listing that was broken off."""
        collects = gc.isenabled()
        gc.disable()  # nothing of what is made here is garbage, and looking for it takes as long as making it
        self._kept = self._read()
        try:
            yield self
        finally:
            if collects:
                gc.enable()
            gone = self._kept.keys() - set(self.names)
            if self._changed or gone:
                self._write({name: each for name, each in self._kept.items() if name not in gone})

    def find(self, name: str) -> dict[str, Any] | None:
        """What was kept of an experiment; None where it has to be worked out."""
        entry = self._kept.get(name)
        if entry is None:
            return None
        before = f"{self._root}/{name}/"
        good = (
            all(_seen(before + path) == (size, changed) for path, size, changed in entry["files"])
            and all(self._leads(kind, what) == seen for kind, what, seen in entry["named"])
            and entry["data"] in (None, self._data_here)
        )
        found: dict[str, Any] | None = entry["told"] if good else None
        return found

    def keep(self, name: str, told: Mapping[str, Any], rests_on: "RestsOn", began_ns: int) -> None:
        """Keep what was worked out from ``began_ns`` on."""
        folder = Path(self._root, name)
        paths = [str(file.relative_to(folder)) for file in dict.fromkeys(rests_on.files)]
        files = [[path, *_seen(f"{self._root}/{name}/{path}")] for path in paths]
        named = [[kind, what, self._leads(kind, what)] for kind, what in dict.fromkeys(rests_on.named)]
        data = self._data_here if rests_on.data else None
        told_of = [each[-1] for each in (*files, *(seen for _, _, seen in named if seen), *(data[1] if data else ()))]
        times = [int(each) for each in told_of if each is not None]
        elsewhere = any(not isinstance(root, Path) for root in rests_on.data)
        if name in self._links or elsewhere or any(each > began_ns - YOUNG_NS for each in times):
            self._changed |= self._kept.pop(name, None) is not None
            return
        self._kept[name] = {"files": files, "named": named, "data": data, "told": without_nan(dict(told))}
        self._changed = True

    def _leads(self, kind: str, name: str) -> Seen | None:
        """The file that a name leads to from experiments here; looked up once a listing."""
        if (kind, name) not in self._named:
            from numerai_ray.config.shipped import FOLDERS, roots

            files = (root / FOLDERS[kind] / f"{name}.yaml" for root in roots(Path(self._root, "any")))
            found = next((str(file) for file in files if file.is_file()), None)
            self._named[kind, name] = None if found is None else [found, *_seen(found)]
        return self._named[kind, name]

    @property
    def _data_here(self) -> list[Any]:
        """The data root that is meant, and its versions; looked up once a listing."""
        if self._data is None:
            root = str(Path(os.environ.get(DATA_ROOT_VARIABLE) or "data").absolute())
            with suppress(OSError), os.scandir(root) as entries:
                versions = sorted([each.name, each.stat().st_mtime_ns] for each in entries if each.is_dir())
                self._data = [root, versions]
            self._data = self._data or [root, []]
        return self._data

    def _read(self) -> dict[str, Any]:
        try:
            head, _, body = self._file.read_bytes().partition(b"\n")
            if head.decode() != _head(body):
                return {}
            kept: dict[str, Any] = parse_json(body)
        except (OSError, ValueError):
            return {}
        return kept

    def _write(self, kept: Mapping[str, Any]) -> None:
        body = json.dumps(kept).encode()
        with suppress(EnvironmentFault), whole_file(self._file, durable=False) as partial:
            partial.write_bytes(f"{_head(body)}\n".encode() + body)


def _seen(path: str) -> tuple[int | None, int | None]:
    try:
        status = os.stat(path)  # noqa: PTH116 - a hundred thousand times in a second
    except OSError:
        return None, None
    return status.st_size, status.st_mtime_ns


def _head(body: bytes) -> str:
    """What made the file, and the digest of what it says."""
    return f"{_program()} {hashlib.sha256(body).hexdigest()}"


def _program() -> str:
    """What tells this program from one that may say something else: its modules by size and time."""
    found = []
    for folder, _, names in os.walk(PACKAGE):
        modules = (f"{folder}/{name}" for name in names if name.endswith(".py"))
        found += [(path, *_seen(path)) for path in modules]
    return hashlib.sha256(repr(sorted(found)).encode()).hexdigest()
