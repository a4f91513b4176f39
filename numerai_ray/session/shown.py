"""What a notebook shows of an experiment and of a forecast: rows of a table, and pages of HTML."""

from __future__ import annotations

import html
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from numerai_ray.config.search_space import changes_label
from numerai_ray.experiment.answer import experiment_answer
from numerai_ray.experiment.decision import last_compared, metric_name
from numerai_ray.experiment.paths import ExperimentPaths
from numerai_ray.experiment.records import RoundRecord
from numerai_ray.experiment.scores import ScoreReader
from numerai_ray.experiment.verdicts import overall_verdicts, stored_comparison
from numerai_ray.progress.round_state import duration, number
from numerai_ray.report.tables import COLUMNS, flat, leaderboard
from numerai_ray.session.status import best_variant
from numerai_ray.session.subject import Subject

__all__ = ["COLUMNS", "Forecast", "experiment_html", "flat", "leaderboard_rows"]

if TYPE_CHECKING:
    import pandas as pd

    from numerai_ray.rounds import forecast as rounds_forecast

MOST_ROWS = 15
SHOWN = [
    "stage",
    "winner",
    "primary",
    "delta",
    "delta_low",
    "delta_high",
    "verdict",
    "corr_mean",
    "corr_with_benchmark",
]


def leaderboard_rows(paths: ExperimentPaths, history: Sequence[RoundRecord]) -> list[dict[str, Any]]:
    """Every configuration once a stage, each judged in its round and as what the whole search found."""
    reader = ScoreReader(paths)
    overall = overall_verdicts(history, reader, stored_comparison(history, reader))
    return [flat(entry, overall.get((entry["stage"], entry["id"]))) for entry in leaderboard(history)]


def experiment_html(experiment: Subject) -> str:
    """Name, idea, the answer so far, what is best and why, and the head of the leaderboard."""
    rounds = experiment.rounds
    decided = f"{len(rounds)} round{'s'[: len(rounds) > 1]} decided" if rounds else "not started"
    name, idea = html.escape(experiment.name), html.escape(experiment.loaded.plan.idea)
    parts = [f"<p><b>{name}</b> ({'finished' if experiment.finished else decided})<br><i>{idea}</i></p>"]
    last, best = last_compared(rounds), best_variant(rounds)
    if rounds:
        answer = experiment_answer(experiment.loaded, experiment.paths, rounds)
        lead, _, rest = answer.verdict.partition(": ")
        parts.append(f"<p><b>{html.escape(lead)}</b>{': ' if rest else ''}{html.escape(rest)}</p>")
        notes = [*answer.costs, *answer.checks, *answer.flags]
        parts.append(f"<ul>{''.join(f'<li>{html.escape(each)}</li>' for each in notes)}</ul>" if notes else "")
    if last is not None and best is not None and best.metrics is not None:
        changes = html.escape(changes_label(last.decision.changes))
        primary = number(best.metrics.primary)
        parts.append(
            f"<p>best so far: <b>{changes}</b>, {metric_name(best)} {primary} in stage {last.stage}<br>"
            f"{html.escape(last.decision.reason)}</p>"
        )
        table = experiment.table()
        shown = table[SHOWN].head(MOST_ROWS).rename_axis(None)
        shown = shown.assign(winner=["★" if won else "" for won in shown["winner"]])
        parts.append(shown.to_html(float_format="{:.5f}".format, na_rep="–"))
        if len(table) > MOST_ROWS:
            parts.append(f"<p>{len(table) - MOST_ROWS} more in table()</p>")
    return "".join(parts)


class Forecast:
    """What a run will do, as :meth:`Experiment.forecast` found it; a notebook shows both tables."""

    def __init__(self, found: rounds_forecast.Forecast):
        self.found = found

    @property
    def seconds(self) -> float | None:
        """Of a run of the listed rounds; None without a calibration."""
        return self.found.seconds

    @property
    def memory_bytes(self) -> int:
        """The most that a run takes on one machine like this."""
        return self.found.memory_bytes

    def stages(self) -> pd.DataFrame:
        """A row a stage: its data, fits a config, cores and bytes a fit."""
        import pandas as pd

        return pd.DataFrame([asdict(each) for each in self.found.stages]).set_index("stage")

    def rounds(self) -> pd.DataFrame:
        """A row a round that is certain: its configurations, fits by where they come from, seconds (NaN: unknown)."""
        import pandas as pd

        columns = ["stage", "dimension", "variants", "fits_new", "fits_stored", "fits_shared", "seconds"]
        found = pd.DataFrame([asdict(each) for each in self.found.rounds], columns=columns)
        return found.astype({"seconds": float})

    def _repr_html_(self) -> str:
        shown = ["file", "feature_set", "features", "eras", "rows", "fits_a_config", "cores_a_fit"]
        rounds = self.rounds()
        named = rounds.assign(variants=rounds["variants"].map(", ".join))
        parts = [self.stages()[shown].rename_axis(None).to_html(), named.to_html(index=False, na_rep="")]
        return "".join([*parts, f"<p>{html.escape(self._total())}</p>"])

    def __repr__(self) -> str:
        return f"<Forecast: {self._total()}>"

    def _total(self) -> str:
        if not self.found.rounds:
            return "nothing is left to run; run(extend=True) goes on scouting"
        seconds = self.found.seconds
        time = "unknown without calibrate=True" if seconds is None else duration(seconds)
        new = sum(each.fits_new for each in self.found.rounds)
        return f"{new} fits to train, expected time {time} on {self.found.cores} cores"
