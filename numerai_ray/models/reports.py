"""Reports of a running fit: how far it is, how much each feature matters, the trained model. Nobody has to listen."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Literal

from numpy.typing import ArrayLike

from numerai_ray.metrics.importance import Importance, importance_of

# By length of the fit; None for one that is no rung of a ladder.
Told = dict[int | None, Importance]
_heard: ContextVar[Told | None] = ContextVar("heard", default=None)
_trained: ContextVar[list[Any] | None] = ContextVar("trained", default=None)


def tell_importance(kind: str, values: ArrayLike, length: int | None = None) -> None:
    """Feature importances (k,) in the order of the batch's features; ``kind`` says of what: gain, coefficient."""
    heard = _heard.get()
    found = None if heard is None else importance_of(kind, values)
    if heard is not None and found is not None:
        heard[length] = found


def is_heard() -> bool:
    """Whether anybody listens: what has to be computed first is not, for nobody."""
    return _heard.get() is not None


@contextmanager
def hearing() -> Iterator[Told]:
    """What the fits of this block tell."""
    told: Told = {}
    token = _heard.set(told)
    try:
        yield told
    finally:
        _heard.reset(token)


def tell_model(fitted: Any) -> None:
    """The trained model (a :class:`~numerai_ray.models.protocol.Fitted`) that the predictions come from."""
    trained = _trained.get()
    if trained is not None:
        trained.append(fitted)


@contextmanager
def hearing_model() -> Iterator[list[Any]]:
    """The models that are trained in this block: of one fit, or of a ladder, the longest alone."""
    trained: list[Any] = []
    token = _trained.set(trained)
    try:
        yield trained
    finally:
        _trained.reset(token)


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
