"""What this machine has: the one place that looks."""

import ctypes
import os
import shutil
import tempfile
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import psutil

from numerai_ray.system.resources import Machine

SHM = Path("/dev/shm")
DRIVER = Path("/proc/driver/nvidia/gpus")


@dataclass(frozen=True)
class Usage:
    """What this machine does right now; ``cores_busy`` is since the last look."""

    cores: int
    cores_busy: float
    memory_bytes: int
    memory_used_bytes: int


def usage() -> Usage:
    """One look, without waiting: the first one of a process knows no cores."""
    cores = psutil.cpu_count() or 1
    memory = psutil.virtual_memory()
    return Usage(cores, cores * psutil.cpu_percent(None) / 100, memory.total, memory.total - memory.available)


class PeakMemory(threading.Thread):
    """The most memory that this process and all that it started hold at once, while the block runs: ``bytes``.

    Proportional set sizes are added up, so a page that several processes share, as those of Ray's object store, counts
    once. A look costs milliseconds a process: looks take a twentieth of a core at most, and get rarer as the block gets
    longer, as the largest fits come first. 0 where nothing tells.
    """

    def __init__(self) -> None:
        super().__init__(name="peak-memory", daemon=True)
        self.bytes = 0
        self._over = threading.Event()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._over.set()
        self.join()

    def run(self) -> None:
        began = time.monotonic()
        own = psutil.Process()
        while True:
            look = time.monotonic()
            with suppress(psutil.Error):
                pids = [own.pid, *(child.pid for child in own.children(recursive=True))]
                self.bytes = max(self.bytes, sum(map(_proportional_bytes, pids)))
            now = time.monotonic()
            if self._over.wait(min(15.0, max(0.25, 20 * (now - look), (now - began) / 5))):
                return


def _proportional_bytes(pid: int) -> int:
    with suppress(OSError, ValueError, IndexError):
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
    return 0  # gone, or no such file


def resident_bytes(pid: int) -> int:
    """What a process holds of memory right now, 0 when it is gone; on any system."""
    with suppress(psutil.Error):
        return int(psutil.Process(pid).memory_info().rss)
    return 0


def process_began() -> float:
    """When this process began, in seconds since the epoch."""
    return float(psutil.Process().create_time())


def this_machine() -> Machine:
    """Cores and memory that this process may use: its affinity and its container's limits count, not the box's."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    memory = psutil.virtual_memory().available
    limit = _cgroup_limit()
    if limit is not None:
        memory = min(memory, limit)
    # Without it Ray's object store is files in the temporary folder, mapped into memory.
    room = shutil.disk_usage(SHM if SHM.is_dir() else tempfile.gettempdir()).free
    shm = room if SHM.is_dir() else min(room, memory)
    return Machine(cores, memory, shm, _gpus())


def _gpus() -> int:
    """NVIDIA's driver lists a folder for each; ``CUDA_VISIBLE_DEVICES`` may leave fewer to this process."""
    found = len(list(DRIVER.iterdir())) if DRIVER.is_dir() else 0
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is None:
        return found
    return min(found, len([each for each in visible.split(",") if each.strip() not in ("", "-1", "NoDevFiles")]))


def _cgroup_limit() -> int | None:
    for name in ("memory.max", "memory/memory.limit_in_bytes"):
        with suppress(OSError, ValueError):
            return int((Path("/sys/fs/cgroup") / name).read_text())
    return None


def give_back_memory() -> None:
    """Return to the system what this process has freed: the allocators keep it (measured: 500 MB after binning)."""
    import pyarrow as pa  # noqa: PLC0415 - whoever reads tables has it; whoever looks at the machine need not

    pa.default_memory_pool().release_unused()
    with suppress(OSError, AttributeError):  # another C library than glibc
        ctypes.CDLL(None).malloc_trim(0)
