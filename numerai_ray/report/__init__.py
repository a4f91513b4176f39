"""The report of an experiment: tables, plots, ``experiment.md`` and ``report.html``."""

from collections.abc import Sequence
from pathlib import Path

from numerai_ray.config.plan import LoadedPlan
from numerai_ray.experiment.ledger import chosen_interpretation
from numerai_ray.experiment.paths import ExperimentPaths
from numerai_ray.experiment.records import RoundRecord
from numerai_ray.report.experiment_md import report_text
from numerai_ray.report.plots import captions, drawn_plots, write_plots
from numerai_ray.report.reading import Reading
from numerai_ray.report.tables import leaderboard
from numerai_ray.system.files import write_text

__all__ = ["leaderboard", "write_report", "write_report_text"]


def write_report(
    loaded: LoadedPlan, paths: ExperimentPaths, history: Sequence[RoundRecord], start_era: int | None = None
) -> Path:
    """Draw the plots whose data changed, then write ``experiment.md`` and ``report.html``; returns the former's path.

    Any history will do: none, a part, with failed trials, with unknown metrics. Each file is written whole or
    not at all. Cumulative plots begin at ``start_era``.

    Raises:
        EnvironmentFault: the folder cannot be written.

    """
    from numerai_ray.report.html import markdown_and_page  # noqa: PLC0415

    reading = _reading(loaded, paths, history, start_era)
    said = captions(write_plots(reading), len(history))
    text, page = markdown_and_page(reading, said)
    write_text(paths.report, text)
    write_text(paths.html, page)
    return paths.report


def write_report_text(loaded: LoadedPlan, paths: ExperimentPaths, history: Sequence[RoundRecord]) -> Path:
    """Write ``experiment.md`` alone, at once, with the plots as they were last drawn."""
    reading = _reading(loaded, paths, history)
    write_text(paths.report, report_text(reading, captions(drawn_plots(paths), len(history))))
    return paths.report


def _reading(
    loaded: LoadedPlan, paths: ExperimentPaths, history: Sequence[RoundRecord], start_era: int | None = None
) -> Reading:
    """Of several readings of the idea, the report follows the one that the experiment went on with."""
    return Reading(loaded.interpreted(chosen_interpretation(history)), paths, tuple(history), start_era)
