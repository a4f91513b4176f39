"""The guard: a small process that ends what a library started for this one, however this one ends.

Ray's workers and agents look about every few seconds, at best, whether what started them is still there; on a busy
machine they have outlived a killed command by a minute. They are known by a variable that they inherit.
"""

import os
import subprocess
import sys
import time
from contextlib import suppress
from types import TracebackType
from typing import Self
from uuid import uuid4

import psutil

MARK = "NUMERAI_RAY_GUARDED"
STARTED = "started\n"
# What dies may just have started another: looked for again so often, with waits between.
LOOKS, WAIT_S = 20, 0.1


class Guard:
    """Ends all processes started within the block and by them, once this process has ended or :meth:`close` is called.

    Within the block it also stands by with last words: a library's native code may end the process then. An exception
    is no such end, but closes the guard.

    Args:
        words: said on stderr if the process ends while the block runs.

    """

    def __init__(self, words: str):
        self._mark = uuid4().hex
        command = [sys.executable, "-P", __file__, self._mark, words]
        # A session of its own: whoever stops a command with all its processes does not mean this one.
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True, start_new_session=True
        )

    def __enter__(self) -> Self:
        os.environ[MARK] = self._mark
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        del os.environ[MARK]
        self.started()
        if kind is not None:
            self.close()

    def started(self) -> None:
        """From now on there is nothing to say about the end of this process."""
        if self._process.stdin is not None:
            with suppress(OSError, ValueError):
                self._process.stdin.write(STARTED)
                self._process.stdin.flush()

    def close(self) -> None:
        """End what is left of what was started within the block, and wait for that."""
        with suppress(OSError):
            self._process.communicate()


def _end_all(mark: str) -> None:
    for _ in range(LOOKS):
        found = False
        for each in psutil.process_iter():
            # Another user's, or gone while it is looked at.
            with suppress(psutil.Error, OSError):
                if each.environ().get(MARK) == mark and each.status() != psutil.STATUS_ZOMBIE:
                    each.kill()
                    found = True
        if not found:
            return
        time.sleep(WAIT_S)


def _main(mark: str, words: str) -> None:
    if sys.stdin.readline() != STARTED:
        sys.stderr.write(words + "\n")
        sys.stderr.flush()
    sys.stdin.read()
    _end_all(mark)


if __name__ == "__main__":
    _main(*sys.argv[1:])
