"""Who watches a run, and what is written for other programs beside it."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol, Self

from numerai_ray.experiment.paths import ExperimentPaths
from numerai_ray.experiment.records import RoundRecord
from numerai_ray.progress.live_view import LiveView, ProgressFile, Watchers
from numerai_ray.progress.round_state import Observer
from numerai_ray.rounds.start import RoundStart
from numerai_ray.runners.base import Progress

if TYPE_CHECKING:
    from numerai_ray.runners.in_process import InProcessRunner, StoredFirst


class View(Protocol):
    """A watcher that shows the running round, from before the first round until after the last."""

    def round_started(self, start: RoundStart) -> None: ...

    def trial_progress(self, progress: Progress) -> None: ...

    def round_decided(self, record: RoundRecord) -> None: ...

    def __enter__(self) -> Self: ...

    def __exit__(self, *exc: object) -> None: ...

    def dashboard(self, url: str) -> None: ...


@contextmanager
def watching(
    view: View,
    name: str,
    paths: ExperimentPaths,
    runner: "InProcessRunner | StoredFirst",
    history: Sequence[RoundRecord],
) -> Iterator[Watchers]:
    """Everyone who watches a run, and someone who looks at the running fits for them."""
    from numerai_ray.runners.in_process import InProcessRunner

    progress = ProgressFile(paths.progress)
    if isinstance(runner, InProcessRunner):
        yield Watchers(view, progress)
        return
    from numerai_ray.progress.monitor_watch import DashboardNote, MonitorWatch
    from numerai_ray.runners.ray.monitoring import Monitor, Quiet, running_fits

    def tell_dashboard(url: str) -> None:
        view.dashboard(url)
        progress.dashboard(url)

    told = DashboardNote(lambda: runner.dashboard_url, tell_dashboard)
    watchers = Watchers(view, progress, MonitorWatch(Monitor(name), runner.shared_bytes, history), told)
    looking = Quiet()
    observer = Observer(lambda: running_fits(looking), watchers.observed)
    if isinstance(view, LiveView):
        view.look = lambda: observer.snapshot
    observer.start()
    try:
        yield watchers
    finally:
        observer.stop()
