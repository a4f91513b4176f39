"""Room for a fit on its node: one whose process was killed before is tried again alone.

A process that is killed without a word was most likely killed for memory, by Ray's monitor or by the kernel. Every
fit holds a shared lock of the node while it trains; one that finds the mark of an earlier attempt of its own waits
until it has the node to itself. Locks die with their holders, and marks count within one run only.
"""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from numerai_ray.system.files import open_own, own_temporary_folder


@contextmanager
def fit_room(run: str, family: str) -> Iterator[bool]:
    """Hold room for a fit while the block runs; yields whether it is alone because an earlier attempt was killed.

    Args:
        run: tells runs apart: an earlier run that was killed as a whole says nothing about memory.
        family: what is trained.

    """
    folder = own_temporary_folder()
    if folder is None:
        yield False
        return
    try:
        mark = folder / f"{run}-{family[:16]}"
        again = mark.exists()
        mark.touch()
        handle = open_own(folder / f"room-{run}", "a")
    except OSError:  # no room for marks: then without this care
        yield False
        return
    try:
        with handle:
            fcntl.flock(handle, fcntl.LOCK_EX if again else fcntl.LOCK_SH)
            yield again
    finally:
        # Not reached by a process that is killed, which is the point of it.
        with suppress(OSError):
            mark.unlink(missing_ok=True)


def forget_room(run: str) -> None:
    """Remove what a run left on this machine."""
    folder = own_temporary_folder()
    for path in [] if folder is None else [*folder.glob(f"{run}-*"), folder / f"room-{run}"]:
        with suppress(OSError):
            path.unlink(missing_ok=True)
