"""Progress of a running fit: a model counts its steps, and knows nothing of who reads that."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Literal

# What a model counts while it trains: trees of a forest or boosted rounds, epochs of a network.
Unit = Literal["trees", "epochs"]
Listener = Callable[[int, int, Unit], None]


def _nobody(_done: int, _total: int, _unit: Unit) -> None:
    """Hears nothing."""


_listener: ContextVar[Listener] = ContextVar("listener", default=_nobody)


def beat(done: int, total: int, unit: Unit = "trees") -> None:
    """``done`` of ``total`` trees (or epochs) are there; costs nothing when nobody listens."""
    _listener.get()(done, total, unit)


@contextmanager
def listening(listener: Listener) -> Iterator[None]:
    """Hears the fits of this block; it must not raise."""
    token = _listener.set(listener)
    try:
        yield
    finally:
        _listener.reset(token)
