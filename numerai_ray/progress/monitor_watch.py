"""Tells Ray's metrics what a round does: a watcher that only watches."""

from collections.abc import Callable, Sequence

from numerai_ray.experiment.records import RoundRecord
from numerai_ray.progress.round_state import Best, RoundState, Snapshot
from numerai_ray.rounds.start import RoundStart
from numerai_ray.runners.base import Progress
from numerai_ray.runners.ray.monitoring import Monitor


class MonitorWatch:
    """Turns events of a run into gauges and counters, see :data:`numerai_ray.runners.ray.monitoring.METRICS`."""

    def __init__(
        self, monitor: Monitor, shared_bytes: Callable[[], int] = lambda: 0, history: Sequence[RoundRecord] = ()
    ):
        self.monitor = monitor
        self._shared_bytes = shared_bytes
        self._state: RoundState | None = None
        self._best = Best(history)
        self._running = 0

    def round_started(self, start: RoundStart) -> None:
        self._state = RoundState(start)
        with self.monitor.together():
            self._tell()

    def trial_progress(self, progress: Progress) -> None:
        if self._state is None:
            return
        before = self._state.fits()
        self._state.tell(progress)
        now = self._state.fits()
        with self.monitor.together():
            self.monitor.count("store_hits_total", now["stored"] - before["stored"])
            self.monitor.count("fits_trained_total", now["trained"] - before["trained"])
            self._tell()

    def round_decided(self, record: RoundRecord) -> None:
        self._best.decided(record)
        self._running = 0
        with self.monitor.together():
            self.monitor.count("rounds_decided_total", 1)
            self.monitor.show("trees_per_second", 0)
            self._tell()

    def observed(self, snapshot: Snapshot) -> None:
        """Fits that run right now."""
        self._running = len(snapshot.fits)
        size = self.monitor.quiet.attempt(self._shared_bytes)
        with self.monitor.together():
            self.monitor.show("trees_per_second", snapshot.trees_per_second)
            if size:
                self.monitor.show("shared_bytes", size)
            self._tell()

    def _tell(self) -> None:
        if self._state is None:
            return
        # Again each time: what is told while Ray starts can get lost in it.
        self.monitor.show("best_primary", self._best.primary)
        self.monitor.show("round", self._state.start.number)
        self.monitor.show("trials", self._state.trials())
        self.monitor.show("fits", self._state.fits(self._running))


class DashboardNote:
    """Tells once where Ray's dashboard is, when there is one: Ray starts with the first fit that has to be trained."""

    def __init__(self, url: Callable[[], str | None], tell: Callable[[str], None]):
        self._url = url
        self._tell = tell
        self._told = False

    def round_started(self, start: RoundStart) -> None:
        del start

    def trial_progress(self, progress: Progress) -> None:
        del progress
        self._look()

    def round_decided(self, record: RoundRecord) -> None:
        del record

    def observed(self, snapshot: Snapshot) -> None:
        del snapshot
        self._look()

    def _look(self) -> None:
        url = self._url()
        if url and not self._told:
            self._told = True
            self._tell(url)
