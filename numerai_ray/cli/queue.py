"""Several experiments in one ``run``: what is said on the way, and the summary at the end."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import typer

from numerai_ray.errors import RequestError
from numerai_ray.experiment.paths import summary_file
from numerai_ray.progress.terminal import say
from numerai_ray.session.opening import Session
from numerai_ray.session.queue import Limits, common_folder, queued, run_queue
from numerai_ray.session.summary import summary_text
from numerai_ray.system.files import write_text
from numerai_ray.system.json_text import without_nan


def run_several(
    exps: Sequence[Path], limits: Limits, opened: Callable[[Path], Session], *, accept_suspect: bool
) -> None:
    """Work through a queue and write its summary; exit code 3 where something could not go on."""
    if limits.hours is not None and not limits.hours > 0:
        raise RequestError(f"--hours: must be above 0, but is {limits.hours:g}")
    folders, limits = queued(exps, limits)
    sessions = [opened(each) for each in folders]
    as_json = sessions[0].as_json

    def on_step(session: Session, rounds: int) -> None:
        if as_json:
            say(json.dumps({"event": "experiment", "experiment": str(session.paths.root), "rounds": rounds}))
        else:
            session.console.print(f"{session.paths.root}: round {rounds + 1}", highlight=False, markup=False)

    end = run_queue(sessions, limits, on_step, accept_suspect=accept_suspect)
    file = summary_file(common_folder(folders))
    text = summary_text(end.experiments, end.reason, end.problems)
    write_text(file, text)
    if as_json:
        value = {
            "event": "queue_ended",
            "reason": end.reason,
            "experiments": [each.as_json() for each in end.experiments],
            "problems": end.problems,
            "summary": str(file),
        }
        say(json.dumps(without_nan(value)))
    else:
        say(f"\n{text}\n{file}")
    if end.failed:
        raise typer.Exit(3)
