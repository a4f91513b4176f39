"""How far a fit is, for whoever listens: a model says so as it goes, and knows nothing of who that is."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

Listener = Callable[[int, int], None]
_listener: ContextVar[Listener | None] = ContextVar("listener", default=None)


def beat(done: int, total: int) -> None:
    """``done`` of ``total`` trees (epochs, rounds) are there; costs nothing when nobody listens."""
    listener = _listener.get()
    if listener is not None:
        listener(done, total)


@contextmanager
def listening(listener: Listener) -> Iterator[None]:
    """Hears the fits of this block; it must not raise."""
    token = _listener.set(listener)
    try:
        yield
    finally:
        _listener.reset(token)
