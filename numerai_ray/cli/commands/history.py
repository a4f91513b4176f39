"""``history``: what was tried in all experiments, and what came of it."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from numerai_ray.cli.options import JsonOption
from numerai_ray.errors import RequestError, nearest
from numerai_ray.progress.terminal import say
from numerai_ray.session.history import OUTCOMES, Wanted, history_of
from numerai_ray.system.json_text import without_nan

EXPERIMENTS = Path("experiments")


def register(app: typer.Typer) -> None:
    """Add the command to the program."""
    app.command(epilog="Examples: numerai-ray history · numerai-ray history --find leaves --outcome 'no gain' --json")(
        history
    )


def history(
    root: Annotated[
        Path, typer.Argument(metavar="[DIR]", help="Folder that holds experiments; else experiments.")
    ] = EXPERIMENTS,
    find: Annotated[
        str, typer.Option("--find", metavar="WORDS", help="All of them in idea, novelty, name or tags.")
    ] = "",
    dimension: Annotated[
        str | None, typer.Option("--dimension", metavar="NAME", help="That vary it: its name or path, or a part.")
    ] = None,
    target: Annotated[
        str | None, typer.Option("--target", metavar="NAME", help="That learn it: its name, or a part.")
    ] = None,
    outcome: Annotated[
        str | None, typer.Option("--outcome", metavar="WORD", help=f"With this end: {', '.join(OUTCOMES)}.")
    ] = None,
    *,
    as_json: JsonOption = False,
) -> None:
    """Search all experiments by idea, dimension, target or outcome; results without a gain are kept as well."""
    asked = next((each for each in OUTCOMES if each == outcome), None)
    if outcome is not None and asked is None:
        raise RequestError(f"--outcome: no outcome {outcome!r}{nearest(outcome, OUTCOMES)}")
    # Before the first experiment the folder of all of them is not there: nothing was tried.
    first = root == EXPERIMENTS and not root.exists()
    found = [] if first else history_of(root, Wanted(find, dimension, target, asked))
    if as_json:
        rows = ",\n".join(_line(each.as_json()) for each in found)  # indented, thousands take seconds
        say(f'{{"root": {json.dumps(str(root))}, "experiments": [\n{rows}\n]}}')
        return
    if not found:
        say(f"{root}: no experiment like this; start one with `numerai-ray new {root}/NAME`")
        return
    from rich.table import Table

    from numerai_ray.metrics.significance import e4
    from numerai_ray.progress.live_view import wide_console

    table = Table(box=None, pad_edge=False)
    for name in ("experiment", "state", "outcome", "gain", "changes", "varies", "idea"):
        table.add_column(name, overflow="fold", justify="right" if name == "gain" else "left")
    for each in found:
        changes = ", ".join(f"{path.rsplit('.', 1)[-1]}={value}" for path, value in each.changes.items())
        gain = "–" if each.gain is None else e4(each.gain)
        varies = ", ".join(name.split(" (")[0] for name in each.dimensions)
        told = each.problem.splitlines()[0] if each.problem else each.idea
        table.add_row(Path(each.experiment).name, each.state, each.outcome, gain, changes, varies, told)
    wide_console().print(table)


def _line(row: dict[str, Any]) -> str:
    try:
        return json.dumps(row, allow_nan=False)
    except ValueError:
        return json.dumps(without_nan(row))
