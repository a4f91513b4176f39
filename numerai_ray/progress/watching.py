"""Who watches a run, and what is written for other programs beside it."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from numerai_ray.experiment.paths import ExperimentPaths
from numerai_ray.experiment.records import RoundRecord
from numerai_ray.progress.live_view import LiveView, ProgressFile, Watchers
from numerai_ray.progress.round_state import Observer


def trackers(paths: ExperimentPaths, name: str, mlflow: str | None) -> list[Any]:
    """TensorBoard always, MLflow where a server is named."""
    from numerai_ray.report.trackers import MLflowTracker, TensorBoardTracker

    return [TensorBoardTracker(paths), *([MLflowTracker(paths, name, mlflow)] if mlflow else [])]


@contextmanager
def watching(
    view: Any, name: str, paths: ExperimentPaths, runner: Any, history: Sequence[RoundRecord]
) -> Iterator[Watchers]:
    """Everyone who watches a run, and someone who looks at the running fits for them."""
    from numerai_ray.runners.in_process import InProcessRunner

    progress = ProgressFile(paths.progress)
    if isinstance(runner, InProcessRunner):
        yield Watchers(view, progress)
        return
    from numerai_ray.progress.monitor_watch import DashboardNote, MonitorWatch
    from numerai_ray.runners.ray.monitoring import Monitor, Quiet, running_fits

    told = DashboardNote(lambda: runner.dashboard_url, view.dashboard)
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
