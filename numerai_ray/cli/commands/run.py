"""Commands that train: ``run`` an experiment, ``train`` one official config."""

import json
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from numerai_ray.cli.commands.track import MLflowOption, WandbOption
from numerai_ray.cli.options import (
    AcceptSuspectOption,
    AddressOption,
    DataDirOption,
    InProcessOption,
    JsonOption,
    NotifyOption,
    ResultsOption,
    within,
)
from numerai_ray.cli.queue import run_several
from numerai_ray.config import Config, parse_yaml, read_text, validate
from numerai_ray.config.official import OfficialRun, load_official
from numerai_ray.errors import ConfigError, FitError, NumeraiRayError, RequestError
from numerai_ray.experiment.answer import Answer, experiment_answer
from numerai_ray.experiment.paths import ExperimentPaths
from numerai_ray.experiment.records import RoundRecord
from numerai_ray.progress.alerts import checked_webhook
from numerai_ray.progress.round_state import duration, number
from numerai_ray.progress.terminal import Console, say, tell_code
from numerai_ray.report.trackers import check_trackers
from numerai_ray.session.opening import Session, model_code, open_runner
from numerai_ray.session.places import answering, data_place, open_experiment, writable_folder
from numerai_ray.session.queue import Limits
from numerai_ray.session.running import HowFar, known_stage, run_rounds
from numerai_ray.system.json_text import to_json, without_nan
from numerai_ray.system.machine import process_began
from numerai_ray.system.process import INTERRUPTED, stop_asked
from numerai_ray.system.storage import place


def register(app: typer.Typer) -> None:
    """Add the commands to the program."""
    app.command(epilog="Examples: numerai-ray run experiments/quickstart · numerai-ray run EXP EXP --hours 8")(run)
    app.command(epilog="Example: numerai-ray train --config my.py --output-dir out --data-dir data")(train)


def run(
    exps: Annotated[
        list[Path],
        typer.Argument(metavar="EXP…", help="Folder of an experiment; several, or a queue.yaml, in one go."),
    ],
    data_dir: DataDirOption = None,
    address: AddressOption = None,
    results: ResultsOption = None,
    *,
    in_process: InProcessOption = False,
    accept_suspect: AcceptSuspectOption = False,
    rounds: Annotated[
        int | None,
        typer.Option("--rounds", callback=within(1), help="Stop after this many more rounds; run again to go on."),
    ] = None,
    hours: Annotated[
        float | None, typer.Option("--hours", help="Of several experiments: begin no round after so many hours.")
    ] = None,
    stop_after: Annotated[
        str | None, typer.Option("--stop-after", metavar="STAGE", help="Stop when this stage is over, e.g. scout.")
    ] = None,
    extend: Annotated[bool, typer.Option("--extend", help="Go on scouting after a finished experiment.")] = False,
    mlflow: MLflowOption = None,
    wandb: WandbOption = None,
    notify: NotifyOption = None,
    as_json: JsonOption = False,
    profile: Annotated[
        bool, typer.Option("--profile", help="Show what the seconds went into, and write logs/timeline.json.")
    ] = False,
) -> None:
    """Run an experiment from wherever it stands to its report; the same command goes on after any interruption.

    Several experiments are worked through within one budget, the most promising first, with one summary over all.
    """
    check_trackers(mlflow, wandb)
    webhook = None if notify is None else checked_webhook(notify)

    def opened(exp: Path) -> Session:
        paths, loaded = open_experiment(exp, data_dir)
        root = data_place(data_dir, made_here=loaded.plan.market is not None)
        console = Console(stderr=as_json)
        return Session(
            paths,
            loaded,
            root,
            console,
            address,
            in_process=in_process,
            as_json=as_json,
            mlflow=mlflow,
            wandb=wandb,
            webhook=webhook,
            profile=profile,
            began=None if len(exps) > 1 else process_began(),
        )

    # A plan is no queue: it is meant as its folder, which is said where experiments are opened.
    if len(exps) > 1 or (exps[0].suffix in {".yaml", ".yml"} and exps[0].name != "experiment.yaml"):
        alone = {"--results": results, "--stop-after": stop_after, "--extend": extend}
        for flag, value in alone.items():
            if value:
                raise RequestError(f"{flag}: goes with one experiment, but several are given; run that one alone")
        run_several(exps, Limits(hours, rounds), opened, accept_suspect=accept_suspect)
        return
    if hours is not None:
        raise RequestError("--hours: goes with several experiments; one has `budget: {hours: …}` in its plan")
    with _faults_as_event() if as_json else nullcontext():
        session = opened(exps[0])
        how_far = HowFar(rounds, known_stage(stop_after, session.loaded), accept_suspect, extend)
        session = replace(session, results=answering(place(results), "--results") if results else None)
        stop, history = run_rounds(session, how_far)
        answer = experiment_answer(session.loaded, session.paths, history, exps[0])
        _farewell(session.console, session.paths, answer, history)
    if as_json:
        ended = {"reason": stop.reason if stop else None, "report": str(session.paths.report)}
        say(json.dumps(without_nan({"event": "finished", **ended, "answer": answer.as_json()})))
    if any(variant.error for record in history for variant in record.variants):
        raise typer.Exit(3)


@contextmanager
def _faults_as_event() -> Iterator[None]:
    """The last line of ``run --json`` where it does not finish; what is raised goes on to its exit code."""
    try:
        yield
    except KeyboardInterrupt:
        _fault("interrupted; run the same command again to go on", stop_asked() or INTERRUPTED)
        raise
    except NumeraiRayError as error:
        _fault(str(error), 3 if isinstance(error, FitError) else 2)
        raise


def _fault(message: str, exit_code: int) -> None:
    say(json.dumps({"event": "error", "error": message, "exit_code": exit_code}))


def train(
    config: Annotated[Path, typer.Option("--config", metavar="FILE", help="An official .py (run) or .json, or ours.")],
    output_dir: Annotated[Path, typer.Option("--output-dir", metavar="DIR", help="results/ and predictions/ go here.")],
    data_dir: DataDirOption = None,
    address: AddressOption = None,
    *,
    in_process: InProcessOption = False,
    as_json: JsonOption = False,
) -> None:
    """Train one config with cross-validation and write the official outputs."""
    from numerai_ray.experiment.variant_output import results_json, write_variant
    from numerai_ray.training.catalog import Catalog

    root = data_place(data_dir)
    asked = load_any_config(config)
    tell_code(*model_code(asked.config))
    writable_folder(output_dir, "--output-dir")
    try:
        plan = Catalog(root, config.parent, elsewhere=address is not None).plan(
            asked.results_name, f"train/{asked.results_name}", asked.config
        )
    except ConfigError as error:
        raise ConfigError(str(config), error.problems) from None
    console = Console(stderr=True)
    results = output_dir / "results" / f"{asked.results_name}.json"
    predictions = output_dir / "predictions" / f"{asked.predictions_name}.parquet"
    with open_runner(root, output_dir, address, in_process=in_process) as runner:
        with console.status(f"training {len(plan.fits)} folds"):
            outcome = runner.run([plan], lambda _: None)[plan.id]
        if outcome.error is not None:
            console.print(f"error: {config}: {outcome.error}", style="red", highlight=False, soft_wrap=True)
            raise typer.Exit(3)
        write_variant(outcome, runner.columns(plan), results, predictions, told=asked.told)
    for note in outcome.notes:
        console.print(f"note: {note}", highlight=False, soft_wrap=True)
    if as_json:
        say(to_json(results_json(outcome, str(output_dir), str(predictions), told=asked.told)))
        return
    metrics = outcome.metrics
    if metrics is not None:
        say(
            f"corr {number(metrics.corr.mean)}  bmc {number(metrics.bmc.mean)}  "
            f"{metrics.metric.name.removesuffix('.mean')} {number(metrics.primary)}  "
            f"avg_corr_with_benchmark {number(metrics.avg_corr_with_benchmark, 3)}"
        )
    say(f"{results}\n{predictions}")


def load_any_config(path: Path) -> OfficialRun:
    """An official config or one of ours, whose outputs are named after its file."""
    if path.suffix != ".py":
        value = parse_yaml(read_text(path), str(path))
        if {"cv", "score"} & set(value):
            return OfficialRun(validate(Config, value, str(path)), None, path.stem, path.stem, None)
    else:
        tell_code(str(path))
    return load_official(path)


def _farewell(console: Console, paths: ExperimentPaths, answer: Answer, history: list[RoundRecord]) -> None:
    """The last lines: the answer, how long it took, and where it is written."""
    for line in answer.lines():
        console.print(line, highlight=False, soft_wrap=True, markup=False)
    guessed = [record for record in history if record.estimated_s is not None]
    if guessed:
        estimate, fact = sum(each.estimated_s or 0 for each in guessed), sum(each.wall_s for each in guessed)
        console.print(f"estimated {duration(estimate)}, took {duration(fact)}", highlight=False)
    console.print(str(paths.report), highlight=False, soft_wrap=True, markup=False)
