"""Ray's start: its logs, its sizes, its end."""

from __future__ import annotations

import atexit
import gc
import logging
import platform
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import ray

from numerai_ray.errors import EnvironmentFault
from numerai_ray.runners.ray.monitoring import job_metadata
from numerai_ray.runners.ray.needs import TOKEN_ADVICE, check_machine
from numerai_ray.runners.ray.watch import RayWatch
from numerai_ray.system.files import open_own
from numerai_ray.system.guard import Guard
from numerai_ray.system.process import is_ending, own_handlers
from numerai_ray.system.resources import Machine


@dataclass(frozen=True)
class RaySettings:
    """Where Ray runs. ``address`` None starts one on this machine; ``trial_dir`` is Tune's own folder.

    ``shown`` is whether Tune is shown the rounds. ``experiment`` is what Ray's dashboard calls the job. ``on_lost`` is
    told, in a thread of its own, that a Ray which was started here is gone.
    """

    trial_dir: Path
    log_file: Path
    address: str | None = None
    dashboard: bool = True
    shown: bool = True
    experiment: str = ""
    on_lost: Callable[[str], None] | None = None


@dataclass
class _Watched:
    """Who looks after the Ray that was started here, how much its store holds, and whether runners leave it running.

    ``gone`` is set when it has ended.
    """

    by: RayWatch | None = None
    guard: Guard | None = None
    store_bytes: int = 0
    kept: bool = False
    gone: threading.Event = field(default_factory=threading.Event)


_watched = _Watched()


def connect(settings: RaySettings, machine: Machine, store_bytes: int) -> str | None:
    """Start Ray here or join the cluster at the address; returns the dashboard's URL where there is one.

    Args:
        settings: where Ray runs.
        machine: what this machine had before Ray.
        store_bytes: what the object store must hold.

    Raises:
        EnvironmentFault: Ray does not start, or nobody answers at the address.

    """
    _log_to_file(settings.log_file)
    if settings.address is None:
        check_machine()
    about = job_metadata(settings.experiment, str(settings.trial_dir.parent.parent))
    job = ray.job_config.JobConfig(metadata=about)
    options: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.WARNING, "job_config": job}
    if settings.address is None:
        options |= {
            "address": "local",
            "num_cpus": machine.cores,
            "num_gpus": machine.gpus,
            "object_store_memory": object_store_bytes(machine, store_bytes, platform.system()),
            "include_dashboard": settings.dashboard,
            "dashboard_host": "127.0.0.1",
        }
    else:
        options["address"] = settings.address
    where = settings.address or "this machine"
    after = f"see {settings.log_file}, then run again: what was trained is kept"
    try:
        # A raylet that dies just when this process says hello to it makes Ray's core end the process (exit code 1).
        words = f"error: Ray does not start on {where}, and ended this command; {after}"
        with own_handlers(), Guard(words) as guard:
            _watched.guard = guard if settings.address is None else None
            _watched.gone = threading.Event()
            context: Any = ray.init(**options)
    except ray.exceptions.AuthenticationError as error:
        raise EnvironmentFault(f"Ray on {where}: {str(error).split('.')[0]}; {TOKEN_ADVICE}") from None
    except Exception as error:  # when a part of it dies or hangs while it starts, Ray raises no class of its own
        raise EnvironmentFault(f"Ray does not start on {where}: {error}; {after}") from error
    _watched.store_bytes = options.get("object_store_memory", 0)
    if settings.address is not None:
        guard.close()
    if settings.address is None and settings.on_lost is not None:
        _watched.by = RayWatch(settings.on_lost)
    return context.dashboard_url and f"http://{context.dashboard_url}"


def object_store_bytes(machine: Machine, needed: int, system: str) -> int:
    """Ray's own default on this ``system`` (as :func:`platform.system` calls it), unless the dataset needs more."""
    usual = min(int(0.3 * machine.memory_bytes), int(0.9 * machine.shm_bytes))
    return max(needed, min(usual, 2 * 2**30) if system == "Darwin" else usual)


@contextmanager
def kept_running() -> Iterator[None]:
    """Have the Ray that is started within serve every runner within: it ends with the last of them."""
    _watched.kept = True
    try:
        yield
    finally:
        _watched.kept = False
        disconnect()


def is_ready(store_bytes: int, *, new: bool = False) -> bool:
    """Whether a Ray is there that holds so much.

    One that is too small is let go where it was kept for others, or is ``new`` and holds nothing yet.
    """
    if ray.is_initialized() and (_watched.kept or new) and store_bytes > _watched.store_bytes:
        disconnect(kept_too=True)
    return bool(ray.is_initialized())


def hush() -> None:
    """Have the guard say nothing of the start within which this process ends now: it was stopped."""
    if _watched.guard is not None:
        _watched.guard.started()


def disconnect(*, kept_too: bool = False, in_use: bool = False) -> None:
    """Let go of Ray; one that was started here ends, a cluster that was there before stays.

    One that is kept running for the next runner stays too, unless it is lost: ``kept_too``. One that a thread of this
    process may still ask for something is ``in_use``: it is left to the guard, which ends it with this process; a
    cluster stays connected until then.

    A reference to an object that is freed while Ray's core worker goes makes Ray end the whole process (exit code 1,
    "The core worker has already been shutdown"). Garbage is collected in whatever thread allocates next, such as one
    that draws a report, so what there is goes before, and nothing is collected meanwhile.
    """
    if _watched.kept and not kept_too:
        return
    if _watched.guard is not None and is_ending():
        # Whoever stopped the command may have stopped Ray with it, whose native code then ends the process with a
        # code of its own if it is spoken to. What was started here ends with the process: the guard sees to that.
        atexit.unregister(ray.shutdown)
        return
    if _watched.by is not None:
        _watched.by.stop()
        _watched.by = None
    if in_use:  # whoever asks a Ray that goes ends the process, too
        atexit.unregister(ray.shutdown)
        return
    if not ray.is_initialized():
        return
    gc.collect()
    was_on = gc.isenabled()
    gc.disable()
    try:
        ray.shutdown()
    finally:
        if was_on:
            gc.enable()
        if _watched.guard is not None:
            _watched.guard.close()
            _watched.guard = None
        _watched.gone.set()


def wait_until_gone() -> None:
    """Wait for the end of the Ray that was started here: its processes die with the thread that started them."""
    _watched.gone.wait()


def smallest_node_cores() -> int:
    """How many cores a task may ask for and run on any node: binning takes them, as nothing runs beside it."""
    nodes: Any = ray.nodes()  # type: ignore[no-untyped-call]
    cores = [int(node["Resources"].get("CPU", 0)) for node in nodes if node["Alive"]]
    return min((count for count in cores if count > 0), default=1)


def _log_to_file(path: Path) -> None:
    """Ray's and Tune's own messages go to a file: the screen is for results."""
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        handler = logging.StreamHandler(open_own(path, "a"))
    except OSError as error:
        raise EnvironmentFault(f"{path}: cannot be written: {error.strerror}; check its rights") from error
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    for name in ("ray", "ray.tune", "ray.data"):
        logger = logging.getLogger(name)
        with suppress(ValueError):
            for old in list(logger.handlers):
                logger.removeHandler(old)
        logger.addHandler(handler)
        logger.propagate = False
