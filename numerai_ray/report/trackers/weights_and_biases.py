"""Weights & Biases: a group of its runs per experiment of ours, a run a variant, and one over all rounds at the end."""

import hashlib
import importlib.util
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from numerai_ray.errors import DataError, EnvironmentFault, RequestError
from numerai_ray.experiment.decision import is_finished
from numerai_ray.experiment.paths import ExperimentPaths
from numerai_ray.experiment.records import RoundRecord, VariantRecord
from numerai_ray.experiment.scores import ScoreReader
from numerai_ray.report.trackers.facts import by_round, cumulative, metric_values, new_variants, parameters
from numerai_ray.system.json_text import parse_json, read_json, without_nan, write_json
from numerai_ray.system.services import LOCAL_S, PATIENCE_S, in_time, install_hint, masked

# What its addresses take: letters, digits and a few signs; an entity is a user or a team.
PROJECT = re.compile(r"([\w.-]{1,128}/)?[\w.-]{1,128}")
OFFLINE = ("offline", "dryrun")


def check_wandb(project: str) -> None:
    """Find out before anything is trained that ``--wandb`` cannot work as it stands.

    Raises:
        RequestError: it is no name of a project.
        EnvironmentFault: wandb is not installed, or knows no account and is not to stay offline.

    """
    if not PROJECT.fullmatch(project):
        raise RequestError(f"--wandb: must be PROJECT or ENTITY/PROJECT, but is {masked(project)!r}")
    if importlib.util.find_spec("wandb") is None:
        raise EnvironmentFault(f"--wandb needs wandb: {install_hint('wandb')}")
    if not is_offline():
        try:
            with _writer() as writer:
                writer.do({"kind": "check", "id": "check"})
        except (OSError, RuntimeError) as error:
            raise EnvironmentFault(f"--wandb: {project}: {_words(error)}") from None


def is_offline() -> bool:
    """Whether its own setting says that runs are kept here, to be sent later by ``wandb sync``."""
    return os.environ.get("WANDB_MODE", "") in OFFLINE


@dataclass(eq=False)
class WandbTracker:
    """Writes to ``project`` (or ``entity/project``), by another process that is ended when it does not answer.

    Its own settings hold: ``WANDB_MODE=offline`` keeps all in ``logs/wandb`` of the experiment, for ``wandb sync``;
    ``WANDB_BASE_URL`` and ``WANDB_API_KEY`` say where to and who.
    """

    paths: ExperimentPaths
    name: str
    project: str
    _given_up: bool = field(default=False)

    def __call__(self, history: Sequence[RoundRecord]) -> None:
        """Write what was not written yet.

        Raises:
            EnvironmentFault: wandb is not installed, or its server does not take it; nothing is tried after that.

        """
        if self._given_up:
            return
        try:
            jobs = list(self._jobs(history))
            if jobs:
                with _writer() as writer:
                    for job in jobs:
                        writer.do(job)
                        self._keep(job["id"])
        except (OSError, RuntimeError) as error:
            self._given_up = True
            raise EnvironmentFault(
                f"--wandb: {self.project}: {_words(error)}; nothing waits for it. "
                f"`numerai-ray track {self.paths.root} --wandb PROJECT` writes later what is missing there"
            ) from None

    def _jobs(self, history: Sequence[RoundRecord]) -> Iterator[dict[str, Any]]:
        written = set(self._written())
        reader = ScoreReader(self.paths)
        for record, variant in new_variants(history):
            job = self._variant(record, variant)
            if job["id"] not in written:
                yield {**job, "rows": _rows(cumulative(reader, variant), "era")}
        if is_finished(history):
            job = self._rounds(history)
            if job["id"] not in written:
                yield job

    def _variant(self, record: RoundRecord, variant: VariantRecord) -> dict[str, Any]:
        more = {"fingerprint": variant.fingerprint, "round": record.number, "dimension": record.dimension}
        return {
            **self._run(variant.id, record.stage, [record.stage, variant.role]),
            "config": without_nan({**parameters(self.paths, variant), **more}),
            "step": "era",
            "summary": metric_values(variant),
            "files": _there(self.paths.config(variant.id), self.paths.results(variant.id)),
        }

    def _rounds(self, history: Sequence[RoundRecord]) -> dict[str, Any]:
        decisions = {f"round_{each.number:02d}": each.decision.reason for each in history}
        return {
            **self._run("rounds", "rounds", ["rounds"]),
            "config": {"experiment": self.name, **decisions},
            "step": "round",
            "rows": _rows(by_round(history), "round"),
            "summary": {"rounds": len(history)},
            "files": _there(self.paths.report, self.paths.html, self.paths.plan, self.paths.ledger),
        }

    def _run(self, name: str, kind: str, tags: Sequence[str]) -> dict[str, Any]:
        """What every run has. Its id follows from what it is of: sent twice, it is one run all the same."""
        entity, _, project = self.project.rpartition("/")
        own = hashlib.sha256(f"{self.name}\n{name}".encode()).hexdigest()[:16]
        return {
            "kind": "run",
            "id": own,
            "entity": entity or None,
            "project": project,
            "dir": str(self.paths.wandb.resolve()),
            "base": str(self.paths.root.resolve()),
            "name": name[:128],
            "group": self.name[:128],
            "job_type": kind,
            "tags": list(tags),
        }

    def _written(self) -> list[str]:
        """Ids of the runs that are there: of this project, at this address."""
        try:
            found = read_json(self.paths.wandb_written).get(self._where())
        except (DataError, OSError):
            return []
        return [str(each) for each in found] if isinstance(found, list) else []

    def _keep(self, own: str) -> None:
        kept = [*self._written(), own]
        try:
            before: dict[str, Any] = read_json(self.paths.wandb_written)
        except (DataError, OSError):
            before = {}
        write_json(self.paths.wandb_written, {**before, self._where(): kept})

    def _where(self) -> str:
        place = "offline" if is_offline() else masked(os.environ.get("WANDB_BASE_URL", "wandb.ai"))
        self.paths.wandb.mkdir(parents=True, exist_ok=True)
        return f"{place} {self.project}"


@dataclass(frozen=True)
class _Writer:
    """The other process, which answers a line a job."""

    process: "subprocess.Popen[str]"

    def do(self, job: Mapping[str, Any]) -> None:
        """Have a job done.

        Raises:
            RuntimeError: it was not; the words are those of wandb.
            OSError: the process is gone.
            TimeoutError: it does not answer.

        """
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(job) + "\n")
        self.process.stdin.flush()
        self.wait(LOCAL_S if is_offline() else PATIENCE_S)

    def wait(self, seconds: float) -> None:
        """Wait for an answer; see :meth:`do`."""
        assert self.process.stdout is not None
        line = in_time(self.process.stdout.readline, seconds)
        if not line:
            raise RuntimeError("its process ended")
        answer = parse_json(line)
        if "error" in answer:
            raise RuntimeError(str(answer["error"]))


@contextmanager
def _writer() -> Iterator[_Writer]:
    command = [sys.executable, "-m", "numerai_ray.report.trackers.wandb_writer"]
    quiet = {"WANDB_SILENT": "true", "WANDB_CONSOLE": "off", "WANDB__EXECUTABLE": sys.executable}
    process = subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env={**os.environ, **quiet},
        start_new_session=True,  # Ctrl-C is for the run, and its service ends with it
    )
    try:
        writer = _Writer(process)
        writer.wait(LOCAL_S)  # importing the library takes this machine's time, nobody else's
        yield writer
    finally:
        with suppress(OSError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        for pipe in (process.stdin, process.stdout):
            with suppress(OSError):
                assert pipe is not None
                pipe.close()


def _words(error: BaseException) -> str:
    return masked(str(error)) or type(error).__name__


def _rows(curves: Mapping[str, Sequence[tuple[int, float]]], step: str) -> list[dict[str, float]]:
    """Curves as rows, one a step."""
    rows: dict[int, dict[str, float]] = {}
    for name, points in curves.items():
        for at, value in points:
            rows.setdefault(at, {step: at})[name] = value
    return [rows[at] for at in sorted(rows)]


def _there(*files: Path) -> list[str]:
    return [str(each.resolve()) for each in files if each.is_file()]
