"""``numerai-ray data download``: Numerai's files, checked before they are put in place."""

import json
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

from numerai_ray.cli.options import JsonOption, within
from numerai_ray.progress.round_state import duration
from numerai_ray.progress.terminal import Console, say
from numerai_ray.session.places import data_root
from numerai_ray.session.versions import newest_present
from numerai_ray.system.storage import DATA_ROOT_VARIABLE

if TYPE_CHECKING:
    from numerai_ray.data.download.fetch import LocalFile, Step

# Where there is no terminal: a line so often, in seconds.
_LINE_EVERY_S = 10.0


def register(app: typer.Typer) -> None:
    """Add the command to ``numerai-ray data``."""
    app.command(epilog="Example: numerai-ray data download --files live --files live_benchmark_models")(download)


def download(
    version: Annotated[
        str | None,
        typer.Option(
            "--version",
            help="Data version at Numerai, and the folder's name. Else the newest one here, else the newest there.",
        ),
    ] = None,
    files: Annotated[
        list[str] | None,
        typer.Option(
            "--files",
            metavar="NAME",
            help="A file such as train.parquet or train; repeat it, or separate several by commas. Without it: what "
            "experiments need (features, train, validation, live, their benchmark models, the meta model).",
        ),
    ] = None,
    data_dir: Annotated[
        str | None,
        typer.Option(
            "--data-dir",
            "--out",
            metavar="DIR",
            help=f"Data root to write to; else ${DATA_ROOT_VARIABLE}, else ./data.",
        ),
    ] = None,
    retries: Annotated[
        int, typer.Option("--retries", callback=within(0, 100), help="Tries in a row after a failed one.")
    ] = 5,
    *,
    as_json: JsonOption = False,
) -> None:
    """Download a data version from Numerai and check every file to its last byte.

    An interrupted download goes on where it stopped, and what is here, checked and current is left alone.
    """
    # numerapi brings pandas along: a second that no other command should wait for.
    from numerai_ray.data.download.fetch import download as download_files
    from numerai_ray.data.download.numerai_api import newest_listed
    from numerai_ray.system.http import Patience

    root, patience = data_root(data_dir, made_here=True), Patience(tries=retries + 1)
    version = newest_present(root) or newest_listed(patience) if version is None else version
    version_dir = root / version
    names = [name.strip() for given in files or () for name in given.split(",") if name.strip()]
    console = Console(stderr=True)
    view = _TerminalView(console) if console.is_terminal else _PlainView(console)
    with view.shown():
        settled = download_files(version, names, version_dir, patience, view.step)
    if as_json:
        value = {"version": version, "folder": str(version_dir), "files": [_as_json(each) for each in settled]}
        say(json.dumps(value, indent=2))
        return
    for each in settled:
        say(_line(each))


def _as_json(file: "LocalFile") -> dict[str, Any]:
    return {**vars(file), "path": str(file.path)}


def _line(file: "LocalFile") -> str:
    from numerai_ray.data.download.fetch import size_text
    from numerai_ray.data.eras import era_label

    parts = [f"{file.path}: {size_text(file.size)}"]
    if file.rows is not None:
        parts.append(f"{file.rows:,} rows")
    if file.eras is not None:
        parts.append(f"eras {era_label(file.eras[0])}–{era_label(file.eras[1])}")
    return f"{', '.join(parts)} ({file.status})"


class _TerminalView:
    """A bar a file with rate and time left; what is tried again stays above it as a line."""

    def __init__(self, console: Console):
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            DownloadColumn(),
            TransferSpeedColumn(),
            TimeRemainingColumn(),
            console=console,
            transient=True,
        )
        self._tasks: dict[tuple[str, str], TaskID] = {}

    def shown(self) -> AbstractContextManager[Any]:
        return self._progress

    def step(self, step: "Step") -> None:
        if step.kind == "retry":
            self._progress.console.print(f"{step.file}: {step.note}", highlight=False, markup=False, soft_wrap=True)
        elif step.kind == "done":
            for task in [self._tasks.pop(key) for key in list(self._tasks) if key[0] == step.file]:
                self._progress.remove_task(task)
        else:
            self._move(step)

    def _move(self, step: "Step") -> None:
        key = (step.file, step.kind)
        if key not in self._tasks:
            # What was there before counts for the bar and not for the rate.
            text = f"{'checking ' if step.kind == 'check' else ''}{step.file}"
            self._tasks[key] = self._progress.add_task(text, total=step.total, completed=step.done)
        self._progress.update(self._tasks[key], completed=step.done, total=step.total)


class _PlainView:
    """A line now and then, for logs and pipes: bytes, rate and time left."""

    def __init__(self, console: Console, now: Callable[[], float] = time.monotonic):
        self._console = console
        self._now = now
        self._stage = ("", "")
        self._began = self._said = 0.0
        self._first_bytes = 0

    def shown(self) -> AbstractContextManager[Any]:
        return nullcontext()

    def step(self, step: "Step") -> None:
        if step.kind == "retry" or (step.kind == "done" and step.note != "up to date"):
            self._say(f"{step.file}: {step.note}")
        elif self._stage != (step.file, step.kind):
            self._stage = (step.file, step.kind)
            self._began = self._said = self._now()
            self._first_bytes = step.done
        elif self._now() - self._said >= _LINE_EVERY_S:
            self._said = self._now()
            self._say(progress_line(step, self._first_bytes, self._said - self._began))

    def _say(self, text: str) -> None:
        self._console.print(text, highlight=False, markup=False, soft_wrap=True)


def progress_line(step: "Step", first_bytes: int, seconds: float) -> str:
    """``train.parquet: 1.2 GB of 2.6 GB, 35.0 MB/s, 40 s left``; the rate is since ``first_bytes``, ``seconds`` ago."""
    from numerai_ray.data.download.fetch import size_text

    rate = (step.done - first_bytes) / seconds
    whole = "" if step.total is None else f" of {size_text(step.total)}"
    left = "" if step.total is None or rate <= 0 else f", {duration((step.total - step.done) / rate)} left"
    checking = "checking " if step.kind == "check" else ""
    return f"{checking}{step.file}: {size_text(step.done)}{whole}, {size_text(max(0, round(rate)))}/s{left}"
