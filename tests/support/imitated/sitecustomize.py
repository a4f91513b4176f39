"""Another machine, imitated in this process and in all that it starts: put this folder on PYTHONPATH.

``NUMERAI_TEST_HIDDEN`` names modules that are as if not installed. ``NUMERAI_TEST_SYSTEM=macos`` takes from our code
what macOS does not have; libraries, which run in their Linux builds here, keep what those need.
"""

import builtins
import errno
import fcntl
import importlib.abc
import io
import os
import sys
import termios
from typing import Any

HIDDEN = frozenset(filter(None, os.environ.get("NUMERAI_TEST_HIDDEN", "").split(",")))
# What only Linux has. (FIONREAD is there on macOS, but tells nothing of the end of a pipe that is written.)
LINUX_ALONE = {
    os: ("memfd_create", "sched_getaffinity", "sched_setaffinity", "posix_fadvise", "posix_fallocate", "eventfd",
         "pidfd_open", "splice", "copy_file_range", "fdatasync"),
    fcntl: ("F_SETPIPE_SZ", "F_GETPIPE_SZ", "F_ADD_SEALS", "F_GET_SEALS"),
    termios: ("FIONREAD",),
}  # fmt: skip
FOLDERS = ("/proc", "/sys", "/dev/shm")


class Hider(importlib.abc.MetaPathFinder):
    """Finds nothing of what is hidden, before anybody else looks."""

    def find_spec(self, name: str, *_: object) -> None:
        if name.split(".", 1)[0] in HIDDEN:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)


def asked_by_us() -> bool:
    """Whether our code is the first one above this file and pathlib."""
    frame = sys._getframe(1)
    while frame.f_back and (frame.f_code.co_filename == __file__ or "pathlib" in frame.f_code.co_filename):
        frame = frame.f_back
    return f"{os.sep}numerai_ray{os.sep}" in frame.f_code.co_filename


def guarded(real: Any) -> Any:
    def asked(path: Any = ".", *more: Any, **named: Any) -> Any:
        place = os.fsdecode(path) if isinstance(path, (str, bytes, os.PathLike)) else ""
        if place.startswith(FOLDERS) and asked_by_us():
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), place)
        return real(path, *more, **named)

    return asked


if HIDDEN:
    sys.meta_path.insert(0, Hider())
if os.environ.get("NUMERAI_TEST_SYSTEM") == "macos":
    for module, names in LINUX_ALONE.items():
        for name in names:
            if hasattr(module, name):
                delattr(module, name)
    builtins.open = io.open = guarded(io.open)
    for name in ("open", "stat", "lstat", "listdir", "scandir", "readlink"):
        setattr(os, name, guarded(getattr(os, name)))
