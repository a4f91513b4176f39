"""Events of a run as plain values: for programs that read lines of JSON, and for a function of the caller's."""

import json
import time
from collections.abc import Callable, Mapping
from typing import Any, Self

from numerai_ray.experiment.records import RoundRecord
from numerai_ray.progress.round_state import Pace, RoundState, Snapshot, progress_json, progress_record
from numerai_ray.progress.terminal import say
from numerai_ray.rounds.start import RoundStart
from numerai_ray.runners.base import Progress
from numerai_ray.system.json_text import parse_json, to_json, without_nan

EVENT_S = 5.0


class EventView:
    """Tells every event to a function, as a mapping; ``numerai_ray/docs/agents.md`` lists the events."""

    def __init__(self, listener: Callable[[Mapping[str, Any]], object]) -> None:
        self._listener = listener
        self._state: RoundState | None = None
        self._pace = Pace()
        self._last = 0.0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        return None

    def round_started(self, start: RoundStart) -> None:
        self._state, self._last = RoundState(start, self._pace), time.monotonic()
        known = [each.id for each in start.known]
        value = {**{k: v for k, v in vars(start).items() if k not in ("known", "fits", "rows")}, "known": known}
        self._tell("round_started", value)

    def trial_progress(self, progress: Progress) -> None:
        if self._state is not None:
            self._state.tell(progress)
        self._tell("progress", progress_record(progress))

    def round_decided(self, record: RoundRecord) -> None:
        self._pace = Pace() if self._state is None else self._state.pace()
        self._state = None
        self._tell("round_decided", parse_json(to_json(record)))

    def dashboard(self, url: str) -> None:
        self._tell("dashboard", {"url": url})

    def observed(self, snapshot: Snapshot) -> None:
        """Running fits, at most every :data:`EVENT_S`."""
        now = time.monotonic()
        if self._state is not None and now - self._last >= EVENT_S:
            self._last = now
            self._tell("running", progress_json(self._state, snapshot))

    def _tell(self, event: str, value: Mapping[str, Any]) -> None:
        self._listener(without_nan({"event": event, **value}))


class JsonView(EventView):
    """One JSON object a line on stdout."""

    def __init__(self) -> None:
        # One call a line: two threads may speak.
        super().__init__(lambda event: say(json.dumps(event)))


def _nothing(event: Mapping[str, Any]) -> None:
    del event


class QuietView(EventView):
    """Shows nothing."""

    def __init__(self) -> None:
        super().__init__(_nothing)
