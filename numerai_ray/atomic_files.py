"""Files that are whole or absent: written under a temporary name, then put in place in one step."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from numerai_ray.errors import EnvironmentFault


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
    os.close(descriptor)
    partial = Path(name)
    try:
        yield partial
        put_in_place(partial, path, durable=durable)
    except OSError as error:
        raise EnvironmentFault(f"{path}: cannot be written: {error}; free some space, then run again") from error
    finally:
        with suppress(OSError):
            partial.unlink(missing_ok=True)
            if is_new:
                path.parent.rmdir()  # refused where the file, or another one, is in it


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
