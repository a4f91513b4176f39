"""Commands that only read one experiment: ``status``, ``leaderboard``, ``report``."""

import json
import time
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from numerai_ray.cli.options import ExperimentArgument, JsonOption, ResultsOption, within
from numerai_ray.config.search_space import changes_label
from numerai_ray.errors import RequestError
from numerai_ray.experiment.answer import experiment_answer
from numerai_ray.experiment.decision import is_finished, last_compared, metric_name
from numerai_ray.experiment.ledger import read_ledger
from numerai_ray.experiment.lock import lock_holder
from numerai_ray.experiment.paths import ExperimentPaths
from numerai_ray.progress.live_view import decided_line, running_table, wide_console
from numerai_ray.progress.round_state import number
from numerai_ray.progress.terminal import Console, say
from numerai_ray.session.places import experiment_paths, fetch_results, open_experiment
from numerai_ray.session.reading import leaderboard_json
from numerai_ray.session.status import best_variant, ensemble_sentence, record_json, running, state_of, status_json
from numerai_ray.system.json_text import without_nan

WATCH_S = 1.0


def register(app: typer.Typer) -> None:
    """Add the commands to the program."""
    app.command(epilog="Examples: numerai-ray status experiments/quickstart --json · numerai-ray status EXP --watch")(
        status
    )
    app.command(epilog="Example: numerai-ray leaderboard experiments/quickstart --top 10")(leaderboard)
    app.command(epilog="Example: numerai-ray report experiments/quickstart")(report)


def status(
    exp: ExperimentArgument,
    results: ResultsOption = None,
    *,
    watch: Annotated[bool, typer.Option("--watch", help="Keep showing it until the run ends; Ctrl-C leaves.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Where an experiment stands: decided rounds, the running one, the best so far."""
    if results is not None and watch:
        raise RequestError("--watch: must not stand with --results; ask again, or follow it with `numerai-ray submit`")
    fetch_results(exp, results)
    paths = experiment_paths(exp)
    if as_json and watch:
        _watch_json(paths, exp)
    elif as_json:
        say(json.dumps(without_nan(status_json(paths, exp, results)), indent=2))
    elif watch:
        _watch(paths, exp)
    else:
        wide_console().print(_shown(paths, exp, results))


def leaderboard(
    exp: ExperimentArgument,
    stage: Annotated[str | None, typer.Option("--stage", help="Only this stage.")] = None,
    top: Annotated[int, typer.Option("--top", callback=within(1), help="At most so many a stage.")] = 20,
    *,
    as_json: JsonOption = False,
) -> None:
    """Every configuration that ran, best first, a stage at a time: stages do not compare with each other."""
    value = leaderboard_json(experiment_paths(exp), exp, stage, top)
    if as_json:
        say(json.dumps(value, indent=2))
        return
    screen = Table(box=None, pad_edge=False)
    digits = {"primary": 5, "delta_low": 5, "delta_high": 5, "bmc_mean": 5, "bmc_sharpe": 2, "corr_mean": 4}
    digits |= {"corr_with_benchmark": 3}
    # The star has a column of its own: no line ends between it and a long name.
    for name in ("stage", "", "id", "verdict", "overall"):
        screen.add_column(name, overflow="fold")
    for name in digits:
        screen.add_column(name, justify="right", no_wrap=True)
    for row in value["rows"]:
        values = [number(row[name], places) for name, places in digits.items()]
        judged = ["–" if row[each] == "unknown" else row[each] for each in ("verdict", "verdict_overall")]
        screen.add_row(row["stage"], "★" if row["winner"] else "", row["id"], *judged, *values)
    wide_console().print(screen)


def report(
    exp: ExperimentArgument,
    results: ResultsOption = None,
    start_era: Annotated[
        int | None, typer.Option("--start-era", callback=within(1), help="Cumulative plots begin at this era.")
    ] = None,
    *,
    as_json: JsonOption = False,
) -> None:
    """Write the report again from the ledger, and say where it is."""
    from numerai_ray.experiment.variant_files import AGAIN, LEFT_OUT, lost_files
    from numerai_ray.report.writer import write_report

    fetch_results(exp, results)
    history = read_ledger(experiment_paths(exp).ledger)
    if not history:
        raise RequestError(f"{exp}: no round is decided yet; start with `numerai-ray run {exp}`")
    paths, loaded = open_experiment(exp)
    path = write_report(loaded, paths, history, start_era)
    for lost in lost_files(paths, history):
        say(f"note: {lost}; {LEFT_OUT}; {AGAIN.format(exp)}", err=True)
    if as_json:
        value = {
            "answer": experiment_answer(loaded, paths, history, exp).as_json(),
            "report": str(path),
            "page": str(paths.html),
            "plots": sorted(str(file) for file in paths.plots.glob("*.png")),
            "rounds": [record_json(record) for record in history],
        }
        say(json.dumps(without_nan(value), indent=2))
    else:
        say(f"{path}\n{paths.html}")


def _shown(paths: ExperimentPaths, exp: Path, results: str | None = None) -> RenderableType:
    history = read_ledger(paths.ledger)
    parts: list[RenderableType] = [Text(decided_line(record)) for record in history]
    now = running(paths, results)
    if now:
        parts.append(running_table(now))
    last, best = last_compared(history), best_variant(history)
    if last is not None and best is not None and best.metrics is not None:
        so_far = "best" if is_finished(history) else "best so far"
        shown = f"{metric_name(best)} {number(best.metrics.primary)}, {changes_label(last.decision.changes)}"
        parts.append(Text(f"{so_far}: {best.id}, {shown}"))
    if told := ensemble_sentence(paths, history):
        parts.append(Text(told))
    state = state_of(paths, history, results)
    ahead = "" if state in {"finished", "running"} else f"; `numerai-ray run {exp}` goes on"
    parts.append(Text(f"{state}{ahead}"))
    if paths.report.exists() and state != "running":
        parts.append(Text(str(paths.report)))
    return Group(*parts)


def _watch(paths: ExperimentPaths, exp: Path) -> None:
    """On a terminal one screen that stays current, elsewhere the decided lines as they come."""
    console = Console()
    if console.is_terminal:
        with Live(_shown(paths, exp), console=console, auto_refresh=False) as live:
            while lock_holder(paths.lock):
                time.sleep(WATCH_S)
                live.update(_shown(paths, exp), refresh=True)
        return
    told = 0
    while True:
        alive = lock_holder(paths.lock)
        history = read_ledger(paths.ledger)
        for record in history[told:]:
            console.print(decided_line(record), highlight=False, soft_wrap=True, markup=False)
        told = len(history)
        if not alive:
            console.print(state_of(paths, history), highlight=False)
            return
        time.sleep(WATCH_S)


def _watch_json(paths: ExperimentPaths, exp: Path) -> None:
    """One line a second, without the decided rounds, which ``status --json`` has; the last one says how it ended."""
    while True:
        alive = lock_holder(paths.lock)
        value = status_json(paths, exp)
        value["rounds"] = len(value["rounds"])
        say(json.dumps(without_nan(value)))
        if not alive:
            return
        time.sleep(WATCH_S)
