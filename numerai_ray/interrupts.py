"""Ctrl-C once: finish what is being written, then stop. Twice: now.

Either way the same command goes on later: every file is whole or absent, and what was trained is stored.
"""

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType

INTERRUPTED = 130


class DeadlineReached(BaseException):
    """Time is over. Like an interrupt it passes every ``except Exception``, wherever the work stands."""


@dataclass
class _State:
    """``asked`` once there was an interrupt; while something is ``held`` it waits."""

    asked: bool = False
    held: bool = False


_state = _State()


@contextmanager
def two_step_interrupts(say: Callable[[str], None]) -> Iterator[None]:
    """Handle interrupts in two steps while the block runs; elsewhere than in the main thread none arrive."""
    _state.asked = _state.held = False
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def handle(number: int, frame: FrameType | None) -> None:
        del number, frame
        if _state.asked:
            os._exit(INTERRUPTED)
        _state.asked = True
        if _state.held:
            say("stopping when what is being written is finished; interrupt again to stop now")
            return
        say("stopping; interrupt again to stop now")
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGINT, handle)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


@contextmanager
def finish_first() -> Iterator[None]:
    """An interrupt within the block waits for its end, or for the next :func:`interruptible` inside it."""
    before, _state.held = _state.held, True
    try:
        yield
    finally:
        _state.held = before
    if _state.asked and not before:
        raise KeyboardInterrupt


@contextmanager
def interruptible() -> Iterator[None]:
    """Within :func:`finish_first`: where an interrupt, also one that came before, stops at once."""
    before, _state.held = _state.held, False
    try:
        if _state.asked:
            raise KeyboardInterrupt
        yield
    finally:
        _state.held = before


@contextmanager
def deadline(seconds: float | None) -> Iterator[None]:
    """Raise :class:`DeadlineReached` in the block after so many seconds; never for None or beside the main thread."""
    if seconds is None or threading.current_thread() is not threading.main_thread():
        yield
        return

    def over(number: int, frame: FrameType | None) -> None:
        del number, frame
        raise DeadlineReached

    before = signal.signal(signal.SIGALRM, over)
    signal.setitimer(signal.ITIMER_REAL, max(seconds, 1e-3))
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
