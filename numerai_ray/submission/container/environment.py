"""A container's libraries in a virtual environment of their own, and what runs in it: alone, offline, on one core.

Environments are kept in the user's cache folder (``$NUMERAI_RAY_CACHE``, else ``$XDG_CACHE_HOME``, else
``~/.cache``), named after everything in them, so they are built once and never changed.
"""

import hashlib
import importlib.util
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from numerai_ray.errors import EnvironmentFault
from numerai_ray.submission.container.containers import Container
from numerai_ray.submission.container.interpreters import find_python
from numerai_ray.system.machine import resident_bytes

CACHE_VARIABLE = "NUMERAI_RAY_CACHE"
_READY = ".ready"
_POLL_S = 0.05
AS_TEXT: dict[str, Any] = {"encoding": "utf-8", "errors": "replace"}  # what another program says
_BUILD_S = 900.0
# A process that may see one core makes as many threads; libraries that do not ask are told.
_ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS"), "1")


@dataclass(frozen=True)
class Environment:
    """A built environment: ``python`` runs in it."""

    container: Container
    root: Path

    @property
    def python(self) -> Path:
        return self.root / "bin" / "python"


@dataclass(frozen=True)
class Limits:
    """What a run may take; it is ended where it takes more."""

    seconds: float
    memory_bytes: int


@dataclass(frozen=True)
class Ran:
    """How a run ended: ``code`` of the process, ``over`` names the limit it broke (``time``, ``memory``)."""

    code: int
    output: str
    seconds: float
    peak_bytes: int
    over: str | None


def environment_for(container: Container, on_step: Callable[[str], None] = lambda _: None) -> Environment:
    """The container's environment, built when it is not there yet.

    Raises:
        EnvironmentFault: no such Python, or the packages cannot be installed.

    """
    requirements = container.requirements()
    interpreter = find_python(container.python)
    told = "\n".join([str(interpreter), *requirements])
    digest = hashlib.sha256(told.encode()).hexdigest()[:12]
    root = cache_folder() / "containers" / f"py{container.python}-{digest}"
    if not (root / _READY).exists():
        on_step(f"building the environment of Numerai's container for Python {container.python}, once: {root}")
        _build(root, interpreter, requirements)
    return Environment(container, root)


def cache_folder() -> Path:
    """Where built environments are kept."""
    named = os.environ.get(CACHE_VARIABLE)
    if named:
        return Path(named)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "numerai-ray"


def _build(root: Path, interpreter: Path, requirements: Sequence[str]) -> None:
    """Beside its place first: an environment is whole or absent, and of two builders the first one stays."""
    try:
        root.parent.mkdir(parents=True, exist_ok=True)
        building = Path(tempfile.mkdtemp(prefix=f".{root.name}.", dir=root.parent))
    except OSError as error:
        raise EnvironmentFault(
            f"{root.parent}: cannot be written ({error.strerror}); name another folder in ${CACHE_VARIABLE}"
        ) from None
    try:
        # Ours serves the other Python, where there is one: its own costs seconds to unpack, and may be older.
        ours = importlib.util.find_spec("pip") is not None
        make = [str(interpreter), "-m", "venv", *(["--without-pip"] if ours else []), str(building)]
        _run_or_raise(make, "cannot make an environment")
        inside = str(building / "bin" / "python")
        pip = [sys.executable, "-m", "pip", "--python", inside] if ours else [inside, "-m", "pip"]
        quiet = ["install", "--quiet", "--no-deps", "--disable-pip-version-check", "--no-warn-script-location"]
        _run_or_raise([*pip, *quiet, *requirements], "cannot install the container's libraries")
        (building / _READY).write_text("\n".join(requirements), encoding="utf-8")
        if not root.exists():
            building.rename(root)
    finally:
        shutil.rmtree(building, ignore_errors=True)


def _run_or_raise(command: Sequence[str], what: str) -> None:
    try:
        done = subprocess.run(command, capture_output=True, timeout=_BUILD_S, check=False, **AS_TEXT)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise EnvironmentFault(f"{what}: {error}; check the connection to the package index") from None
    if done.returncode:
        lines = [line for line in (done.stderr or done.stdout).splitlines() if "ERROR" in line or "rror:" in line]
        why = " ".join(lines[-2:]) or (done.stderr or done.stdout).strip()[-300:] or f"exit code {done.returncode}"
        raise EnvironmentFault(f"{what}: {why}; check the connection to the package index, then run again")


@cache
def isolation() -> tuple[str, ...]:
    """The command that takes the network away from what follows it, or () where the system allows none."""
    for command in (("unshare", "-n"), ("unshare", "-r", "-n")):
        try:
            done = subprocess.run([*command, "true"], capture_output=True, timeout=30, check=False)
        except (OSError, subprocess.TimeoutExpired):
            continue
        if done.returncode == 0:
            return command
    return ()


def run_inside(environment: Environment, arguments: Sequence[str], folder: Path, limits: Limits) -> Ran:
    """Run the environment's Python in ``folder``: no network, none of our code, one core, within ``limits``."""
    settings = {"PATH": "/usr/bin:/bin", "HOME": str(folder), "TMPDIR": str(folder), "LANG": "C.UTF-8", **_ONE_THREAD}
    command = [*isolation(), str(environment.python), "-I", *arguments]
    started = time.monotonic()
    with tempfile.TemporaryFile(dir=folder) as said:
        process = subprocess.Popen(
            command,
            cwd=folder,
            env=settings,
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=_one_core,  # noqa: PLW1509  it calls one system call
        )
        try:
            over, peak = _watched(process, started, limits)
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        said.seek(0)
        output = said.read().decode("utf-8", "replace")
    return Ran(process.returncode, output[-4000:], time.monotonic() - started, peak, over)


def _watched(process: "subprocess.Popen[bytes]", started: float, limits: Limits) -> tuple[str | None, int]:
    peak = 0
    while process.poll() is None:
        peak = max(peak, resident_bytes(process.pid))
        if peak > limits.memory_bytes:
            return "memory", peak
        if time.monotonic() - started > limits.seconds:
            return "time", peak
        time.sleep(_POLL_S)
    return None, peak


def _one_core() -> None:
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
