"""``note``: a dated remark about an experiment, kept in its folder and shown on its page."""

import json
from dataclasses import asdict
from typing import Annotated

import typer

from numerai_ray.cli.options import ExperimentArgument, JsonOption
from numerai_ray.experiment.notes import append_note, read_notes
from numerai_ray.progress.terminal import say
from numerai_ray.session.places import experiment_paths


def register(app: typer.Typer) -> None:
    """Add the command to the program."""
    app.command(epilog="Example: numerai-ray note experiments/quickstart 'small trees again; try a longer embargo'")(
        note
    )


def note(
    exp: ExperimentArgument,
    text: Annotated[str | None, typer.Argument(metavar="[TEXT]", help="The note; without it, all are shown.")] = None,
    *,
    as_json: JsonOption = False,
) -> None:
    """Write a note about an experiment, or read those there are; it decides nothing."""
    paths = experiment_paths(exp)
    notes = read_notes(paths.notes) if text is None else [append_note(paths.notes, text)]
    if as_json:
        say(json.dumps({"experiment": str(exp), "notes": [asdict(each) for each in notes]}, indent=2))
        return
    for each in notes:
        say(f"{each.at}  {each.text}")
    if not notes:
        say(f'no notes yet; write one with `numerai-ray note {exp} "…"`')
