"""One driver an experiment: a lock that dies with its holder."""

import fcntl
import json
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

from numerai_ray.errors import EnvironmentFault, ExperimentBusy
from numerai_ray.system.files import open_own
from numerai_ray.system.json_text import parse_json


@contextmanager
def experiment_lock(path: Path) -> Iterator[None]:
    """Hold the lock file ``path`` while the block runs; the kernel lets it go when the process dies.

    Raises:
        ExperimentBusy: another process holds it; the message names that process.
        EnvironmentFault: the folder cannot be written.

    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = open_own(path, "a+")
    except OSError as error:
        raise EnvironmentFault(f"{path}: cannot be written: {error.strerror}; check its rights") from error
    with handle:
        if not _locked(handle):
            handle.seek(0)
            raise ExperimentBusy(
                f"{path.parent}: is being run by {_holder(handle.read())}; wait for it, or watch it with "
                f"`numerai-ray status {path.parent}`"
            )
        me = {
            "pid": os.getpid(),
            "host": socket.gethostname(),
            "since": datetime.now(UTC).isoformat("T", "seconds"),
        }
        try:
            handle.truncate(0)
            os.write(handle.fileno(), json.dumps(me).encode())
        except OSError as error:
            why = error.strerror or str(error)
            raise EnvironmentFault(f"{path}: cannot be written: {why}; free some space, then run again") from error
        yield


def _locked(handle: IO[Any]) -> bool:
    """Try a few times: who only asks for the holder holds the lock for an instant."""
    for attempt in range(5):
        time.sleep(0.02 * attempt)
        with suppress(BlockingIOError):
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
    return False


def _holder(text: str) -> str:
    try:
        who = parse_json(text)
        return f"process {who['pid']} on {who['host']} since {who['since']}"
    except (ValueError, KeyError, TypeError):
        return "another process"


def lock_holder(path: Path) -> str | None:
    """Who runs the experiment right now, or None."""
    if not path.exists():
        return None
    try:
        handle = open_own(path, "r")
    except OSError as error:
        raise EnvironmentFault(f"{path}: cannot be read: {error.strerror}; check its rights") from error
    with handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return _holder(handle.read())
    return None
