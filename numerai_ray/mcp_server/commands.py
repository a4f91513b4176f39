"""Commands run for a tool, each in a process of its own: in the foreground to its answer, or in the background."""

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from numerai_ray.errors import RequestError
from numerai_ray.experiment.ledger import read_ledger
from numerai_ray.experiment.lock import lock_holder
from numerai_ray.experiment.paths import ExperimentPaths
from numerai_ray.system.json_text import parse_json

PROGRAM = (sys.executable, "-m", "numerai_ray")
POLL_S = 0.3
# A run that cannot begin says so sooner; one that trains holds its experiment's lock by then.
BEGINS_WITHIN_S = 60.0
MOST_SAID = 2000


async def answer_of(arguments: Sequence[str], root: Path) -> Any:
    """What the command prints with ``--json``, and its notes.

    Raises:
        RequestError: the command refused or failed, with its message.

    """
    process = await asyncio.create_subprocess_exec(
        *PROGRAM,
        *arguments,
        cwd=root,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        out, err = await process.communicate()
    except BaseException:  # the client gave up
        with suppress(ProcessLookupError):
            process.terminate()
        raise
    said = err.decode(errors="replace").strip()
    try:
        value = parse_json(out)
    except ValueError:
        raise RequestError(said or f"the command ended with exit code {process.returncode}") from None
    if isinstance(value, dict) and said:
        return {**value, "notes": said[-MOST_SAID:].splitlines()}
    return value


@dataclass
class Background:
    """Runs that were started here; each is a session of its own and goes on without this server."""

    root: Path
    started: dict[Path, "subprocess.Popen[bytes]"] = field(default_factory=dict)

    async def start(self, folder: Path, arguments: Sequence[str]) -> dict[str, Any]:
        """Start a command on an experiment; answers when it is under way, or over already.

        Raises:
            RequestError: it refused, with its message.

        """
        paths = ExperimentPaths(folder)
        paths.events.parent.mkdir(parents=True, exist_ok=True)
        with paths.events.open("ab") as out, paths.said.open("wb") as err:
            process = subprocess.Popen(
                [*PROGRAM, *arguments],
                cwd=self.root,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                start_new_session=True,
            )
        self.started[folder] = process
        until = time.monotonic() + BEGINS_WITHIN_S
        while time.monotonic() < until and process.poll() is None and not lock_holder(paths.lock):
            await asyncio.sleep(POLL_S)
        if process.poll() in (1, 2):
            raise RequestError(_said(paths))
        return {
            "experiment": str(folder.relative_to(self.root)),
            "started": True,
            "pid": process.pid,
            "events": str(paths.events.relative_to(self.root)),
            "next": "wait, or status",
        }

    async def wait(self, folder: Path, timeout_s: float, *, for_round: bool) -> None:
        """Until the experiment is let go, or a round was decided, or the time is over."""
        paths = ExperimentPaths(folder)
        before = len(read_ledger(paths.ledger))
        until = time.monotonic() + timeout_s
        while time.monotonic() < until and self._alive(paths):
            if for_round and len(read_ledger(paths.ledger)) > before:
                return
            await asyncio.sleep(POLL_S)

    def last_run(self, folder: Path) -> dict[str, Any] | None:
        """How the last run that was started in the background goes or ended; None where there was none."""
        paths = ExperimentPaths(folder)
        if not paths.said.is_file():
            return None
        process = self.started.get(folder)
        code = None if process is None else process.poll()
        return {"running": self._alive(paths), "exit_code": code, "said": _said(paths)}

    def _alive(self, paths: ExperimentPaths) -> bool:
        process = self.started.get(paths.root)
        return bool(lock_holder(paths.lock)) or (process is not None and process.poll() is None)


def _said(paths: ExperimentPaths) -> str:
    """The end of what the run said beside its events: notes, and why it ended."""
    with suppress(OSError):
        return paths.said.read_text(encoding="utf-8", errors="replace").strip()[-MOST_SAID:]
    return ""


def as_text(value: Any) -> str:
    """An answer as a client shows it."""
    return json.dumps(value, ensure_ascii=False)
