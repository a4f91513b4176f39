"""Files that are whole or absent: written under a temporary name, then put in place in one step."""

import fcntl
import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

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
