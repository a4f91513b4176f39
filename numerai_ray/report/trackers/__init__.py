"""Other programs' views of an experiment, made of its ledger and its files alone: TensorBoard, MLflow, W&B.

A tracker is called with the history after every round, beside the next one (see
:class:`numerai_ray.report.writer.ReportWriter`), and writes what it has not written yet: it can be called again
after any interruption, and for an experiment that ran without it.
"""

from typing import Any

from numerai_ray.experiment.paths import ExperimentPaths
from numerai_ray.report.trackers.mlflow import MLflowTracker, check_mlflow
from numerai_ray.report.trackers.tensorboard import TensorBoardTracker
from numerai_ray.report.trackers.weights_and_biases import WandbTracker, check_wandb, is_offline

__all__ = [
    "MLflowTracker",
    "TensorBoardTracker",
    "WandbTracker",
    "check_mlflow",
    "check_trackers",
    "check_wandb",
    "is_offline",
    "trackers",
]


def check_trackers(mlflow: str | None, wandb: str | None) -> None:
    """Find out before anything is trained that a tracker which was asked for cannot work as it stands.

    Raises:
        RequestError, EnvironmentFault: see :func:`check_mlflow` and :func:`check_wandb`.

    """
    if mlflow is not None:
        check_mlflow(mlflow)
    if wandb is not None:
        check_wandb(wandb)


def trackers(paths: ExperimentPaths, name: str, mlflow: str | None, wandb: str | None) -> list[Any]:
    """TensorBoard always, MLflow where a server is named, Weights & Biases where a project is.

    Args:
        paths: the experiment's files.
        name: what it is called there.
        mlflow: the tracking server's URL.
        wandb: the project.

    Returns:
        Trackers, to be called with the history after every round.

    """
    found: list[Any] = [TensorBoardTracker(paths)]
    found += [MLflowTracker(paths, name, mlflow)] if mlflow else []
    return found + ([WandbTracker(paths, name, wandb)] if wandb else [])
