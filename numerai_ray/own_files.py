"""Files that are added to, and locks: only ever our own, never what somebody else put in their place.

A folder of an experiment may come from anywhere, and the shared temporary folder is everybody's: under a name that we
would use there may be a link to another file, a pipe that would be waited for, or a lock that another user holds.
"""

import errno
import os
import socket
import stat
import tempfile
from pathlib import Path
from typing import IO, Any


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
