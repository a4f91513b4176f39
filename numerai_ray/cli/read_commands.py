"""Commands that only read: ``status``, ``report``, ``compare``."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from numerai_ray.cli.live_view import decided_line, duration, number
from numerai_ray.cli.options import ExperimentArgument, JsonOption, experiment_paths, open_experiment
from numerai_ray.errors import RequestError
from numerai_ray.experiment_lock import lock_holder
from numerai_ray.results import (
    ExperimentPaths,
    RoundRecord,
    VariantRecord,
    read_ledger,
    to_json,
    without_nan,
)


def register(app: typer.Typer) -> None:
    """Add the commands to the program."""
    app.command(epilog="Example: numerai-ray status experiments/quickstart --json")(status)
    app.command(epilog="Example: numerai-ray report experiments/quickstart")(report)
    app.command(epilog="Example: numerai-ray compare experiments/a experiments/b --json")(compare)


def status(exp: ExperimentArgument, *, as_json: JsonOption = False) -> None:
    """Where an experiment stands: decided rounds, the running one, the best so far."""
    paths = experiment_paths(exp)
    history = read_ledger(paths.ledger)
    running = _running(paths)
    finished = bool(history) and history[-1].stage == "final"
    if as_json:
        value = {
            "experiment": str(exp),
            "finished": finished,
            "rounds": [json.loads(to_json(record)) for record in history],
            "running": running,
            "report": str(paths.report) if paths.report.exists() else None,
        }
        typer.echo(json.dumps(without_nan(value), indent=2))
        return
    console = Console()
    for record in history:
        console.print(decided_line(record), highlight=False, soft_wrap=True, markup=False)
    if running:
        console.print(_running_table(running))
    best = best_variant(history)
    if best is not None and best.metrics is not None:
        console.print(f"best so far: {best.id} {number(best.metrics.primary)}", highlight=False, markup=False)
    state = "finished" if finished else "running" if running else "not started" if not history else "stopped"
    ahead = "" if finished or running else f"; `numerai-ray run {exp}` goes on"
    console.print(f"{state}{ahead}", highlight=False, soft_wrap=True, markup=False)


def report(exp: ExperimentArgument, *, as_json: JsonOption = False) -> None:
    """Write the report again from the ledger, and say where it is."""
    from numerai_ray.report import write_report

    history = read_ledger(experiment_paths(exp).ledger)
    if not history:
        raise RequestError(f"{exp}: no round is decided yet; start with `numerai-ray run {exp}`")
    paths, loaded = open_experiment(exp)
    path = write_report(loaded, paths, history)
    if as_json:
        value = {"report": str(path), "rounds": [json.loads(to_json(record)) for record in history]}
        typer.echo(json.dumps(without_nan(value), indent=2))
    else:
        typer.echo(str(path))


def compare(
    exps: Annotated[list[Path], typer.Argument(metavar="EXP…", help="Folders of experiments.")],
    *,
    as_json: JsonOption = False,
) -> None:
    """Experiments side by side: base, baseline and winner of the latest stage each reached."""
    rows = [row for exp in exps for row in _compared(exp)]
    if as_json:
        typer.echo(json.dumps(without_nan(rows), indent=2))
        return
    table = Table(box=None, pad_edge=False)
    columns = ("experiment", "stage", "configuration", "bmc_last_200", "bmc", "sharpe", "corr", "corr_w_bench")
    for name in columns:
        table.add_column(name, justify="left" if name in columns[:3] else "right", overflow="fold")
    for row in rows:
        keys = ("bmc_last_200_eras", "bmc", "bmc_sharpe", "corr", "avg_corr_with_benchmark")
        numbers = [number(row[key], 4) for key in keys]
        table.add_row(row["experiment"], row["stage"], row["configuration"], *numbers)
    Console().print(table)


def best_variant(history: list[RoundRecord]) -> VariantRecord | None:
    """The winner of the last decided round."""
    if not history:
        return None
    return next((v for v in history[-1].variants if v.id == history[-1].decision.winner), None)


def _compared(exp: Path) -> list[dict[str, Any]]:
    paths = experiment_paths(exp)
    history = read_ledger(paths.ledger)
    if not history:
        raise RequestError(f"{exp}: no round is decided yet; start with `numerai-ray run {exp}`")
    last = history[-1]
    shown = [v for v in last.variants if v.role != "variant" or v.id == last.decision.winner]
    return [
        {
            "experiment": exp.name,
            "stage": last.stage,
            "configuration": f"{variant.name} ({variant.role})" if variant.role != variant.name else variant.name,
            "bmc_last_200_eras": metrics.primary if (metrics := variant.metrics) else None,
            "bmc": metrics.bmc.mean if metrics else None,
            "bmc_sharpe": metrics.bmc.sharpe if metrics else None,
            "corr": metrics.corr.mean if metrics else None,
            "avg_corr_with_benchmark": metrics.avg_corr_with_benchmark if metrics else None,
            "changes": dict(last.decision.changes),
        }
        for variant in shown
    ]


def _running(paths: ExperimentPaths) -> dict[str, Any] | None:
    """The round that runs right now, as its driver last wrote it; None when no driver holds the lock."""
    try:
        running = json.loads(paths.progress.read_text(encoding="utf-8"))["running"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return running if isinstance(running, dict) and lock_holder(paths.lock) else None


def _running_table(running: dict[str, Any]) -> Table:
    left = running.get("seconds_left")
    varying = f": varying {running['dimension']}" if running.get("dimension") else ""
    title = f"round {running['round']}, {running['stage']}{varying}"
    title += f", about {duration(left)} left" if left is not None else ""
    table = Table(title=title, title_justify="left", box=None, pad_edge=False)
    for name in ("variant", "folds", "bmc_last_200_eras"):
        table.add_column(name, justify="left" if name == "variant" else "right")
    for trial in running["trials"]:
        shown = "failed" if trial["error"] else number(trial["primary"])
        table.add_row(trial["variant"], f"{trial['folds_done']}/{trial['folds']}", shown)
    return table
