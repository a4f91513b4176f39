"""``submit``: an experiment as a Ray job on a cluster, watched from here, resumed by submitting again."""

from typing import Annotated

import typer

from numerai_ray.cli.options import ExperimentArgument
from numerai_ray.progress.terminal import Console, say
from numerai_ray.session.submitting import JobOrder, submit_job
from numerai_ray.system.storage import DATA_ROOT_VARIABLE

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
    console = Console(stderr=True, soft_wrap=True, highlight=False, markup=False)
    job = submit_job(JobOrder(exp, address, results, data_dir, variables or [], ship_code))
    console.print(f"{job.id}: {'submitted' if job.started else 'runs already'}; {address}/#/jobs/{job.id}")
    if not follow:
        return
    try:
        end = job.desk.follow(job.id, lambda text: say(text, end=""))
    except KeyboardInterrupt:
        again = f"numerai-ray submit {exp} --address {address} --results {results}"
        console.print(f"\n{job.id}: goes on without this terminal; watch it again with the same command ({again} …)")
        raise typer.Exit(130) from None
    if end.status != "SUCCEEDED":
        console.print(f"{job.id}: {end.status.lower()}; {end.message.splitlines()[0] if end.message else ''}")
        raise typer.Exit(end.exit_code if end.exit_code in (2, FAILED, 130) else FAILED)
