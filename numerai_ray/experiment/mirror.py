"""An experiment's folder and its copy in shared storage: whoever runs the experiment next goes on from the copy.

The ledger is what counts. It is looked at first when fetching, and pushed after every file that it speaks of, so a
head that dies at any moment leaves a copy that can be resumed. A lease in the copy keeps two heads apart; it is kept
alive by changing, and nobody compares clocks.
"""

import json
import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

from numerai_ray.errors import EnvironmentFault, ExperimentBusy, RequestError
from numerai_ray.experiment.paths import ExperimentPaths
from numerai_ray.system.json_text import parse_json
from numerai_ray.system.storage import FileFacts, Place, download, files_below, upload, write_whole

LEASE = ".lease"
# Tune's own folder is worth nothing elsewhere; locks and half-written files belong to one machine.
LEFT_OUT_FOLDERS = ("logs/tune/",)
PUSH_SECONDS = 10.0


@dataclass(eq=False)
class ResultsMirror:
    """Keeps ``folder`` and ``target`` alike. ``seen`` remembers what was carried over, by name."""

    folder: Path
    target: Place
    seen: dict[str, FileFacts] = field(default_factory=dict)
    due: threading.Event = field(default_factory=threading.Event)
    _one_at_a_time: threading.Lock = field(default_factory=threading.Lock)

    @property
    def _ledger(self) -> str:
        return ExperimentPaths(self.folder).ledger.relative_to(self.folder).as_posix()

    def fetch(self, *, reader: bool = False) -> int:
        """Bring what the copy has and this folder lacks; returns how many files came.

        Where both have a ledger, the longer one counts; the plan of this folder stays as it is. A ``reader`` takes
        the running round's progress too, and leaves predictions where they are.

        Raises:
            RequestError: the two ledgers tell different stories.
            EnvironmentFault: the copy cannot be read.

        """
        there = {each.name: each for each in files_below(self.target) if _belongs(each.name)}
        ours, theirs = self._local_ledger(), self._remote_ledger(there)
        if not (theirs.startswith(ours) or ours.startswith(theirs)):
            raise RequestError(
                f"{self.target}: its ledger and that of {self.folder} differ, so they are two experiments; give one "
                f"of them another --results or another folder"
            )
        here = {each.name: each for each in _own_files(self.folder)} if self.folder.is_dir() else {}
        wanted = [
            name for name, each in there.items() if self._wants(name, each, here.get(name), len(theirs) > len(ours))
        ]
        if reader:
            progress = ExperimentPaths(self.folder).progress.relative_to(self.folder).as_posix()
            wanted = [name for name in wanted if Path(name).parent.name != "predictions"]
            wanted += [progress] if progress in there and progress not in wanted else []
        # The ledger last here too: interrupted, the same command fetches again.
        for name in sorted(wanted, key=lambda name: name == self._ledger):
            download(self.target / name, self.folder / name)
        return len(wanted)

    def _wants(self, name: str, there: FileFacts, here: FileFacts | None, ahead: bool) -> bool:  # noqa: FBT001
        if here is None:
            return True
        if not ahead or name == ExperimentPaths(self.folder).plan.name:
            return False
        return not (name.startswith("predictions/") and here.size_bytes == there.size_bytes)

    def push(self) -> int:
        """Copy what changed since the last push; returns how many files went."""
        with self._one_at_a_time:
            return self._push()

    def push_soon(self) -> None:
        """Have whoever keeps the copy fresh push now; nobody waits for it."""
        self.due.set()

    def _push(self) -> int:
        ledger = self._local_ledger()  # before the files: all that it speaks of is written by now
        went = 0
        for each in _own_files(self.folder):
            if not _belongs(each.name) or each.name == self._ledger or self.seen.get(each.name) == each:
                continue
            with suppress(FileNotFoundError):
                upload(self.folder / each.name, self.target / each.name)
                self.seen[each.name] = each
                went += 1
        known = self.seen.get(self._ledger)
        if ledger and (known is None or known.size_bytes != len(ledger)):
            write_whole(self.target / self._ledger, ledger)
            self.seen[self._ledger] = FileFacts(self._ledger, len(ledger), 0)
            went += 1
        return went

    def _local_ledger(self) -> bytes:
        path = self.folder / self._ledger
        content = path.read_bytes() if path.exists() else b""
        return content[: content.rfind(b"\n") + 1]

    def _remote_ledger(self, there: dict[str, FileFacts]) -> bytes:
        return (self.target / self._ledger).read_bytes() if self._ledger in there else b""


def _own_files(folder: Path) -> list[FileFacts]:
    """The experiment's files, those in folders that are links to a larger disk among them.

    Files that are links are somebody's own: nothing here writes through one, and none is copied to where others read.
    What users write may be a link: the plan, and the source of a model.
    """
    found = files_below(folder)
    for below in folder.iterdir():
        if below.is_symlink() and below.is_dir():
            found += [replace(each, name=f"{below.name}/{each.name}") for each in files_below(below)]
    written = (ExperimentPaths(folder).plan.suffix, ".py")
    return sorted(each for each in found if each.name.endswith(written) or not (folder / each.name).is_symlink())


def _belongs(name: str) -> bool:
    hidden = any(part.startswith(".") for part in name.split("/"))
    return not hidden and not name.startswith(LEFT_OUT_FOLDERS)


@contextmanager
def mirrored(folder: Path, target: Place | None, *, beat_s: float = PUSH_SECONDS) -> Iterator[ResultsMirror | None]:
    """Hold the copy's lease while the block runs: fetched before, pushed every ``beat_s`` seconds and at the end.

    Raises:
        ExperimentBusy: another head runs the experiment; the message names it.
        RequestError, EnvironmentFault: the copy is of another experiment, or cannot be reached.

    """
    if target is None:
        yield None
        return
    lease = _Lease(target / LEASE, beat_s)
    lease.take()
    try:
        mirror = ResultsMirror(folder, target)
        mirror.fetch()
        pusher = _Pusher(mirror, lease, beat_s)
        pusher.start()
        try:
            yield mirror
        finally:
            pusher.stop()
            if lease.is_ours():
                mirror.push()
    finally:
        lease.give_up()


@dataclass(eq=False)
class _Lease:
    """A small file that its holder rewrites every ``beat_s`` seconds."""

    where: Place
    beat_s: float
    token: str = field(default_factory=lambda: uuid4().hex)

    def take(self) -> None:
        """Take the lease at once where there is none, or after its holder was silent for four beats."""
        found = self.read()
        deadline = time.monotonic() + 4 * self.beat_s
        while found is not None and time.monotonic() < deadline:
            time.sleep(self.beat_s / 4)
            now = self.read()
            if now != found and now is not None:
                raise ExperimentBusy(
                    f"{self.where.parent}: is being run by process {now.get('pid')} on {now.get('host')}; wait for it, "
                    f"or watch it with `numerai-ray status EXP --results {self.where.parent}`"
                )
            found = now
        self.beat()

    def beat(self) -> None:
        me = {
            "token": self.token,
            "host": socket.gethostname(),
            "pid": os.getpid(),
            "at": datetime.now(UTC).isoformat("T", "milliseconds"),
        }
        write_whole(self.where, json.dumps(me).encode())

    def read(self) -> dict[str, str] | None:
        try:
            found = parse_json(self.where.read_bytes())
        except FileNotFoundError:
            return None
        except ValueError:
            return {}
        return found if isinstance(found, dict) else {}

    def is_ours(self) -> bool:
        found = self.read()
        return found is not None and found.get("token") == self.token

    def give_up(self) -> None:
        with suppress(EnvironmentFault):
            if self.is_ours():
                self.where.unlink(missing_ok=True)


class _Pusher(threading.Thread):
    """Keeps the copy fresh beside the run; a storage that is away for a while costs freshness, never the run."""

    def __init__(self, mirror: ResultsMirror, lease: _Lease, beat_s: float):
        super().__init__(name="results-mirror", daemon=True)
        self._mirror, self._lease, self._beat_s = mirror, lease, beat_s
        self._stop_asked = threading.Event()

    def run(self) -> None:
        while not self._stop_asked.is_set():
            self._mirror.due.wait(self._beat_s)
            self._mirror.due.clear()
            if self._stop_asked.is_set():
                return
            with suppress(EnvironmentFault, OSError):
                if not self._lease.is_ours():
                    return  # another head took over while we were silent: it writes now
                self._lease.beat()
                self._mirror.push()

    def stop(self) -> None:
        self._stop_asked.set()
        self._mirror.due.set()
        self.join()


def last_sign(target: Place) -> str | None:
    """When whoever runs the experiment last said so (ISO time, UTC); None where nobody does."""
    found = _Lease(target / LEASE, PUSH_SECONDS).read()
    return None if found is None else str(found.get("at", "")) or None
