"""The process: Ctrl-C once and twice, SIGTERM and SIGHUP, the same command again."""

import os
import select
import signal
import stat
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from types import FrameType

INTERRUPTED = 130
# signal -> exit code of a command that it stopped, as a shell would tell it
CODES = {int(signal.SIGINT): INTERRUPTED, int(signal.SIGTERM): 143}
if hasattr(signal, "SIGHUP"):
    CODES[int(signal.SIGHUP)] = 129
# A deadline is looked at again so often: where cores join, what is left of a budget is used up sooner.
LOOK_S, SOON_S = 10.0, 0.01


class DeadlineReached(BaseException):
    """Time is over, and ``budget`` says whose."""

    def __init__(self, budget: str):
        super().__init__(budget)
        self.budget = budget


def _nothing(text: str) -> None:
    del text


@dataclass
class _State:
    """``asked``: the exit code once an interrupt was handled; while something is ``held`` it waits.

    ``arrived`` is that of one which Python may have yet to handle, read from the pipe ``arrivals``.
    """

    asked: int = 0
    arrived: int = 0
    held: bool = False
    listening: bool = False
    say: Callable[[str], None] = _nothing
    arrivals: int | None = None


_state = _State()


@contextmanager
def two_step_interrupts(say: Callable[[str], None] = _nothing) -> Iterator[None]:
    """Handle interrupts in two steps while the block runs; elsewhere than in the main thread none arrive.

    A block within another one only changes who is told.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    told, _state.say = _state.say, say
    try:
        if _state.listening:
            yield
            return
        with _listening():
            yield
    finally:
        _state.say = told


@contextmanager
def _listening() -> Iterator[None]:
    _state.asked, _state.arrived, _state.held, _state.listening = 0, 0, False, True
    # What somebody wants to be ignored, as nohup does, stays ignored.
    numbers = [each for each in CODES if each == signal.SIGINT or signal.getsignal(each) is not signal.SIG_IGN]
    _state.arrivals, arrived = os.pipe()
    for end in (_state.arrivals, arrived):
        os.set_blocking(end, False)
    woken = signal.set_wakeup_fd(arrived, warn_on_full_buffer=False)
    before = {number: signal.signal(number, _handle) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(woken)
        os.close(arrived)
        os.close(_state.arrivals)
        # what was asked of this block is asked of nothing after it
        _state.asked, _state.arrived, _state.held, _state.listening, _state.arrivals = 0, 0, False, False, None


def _handle(number: int, frame: FrameType | None) -> None:
    del frame
    if _state.asked:
        if _process.owned:
            os._exit(_state.asked)
        raise KeyboardInterrupt  # a notebook's kernel, or a script, has more to lose than this run
    _state.asked = CODES[number]
    if CODES[number] == 129:
        _leave_terminal()
    again = "interrupt again to stop now"
    with suppress(OSError):  # nobody listens any more
        _state.say(f"stopping when what is being written is finished; {again}" if _state.held else f"stopping; {again}")
    if not _state.held:
        raise KeyboardInterrupt


def _leave_terminal() -> None:
    """A terminal that hung up takes no more words, and each would raise where it is said."""
    with suppress(OSError):
        nowhere = os.open(os.devnull, os.O_RDWR)
        for each in (1, 2):
            if stat.S_ISCHR(os.fstat(each).st_mode):
                os.dup2(nowhere, each)
        os.close(nowhere)


def stop_asked() -> int:
    """The exit code of the interrupt that came, also of one that Python has not handled yet; 0 where there was none."""
    if not _state.asked and _state.arrivals is not None:
        with suppress(OSError):
            _state.arrived = next(
                (CODES[each] for each in os.read(_state.arrivals, 4096) if each in CODES), _state.arrived
            )
    return _state.asked or _state.arrived


def stop_within(seconds: float) -> bool:
    """Wait so long, or until an interrupt arrives, though Python may handle it later; whether there was one."""
    if stop_asked() or _state.arrivals is None:
        time.sleep(seconds)
    else:
        with suppress(OSError, ValueError):  # closed meanwhile: nobody listens any more
            select.select([_state.arrivals], [], [], seconds)
    return bool(stop_asked())


def is_ending() -> bool:
    """Whether all that is left for this process to do is to end: it is one command, and was stopped."""
    return _process.owned and bool(stop_asked())


@contextmanager
def own_handlers() -> Iterator[None]:
    """Put the handlers back that a library sets for its own in the block, and take its end by SIGTERM for ours."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in CODES}
    try:
        yield
    except SystemExit:
        _state.asked = stop_asked()
        if not _state.asked:
            raise
        raise KeyboardInterrupt from None
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


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
