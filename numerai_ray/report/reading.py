"""What a history says, worked out once for text and plots: who won each stage, against whom, by how much."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, get_args

from numerai_ray.config import Config, leaves
from numerai_ray.eras import least_honest_gap
from numerai_ray.experiment_plan import LoadedPlan, Stage
from numerai_ray.report.stored_scores import PairedDifference, ScoreReader, StoredScores, sigmas_needed
from numerai_ray.report.tables import (
    Comparison,
    Row,
    compare,
    e4,
    e4_with_error,
    primary_of,
    round_rows,
    rounds_ran,
)
from numerai_ray.results import ExperimentPaths, RoundRecord, VariantRecord

STAGES: tuple[Stage, ...] = get_args(Stage)


@dataclass(frozen=True)
class Headline:
    """A stage's answer: ``ours`` minus ``theirs``, both named; ``gain`` is the difference of primary metrics."""

    stage: Stage
    ours: str
    theirs: str
    gain: float
    paired: PairedDifference | None

    @property
    def shown(self) -> str:
        """``+2.1e-4 ± 3.0e-4 (one standard error)``."""
        if self.paired is None or math.isnan(self.paired.standard_error):
            return f"{e4(self.gain)} (standard error unknown)"
        return f"{e4_with_error(self.gain, self.paired.standard_error)} (one standard error)"


@dataclass(frozen=True)
class Reading:
    """A plan, its files and its rounds so far, with the questions a report asks of them."""

    loaded: LoadedPlan
    paths: ExperimentPaths
    history: tuple[RoundRecord, ...]

    @cached_property
    def reader(self) -> ScoreReader:
        return ScoreReader(self.paths)

    @cached_property
    def score_config(self) -> Config:
        return self.loaded.config("scout", {})

    @cached_property
    def comparison(self) -> Comparison:
        score = self.score_config.score
        return Comparison(score.last_eras, least_honest_gap((score.target,)) - 1)

    @property
    def scouts(self) -> list[RoundRecord]:
        return self.of("scout")

    @property
    def finished(self) -> bool:
        return bool(self.history) and self.history[-1].stage == "final"

    @cached_property
    def looks(self) -> int:
        """Number of different variants that were judged: the best of so many was chosen."""
        judged = {v.id for r in self.scouts for v in r.variants if v.role == "variant" and v.metrics is not None}
        return len(judged)

    @property
    def latest_stage(self) -> Stage | None:
        """The last stage with a round in which anything was scored."""
        ran = [s for s in STAGES if any(v.metrics for r in self.of(s) for v in r.variants if v.role != "benchmark")]
        return ran[-1] if ran else None

    @property
    def best_changes(self) -> Mapping[str, Any]:
        """Changes of the best configuration so far, relative to the experiment's base."""
        return self.history[-1].decision.changes if self.history else {}

    def of(self, stage: str) -> list[RoundRecord]:
        return [record for record in self.history if record.stage == stage]

    def rows(self, record: RoundRecord) -> list[Row]:
        """The round's table."""
        before = rounds_ran(self.history)[self.history.index(record)]
        return round_rows(record, self.reader, self.comparison, self.baseline_fingerprint(record.stage), before)

    def baseline_fingerprint(self, stage: str) -> str:
        return self.loaded.baseline_config(_stage(stage)).fingerprint()

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

    def label(self, changes: Mapping[str, Any]) -> str:
        """``num_leaves=63, learning_rate=0.005``; the base for no changes."""
        if not changes:
            return "the experiment's base"
        return ", ".join(f"{path.rsplit('.', 1)[-1]}={value}" for path, value in changes.items())

    def base_values(self, record: RoundRecord) -> dict[str, Any]:
        """The round's base by dotted path, for showing what a variant changes."""
        return leaves(self.loaded.config(_stage(record.stage), record.base_changes).to_json())

    def headline(self, stage: Stage) -> Headline | None:
        """The stage's comparison, or None when there is nothing to compare.

        Scout: the best found against the base; confirm: the challenger against it; final: the winner against the
        baseline.
        """
        if not self.of(stage):
            return None
        record = self.of(stage)[-1]
        if stage == "scout":
            ours, theirs, changes = self.best(stage), self.base(stage), record.decision.changes
        elif stage == "confirm":
            ours, theirs = record.find("variant"), record.find("base")
            changes = ours.changes if ours else {}
        else:
            ours, theirs, changes = record.find("base"), self.baseline(stage), record.base_changes
        if ours is None or theirs is None or ours.id == theirs.id:
            return None
        against = "the baseline" if stage == "final" else "the experiment's base"
        gain = primary_of(ours) - primary_of(theirs)
        if math.isnan(gain):
            return None
        paired = compare(ours, theirs, self.reader, self.comparison)
        name = "the best configuration" if changes == self.best_changes else self.label(changes)
        return Headline(stage, name, against, gain, paired)

    def above_noise(self, headline: Headline) -> bool:
        """Whether the difference is larger than the best of so many variants brings by luck."""
        return headline.paired is not None and headline.paired.sigmas >= sigmas_needed(self.looks)

    def verdict(self, headline: Headline) -> str:
        """How sure the difference is, in words: within noise, or above it by how much."""
        paired = headline.paired
        if paired is None or math.isnan(paired.sigmas):
            return "how much of it is noise cannot be told (too few eras with per-era scores)"
        if headline.gain == 0:
            return "the two are equal"
        needed = sigmas_needed(self.looks)
        many = f", and the best of {self.looks} variants needs {needed:.1f}" if self.looks > 1 else ""
        if paired.sigmas < needed:
            return f"**within noise**: {paired.sigmas:.1f} standard errors{many or f' of the {needed:.1f} needed'}"
        sign = "gain" if headline.gain > 0 else "loss"
        return f"a {sign} above noise: {paired.sigmas:.1f} standard errors{many}"


def _stage(stage: str) -> Stage:
    return next(known for known in STAGES if known == stage)
