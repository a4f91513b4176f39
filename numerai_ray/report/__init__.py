"""The report of an experiment: tables, plots and ``experiment.md``; written again after every round."""

from collections.abc import Sequence
from pathlib import Path

from numerai_ray.atomic_files import write_text
from numerai_ray.experiment_plan import LoadedPlan
from numerai_ray.report.experiment_md import report_text
from numerai_ray.report.plots import write_plots
from numerai_ray.report.reading import Reading
from numerai_ray.report.tables import leaderboard
from numerai_ray.results import ExperimentPaths, RoundRecord

__all__ = ["leaderboard", "write_report"]


def write_report(loaded: LoadedPlan, paths: ExperimentPaths, history: Sequence[RoundRecord]) -> Path:
    """Write the plots, then ``experiment.md``; returns its path.

    Any history will do: none, a part, with failed trials, with unknown metrics. Each file is written whole or
    not at all.

    Raises:
        EnvironmentFault: the folder cannot be written.

    """
    reading = Reading(loaded, paths, tuple(history))
    captions = write_plots(reading)
    write_text(paths.report, report_text(reading, captions))
    return paths.report
