"""Other programs' views of an experiment, made of its ledger and its files alone: TensorBoard, MLflow, W&B.

A tracker is called with the history after every round, beside the next one (see
:class:`numerai_ray.report.writer.ReportWriter`), and writes what it has not written yet: it can be called again
after any interruption, and for an experiment that ran without it.
"""

from numerai_ray.report.trackers.mlflow import MLflowTracker, check_mlflow
from numerai_ray.report.trackers.tensorboard import TensorBoardTracker
from numerai_ray.report.trackers.weights_and_biases import WandbTracker, check_wandb, is_offline

__all__ = ["MLflowTracker", "TensorBoardTracker", "WandbTracker", "check_mlflow", "check_wandb", "is_offline"]
