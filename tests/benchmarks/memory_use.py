"""A command run under watch: wall seconds, and the peak memory of its whole process tree.

Memory is the proportional set size (PSS): a page that several processes share, as Ray's object store is, counts once in
all. It is read from ``/proc/PID/smaps_rollup`` five times a second; page cache that nobody maps does not count.
"""

import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

MB = 1e6


@dataclass(frozen=True)
class Watched:
    """What a command took: ``lines`` are those of its output with the seconds at which they came."""

    wall_s: float
    peak_bytes: int
    lines: tuple[tuple[float, str], ...]


def pss_bytes(pid: int) -> int:
    """Of one process; 0 when it is gone."""
    with suppress(OSError):
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
    return 0


def tree_bytes(pids: Sequence[int]) -> int:
    """Of processes and all that they started."""
    tree = set(pids)
    for pid in pids:
        with suppress(psutil.Error):
            tree |= {child.pid for child in psutil.Process(pid).children(recursive=True)}
    return sum(map(pss_bytes, tree))


class Peak(threading.Thread):
    """Samples the memory of processes and their children until stopped."""

    def __init__(self, pids: Sequence[int]):
        super().__init__(daemon=True)
        self._pids = pids
        self._done = threading.Event()
        self.bytes = 0

    def run(self) -> None:
        while self._pids and not self._done.wait(0.2):
            self.bytes = max(self.bytes, tree_bytes(self._pids))

    def stop(self) -> int:
        self._done.set()
        self.join()
        return self.bytes


def watched(command: Sequence[str], log: Path, *, memory: bool = True) -> Watched:
    """Run a command to its end; its errors go to ``log``."""
    (result,) = side_by_side([command], log, memory=memory)
    return result


def side_by_side(commands: Sequence[Sequence[str]], log: Path, *, memory: bool = True) -> list[Watched]:
    """Run commands at the same time; each has the peak of all of them together, 0 without ``memory``."""
    started = time.perf_counter()
    lines: list[list[tuple[float, str]]] = [[] for _ in commands]
    with log.open("a") as errors:
        running = [subprocess.Popen(each, stdout=subprocess.PIPE, stderr=errors, text=True) for each in commands]
        peak = Peak([process.pid for process in running] if memory else [])
        peak.start()
        readers = [
            threading.Thread(target=_read, args=(process, started, found.append))
            for process, found in zip(running, lines, strict=True)
        ]
        for reader in readers:
            reader.start()
        walls = []
        for process in running:
            process.wait()
            walls.append(time.perf_counter() - started)
        for reader in readers:
            reader.join()
        most = peak.stop()
    for process, command in zip(running, commands, strict=True):
        if process.returncode:
            sys.exit(f"{' '.join(command)} ended with {process.returncode}; see {log}")
    return [Watched(wall, most, tuple(found)) for wall, found in zip(walls, lines, strict=True)]


def _read(process: "subprocess.Popen[str]", started: float, add: Callable[[tuple[float, str]], None]) -> None:
    assert process.stdout is not None
    for line in process.stdout:
        add((time.perf_counter() - started, line.rstrip("\n")))
