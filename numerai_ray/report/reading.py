"""What a history says, worked out once for text and plots: who won each stage, against whom, by how much."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, get_args

from numerai_ray.config import Config, leaves
from numerai_ray.config.plan import LoadedPlan
from numerai_ray.config.plan_schema import Stage
from numerai_ray.config.search_space import changes_label
from numerai_ray.errors import DataError
from numerai_ray.experiment.decision import is_finished
from numerai_ray.experiment.paths import ExperimentPaths
from numerai_ray.experiment.rechecks import read_rechecks
from numerai_ray.experiment.records import RoundRecord, VariantRecord
from numerai_ray.experiment.scores import ScoreReader, StoredScores, comparison_of, difference
from numerai_ray.experiment.since import LiveRecord, live_record
from numerai_ray.metrics.significance import INTERVAL_PERCENT, Comparison, PairedDelta, e4, verdict
from numerai_ray.report.tables import (
    Row,
    e4_interval,
    primary_of,
    round_rows,
    rounds_ran,
)

STAGES: tuple[Stage, ...] = get_args(Stage)


@dataclass(frozen=True)
class Headline:
    """A stage's answer: ``ours`` minus ``theirs``, both named; ``gain`` is the difference of primary metrics."""

    stage: Stage
    ours: str
    theirs: str
    gain: float
    paired: PairedDelta | None

    @property
    def shown(self) -> str:
        """``+2.1e-4 [-0.9e-4, +5.1e-4] (90 % interval)``."""
        return shown_delta(self.gain, self.paired)


@dataclass(frozen=True)
class Reading:
    """A plan, its files and its rounds so far, with the questions a report asks of them.

    Cumulative plots begin at ``start_era``; nothing else looks at it.
    """

    loaded: LoadedPlan
    paths: ExperimentPaths
    history: tuple[RoundRecord, ...]
    start_era: int | None = None

    @cached_property
    def reader(self) -> ScoreReader:
        return ScoreReader(self.paths)

    @cached_property
    def score_config(self) -> Config:
        return self.loaded.config("scout", {})

    @cached_property
    def comparison(self) -> Comparison:
        return comparison_of(self.score_config.score)

    @cached_property
    def live(self) -> LiveRecord | None:
        """What eras after the last decision say; None where none was rechecked."""
        try:
            rechecks = read_rechecks(self.paths.rechecks)
        except DataError:
            return None  # what is damaged costs its chapter, not the run that the report is of; `recheck` says it
        return live_record(self.history, rechecks, self.reader, self.comparison.overlap_eras)

    @property
    def scouts(self) -> list[RoundRecord]:
        return self.of("scout")

    @property
    def finished(self) -> bool:
        return is_finished(self.history)

    @property
    def stages(self) -> tuple[Stage, ...]:
        """The plan's stages, and any that an earlier version of it had."""
        ran = {record.stage for record in self.history}
        return tuple(stage for stage in STAGES if stage in self.loaded.stages or stage in ran)

    @cached_property
    def looks(self) -> int:
        """Number of different variants that were judged: the best of so many was chosen."""
        judged = {v.id for r in self.scouts for v in r.variants if v.role == "variant" and v.metrics is not None}
        return len(judged)

    @property
    def latest_stage(self) -> Stage | None:
        """The last stage with a round in which anything was scored; the holdout is a check of it, not one more."""
        ran = [s for s in STAGES if any(v.metrics for r in self.of(s) for v in r.variants if v.role != "benchmark")]
        return next((stage for stage in reversed(ran) if stage != "holdout"), None)

    @property
    def best_changes(self) -> Mapping[str, Any]:
        """Changes of the best configuration so far, relative to the experiment's base."""
        return self.history[-1].decision.changes if self.history else {}

    def of(self, stage: str) -> list[RoundRecord]:
        return [record for record in self.history if record.stage == stage]

    def rows(self, record: RoundRecord) -> list[Row]:
        """The round's table."""
        return self._rows[record.number]

    @cached_property
    def _rows(self) -> dict[int, list[Row]]:
        """Every round's table, by its number; many parts of a report ask for them."""
        marks = {stage: self.baseline_fingerprint(stage) for stage in {record.stage for record in self.history}}
        return {
            record.number: round_rows(record, self.reader, self.comparison, marks[record.stage], before)
            for record, before in zip(self.history, rounds_ran(self.history), strict=True)
        }

    def baseline_fingerprint(self, stage: str) -> str:
        own = self.loaded.baseline_config(stage_of(stage)).fingerprint()
        # A configuration is another one on eras that it has not seen.
        return f"{own}-holdout" if stage == "holdout" else own

    def base(self, stage: Stage) -> VariantRecord | None:
        """The experiment's base, unchanged, as it ran in this stage."""
        return next((r.find("base") for r in self.of(stage) if not r.base_changes), None)

    def baseline(self, stage: Stage) -> VariantRecord | None:
        """The configuration in this stage that is the baseline's, under whatever name it ran."""
        wanted = self.baseline_fingerprint(stage)
        return next((v for r in self.of(stage) for v in r.variants if v.fingerprint == wanted), None)

    def benchmark(self, stage: Stage) -> VariantRecord | None:
        return next((found for r in self.of(stage) if (found := r.find("benchmark"))), None)

    def best(self, stage: Stage) -> VariantRecord | None:
        """The stage's winner by its last decision."""
        records = self.of(stage)
        winner = records[-1].decision.winner if records else None
        return next((v for r in self.history for v in r.variants if winner is not None and v.id == winner), None)

    def scores(self, variant: VariantRecord | None) -> StoredScores | None:
        return None if variant is None or variant.metrics is None else self.reader.read(variant.id)

    def base_values(self, record: RoundRecord) -> dict[str, Any]:
        """The round's base by dotted path, for showing what a variant changes; interpretations change the plan's."""
        loaded = self.loaded.interpreted("") if record.stage == "interpret" else self.loaded
        return leaves(loaded.config(stage_of(record.stage), record.base_changes).to_json())

    def headline(self, stage: Stage) -> Headline | None:
        """The stage's comparison, or None when there is nothing to compare.

        Scout: the best found against the base; confirm, scale and holdout: the challenger against it; final: the
        winner against the baseline.
        """
        pair = self.pair(stage)
        if pair is None:
            return None
        ours, theirs = pair
        record = self.of(stage)[-1]
        changes = record.decision.changes if stage == "scout" else ours.changes
        changes = record.base_changes if stage == "final" else changes
        against = "the baseline" if stage == "final" else "the experiment's base"
        gain = primary_of(ours) - primary_of(theirs)
        if math.isnan(gain):
            return None
        paired = difference(ours, theirs, self.reader, self.comparison, self.looks_of(stage))
        name = "the best configuration" if changes == self.best_changes else changes_label(changes)
        return Headline(stage, name, against, gain, paired)

    def looks_of(self, stage: Stage) -> int:
        """Among how many a stage's best was chosen on the eras that it is judged on.

        The best of all that was tried is judged as that in every stage but the holdout, whose eras chose nothing.
        """
        return 1 if stage == "holdout" else max(1, self.looks)

    def pair(self, stage: Stage) -> tuple[VariantRecord, VariantRecord] | None:
        """What :meth:`headline` compares; None when there is nothing to compare."""
        if not self.of(stage) or stage == "interpret":
            return None
        record = self.of(stage)[-1]
        if stage == "scout":
            ours, theirs = self.best(stage), self.base(stage)
        elif stage != "final":
            ours, theirs = record.find("variant"), record.find("base")
        else:
            ours, theirs = record.find("base"), self.baseline(stage)
        return None if ours is None or theirs is None or ours.id == theirs.id else (ours, theirs)

    def holdout_to_baseline(self) -> Headline | None:
        """On the kept eras the winner against the baseline too: the base may have been chosen among readings."""
        pair, baseline = self.pair("holdout"), self.baseline("holdout")
        if pair is None or baseline is None or baseline.id in {each.id for each in pair}:
            return None
        gain = primary_of(pair[0]) - primary_of(baseline)
        if math.isnan(gain):
            return None
        paired = difference(pair[0], baseline, self.reader, self.comparison)
        return Headline("holdout", "the best configuration", "the baseline", gain, paired)

    def has_interval(self, headline: Headline) -> bool:
        """Whether there are per-era scores enough to tell noise."""
        return headline.paired is not None and not math.isnan(headline.paired.low)

    def above_noise(self, headline: Headline) -> bool:
        """Whether the difference is larger than the best of so many variants brings by luck."""
        return verdict(headline.paired) in {"clear gain", "clear loss"}

    def verdict(self, headline: Headline) -> str:
        """How sure the difference is, in words: inside the noise, or clear of it."""
        paired = headline.paired
        if paired is None or not self.has_interval(headline):
            return "how much of it is noise cannot be told (too few eras with per-era scores)"
        if headline.gain == 0:
            return "the two are equal"
        found = verdict(paired)
        if found == "clear loss":
            return "a loss clear of the noise"
        looks = self.looks_of(headline.stage)
        among = f"the best of {looks} variants" if looks > 1 else "one variant"
        luck = f"noise alone brings as much to {among} with p = {paired.p_value:.2g}"
        if found == "clear gain":
            return f"a gain clear of the noise ({luck})"
        # Rows of the tables are judged as the best of their round, where the same difference may be clear.
        alone = "; as a comparison of two it would be clear" if paired.low > 0 else ""
        return f"**inside the noise**: {luck}{alone}"


def shown_delta(gain: float, paired: PairedDelta | None) -> str:
    """A difference and its interval, or that there is none."""
    if paired is None or math.isnan(paired.low):
        return f"{e4(gain)} (interval unknown)"
    return f"{e4_interval(gain, paired)} ({INTERVAL_PERCENT} % interval)"


def stage_of(stage: str) -> Stage:
    """The stage of this name."""
    return next(known for known in STAGES if known == stage)
