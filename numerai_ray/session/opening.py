"""What runs of an experiment are put together from: data, runner, sampler, scheduler, report, watchers; all typed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from numerai_ray.config.plan import LoadedPlan
from numerai_ray.experiment.decision import PolicySettings
from numerai_ray.experiment.paths import ExperimentPaths
from numerai_ray.experiment.records import RoundRecord
from numerai_ray.progress.alerts import Alerts
from numerai_ray.progress.events import EventView, JsonView, QuietView
from numerai_ray.progress.live_view import LiveView, MirrorWatcher, PlainView, Watchers
from numerai_ray.progress.notebook_view import NotebookView, in_notebook
from numerai_ray.progress.round_state import Budget
from numerai_ray.progress.terminal import Console, say
from numerai_ray.progress.watching import View, watching
from numerai_ray.report.trackers import trackers
from numerai_ray.session.places import writable_place
from numerai_ray.system.process import start_over, two_step_interrupts
from numerai_ray.system.storage import Place, Url
from numerai_ray.system.timeline import span

if TYPE_CHECKING:
    from numerai_ray.config import Config
    from numerai_ray.experiment.mirror import ResultsMirror
    from numerai_ray.report.writer import ReportWriter
    from numerai_ray.rounds.candidates import Search
    from numerai_ray.rounds.parts import Watcher
    from numerai_ray.rounds.samplers import Sampler
    from numerai_ray.rounds.scheduler import RoundScheduler
    from numerai_ray.runners.in_process import InProcessRunner, StoredFirst
    from numerai_ray.runners.ray.runner import TuneRunner
    from numerai_ray.runners.ray.start import RaySettings
    from numerai_ray.training.catalog import Catalog
    from numerai_ray.training.store.fits import FitStore

Event = Mapping[str, Any]


@dataclass(frozen=True)
class Session:
    """An experiment and how somebody wants it run: a command, or a notebook.

    ``results`` is the experiment's copy, kept alike while it runs. ``on_event`` is told what ``run --json`` prints,
    whatever is shown beside it; ``quiet`` shows nothing. ``profile`` keeps a timeline of the whole run; ``began`` is
    when the process did (seconds since the epoch), where it is this run's own.
    """

    paths: ExperimentPaths
    loaded: LoadedPlan
    root: Place
    console: Console
    address: str | None = None
    in_process: bool = False
    as_json: bool = False
    mlflow: str | None = None
    wandb: str | None = None
    webhook: str | None = None
    alerts: Alerts | None = None
    results: Place | None = None
    on_event: Callable[[Event], object] | None = None
    quiet: bool = False
    profile: bool = False
    began: float | None = None


@contextmanager
def scheduler_at_work(
    session: Session,
    catalog: Catalog,
    history: Sequence[RoundRecord],
    settings: PolicySettings,
    mirror: ResultsMirror | None,
    watchers: Sequence[Watcher] = (),
) -> Iterator[RoundScheduler]:
    """The scheduler with its runner, report and watchers up; all are let go at the end, and their faults told."""
    with span("imports"):
        from numerai_ray.report.writer import ReportWriter
        from numerai_ray.rounds.restore import restore_files
        from numerai_ray.system.machine import this_machine

    paths, loaded = session.paths, session.loaded
    report = ReportWriter(loaded, paths, trackers(paths, loaded.name, session.mlflow, session.wandb))
    opened = open_runner(
        session.root, paths.root, session.address, in_process=session.in_process, keep_models=loaded.plan.keep_models
    )
    with (
        two_step_interrupts(_say),
        report,
        _view(session, history) as view,
        opened as runner,
        watching(view, loaded.name, paths, runner, history) as watcher,
    ):
        more: list[Watcher] = [MirrorWatcher(mirror)] if mirror else []
        more += [EventView(session.on_event)] if session.on_event else []
        more += [session.alerts] if session.alerts else []
        more += watchers
        told = Watchers(watcher, *more) if more else watcher
        for line in restore_files(paths, history, catalog, runner.store, this_machine().cores):
            tell(session, line)
        yield scheduler_of(loaded, catalog, runner, told, settings, report)
    for problem in report.problems:
        tell(session, problem)


def _view(session: Session, history: Sequence[RoundRecord]) -> View:
    """What shows the running round: JSON, nothing, a notebook's cell, a terminal's screen, or plain lines."""
    if session.as_json:
        return JsonView()
    if session.quiet:
        return QuietView()
    budget = Budget(session.loaded.plan.budget.rounds, history)
    if in_notebook():
        return NotebookView(budget, history)
    if session.console.is_terminal:
        return LiveView(session.console, budget, history=history)
    return PlainView(session.console)


def tell(session: Session, note: str) -> None:
    """Say a note that is no error, unless nothing is to be said."""
    if not session.quiet:
        session.console.print(f"note: {note}", highlight=False, soft_wrap=True, markup=False)


def _say(text: str) -> None:
    say(text, err=True)


def catalog_of(loaded: LoadedPlan, root: Place, paths: ExperimentPaths, address: str | None = None) -> Catalog:
    """The data files, without the eras that the plan keeps out; fits run here, or on the cluster at ``address``.

    Trees are grown by the rule that the experiment began with, on the eras that it first ran on.
    """
    from numerai_ray.data.eras import Holdout
    from numerai_ray.experiment.ledger import read_ledger, remembered_of
    from numerai_ray.models import rule_of
    from numerai_ray.training.catalog import Catalog

    kept, origins = loaded.plan.holdout_eras, [each.origin for each in read_ledger(paths.ledger)]
    return Catalog(
        root,
        paths.root,
        None if kept is None else Holdout(kept),
        elsewhere=address is not None,
        rule=rule_of(origins),
        remembered=remembered_of(origins),
    )


def tell_devices(session: Session, catalog: Catalog) -> None:
    """Say once what a plan asks for and this machine or its libraries do not have."""
    for note in catalog.device_notes:
        tell(session, note)


def _no_work() -> None:
    """Nothing waits for the making of data."""


def prepare_data(loaded: LoadedPlan, root: Place, begins: Callable[[], object] = _no_work) -> None:
    """Make what an experiment reads and the data root lacks: its market, the full and downsampled files.

    A data root in object storage is only read: its files are made elsewhere and copied there. ``begins`` is called
    where there is something to make.
    """
    if isinstance(root, Url):
        return
    configs = [loaded.config(stage, {}) for stage in loaded.stages]
    version_dir = root / configs[0].data.version
    market = loaded.plan.market
    if market is not None and not (version_dir / "features.json").exists():
        from numerai_ray.config.versions import version_number
        from numerai_ray.data.synthetic.layout import layout_of
        from numerai_ray.data.synthetic.market import MarketSpec
        from numerai_ray.session.building import make_market

        # A version's own layout; a folder of another name has that of v5.2, as every market of a plan once had.
        layout = layout_of(version_dir.name if version_number(version_dir.name) else "v5.2").version
        begins()
        spec = MarketSpec(market.eras, market.rows, market.features, market.seed, layout=layout)
        make_market(spec, version_dir)
    needed = {root / name for config in configs for name in config.data.files()}
    if not all(file.exists() for file in needed) and (version_dir / "train.parquet").exists():
        from numerai_ray.data.files.build import BuildSpec
        from numerai_ray.session.building import build_files

        begins()
        build_files(version_dir, BuildSpec())


@contextmanager
def ray_ahead(session: Session) -> Iterator[Callable[[], None]]:
    """What starts Ray beside other work, where it will be needed on this machine; let go where nobody took it over."""
    begun = False

    def begin() -> None:
        nonlocal begun
        if not (begun or session.in_process or session.address):
            from numerai_ray.runners.ray.ahead import begin as begin_ray

            begun = True
            begin_ray(_ray_settings(session.paths.root, None))

    try:
        yield begin
    finally:
        if begun:
            from numerai_ray.runners.ray.ahead import end

            end()


def model_code(config: Config) -> list[str]:
    """What of a config names code of the user's: ``model.type`` of it or of its members."""
    types = [member.model.type for member in config.trained().values()]
    return [f"model.type {name}" for name in types if ":" in name]


@contextmanager
def open_runner(
    root: Place, folder: Path, address: str | None, *, in_process: bool, keep_models: bool = False
) -> Iterator[InProcessRunner | StoredFirst]:
    """The runner that was asked for; Ray is let go at the end."""
    with span("imports"):
        from numerai_ray.runners.in_process import InProcessRunner
        from numerai_ray.system.machine import this_machine
        from numerai_ray.training.store.fits import FitStore

    store = FitStore.below(root, keep_models=keep_models)
    writable_place(store.root, "the fit store in --data-dir")
    if in_process:
        yield InProcessRunner(store, this_machine().cores)
        return
    with span("imports"):
        from numerai_ray.runners.in_process import StoredFirst

    here = this_machine().cores
    runner = StoredFirst(store, here, lambda: _ray_runner(store, folder, address), cores=here if address is None else 0)
    try:
        yield runner
    finally:
        runner.close()


@contextmanager
def training_runner(
    root: Place, folder: Path, address: str | None, *, in_process: bool
) -> Iterator[InProcessRunner | TuneRunner]:
    """The runner that trains, whatever is stored, and keeps nothing open afterwards: for a calibration."""
    from numerai_ray.runners.in_process import InProcessRunner
    from numerai_ray.system.machine import this_machine
    from numerai_ray.training.store.fits import FitStore

    store = FitStore.below(root)
    if in_process:
        yield InProcessRunner(store, this_machine().cores)
        return
    runner = _ray_runner(store, folder, address, shown=False)
    try:
        yield runner
    finally:
        runner.close()


def _ray_runner(store: FitStore, folder: Path, address: str | None, *, shown: bool = True) -> TuneRunner:
    """Rounds of the experiment in ``folder`` on Ray; where that is lost, the command starts over."""
    from numerai_ray.runners.ray.runner import TuneRunner

    return TuneRunner(store, replace(_ray_settings(folder, address), shown=shown))


def _ray_settings(folder: Path, address: str | None) -> RaySettings:
    from numerai_ray.runners.ray.start import RaySettings

    paths = ExperimentPaths(folder)
    return RaySettings(paths.trials, paths.driver_log, address, experiment=folder.name, on_lost=start_over)


def settings_of(loaded: LoadedPlan, *, accept_suspect: bool, extend: bool = False) -> PolicySettings:
    """What the policy needs of the plan and of the command's flags."""
    rounds, budget = loaded.plan.rounds, loaded.plan.budget
    return PolicySettings(
        metrics=tuple(rounds.metrics or ()),
        margin=rounds.margin,
        patience=rounds.patience,
        max_rounds=budget.rounds,
        max_hours=budget.hours,
        accept_suspect=accept_suspect,
        accept=rounds.accept,
        max_fits=budget.fits,
        max_core_hours=budget.core_hours,
        focus_ratio=rounds.focus_ratio,
        interpret="interpret" in loaded.stages,
        scale="scale" in loaded.stages,
        holdout="holdout" in loaded.stages,
        extend=extend,
    )


def scheduler_of(
    loaded: LoadedPlan,
    catalog: Catalog,
    runner: InProcessRunner | StoredFirst,
    watcher: Watcher,
    settings: PolicySettings,
    report: ReportWriter,
) -> RoundScheduler:
    """The scheduler of an experiment, everything in its hands."""
    with span("imports"):
        from numerai_ray.experiment.baselines import BaselineStore
        from numerai_ray.rounds.parts import RunParts
        from numerai_ray.rounds.scheduler import RoundScheduler
        from numerai_ray.rounds.time_model import expected, read_calibration
        from numerai_ray.training.store.fits import is_stored

    paths, stored = report.paths, partial(is_stored, runner.store)
    parts = RunParts(
        paths=paths,
        catalog=catalog,
        runner=runner,
        proposer=sampler_of(loaded),
        reporter=report,
        watcher=watcher,
        estimate=lambda plans, cores: expected(read_calibration(paths), plans, lambda fit: not stored(fit), cores),
        archive=archive_of(loaded, paths, report.problems.append),
        stored=stored,
        baselines=BaselineStore.below(catalog.data_root),
    )
    return RoundScheduler(loaded, parts, settings)


def sampler_of(loaded: LoadedPlan) -> Sampler:
    """The plan's proposer."""
    with span("imports"):
        from numerai_ray.rounds.samplers import ListedSampler, RefineSampler

    rounds = loaded.plan.rounds
    if rounds.proposer == "optuna":
        with span("imports"):
            from numerai_ray.rounds.optuna_sampler import OptunaSampler

        return OptunaSampler(rounds.seed)
    return RefineSampler() if rounds.proposer == "refine" else ListedSampler()


def archive_of(loaded: LoadedPlan, paths: ExperimentPaths, tell: Callable[[str], object]) -> Callable[[Search], object]:
    """Keeps Optuna's studies after every round, where Optuna guides; else nothing. Faults of a database are told."""
    from numerai_ray.rounds.parts import no_archive

    if loaded.plan.rounds.proposer != "optuna":
        return no_archive
    from numerai_ray.rounds.optuna_studies import open_archive

    return open_archive(paths.journal, loaded.plan.rounds.storage, loaded.name, tell)
