"""Standing of an experiment: who won each stage, against whom, by how much. Worked out once for every reader."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, get_args

import numpy as np
from numpy.typing import NDArray

from numerai_ray.config import Config
from numerai_ray.config.plan import LoadedPlan
from numerai_ray.config.plan_schema import Stage
from numerai_ray.config.search_space import changes_label
from numerai_ray.experiment.decision import is_finished, rule_version
from numerai_ray.experiment.paths import ExperimentPaths
from numerai_ray.experiment.records import REPLICATE, RoundRecord, VariantRecord
from numerai_ray.experiment.scores import (
    ScoreReader,
    StoredScores,
    chosen_by,
    comparison_of,
    deltas_of,
    difference,
    search_of,
    share_of,
)
from numerai_ray.metrics.registry import PayoutTerms, Primary
from numerai_ray.metrics.significance import (
    ALL_ERAS,
    ALONE,
    INTERVAL_PERCENT,
    ROUNDING,
    Comparison,
    PairedDelta,
    Search,
    e4,
    e4_interval,
    verdict,
)
from numerai_ray.metrics.standard_error import Persistence, persistence

STAGES: tuple[Stage, ...] = get_args(Stage)


@dataclass(frozen=True)
class Headline:
    """A stage's answer: ``ours`` minus ``theirs``, both named.

    ``gain`` is the difference of primary metrics, which decides; ``paired`` that over all scored eras, which says how
    sure it is, judged as what the whole search found.
    """

    stage: Stage
    ours: str
    theirs: str
    gain: float
    paired: PairedDelta | None

    @property
    def difference(self) -> float:
        """Over all scored eras where they are known, else of the primary metrics."""
        return self.gain if self.paired is None else self.paired.mean

    @property
    def sure(self) -> bool:
        """Whether there are per-era scores enough to tell noise."""
        return self.paired is not None and not math.isnan(self.paired.low)

    @property
    def shown(self) -> str:
        """``+2.1e-4 [-0.9e-4, +5.1e-4] (90 % interval)``."""
        return shown_delta(self.difference, self.paired)

    @property
    def shown_short(self) -> str:
        """``+2.1e-4 [-0.9e-4, +5.1e-4]``."""
        return e4_interval(self.difference, self.paired)


@dataclass(frozen=True)
class Standing:
    """A plan, its files and its rounds so far, with the questions that answer and report ask of them."""

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
    def metric(self) -> Primary:
        """What decides."""
        return self.score_config.score.primary

    @property
    def payout(self) -> PayoutTerms:
        """How CORR and MMC are paid."""
        return self.metric.terms

    @cached_property
    def comparison(self) -> Comparison:
        """Of a round's variants, by the rule that the experiment began with: the eras of the primary metric."""
        return replace(comparison_of(self.score_config.score), rule=rule_version(self.history))

    @cached_property
    def overall(self) -> Comparison:
        """Of what the search found: all scored eras, for the selection is allowed for and more eras tell more."""
        return replace(comparison_of(self.score_config.score), last=ALL_ERAS)

    @cached_property
    def _chosen(self) -> NDArray[np.int64]:
        """Eras that chose."""
        return chosen_by(self.history, self.reader)

    @property
    def scouts(self) -> list[RoundRecord]:
        return self.of("scout")

    @property
    def searched(self) -> list[RoundRecord]:
        """Scout rounds that tried something new; a replication runs what was tried again."""
        return [record for record in self.scouts if record.kind != REPLICATE]

    @property
    def judging(self) -> list[RoundRecord]:
        """Scout rounds but for those whose best ran again with fresh seeds: the second run judges it."""
        again = {record.number - 1 for record in self.scouts if record.kind == REPLICATE}
        return [record for record in self.scouts if record.number not in again]

    @property
    def finished(self) -> bool:
        return is_finished(self.history)

    @property
    def stages(self) -> tuple[Stage, ...]:
        """The plan's stages, and any that an earlier version of it had."""
        ran = {record.stage for record in self.history}
        return tuple(stage for stage in STAGES if stage in self.loaded.stages or stage in ran)

    @cached_property
    def tried(self) -> int:
        """Number of different variants that were judged."""
        judged = {v.id for r in self.searched for v in r.variants if v.role == "variant" and v.metrics is not None}
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

    def search(self, stage: Stage) -> Search:
        """How what a stage compares was found; the holdout's eras chose nothing."""
        if stage == "holdout":
            return ALONE
        search, pair = search_of(self.history, to_baseline=stage == "final"), self.pair(stage)
        if search == ALONE or pair is None:
            return search
        return replace(search, share=share_of(self._chosen, pair, self.reader, self.overall.overlap_eras))

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
        name = "the best configuration" if changes and changes == self.best_changes else changes_label(changes)
        return self._compared(stage, (name, ours), (against, theirs))

    def holdout_to_baseline(self) -> Headline | None:
        """On the kept eras the winner against the baseline too: the base may have been chosen among readings."""
        pair, baseline = self.pair("holdout"), self.baseline("holdout")
        if pair is None or baseline is None or baseline.id in {each.id for each in pair}:
            return None
        return self._compared("holdout", ("the best configuration", pair[0]), ("the baseline", baseline))

    def _compared(
        self, stage: Stage, ours: tuple[str, VariantRecord], theirs: tuple[str, VariantRecord]
    ) -> Headline | None:
        gain = primary_of(ours[1]) - primary_of(theirs[1])
        if math.isnan(gain):
            return None
        paired = difference(ours[1], theirs[1], self.reader, self.overall, self.search(stage))
        return Headline(stage, ours[0], theirs[0], gain, paired)

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

    def persistence(self, stage: Stage) -> Persistence | None:
        """Whether the stage's difference swings longer than labels overlap; None where it is not known."""
        pair = self.pair(stage)
        if pair is None:
            return None
        eras, delta = deltas_of(*pair, self.reader)
        if len(delta) < 2 or np.ptp(delta) <= ROUNDING:
            return None
        return persistence(delta, eras, self.overall.overlap_eras)

    def verdict(self, headline: Headline) -> str:
        """``inside the noise (p = 0.31)``."""
        paired = headline.paired
        if paired is None or not headline.sure:
            return "cannot be told"
        found = verdict(paired)
        luck = f" (p = {p_text(paired.p_value)})" if paired.mean > 0 and found != "no difference" else ""
        return f"{found}{luck}"


def searched(search: Search) -> str:
    """``a search of 12 variants in 3 rounds that moved its base twice``."""
    if search == ALONE:
        return "one variant"
    if len(search.judged) == 1:
        return f"the best of {counted(search.variants, 'variant')}"
    moved = {1: "once", 2: "twice"}.get(search.moves, f"{search.moves} times")
    return f"a search of {search.variants} variants in {len(search.judged)} rounds that moved its base {moved}"


def counted(count: int, what: str) -> str:
    """``1 round``, ``2 rounds``."""
    return f"{count:,} {what}{'' if count == 1 else 's'}"


def listed(names: Sequence[str]) -> str:
    """``A``, ``A and B``, ``A, B and C``."""
    *most, last = names
    return f"{', '.join(most)} and {last}" if most else last


def p_text(p_value: float) -> str:
    """A p-value in two digits, as small as it is; never 1, as chance is never all there is."""
    if p_value >= 0.995:
        return f"{min(p_value, 0.999):.3f}"
    return f"{p_value:.2g}" if p_value >= 1e-4 else f"{p_value:.0e}"


def primary_of(variant: VariantRecord | None) -> float:
    """The primary metric, NaN when the trial failed or the metric is unknown."""
    return math.nan if variant is None or variant.metrics is None else variant.metrics.primary


def shown_delta(gain: float, paired: PairedDelta | None) -> str:
    """A difference and its interval, or that there is none."""
    if paired is None or math.isnan(paired.low):
        return f"{e4(gain)} (interval unknown)"
    return f"{e4_interval(gain, paired)} ({INTERVAL_PERCENT} % interval)"


def stage_of(stage: str) -> Stage:
    """The stage of this name."""
    return next(known for known in STAGES if known == stage)
