"""Heartbeat: whether a run elsewhere is still alive, by the lease in its copy, which changes as long as it is.

A driver that was killed leaves its lease as it was. Nobody compares clocks: what counts is how long it has not changed
here, where it is looked at.
"""

import time
from collections.abc import Callable

from numerai_ray.experiment.mirror import PUSH_SECONDS, last_sign
from numerai_ray.system.storage import place

# As long as the next driver waits before it takes the lease.
SILENT_S, LOOK_S = 4 * PUSH_SECONDS, PUSH_SECONDS / 2


class Heartbeat:
    """Looks at the lease of one copy; while there is one, not more often than it changes."""

    def __init__(self, results: str | None, clock: Callable[[], float] = time.monotonic):
        self._results = results
        self._clock = clock
        self._sign: str | None = None
        self._changed = self._looked = -SILENT_S

    def results(self) -> str | None:
        """Where to ask who runs the experiment; None where nobody does, or whoever did is silent."""
        if self._results is None:
            return None
        now = self._clock()
        if self._sign is None or now - self._looked >= LOOK_S:
            sign = last_sign(place(self._results))
            if sign != self._sign:
                self._sign, self._changed = sign, now
            self._looked = now
        return self._results if self._sign is not None and now - self._changed < SILENT_S else None
