"""Submitting: an experiment as a Ray job, its folder staged and its command written; submitted again, it is found."""

import hashlib
import os
import shlex
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from numerai_ray.config.plan import LoadedPlan
from numerai_ray.config.shipped import FOLDERS, PACKAGE, find_shipped
from numerai_ray.errors import RequestError
from numerai_ray.session.places import open_experiment
from numerai_ray.system.storage import DATA_ROOT_VARIABLE, place

if TYPE_CHECKING:
    from numerai_ray.runners.ray.jobs import JobDesk

# Tells a job where its storage is; holds no secret.
PLAIN_VARIABLES = (DATA_ROOT_VARIABLE, "AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "AWS_REGION", "AWS_DEFAULT_REGION")
# What a run makes: the job fetches it from the results URL.
MADE = ("results", "predictions", "plots", "logs", "__pycache__", ".lock", "experiment.md", "report.html")


@dataclass(frozen=True)
class JobOrder:
    """An experiment's folder, the cluster's ``address``, and where it finds data and keeps ``results``, as seen there.

    ``variables`` are handed on, ``NAME`` or ``NAME=VALUE``; without ``ship_code`` what is installed there runs.
    """

    exp: Path
    address: str
    results: str
    data_dir: str | None
    variables: Sequence[str]
    ship_code: bool


@dataclass(frozen=True)
class Submitted:
    """A job, whether it was ``started`` just now, and the ``desk`` that follows it."""

    id: str
    started: bool
    desk: "JobDesk"


def submit_job(order: JobOrder) -> Submitted:
    """Have the cluster run an experiment, unless it does already.

    Raises:
        RequestError: the plan is wrong, nobody says where the data are, or a variable is not set here.
        EnvironmentFault: the cluster does not answer.

    """
    from numerai_ray.runners.ray.jobs import Job, JobDesk

    paths, loaded = open_experiment(order.exp)
    handed_on = job_variables(order.variables)
    if order.data_dir is None and DATA_ROOT_VARIABLE not in handed_on:
        raise RequestError("--data-dir: must name the data root as the cluster sees it; give s3://… or a shared folder")
    results = str(place(order.results))
    command = ["run", f"experiments/{paths.root.resolve().name}", "--address", "auto", "--results", results]
    command += ["--data-dir", str(place(order.data_dir))] if order.data_dir else []
    with tempfile.TemporaryDirectory(prefix="numerai-ray-submit-") as stage:
        stage_experiment(Path(stage), paths.root, loaded)
        job = Job(
            id=stable_id(loaded.name, order.results),
            command="python -m numerai_ray " + shlex.join(command),
            folder=Path(stage),
            modules=[PACKAGE] if order.ship_code else [],
            variables=handed_on,
            metadata={"experiment": loaded.name, "idea": loaded.plan.idea[:200], "results": results},
        )
        desk = JobDesk(order.address)
        return Submitted(job.id, desk.submit(job), desk)


def stable_id(name: str, results: str) -> str:
    """One experiment and results place, one job: submitting again finds it."""
    return f"{name}-{hashlib.sha256(str(place(results)).encode()).hexdigest()[:8]}"


def job_variables(given: Sequence[str]) -> dict[str, str]:
    """Environment of the job: where its storage is, and what ``--env`` asks for.

    Raises:
        RequestError: a variable that is not set here.

    """
    found = {name: os.environ[name] for name in PLAIN_VARIABLES if name in os.environ}
    for each in given:
        name, equals, value = each.partition("=")
        if not equals and name not in os.environ:
            raise RequestError(f"--env {name}: must be set here, but is not; write --env {name}=VALUE")
        found[name] = value if equals else os.environ[name]
    return found


def stage_experiment(stage: Path, folder: Path, loaded: LoadedPlan) -> None:
    """Lay out what a run reads, and nothing that it made: the plan, its baseline and its search space."""
    target = stage / "experiments" / folder.resolve().name
    shutil.copytree(folder, target, ignore=shutil.ignore_patterns(*MADE))
    named = {"baselines": loaded.plan.baseline, "search_spaces": loaded.plan.search_space}
    for kind, name in named.items():
        if isinstance(name, str):
            source = find_shipped(kind, name, folder)
            (stage / FOLDERS[kind]).mkdir(parents=True, exist_ok=True)
            shutil.copy(source, stage / FOLDERS[kind] / source.name)
