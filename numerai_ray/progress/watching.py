"""Who watches a run, and what is written for other programs beside it."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Protocol, Self

from numerai_ray.experiment.paths import ExperimentPaths
from numerai_ray.experiment.records import RoundRecord
from numerai_ray.progress.live_view import LiveView, ProgressFile, Watchers
from numerai_ray.progress.round_state import Observer
from numerai_ray.rounds.start import RoundStart
from numerai_ray.runners.base import Progress

if TYPE_CHECKING:
    from numerai_ray.runners.in_process import InProcessRunner, StoredFirst


def check_trackers(mlflow: str | None, wandb: str | None) -> None:
    """Find out before anything is trained that a tracker which was asked for cannot work as it stands.

    Raises:
        RequestError, EnvironmentFault: see :func:`check_mlflow` and :func:`check_wandb`.

    """
    if mlflow is not None or wandb is not None:
        from numerai_ray.report.trackers import check_mlflow, check_wandb

        if mlflow is not None:
            check_mlflow(mlflow)
        if wandb is not None:
            check_wandb(wandb)


def trackers(paths: ExperimentPaths, name: str, mlflow: str | None, wandb: str | None) -> list[Any]:
    """TensorBoard always, MLflow where a server is named, Weights & Biases where a project is."""
    from numerai_ray.report.trackers import MLflowTracker, TensorBoardTracker, WandbTracker

    found: list[Any] = [TensorBoardTracker(paths)]
    found += [MLflowTracker(paths, name, mlflow)] if mlflow else []
    return found + ([WandbTracker(paths, name, wandb)] if wandb else [])


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
