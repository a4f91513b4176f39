"""Files: whole or absent when written, our own when appended or locked, read from first byte to last."""

import errno
import fcntl
import os
import socket
import stat
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from numerai_ray.errors import EnvironmentFault

# A temporary file is locked this long after it was made, at the latest.
YOUNG_S = 60.0


@contextmanager
def whole_file(path: Path, *, durable: bool = True) -> Iterator[Path]:
    """A temporary path beside ``path`` that becomes ``path`` when the block ends well, and is removed otherwise.

    A folder that was made for it goes with it.

    ``durable`` waits until the contents are on the disk, which a cache that checks itself does not need.

    Raises:
        EnvironmentFault: the folder cannot be written or the disk is full.

    """
    is_new = not path.parent.exists()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(prefix=f".{path.name[:80]}.", suffix=".partial", dir=path.parent)
    except OSError as error:
        raise EnvironmentFault(f"{path.parent}: cannot be written: {error.strerror}; free space or rights") from error
    partial = Path(name)
    try:
        with os.fdopen(descriptor, "rb") as held:
            with suppress(OSError):  # some storage knows no locks
                # Tells that its writer lives; the kernel lets go of it with the process.
                fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
            yield partial
            put_in_place(partial, path, durable=durable)
    except OSError as error:
        raise EnvironmentFault(f"{path}: cannot be written: {error}; free some space, then run again") from error
    finally:
        with suppress(OSError):
            partial.unlink(missing_ok=True)
            if is_new:
                path.parent.rmdir()  # refused where the file, or another one, is in it


def tidy(folder: Path) -> None:
    """Remove what writers left anywhere below ``folder`` that died before their file was whole."""
    for partial in folder.rglob(".*.partial"):
        # One that was made this moment may not be held yet; a file that cannot be removed harms nobody.
        with suppress(OSError):
            if partial.is_symlink() or not partial.is_file() or time.time() - partial.stat().st_mtime < YOUNG_S:
                continue
            with partial.open("rb") as handle:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                partial.unlink()


def put_in_place(partial: Path, path: Path, *, durable: bool = True) -> None:
    """Make a finished temporary file ``path`` in one step; its bytes are on the disk before its name is."""
    if durable:
        with partial.open("rb+") as handle:
            os.fsync(handle.fileno())
    partial.chmod(0o644)
    partial.replace(path)


def write_text(path: Path, text: str) -> None:
    """Write a text file whole or not at all."""
    with whole_file(path) as partial:
        partial.write_text(text, encoding="utf-8")


def open_own(path: Path, mode: str) -> IO[Any]:
    """Open a file, made where there is none if ``mode`` makes one, to be locked or added to.

    Raises:
        OSError: it cannot be opened, or is a symbolic link, a folder or a pipe; ``strerror`` says what to do.

    """
    text: dict[str, str] = {} if "b" in mode else {"encoding": "utf-8", "errors": "replace"}
    return open(path, mode, opener=_own, **text)  # type: ignore[call-overload,no-any-return]


def _own(name: str, flags: int) -> int:
    try:
        descriptor = os.open(name, flags | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, 0o666)
    except OSError as error:
        if error.errno != errno.ELOOP:
            raise
        raise OSError(errno.ELOOP, "it is a symbolic link, which is not followed here; remove it", name) from None
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, "it is no file; move it away", name)
    return descriptor


def own_temporary_folder() -> Path | None:
    """A folder of this machine that this user alone can write, the same in every process; None where there is none."""
    for make in (_shared, _at_home):
        try:
            folder = make()
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            found = folder.lstat()
            if stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid():
                if stat.S_IMODE(found.st_mode) != 0o700:
                    folder.chmod(0o700)
                return folder
        except (OSError, RuntimeError):  # no rights; nobody's home
            continue
    return None


def _shared() -> Path:
    return Path(tempfile.gettempdir()) / f"numerai-ray-{os.getuid()}"


def _at_home() -> Path:
    # Homes are shared by machines, and a lock here is of one.
    return Path.home() / ".cache" / "numerai-ray" / f"locks-{socket.gethostname()}"


_OTHERS = {
    stat.S_IFDIR: "a directory",
    stat.S_IFIFO: "a pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


def plain_file(path: Path) -> Path:
    """``path`` itself, if a file is there.

    Raises:
        FileNotFoundError: nothing is there.
        OSError: something else is, such as a pipe or a folder; or it may not be looked at.

    """
    other = _OTHERS.get(stat.S_IFMT(path.stat().st_mode))
    if other is not None:
        raise OSError(f"it is {other}, not a file")
    return path


def read_plain_text(path: Path) -> str:
    """The text of a file in UTF-8; a byte order mark is left out.

    Raises:
        FileNotFoundError: nothing is there.
        OSError: it is no plain file, or cannot be read.
        ValueError: it is not in UTF-8; says where.

    """
    content = plain_file(path).read_bytes()
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = content[: error.start]
        line, place = before.count(b"\n") + 1, error.start - (before.rfind(b"\n") + 1) + 1
        found = f"byte 0x{content[error.start]:02x} in line {line} at position {place}"
        raise ValueError(f"it is not utf-8 ({found}); save it as utf-8") from None
