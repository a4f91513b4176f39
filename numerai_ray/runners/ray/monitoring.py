"""What Ray's dashboard and Prometheus are told: gauges, counters, names, and how far each running fit is.

Nothing here may ever fail a trial or hold one up: every call swallows its own fault and is waited for a moment only,
and after a few faults in a row the module falls silent for the rest of the process. Labels are bounded: an
experiment's name and a fixed list of states, never a variant, a fold or a value, because every combination is a time
series that Prometheus keeps.

Fits tell how far they are through Ray's own key-value store, once a second at most, so that the driver can show it
without a process or a file of its own.
"""

from __future__ import annotations

import json
import logging
import math
import os
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any, Literal

Kind = Literal["gauge", "counter"]
PREFIX = "numerai_ray_"
STATES = {
    "trials": ("running", "done", "failed", "pruned"),
    "fits": ("waiting", "running", "trained", "stored"),
}
# name -> (kind, what it is, labels beside the experiment)
METRICS: dict[str, tuple[Kind, str, tuple[str, ...]]] = {
    "round": ("gauge", "Number of the running round.", ()),
    "best_primary": ("gauge", "Primary metric (mean BMC of the last scored eras) of the best so far.", ()),
    "trials": ("gauge", "Trials of the running round by state.", ("state",)),
    "fits": ("gauge", "Fits of the running round by state.", ("state",)),
    "trees_per_second": (
        "gauge",
        "Trees grown a second, all running fits together; epochs of networks are not counted.",
        (),
    ),
    "shared_bytes": ("gauge", "Bytes of the dataset held in Ray's object store.", ()),
    "rounds_decided_total": ("counter", "Rounds decided by this driver.", ()),
    "fits_trained_total": ("counter", "Fits trained by this driver.", ()),
    "store_hits_total": ("counter", "Fits read from the store instead of trained.", ()),
}
# After so many faults nothing more is tried: a broken agent must not cost a line of log a second.
MOST_FAULTS = 3
# A call takes less than a millisecond; one that takes this long waits for somebody who does not answer.
HANGS_S = 2.0
PULSE_S = 1.0
STALE_S = 900.0
_NAMESPACE = b"numerai-ray"
_log = logging.getLogger("ray.numerai_ray")


@dataclass(frozen=True)
class RunningFit:
    """How far a fit is: ``done`` of ``total`` of its ``unit``, 0 where its model does not tell, since ``started``."""

    name: str
    done: int
    total: int
    started: float
    told: float
    node: str
    pid: int
    unit: str = "trees"

    @property
    def per_second(self) -> float:
        """Of its unit a second since it began; 0 before the first word."""
        took = self.told - self.started
        return self.done / took if took > 0 else 0.0


class Quiet:
    """Runs what may fail or hang without ever failing or hanging; counts the seconds that it took.

    Each call has a thread of its own. One that hangs (an agent that is stopped, a network that swallows packets) is
    left behind after :data:`HANGS_S`, and nothing more is tried until it comes back.
    """

    def __init__(self) -> None:
        self.seconds = 0.0
        self.faults = 0  # one after the other
        self._aside: threading.Thread | None = None

    def attempt(self, work: Callable[[], Any]) -> Any:
        """The value of ``work``, None when it fails or hangs, or failed too often before."""
        before = self._aside
        if self.faults >= MOST_FAULTS or (before is not None and before.is_alive()):
            return None
        began = time.perf_counter()
        done: list[Any] = []
        aside = threading.Thread(target=lambda: done.append(self._tried(work)), name="monitoring", daemon=True)
        try:
            aside.start()
        except RuntimeError:  # no thread to be had: the interpreter is ending
            self.faults = MOST_FAULTS
            return None
        self._aside = aside
        aside.join(HANGS_S)
        self.seconds += time.perf_counter() - began
        if aside.is_alive():
            _log.warning("monitoring: no answer within %.0f s", HANGS_S)
        return done[0] if done else None

    def _tried(self, work: Callable[[], Any]) -> Any:
        try:
            value = work()
        except Exception as error:
            self.faults += 1
            _log.warning("monitoring: %s: %s", type(error).__name__, error)
            return None
        self.faults = 0
        return value


class Monitor:
    """The driver's gauges and counters; values told before Ray runs are handed over once it does."""

    def __init__(self, experiment: str):
        self.quiet = Quiet()
        self._tags = {"experiment": experiment}
        self._made: dict[str, Any] = {}
        self._values: dict[tuple[str, str], float] = {}
        self._counts: dict[str, float] = {}
        self._lock = threading.Lock()  # whoever tells, and whoever hands over
        self._gathering = False

    @contextmanager
    def together(self) -> Iterator[None]:
        """What is told until the block ends is handed over at once, in one thread instead of one a value."""
        self._gathering = True
        try:
            yield
        finally:
            self._gathering = False
            self.quiet.attempt(self._hand_over)

    def show(self, name: str, value: float | Mapping[str, float]) -> None:
        """Set a gauge: one value, or one a state."""
        by_state = value if isinstance(value, Mapping) else {"": value}
        with self._lock:
            self._values |= {(name, state): float(each) for state, each in by_state.items()}
        self._publish()

    def count(self, name: str, by: float) -> None:
        """Raise a counter."""
        if by > 0:
            with self._lock:
                self._counts[name] = self._counts.get(name, 0.0) + by
        self._publish()

    def _publish(self) -> None:
        if not self._gathering:
            self.quiet.attempt(self._hand_over)

    def _hand_over(self) -> None:
        if not _ray_runs():
            return
        with self._lock:
            values, counts = self._values, self._counts
            self._values, self._counts = {}, {}
        for (name, state), value in values.items():
            # Unknown is no point rather than a wrong one.
            if math.isfinite(value):
                self._metric(name).set(value, {**self._tags, **({"state": state} if state else {})})
        for name, by in counts.items():
            self._metric(name).inc(by, self._tags)

    def _metric(self, name: str) -> Any:
        if name not in self._made:
            from ray.util.metrics import Counter, Gauge  # noqa: PLC0415

            kind, about, labels = METRICS[name]
            make = Gauge if kind == "gauge" else Counter
            self._made[name] = make(PREFIX + name, about, ("experiment", *labels))
        return self._made[name]


class Pulse:
    """Told by a model how far it is; passes it on at most once a second."""

    def __init__(self, name: str):
        self.quiet = Quiet()
        self._key = f"fit/{name}/{os.getpid()}".encode()
        self._last = 0.0
        self._state = RunningFit(name, 0, 0, time.time(), time.time(), socket.gethostname(), os.getpid())

    def __call__(self, done: int, total: int, unit: str = "trees") -> None:
        now = time.monotonic()
        if now - self._last >= PULSE_S:
            self._last = now
            self._tell(done, total, unit)

    @contextmanager
    def beating(self) -> Iterator[Pulse]:
        """Known from here until the block ends."""
        self._tell(0, 0)
        try:
            yield self
        finally:
            self.quiet.attempt(lambda: _store()._internal_kv_del(self._key, namespace=_NAMESPACE))

    def _tell(self, done: int, total: int, unit: str = "trees") -> None:
        state = {**asdict(self._state), "done": done, "total": total, "unit": unit, "told": time.time()}
        value = json.dumps(state).encode()
        self.quiet.attempt(lambda: _store()._internal_kv_put(self._key, value, overwrite=True, namespace=_NAMESPACE))


def running_fits(quiet: Quiet | None = None) -> list[RunningFit]:
    """What is being fitted right now, oldest first; empty without Ray, or when it cannot be told.

    ``quiet`` is what whoever asks again and again asks through.
    """
    if not _ray_runs():
        return []
    found = (quiet or Quiet()).attempt(_published) or []
    # The word of a worker that died stays; after a while it is no news.
    return sorted((fit for fit in found if time.time() - fit.told < STALE_S), key=lambda fit: fit.started)


def _published() -> list[RunningFit]:
    store = _store()
    keys = store._internal_kv_list(b"fit/", namespace=_NAMESPACE)
    values = [store._internal_kv_get(key, namespace=_NAMESPACE) for key in keys]
    return [RunningFit(**json.loads(value)) for value in values if value]


def job_metadata(experiment: str, folder: str) -> dict[str, str]:
    """What a Ray job carries, so that the dashboard tells whose it is."""
    return {"numerai_ray_experiment": experiment, "numerai_ray_folder": folder}


def _ray_runs() -> bool:
    """Whether Ray was started, without importing it: a round that only reads the store never waits for it."""
    ray = sys.modules.get("ray")
    return bool(ray is not None and ray.is_initialized())


def _store() -> Any:
    from ray.experimental import internal_kv  # noqa: PLC0415

    return internal_kv
