"""``track``: an experiment that ran, shown in TensorBoard and MLflow."""

import json
from typing import Annotated

import typer

from numerai_ray.cli.options import ExperimentArgument, JsonOption
from numerai_ray.errors import RequestError
from numerai_ray.experiment.ledger import read_ledger
from numerai_ray.progress.terminal import say
from numerai_ray.session.places import open_experiment
from numerai_ray.system.services import masked

MLflowOption = Annotated[
    str | None,
    typer.Option("--mlflow", metavar="URI", help="An MLflow server or database, e.g. sqlite:///mlflow.db."),
]


def register(app: typer.Typer) -> None:
    """Add the command to the program."""
    app.command(epilog="Example: numerai-ray track experiments/quickstart --mlflow sqlite:///mlflow.db")(track)


def track(exp: ExperimentArgument, mlflow: MLflowOption = None, *, as_json: JsonOption = False) -> None:
    """Write an experiment's rounds for TensorBoard, and for MLflow where a server is named; nothing twice."""
    from numerai_ray.report.trackers import MLflowTracker, TensorBoardTracker, check_mlflow
    from numerai_ray.report.trackers.tensorboard import runs

    paths, loaded = open_experiment(exp)
    if mlflow is not None:
        check_mlflow(mlflow)
    history = read_ledger(paths.ledger)
    if not history:
        raise RequestError(f"{exp}: no round is decided yet; start with `numerai-ray run {exp}`")
    TensorBoardTracker(paths)(history)
    if mlflow is not None:
        MLflowTracker(paths, loaded.name, mlflow)(history)
    if as_json:
        written = {"tensorboard": str(paths.tensorboard), "runs": runs(paths.tensorboard)}
        value = {**written, "mlflow": mlflow and masked(mlflow)}
        say(json.dumps(value, indent=2))
        return
    say(f"tensorboard --logdir {paths.tensorboard}")
    if mlflow is not None and mlflow.startswith("http"):
        say(masked(mlflow))
    elif mlflow is not None:
        there = masked(mlflow)
        say(f"mlflow ui --backend-store-uri {there}  (the whole of mlflow, in an environment of its own)")
