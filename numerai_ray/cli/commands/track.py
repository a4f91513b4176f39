"""``track``: an experiment that ran, shown in TensorBoard, MLflow and Weights & Biases."""

import json
from typing import Annotated

import typer

from numerai_ray.cli.options import ExperimentArgument, JsonOption
from numerai_ray.errors import RequestError
from numerai_ray.experiment.ledger import read_ledger
from numerai_ray.progress.terminal import say
from numerai_ray.report.trackers import check_trackers
from numerai_ray.session.places import open_experiment
from numerai_ray.system.services import masked

MLflowOption = Annotated[
    str | None,
    typer.Option("--mlflow", metavar="URI", help="An MLflow server or database, e.g. sqlite:///mlflow.db."),
]

WandbOption = Annotated[
    str | None,
    typer.Option("--wandb", metavar="PROJECT", help="A project of Weights & Biases; WANDB_MODE=offline keeps it here."),
]


def register(app: typer.Typer) -> None:
    """Add the command to the program."""
    app.command(epilog="Example: numerai-ray track experiments/quickstart --mlflow sqlite:///mlflow.db")(track)


def track(
    exp: ExperimentArgument, mlflow: MLflowOption = None, wandb: WandbOption = None, *, as_json: JsonOption = False
) -> None:
    """Write an experiment's rounds for TensorBoard, and for MLflow or Weights & Biases where named; nothing twice."""
    from numerai_ray.report.trackers import MLflowTracker, TensorBoardTracker, WandbTracker, is_offline
    from numerai_ray.report.trackers.tensorboard import runs

    paths, loaded = open_experiment(exp)
    check_trackers(mlflow, wandb)
    history = read_ledger(paths.ledger)
    if not history:
        raise RequestError(f"{exp}: no round is decided yet; start with `numerai-ray run {exp}`")
    TensorBoardTracker(paths)(history)
    if mlflow is not None:
        MLflowTracker(paths, loaded.name, mlflow)(history)
    if wandb is not None:
        WandbTracker(paths, loaded.name, wandb)(history)
    if as_json:
        written = {"tensorboard": str(paths.tensorboard), "runs": runs(paths.tensorboard)}
        value = {**written, "mlflow": mlflow and masked(mlflow), "wandb": wandb}
        say(json.dumps(value, indent=2))
        return
    say(f"tensorboard --logdir {paths.tensorboard}")
    if mlflow is not None and mlflow.startswith("http"):
        say(masked(mlflow))
    elif mlflow is not None:
        there = masked(mlflow)
        say(f"mlflow ui --backend-store-uri {there}  (the whole of mlflow, in an environment of its own)")
    if wandb is not None and is_offline():
        say(f"wandb sync {paths.wandb}/wandb/offline-run-*")
    elif wandb is not None:
        say(f"Weights & Biases: {wandb}, group {loaded.name}")
