"""The same command once more, in the place of the process that runs it: same number, same terminal, nothing else left.

That is what is done when Ray on this machine is gone. Ray ends a process whose object store went away, whatever the
process would rather do; and as every file is whole or absent at any time, the same command goes on.
"""

import os
import signal
import sys
from contextlib import suppress
from dataclasses import dataclass

from numerai_ray.interrupts import stop_asked

# How often this command has started over; handed on to what takes its place.
TIMES = "NUMERAI_RAY_STARTED_OVER"
MOST = 3


@dataclass
class _Process:
    """``owned`` when all that this process does is one command."""

    owned: bool = False


_process = _Process()


def own_process() -> None:
    """Say that all of this process is one command, which may take its place; call it in the main thread."""
    _process.owned = True
    # An alarm that was set for what was here before, which held it back, is nobody's: it would end this process.
    signal.setitimer(signal.ITIMER_REAL, 0)
    before = signal.signal(signal.SIGALRM, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGALRM})
    signal.signal(signal.SIGALRM, before)


def start_over(why: str) -> None:
    """Replace the process by the same command; returns where it has more to do, or started over too often.

    Whoever stops a service or a job stops all of its processes at once: then Ray is gone because it was to go.
    """
    if _process.owned and (code := stop_asked()):
        with suppress(OSError):  # the terminal may be gone, too
            os.write(2, b"interrupted; run the same command again to go on\n")
        os._exit(code)
    times = int(os.environ.get(TIMES, "0"))
    if not _process.owned or times >= MOST:
        return
    sys.stderr.write(f"{why}: starting over, what was trained is kept\n")
    sys.stderr.flush()
    os.environ[TIMES] = str(times + 1)
    # Timers outlive this, handlers do not.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGALRM})
    os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])
