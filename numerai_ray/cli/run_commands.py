"""Commands that train: ``run`` an experiment, ``train`` one official config."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from numerai_ray.cli.data_commands import build_files, make_market
from numerai_ray.cli.live_view import JsonView, LiveView, MirrorWatcher, PlainView, Watchers, duration, number
from numerai_ray.cli.options import (
    AddressOption,
    DataDirOption,
    ExperimentArgument,
    InProcessOption,
    JsonOption,
    ResultsOption,
    data_place,
    open_experiment,
    within,
    writable_folder,
    writable_place,
)
from numerai_ray.cli.round_state import Budget
from numerai_ray.cli.track_command import MLflowOption
from numerai_ray.cli.watching import trackers, watching
from numerai_ray.config import Config, parse_yaml, read_text, validate
from numerai_ray.errors import ConfigError
from numerai_ray.experiment_lock import experiment_lock
from numerai_ray.experiment_plan import LoadedPlan
from numerai_ray.interrupts import two_step_interrupts
from numerai_ray.results import ExperimentPaths, RoundRecord, next_commands, read_ledger, to_json
from numerai_ray.results_mirror import mirrored
from numerai_ray.round_policy import PolicySettings, Stop
from numerai_ray.storage import Place, Url, place

STORE = "store"  # folder of the fit store below the data root


def register(app: typer.Typer) -> None:
    """Add the commands to the program."""
    app.command(epilog="Examples: numerai-ray run experiments/quickstart · numerai-ray run EXP --data-dir /data")(run)
    app.command(epilog="Example: numerai-ray train --config my.py --output-dir out --data-dir data")(train)


def run(
    exp: ExperimentArgument,
    data_dir: DataDirOption = None,
    address: AddressOption = None,
    results: ResultsOption = None,
    *,
    in_process: InProcessOption = False,
    accept_suspect: Annotated[
        bool, typer.Option("--accept-suspect", help="Let a variant win although it looks like a leak.")
    ] = False,
    rounds: Annotated[
        int | None,
        typer.Option("--rounds", callback=within(1), help="Stop after this many more rounds; run again to go on."),
    ] = None,
    mlflow: MLflowOption = None,
    as_json: JsonOption = False,
) -> None:
    """Run an experiment from wherever it stands to its report; the same command goes on after any interruption."""
    from numerai_ray.cli.plan_check import check_plan
    from numerai_ray.report.writer import ReportWriter
    from numerai_ray.trial_plan import Catalog

    paths, loaded = open_experiment(exp)
    root = data_place(data_dir, made_here=loaded.plan.market is not None)
    catalog = Catalog(root, paths.root)
    console = Console(stderr=as_json)
    with experiment_lock(paths.lock), mirrored(paths.root, place(results) if results else None) as mirror:
        history = read_ledger(paths.ledger)
        if not history or history[-1].stage != "final":
            prepare_data(loaded, root)
            check_plan(loaded, catalog, str(paths.plan))
        settings = _settings(loaded, accept_suspect=accept_suspect)
        report = ReportWriter(loaded, paths, trackers(paths, loaded.name, mlflow))
        budget = Budget(loaded.plan.budget.rounds, history)
        view = JsonView() if as_json else LiveView(console, budget) if console.is_terminal else PlainView(console)
        with (
            two_step_interrupts(_say),
            report,
            view,
            _runner(root, paths.root, address, in_process=in_process) as runner,
            watching(view, loaded.name, paths, runner) as watcher,
        ):
            told = Watchers(watcher, MirrorWatcher(mirror)) if mirror else watcher
            stop, history = _scheduler(loaded, catalog, runner, told, settings, report).run(rounds)
    for problem in report.problems:
        console.print(f"note: {problem}", highlight=False, soft_wrap=True, markup=False)
    _farewell(console, paths, stop, history)
    if any(variant.error for record in history for variant in record.variants):
        raise typer.Exit(3)


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def train(
    config: Annotated[Path, typer.Option("--config", metavar="FILE", help="An official CONFIG .py/.json, or ours.")],
    output_dir: Annotated[Path, typer.Option("--output-dir", metavar="DIR", help="results/ and predictions/ go here.")],
    data_dir: DataDirOption = None,
    address: AddressOption = None,
    *,
    in_process: InProcessOption = False,
    as_json: JsonOption = False,
) -> None:
    """Train one config with cross-validation and write the official outputs."""
    from numerai_ray.trial_plan import Catalog
    from numerai_ray.variant_output import results_json, write_variant

    root = data_place(data_dir)
    ours, results_name, predictions_name = load_any_config(config)
    writable_folder(output_dir, "--output-dir")
    try:
        plan = Catalog(root, config.parent).plan(results_name, f"train/{results_name}", ours)
    except ConfigError as error:
        raise ConfigError(str(config), error.problems) from None
    console = Console(stderr=True)
    results = output_dir / "results" / f"{results_name}.json"
    predictions = output_dir / "predictions" / f"{predictions_name}.parquet"
    with _runner(root, output_dir, address, in_process=in_process) as runner:
        with console.status(f"training {len(plan.fits)} folds"):
            outcome = runner.run([plan], lambda _: None)[plan.id]
        if outcome.error is not None:
            console.print(f"error: {config}: {outcome.error}", style="red", highlight=False, soft_wrap=True)
            raise typer.Exit(3)
        write_variant(outcome, runner.columns(plan), results, predictions)
    for note in plan.notes:
        console.print(f"note: {note}", highlight=False, soft_wrap=True)
    if as_json:
        typer.echo(to_json(results_json(outcome, str(output_dir), str(predictions))))
        return
    metrics = outcome.metrics
    if metrics is not None:
        typer.echo(
            f"corr {number(metrics.corr.mean)}  bmc {number(metrics.bmc.mean)}  "
            f"bmc_last_200_eras {number(metrics.primary)}  "
            f"avg_corr_with_benchmark {number(metrics.avg_corr_with_benchmark, 3)}"
        )
    typer.echo(f"{results}\n{predictions}")


def load_any_config(path: Path) -> tuple[Config, str, str]:
    """An official config or one of ours, with the names of its results and predictions."""
    from numerai_ray.official_config import load_official

    if path.suffix != ".py":
        value = parse_yaml(read_text(path), str(path))
        if {"cv", "score"} & set(value):
            return validate(Config, value, str(path)), path.stem, path.stem
    official = load_official(path)
    return official.config, official.results_name, official.predictions_name


def prepare_data(loaded: LoadedPlan, root: Place) -> None:
    """Make what an experiment reads and the data root lacks: its market, the full and downsampled files.

    A data root in object storage is only read: its files are made elsewhere and copied there.
    """
    if isinstance(root, Url):
        return
    from numerai_ray.dataset_build import BuildSpec
    from numerai_ray.synthetic import MarketSpec

    configs = [loaded.config(stage, {}) for stage in loaded.stages]
    version_dir = root / configs[0].data.version
    market = loaded.plan.market
    if market is not None and not (version_dir / "features.json").exists():
        spec = MarketSpec(eras=market.eras, rows=market.rows, features=market.features, seed=market.seed)
        make_market(spec, version_dir)
    needed = {root / name for config in configs for name in config.data.files()}
    if not all(file.exists() for file in needed) and (version_dir / "train.parquet").exists():
        build_files(version_dir, BuildSpec())


@contextmanager
def _runner(root: Place, folder: Path, address: str | None, *, in_process: bool) -> Iterator[Any]:
    """The runner that was asked for; Ray is let go at the end."""
    from numerai_ray.fit_store import FitStore
    from numerai_ray.fold_runner import InProcessRunner
    from numerai_ray.machine import this_machine

    store = FitStore(writable_place(root / STORE, "the fit store in --data-dir"))
    if in_process:
        yield InProcessRunner(store, this_machine().cores)
        return
    from numerai_ray.stored_first import StoredFirst

    paths = ExperimentPaths(folder)

    def on_ray() -> Any:
        from numerai_ray.ray_start import RaySettings
        from numerai_ray.tune_runner import TuneRunner

        return TuneRunner(store, RaySettings(paths.trials, paths.driver_log, address, experiment=folder.name))

    runner = StoredFirst(store, this_machine().cores, on_ray)
    try:
        yield runner
    finally:
        runner.close()


def _settings(loaded: LoadedPlan, *, accept_suspect: bool, extend: bool = False) -> PolicySettings:
    rounds, budget = loaded.plan.rounds, loaded.plan.budget
    return PolicySettings(
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


def _scheduler(
    loaded: LoadedPlan, catalog: Any, runner: Any, watcher: Any, settings: PolicySettings, report: Any
) -> Any:
    from numerai_ray.machine import this_machine
    from numerai_ray.round_scheduler import RoundScheduler, Workshop

    workshop = Workshop(
        paths=report.paths,
        catalog=catalog,
        runner=runner,
        proposer=proposer_of(loaded),
        reporter=report,
        watcher=watcher,
        cores=this_machine().cores,
    )
    return RoundScheduler(loaded, workshop, settings)


def proposer_of(loaded: LoadedPlan) -> Any:
    """The plan's proposer."""
    from numerai_ray.proposer import ListedProposer, RefineProposer

    rounds = loaded.plan.rounds
    if rounds.proposer == "optuna":
        from numerai_ray.optuna_proposer import OptunaProposer

        return OptunaProposer(rounds.seed)
    return RefineProposer() if rounds.proposer == "refine" else ListedProposer()


def _farewell(console: Console, paths: ExperimentPaths, stop: Stop | None, history: list[RoundRecord]) -> None:
    """The last lines: what was found, how long it took, and where it is written."""
    final = history[-1].find("base") if history else None
    if stop is not None and final is not None and final.metrics is not None:
        changes = ", ".join(f"{path} = {value}" for path, value in history[-1].base_changes.items())
        console.print(
            f"finished: {changes or 'the base'}; on full data bmc_last_200_eras {number(final.metrics.primary)}, "
            f"bmc {number(final.metrics.bmc.mean)}, corr {number(final.metrics.corr.mean)} "
            f"[{len(history)} rounds, {duration(sum(record.wall_s for record in history))}]",
            highlight=False,
            soft_wrap=True,
            markup=False,
        )
        for line in next_commands(paths.root):
            console.print(line, highlight=False, soft_wrap=True, markup=False)
    console.print(str(paths.report), highlight=False, soft_wrap=True, markup=False)
