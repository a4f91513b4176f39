"""Other programs' views of an experiment, made of its ledger and its files alone: TensorBoard, MLflow.

A tracker is called with the history after every round, beside the next one (see
:class:`numerai_ray.report.writer.ReportWriter`), and writes what it has not written yet: it can be called again
after any interruption, and for an experiment that ran without it.
"""

from numerai_ray.report.trackers.mlflow import MLflowTracker, check_mlflow
from numerai_ray.report.trackers.tensorboard import TensorBoardTracker

__all__ = ["MLflowTracker", "TensorBoardTracker", "check_mlflow"]
