"""Kernel cache: the folder that keeps compiled kernels, found without importing numba.

numba's cache looks at a function's own file alone, so a kernel would outlive a change in what it calls. The folder is
therefore named by a hash of all of this package and of what compiles it, and a stale kernel cannot be found. What lies
in it is unpickled: the folder is the user's alone, and never a shared temporary one.
"""

import fcntl
import hashlib
import os
import shutil
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

# Where kernels are kept; the processes of a driver that had to make a folder of its own find it by this.
FOLDER_VARIABLE = "NUMERAI_RAY_KERNELS"
_LOCK, _FILLED = "compiling.lock", "filled"
# More than the largest kernel takes.
_ROOM_BYTES = 1 << 20


@cache
def identity() -> str:
    """Stands for this package's code and all that compiles it."""
    digest = hashlib.sha256()
    for path in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(path.name.encode() + b"\0" + path.read_bytes())
    for library in ("numba", "llvmlite", "numpy"):
        with suppress(PackageNotFoundError):
            digest.update(f"{library} {version(library)}\0".encode())
    digest.update(sys.version.encode())
    return digest.hexdigest()[:16]


@cache
def _installation() -> str:
    """Stands for where this code lies and when it was written, without which numba does not find a kernel of it."""
    files = sorted(Path(__file__).parent.glob("*.py"))
    told = [f"{path} {path.stat().st_mtime_ns}" for path in files]
    return hashlib.sha256("\0".join(told).encode()).hexdigest()[:8]


@cache
def folder() -> Path | None:
    """The folder, made where it is not there; None where none can be had: then nothing is kept."""
    for parent in _parents():
        found = parent / identity()
        with suppress(OSError):
            found.mkdir(mode=0o700, parents=True, exist_ok=True)
        if _is_ours(found) and _has_room(found):
            return found
    with suppress(OSError):  # for this process and those that it starts
        parent = Path(tempfile.mkdtemp(prefix="numerai-ray-kernels-"))
        found = parent / identity()
        found.mkdir(mode=0o700)
        if _has_room(found):
            os.environ[FOLDER_VARIABLE] = str(parent)
            return found
        shutil.rmtree(parent)
    return None


def _parents() -> Iterator[Path]:
    """Folders to keep kernels below, the first that can be had is taken."""
    if named := os.environ.get(FOLDER_VARIABLE):
        yield Path(named)
    with suppress(RuntimeError):  # there is no home
        yield Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "numerai-ray" / "kernels"
    yield Path(__file__).parent / "__pycache__" / "kernels"


def _has_room(place: Path) -> bool:
    """Whether kernels lie there, or could: numba raises where it cannot keep one, which is no fault of a fit."""
    if _mark(place, "plain").exists():
        return True
    try:
        with tempfile.TemporaryFile(dir=place) as file:
            file.write(bytes(_ROOM_BYTES))
    except OSError:
        return False
    return True


def _is_ours(place: Path) -> bool:
    """Whether this user, and nobody else, can write there, or put another folder in its place."""
    with suppress(OSError):
        found = place.lstat()
        return (
            stat.S_ISDIR(found.st_mode)
            and found.st_uid == os.getuid()
            and not found.st_mode & 0o022
            and os.access(place, os.W_OK)
            and all(_keeps_what_lies_in_it(above) for above in place.resolve().parents)
        )
    return False


def _keeps_what_lies_in_it(above: Path) -> bool:
    """Whether only this user and the system's can rename what is in a folder.

    Its group may: many systems give each user a group of their own, which may write in all that is theirs.
    """
    found = above.stat()
    # In a container the system's user may have another number.
    trusted = found.st_uid in {os.getuid(), 0, Path("/").stat().st_uid}
    return trusted and (not found.st_mode & stat.S_IWOTH or bool(found.st_mode & stat.S_ISVTX))


@contextmanager
def compiling(what: str) -> Iterator[None]:
    """Compile in this block: one process at a time, so that others then find what the first has made.

    Raises:
        OSError: what was compiled cannot be kept; ``strerror`` says what to do.

    """
    place = folder()
    if place is None:
        yield
        return
    with (place / _LOCK).open("a") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        try:
            yield
        except OSError as error:  # numba does not name the file
            why = f"compiled kernels cannot be written there: {error.strerror}"
            remedy = f"free some space, or name another folder by {FOLDER_VARIABLE}"
            raise OSError(error.errno, f"{why}; {remedy}", str(place)) from error
        with suppress(OSError):
            _mark(place, what).touch()


def _mark(place: Path, what: str) -> Path:
    return place / f"{_FILLED}-{what}-{_installation()}"


def fill_beside() -> None:
    """Have another process compile the usual kernels while this one does something else, unless they are there.

    Whoever needs them before waits for it.
    """
    place = folder()
    if place is None or _mark(place, "plain").exists():
        return
    code = "from numerai_ray.trees.growing import warm_up; warm_up()"
    with suppress(OSError):
        quiet = subprocess.DEVNULL
        subprocess.Popen([sys.executable, "-c", code], stdin=quiet, stdout=quiet, stderr=quiet)
