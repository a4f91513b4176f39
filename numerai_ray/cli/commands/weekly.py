"""``weekly``: what is to be done once a week, in one command."""

import json
from pathlib import Path
from typing import Annotated

import typer

from numerai_ray.cli.commands.follow import UploadsOption, model_lines
from numerai_ray.cli.commands.recheck import recheck_lines
from numerai_ray.cli.commands.upload import watch
from numerai_ray.cli.options import AddressOption, DataDirOption, InProcessOption, JsonOption
from numerai_ray.progress.round_state import duration
from numerai_ray.progress.terminal import Console, say
from numerai_ray.session.opening import Session
from numerai_ray.session.places import data_place, existing_folder, open_experiment

SOME_FAILED = 3


def register(app: typer.Typer) -> None:
    """Add the command to the program."""
    app.command(
        epilog="Examples: numerai-ray weekly experiments/ender20 · in a crontab: "
        "0 14 * * 6  cd /desk && numerai-ray weekly experiments/ender20 >> weekly.log 2>&1"
    )(weekly)


def weekly(
    experiments: Annotated[
        list[Path], typer.Argument(metavar="EXP…", help="Folders of experiments, e.g. experiments/quickstart.")
    ],
    data_dir: DataDirOption = None,
    address: AddressOption = None,
    *,
    models: Annotated[
        list[str] | None, typer.Option("--model", metavar="NAME", help="A model to follow; repeat it. Else all.")
    ] = None,
    uploads: UploadsOption = Path(),
    download: Annotated[bool, typer.Option("--download/--no-download", help="Fetch what changed at Numerai.")] = True,
    in_process: InProcessOption = False,
    as_json: JsonOption = False,
) -> None:
    """Download what changed, build, recheck every experiment, follow your models, write the reports.

    A part that fails does not stop the others. Exit code 3: some part failed; run the same command again.
    """
    from numerai_ray.data.download.numerai_api import NumeraiApi
    from numerai_ray.session.weekly import WeeklyOrder, weekly_json
    from numerai_ray.session.weekly import weekly as routine

    root, console = data_place(data_dir), Console(stderr=True)
    existing_folder(uploads, "--uploads")
    opened = [open_experiment(each) for each in dict.fromkeys(experiments)]
    sessions = [
        Session(paths, loaded, root, console, address, in_process=in_process, as_json=as_json)
        for paths, loaded in opened
    ]
    api = NumeraiApi(on_retry=watch().retry)
    order = WeeklyOrder(
        sessions=sessions,
        models=models or [],
        uploads=uploads,
        api=None if api.keys is None else api,
        downloads=download,
        tell_recheck=recheck_lines,
        tell_follow=model_lines,
    )
    parts = routine(order)
    value = weekly_json(parts)
    if as_json:
        say(json.dumps(value, indent=2))
    else:
        for part in parts:
            head = f"{part.name} {part.about}".strip()
            say(f"{head}: {part.state} [{duration(part.seconds)}]")
            for line in part.lines:
                say(f"  {line}")
        for alarm in value["alarms"]:
            say(f"! {alarm}")
        done = sum(part.state == "done" for part in parts)
        failed = f"; failed: {', '.join(value['failed'])}; run the same command again" if value["failed"] else ""
        say(f"{done} of {len(parts)} parts done{failed}")
    if value["failed"]:
        raise typer.Exit(SOME_FAILED)
