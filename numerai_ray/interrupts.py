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


# A deadline is looked at again so often: where cores join, what is left of a budget is used up sooner.
LOOK_S, SOON_S = 10.0, 0.01


class DeadlineReached(BaseException):
    """Time is over, and ``budget`` says whose."""

    def __init__(self, budget: str):
        super().__init__(budget)
        self.budget = budget


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
        _state.asked = _state.held = False  # what was asked of this block is asked of nothing after it


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
def deadline(left: Callable[[], tuple[float, str]] | None) -> Iterator[None]:
    """Raise :class:`DeadlineReached` in the block when ``left`` tells of no more seconds, and of whose they were.

    Never for None or beside the main thread. ``left`` is called wherever the block stands, so it may wait for nothing.
    Within the block it is an interrupt, which waits for :func:`finish_first` and is the one thing that may be raised
    while Ray waits: anything else ends there as a SystemError.
    """
    if left is None or threading.current_thread() is not threading.main_thread():
        yield
        return

    reached: list[str] = []

    def look(number: int, frame: FrameType | None) -> None:
        del number, frame
        seconds, budget = left()
        if seconds <= 0 and not _state.held:
            reached.append(budget)
            raise KeyboardInterrupt
        signal.setitimer(signal.ITIMER_REAL, min(max(seconds, SOON_S), LOOK_S))

    before = signal.signal(signal.SIGALRM, look)
    try:
        signal.setitimer(signal.ITIMER_REAL, min(max(left()[0], SOON_S), LOOK_S))
        try:
            yield
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, before)
    except KeyboardInterrupt:
        if reached:
            raise DeadlineReached(reached[0]) from None
        raise
