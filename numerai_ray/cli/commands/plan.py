"""Commands that plan: ``plan`` shows what an experiment will do, ``round`` runs one by hand."""

import json
from dataclasses import asdict
from typing import Annotated, Any

import typer
from rich.table import Table

from numerai_ray.cli.options import (
    AcceptSuspectOption,
    AddressOption,
    DataDirOption,
    ExperimentArgument,
    InProcessOption,
    JsonOption,
    ResultsOption,
    varied,
)
from numerai_ray.errors import RequestError
from numerai_ray.metrics.significance import e4
from numerai_ray.progress.round_state import duration
from numerai_ray.progress.terminal import Console, say
from numerai_ray.session.opening import Session
from numerai_ray.session.places import data_place, open_experiment
from numerai_ray.session.running import forecast_of, run_round
from numerai_ray.system.json_text import without_nan
from numerai_ray.system.storage import place

GB = 10**9


def register(app: typer.Typer) -> None:
    """Add the commands to the program."""
    app.command(epilog="Example: numerai-ray plan experiments/quickstart --json")(plan)
    app.command("round", epilog="Example: numerai-ray round EXP --vary model.params.num_leaves=15,63,127")(
        round_by_hand
    )


def plan(
    exp: ExperimentArgument,
    data_dir: DataDirOption = None,
    address: AddressOption = None,
    *,
    in_process: InProcessOption = False,
    calibrate: Annotated[
        bool, typer.Option("--calibrate/--no-calibrate", help="Train a few trees to tell the time.")
    ] = True,
    as_json: JsonOption = False,
) -> None:
    """Show what an experiment will do: stages, first rounds, fits, expected time and memory."""
    paths, loaded = open_experiment(exp, data_dir)
    root = data_place(data_dir, made_here=loaded.plan.market is not None)
    session = Session(paths, loaded, root, Console(stderr=True), address, in_process=in_process, quiet=as_json)
    found = forecast_of(session, calibrate=calibrate)
    if as_json:
        asked = None if found.ensemble is None else found.ensemble.model_dump(mode="json")
        say(json.dumps(without_nan({**asdict(found), "ensemble": asked}), indent=2))
        return
    _show(Console(), found)
    if found.ensemble is not None:
        text = (
            f"then ensemble: the best blend of at most {found.ensemble.members} of its own variants, chosen on earlier "
            f"eras and reported in {found.ensemble.blocks} blocks of later ones; nothing is trained"
        )
        Console().print(text, highlight=False, soft_wrap=True, markup=False)


def round_by_hand(
    exp: ExperimentArgument,
    vary: Annotated[list[str], typer.Option("--vary", metavar="PATH=V1,V2", help="The one variable and its values.")],
    data_dir: DataDirOption = None,
    address: AddressOption = None,
    results: ResultsOption = None,
    *,
    in_process: InProcessOption = False,
    accept_suspect: AcceptSuspectOption = False,
    as_json: JsonOption = False,
) -> None:
    """Run one scout round of one variable around the best configuration so far; it is decided like any other."""
    if len(vary) != 1:
        raise RequestError(
            f"--vary: a round varies one variable, but {len(vary)} are given; run a round for each, or couple them "
            f"in a dimension of the search space"
        )
    path, values = varied(vary[0])
    paths, loaded = open_experiment(exp, data_dir)
    root = data_place(data_dir, made_here=loaded.plan.market is not None)
    console = Console(stderr=as_json)
    copy = place(results) if results else None
    session = Session(paths, loaded, root, console, address, in_process=in_process, as_json=as_json, results=copy)
    record = run_round(session, path, values, accept_suspect=accept_suspect)
    console.print(str(paths.report), highlight=False, soft_wrap=True, markup=False)
    if any(variant.error for variant in record.variants):
        raise typer.Exit(3)


def _show_stages(console: Console, found: Any) -> None:
    stages = Table(title="Stages", title_justify="left", box=None, pad_edge=False)
    for name in ("stage", "data", "feature set", "features", "eras", "rows", "fits a config", "a fit takes", "memory"):
        stages.add_column(name, justify="left" if name in ("stage", "data", "feature set") else "right")
    for each in found.stages:
        takes = f"{each.cores_a_fit} core{'s' if each.cores_a_fit > 1 else ''}, {each.fit_bytes / GB:.2f} GB"
        takes += f", {each.gpus_a_fit:g} GPU" if each.gpus_a_fit else ""
        memory = f"{each.memory_bytes / GB:.2f} GB"
        numbers = (each.features, each.eras, f"{each.rows:,}", each.fits_a_config, takes, memory)
        stages.add_row(each.stage, each.file, each.feature_set, *map(str, numbers))
    console.print(stages)
    from numerai_ray.data.eras import era_label

    newer = {each.file: each for each in found.stages if each.newer_eras}
    if newer:
        last = era_label(max(each.last_era for each in found.stages))
        there = " and ".join(f"{each.newer_eras} in the {name} file" for name, each in newer.items())
        text = f"eras: up to {last}; newer ones are left alone ({there}), a new experiment takes those with all targets"
        console.print(text, highlight=False, soft_wrap=True, markup=False)
    engines = dict.fromkeys(engine for each in found.stages for engine in each.engines)
    console.print(f"trained by: {'; '.join(engines)}", highlight=False, soft_wrap=True, markup=False)
    notes: dict[str, list[str]] = {}
    for each in found.stages:
        for note in each.notes:
            notes.setdefault(note, []).append(each.stage)
    for note, told in notes.items():
        console.print(f"note: {', '.join(told)}: {note}", highlight=False, soft_wrap=True, markup=False)
    console.print()


def _show_certainty(console: Console, found: Any) -> None:
    """What gain each stage can tell from noise, beside the margin; and what would make it smaller."""
    told = found.certainty
    if told is None or not told.stages:
        return
    table = Table(title="Smallest gain told from noise in 4 of 5 cases", title_justify="left", box=None, pad_edge=False)
    for name in ("stage", "eras compared", "standard error", "smallest gain", "margin"):
        table.add_column(name, justify="left" if name == "stage" else "right")
    for each in told.stages:
        numbers = (each.standard_error, each.smallest_gain, told.margin)
        table.add_row(each.stage, str(each.eras), *(e4(value, sign=False) for value in numbers))
    console.print(table)
    spread = f"spread of per-era differences {e4(told.spread, sign=False)}, {told.source}"
    for line in (spread, *(f"note: {advice}" for advice in told.advice)):
        console.print(line, highlight=False, soft_wrap=True, markup=False)
    console.print()


def _show(console: Console, found: Any) -> None:
    _show_stages(console, found)
    _show_certainty(console, found)
    if not found.rounds:
        text = "nothing is left to run: all stages are there; `numerai-ray run EXP --extend` goes on scouting"
        console.print(text, highlight=False, soft_wrap=True)
        return
    rounds = Table(
        title="First rounds and the last ones, as if a variant won", title_justify="left", box=None, pad_edge=False
    )
    for name in ("stage", "varies", "configurations", "new fits", "stored", "shared", "time"):
        rounds.add_column(
            name, justify="left" if name in ("stage", "varies", "configurations") else "right", overflow="fold"
        )
    for each in found.rounds:
        seconds = "–" if each.seconds is None else duration(each.seconds)
        counts = (each.fits_new, each.fits_stored, each.fits_shared)
        rounds.add_row(each.stage, each.dimension or "", ", ".join(each.variants), *map(str, counts), seconds)
    console.print(rounds)
    total = "unknown without --calibrate" if found.seconds is None else duration(found.seconds)
    console.print(
        f"a run of these rounds: {sum(each.fits_new for each in found.rounds)} fits to train, expected time {total} "
        f"on {found.cores} cores; peak memory {found.memory_bytes / GB:.2f} GB on one machine like this",
        highlight=False,
        soft_wrap=True,
    )
    again = sum(each.fits_for_models for each in found.rounds)
    if again:
        console.print(
            f"{again} of them are stored without their models, and are trained again for those (keep_models: true)",
            highlight=False,
            soft_wrap=True,
        )
    gpus = max(each.gpus_a_fit for each in found.stages)
    if gpus > found.machine.gpus:
        there = f"{found.machine.gpus} here: run it on a cluster that has them (--address)"
        console.print(f"a fit takes {gpus:g} GPU, {there}", highlight=False, soft_wrap=True)
