"""What a history says, worked out once for text and plots: its standing, and the rounds' tables."""

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from numerai_ray.config import leaves
from numerai_ray.errors import DataError
from numerai_ray.experiment.answer import Answer, answer_of
from numerai_ray.experiment.rechecks import read_rechecks
from numerai_ray.experiment.records import RoundRecord, VariantRecord
from numerai_ray.experiment.since import LiveRecord, live_record
from numerai_ray.experiment.standing import Standing, primary_of, stage_of
from numerai_ray.report.tables import Row, leaderboard, round_rows, rounds_ran


@dataclass(frozen=True)
class Reading(Standing):
    """A standing with the tables of its rounds. Cumulative plots begin at ``start_era``; nothing else looks at it."""

    start_era: int | None = None

    @cached_property
    def answer(self) -> Answer:
        """The answer so far; many parts of a report ask for it."""
        return answer_of(self)

    @cached_property
    def live(self) -> LiveRecord | None:
        """What eras after the last decision say; None where none was rechecked."""
        try:
            rechecks = read_rechecks(self.paths.rechecks)
        except DataError:
            return None  # what is damaged costs its chapter, not the run that the report is of; `recheck` says it
        return live_record(self.history, rechecks, self.reader, self.comparison.overlap_eras)

    def rows(self, record: RoundRecord) -> list[Row]:
        """The round's table."""
        return self._rows[record.number]

    def configurations(self, stage: str) -> list[VariantRecord]:
        """Every configuration that was scored in a stage, each once, best first; the benchmark is none."""
        found: dict[str, VariantRecord] = {}
        for record in self.of(stage):
            for variant in record.variants:
                if variant.role != "benchmark" and not math.isnan(primary_of(variant)):
                    found.setdefault(variant.id, variant)
        return sorted(found.values(), key=lambda variant: -primary_of(variant))

    @cached_property
    def leaderboard(self) -> list[dict[str, Any]]:
        """See :func:`numerai_ray.report.tables.leaderboard`."""
        return leaderboard(self.history, self.reader, self.comparison)

    @cached_property
    def _rows(self) -> dict[int, list[Row]]:
        """Every round's table, by its number; many parts of a report ask for them."""
        marks = {stage: self.baseline_fingerprint(stage) for stage in {record.stage for record in self.history}}
        return {
            record.number: round_rows(record, self.reader, self.comparison, marks[record.stage], before)
            for record, before in zip(self.history, rounds_ran(self.history), strict=True)
        }

    def base_values(self, record: RoundRecord) -> dict[str, Any]:
        """The round's base by dotted path, for showing what a variant changes; interpretations change the plan's."""
        loaded = self.loaded.interpreted("") if record.stage == "interpret" else self.loaded
        return leaves(loaded.config(stage_of(record.stage), record.base_changes).to_json())
