"""Timeline: what the seconds of a run went into, thread by thread, as a table and as a Chrome trace.

``with span("plan"):`` (or ``@span("plan")``) measures what stands in it. Nothing is measured unless somebody records;
then a span costs two readings of two clocks. What runs in other processes is added with :func:`record`.
"""

import os
import threading
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ContextDecorator, contextmanager
from dataclasses import dataclass, field
from typing import Any, Self

# What a line of the table stands for where a process has other words.
START = "imports"


@dataclass(frozen=True, slots=True)
class Span:
    """A piece of work in one thread (``lane``): when it began (seconds since the epoch), wall and CPU-seconds.

    ``own_s`` and ``own_cpu_s`` leave out what spans within it took. ``depth`` is 0 where nothing is around it;
    ``cores`` are those that were set aside for it.
    """

    name: str
    lane: str
    began: float
    seconds: float
    cpu_s: float
    own_s: float
    own_cpu_s: float
    depth: int = 0
    cores: int = 1


@dataclass
class Timeline:
    """The spans of a run so far, in the order in which they ended."""

    began: float
    spans: list[Span] = field(default_factory=list)

    def take(self) -> list[Span]:
        """The spans so far; from here on they are the caller's."""
        taken, self.spans = self.spans, []
        return taken


@dataclass
class _Recording:
    by: Timeline | None = None


_recording = _Recording()
_open = threading.local()


class span(ContextDecorator):  # noqa: N801 - reads as the word that it is: `with span("plan"):`
    """Measure what stands in the block, or in the function; spans of one thread nest."""

    def __init__(self, name: str, cores: int = 1):
        self.name = name
        self.cores = cores
        self._on = False

    def _recreate_cm(self) -> Self:
        return type(self)(self.name, self.cores)

    def __enter__(self) -> Self:
        self._on = _recording.by is not None
        if self._on:
            stack = _stack()
            self._inner = [0.0, 0.0]
            stack.append(self._inner)
            self._began, self._clock, self._cpu = time.time(), time.perf_counter(), time.thread_time()
        return self

    def __exit__(self, *_: object) -> None:
        if not self._on:
            return
        seconds, cpu_s = time.perf_counter() - self._clock, time.thread_time() - self._cpu
        stack = _stack()
        stack.pop()
        if stack:
            stack[-1][0] += seconds
            stack[-1][1] += cpu_s
        own = (seconds - self._inner[0], cpu_s - self._inner[1])
        lane = threading.current_thread().name
        record(Span(self.name, lane, self._began, seconds, cpu_s, *own, len(stack), self.cores))


def record(measured: Span) -> None:
    """Add what was measured elsewhere, such as a fit in a worker; nothing happens unless somebody records."""
    timeline = _recording.by
    if timeline is not None:
        timeline.spans.append(measured)


@contextmanager
def recording(since: float | None = None) -> Iterator[Timeline]:
    """Record all spans of this process within.

    Args:
        since: when the process began (seconds since the epoch), where it is a command's own: what it did until now
            is ``imports`` then.

    """
    now = time.time()
    timeline = Timeline(now if since is None else since)
    if since is not None:
        age, cpu = now - since, time.process_time()
        timeline.spans.append(Span(START, threading.current_thread().name, since, age, cpu, age, cpu))
    _recording.by = timeline
    try:
        yield timeline
    finally:
        _recording.by = None


def table(spans: Sequence[Span], main: str, wall_s: float) -> str:
    """What the seconds went into, the longest first: one line a name and thread.

    Args:
        spans: what was measured.
        main: the thread that a user waits for; what it did outside of any span is a line of its own.
        wall_s: seconds from its beginning to its end.

    """
    sums: dict[tuple[str, str], list[float]] = defaultdict(lambda: [0, 0.0, 0.0, 0.0])
    for each in spans:
        found = sums[each.name, each.lane if each.lane == main else "beside"]
        for place, value in enumerate((1, each.seconds, each.own_s, each.own_cpu_s)):
            found[place] += value
    lines = [f"{'':28}{'thread':10}{'times':>7}{'seconds':>10}{'own':>9}{'own CPU':>9}"]
    for (name, lane), (times, seconds, own, cpu) in sorted(sums.items(), key=lambda item: -item[1][2]):
        where = "main" if lane == main else lane
        lines.append(f"{name:28}{where:10}{times:>7}{seconds:>10.3f}{own:>9.3f}{cpu:>9.3f}")
    named = sum(each.seconds for each in spans if each.lane == main and each.depth == 0)
    lines.append(f"{'(not named)':28}{'main':10}{'':>7}{'':>10}{max(0.0, wall_s - named):>9.3f}")
    lines.append(f"{'(all)':28}{'main':10}{'':>7}{wall_s:>10.3f}")
    return "\n".join(lines)


def chrome_trace(spans: Iterable[Span], began: float) -> dict[str, Any]:
    """The spans in the format that ``chrome://tracing`` and Perfetto open: a row a thread, microseconds."""
    lanes: dict[str, int] = {}
    events: list[dict[str, Any]] = []
    for each in sorted(spans, key=lambda one: one.began):
        row = lanes.setdefault(each.lane, len(lanes) + 1)
        place = {"pid": os.getpid(), "tid": row}
        times = {"ts": round((each.began - began) * 1e6), "dur": round(each.seconds * 1e6)}
        events.append({"name": each.name, "ph": "X", **place, **times, "args": {"cpu_s": round(each.cpu_s, 4)}})
    names = [
        {"name": "thread_name", "ph": "M", "pid": os.getpid(), "tid": row, "args": {"name": lane}}
        for lane, row in lanes.items()
    ]
    return {"traceEvents": [*names, *events], "displayTimeUnit": "ms"}


def idle_core_s(fits: Sequence[Span], cores: int) -> tuple[float, float]:
    """Core-seconds that were idle while fits waited, and core-seconds until the last fit began.

    Cores are counted from where the first fit begins to where the last one begins: from then on none waits.

    Args:
        fits: one span a training.
        cores: how many there are.

    """
    if not fits:
        return 0.0, 0.0
    first, last = min(each.began for each in fits), max(each.began for each in fits)
    busy = sum(max(0.0, min(each.began + each.seconds, last) - each.began) * each.cores for each in fits)
    whole = (last - first) * cores
    return max(0.0, whole - busy), whole


def _stack() -> list[list[float]]:
    stack: list[list[float]] | None = getattr(_open, "stack", None)
    if stack is None:
        stack = _open.stack = []
    return stack
