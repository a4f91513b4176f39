"""``submit``: an experiment as a Ray job on a cluster, watched from here, resumed by submitting again."""

import hashlib
import os
import shlex
import shutil
import tempfile
from pathlib import Path
from typing import Annotated

import typer

from numerai_ray.cli.options import ExperimentArgument
from numerai_ray.config.plan import LoadedPlan
from numerai_ray.config.shipped import FOLDERS, PACKAGE, find_shipped
from numerai_ray.errors import RequestError
from numerai_ray.progress.terminal import Console, say
from numerai_ray.session.places import open_experiment
from numerai_ray.system.storage import DATA_ROOT_VARIABLE, place

# Tells a job where its storage is; holds no secret.
PLAIN_VARIABLES = (DATA_ROOT_VARIABLE, "AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "AWS_REGION", "AWS_DEFAULT_REGION")
# What a run makes: the job fetches it from the results URL.
MADE = ("results", "predictions", "plots", "logs", "__pycache__", ".lock", "experiment.md", "report.html")
FAILED = 3


def register(app: typer.Typer) -> None:
    """Add the command to the program."""
    where = "--address http://127.0.0.1:8265 --data-dir s3://b/data --results s3://b/a"
    app.command(epilog=f"Example: numerai-ray submit experiments/a {where}")(submit)


def submit(
    exp: ExperimentArgument,
    address: Annotated[str, typer.Option("--address", metavar="URL", help="The dashboard of the cluster's head.")],
    results: Annotated[
        str, typer.Option("--results", metavar="URL", help="The experiment's copy: s3://…, gs://… or a shared folder.")
    ],
    data_dir: Annotated[
        str | None,
        typer.Option("--data-dir", metavar="URL", help=f"Data root as seen there; else ${DATA_ROOT_VARIABLE}."),
    ] = None,
    variables: Annotated[
        list[str] | None,
        typer.Option("--env", metavar="NAME[=VALUE]", help="Hand on an environment variable; the dashboard shows it."),
    ] = None,
    *,
    ship_code: Annotated[
        bool, typer.Option("--ship-code/--installed-code", help="Run this numerai-ray, or the one installed there.")
    ] = True,
    follow: Annotated[bool, typer.Option("--follow/--no-follow", help="Show the log until the job ends.")] = True,
) -> None:
    """Run an experiment on a Ray cluster as a job; the same command watches it, or goes on with it after a loss."""
    from numerai_ray.runners.ray.jobs import Job, JobDesk

    paths, loaded = open_experiment(exp)
    handed_on = job_variables(variables or [])
    if data_dir is None and DATA_ROOT_VARIABLE not in handed_on:
        raise RequestError("--data-dir: must name the data root as the cluster sees it; give s3://… or a shared folder")
    arguments = [
        "run",
        f"experiments/{paths.root.resolve().name}",
        "--address",
        "auto",
        "--results",
        str(place(results)),
    ]
    arguments += ["--data-dir", str(place(data_dir))] if data_dir else []
    job_id = stable_id(loaded.name, results)
    console = Console(stderr=True, soft_wrap=True, highlight=False, markup=False)
    with tempfile.TemporaryDirectory(prefix="numerai-ray-submit-") as stage:
        stage_experiment(Path(stage), paths.root, loaded)
        job = Job(
            id=job_id,
            command="python -m numerai_ray " + shlex.join(arguments),
            folder=Path(stage),
            modules=[PACKAGE] if ship_code else [],
            variables=handed_on,
            metadata={"experiment": loaded.name, "idea": loaded.plan.idea[:200], "results": str(place(results))},
        )
        desk = JobDesk(address)
        started = desk.submit(job)
    console.print(f"{job_id}: {'submitted' if started else 'runs already'}; {address}/#/jobs/{job_id}")
    if not follow:
        return
    try:
        end = desk.follow(job_id, lambda text: say(text, end=""))
    except KeyboardInterrupt:
        again = f"numerai-ray submit {exp} --address {address} --results {results}"
        console.print(f"\n{job_id}: goes on without this terminal; watch it again with the same command ({again} …)")
        raise typer.Exit(130) from None
    if end.status != "SUCCEEDED":
        console.print(f"{job_id}: {end.status.lower()}; {end.message.splitlines()[0] if end.message else ''}")
        raise typer.Exit(end.exit_code if end.exit_code in (2, FAILED, 130) else FAILED)


def stable_id(name: str, results: str) -> str:
    """One experiment and results place, one job: submitting again finds it."""
    return f"{name}-{hashlib.sha256(str(place(results)).encode()).hexdigest()[:8]}"


def job_variables(given: list[str]) -> dict[str, str]:
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
