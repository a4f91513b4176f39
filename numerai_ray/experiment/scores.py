"""What a round's per-era scores say about its variants, read back from results files."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from numerai_ray.config import ScoreConfig, validate
from numerai_ray.data.eras import least_honest_gap
from numerai_ray.experiment.paths import ExperimentPaths
from numerai_ray.experiment.records import REPLICATE, RoundRecord, VariantRecord
from numerai_ray.experiment.results import read_results
from numerai_ray.experiment.score_values import per_era_scores
from numerai_ray.metrics.registry import BMC, METRICS, Primary
from numerai_ray.metrics.scoring import EraScores, Metrics, metrics_of
from numerai_ray.metrics.significance import (
    ALL_ERAS,
    ALONE,
    Comparison,
    Evidence,
    PairedDelta,
    Search,
    Series,
    judge,
    paired_delta,
)
from numerai_ray.metrics.standard_error import FloatArray, correlation_with_part


@dataclass(frozen=True, eq=False)
class StoredScores:
    """One results file: ``eras`` ascending, arrays of ``scores`` (n_eras,), the rest as it stands there."""

    eras: tuple[int, ...]
    scores: EraScores
    cv: Mapping[str, Any]
    data: Mapping[str, Any]
    diagnostics: Mapping[str, Any] = field(default_factory=dict)
    primary: Primary = BMC

    @property
    def judged(self) -> Series:
        """The primary metric by era, as the configuration asked for it when it ran."""
        return self.series(self.primary.series)

    def series(self, name: str) -> Series:
        """A registered metric by era."""
        return Series(self.eras, METRICS[name].per_era(self.scores, self.primary.terms))

    def since(self, start_era: int | None) -> "StoredScores":
        """The scores of the eras from ``start_era`` on; all of them without one."""
        if start_era is None:
            return self
        first = int(np.searchsorted(self.eras, start_era))
        return replace(self, eras=self.eras[first:], scores=self.scores.at(slice(first, None)))

    def metrics(self, last: int) -> Metrics:
        """Summaries over all its eras, and over the ``last`` scored ones."""
        return metrics_of(self.scores, last, self.primary)


@dataclass
class ScoreReader:
    """Reads results files by variant id, each once; a file that is missing or damaged reads as None.

    With a ``start_era`` it gives the scores from that era on.
    """

    paths: ExperimentPaths
    start_era: int | None = None
    _held: dict[str, StoredScores | None] = field(default_factory=dict)

    def read(self, variant: str) -> StoredScores | None:
        if variant not in self._held:
            self._held[variant] = self._read(variant)
        return self._held[variant]

    @property
    def asked(self) -> tuple[str, ...]:
        """Variants whose files were looked for, whether they are there or not."""
        return tuple(self._held)

    def judged(self, variant: VariantRecord | None) -> Series | None:
        """The primary metric by era, None for a trial that failed or lost its file."""
        stored = None if variant is None or variant.metrics is None else self.read(variant.id)
        return None if stored is None else stored.judged

    def series(self, variant: VariantRecord | None, name: str) -> Series | None:
        """A registered metric by era, None for a trial that failed or lost its file."""
        stored = None if variant is None or variant.metrics is None else self.read(variant.id)
        return None if stored is None else stored.series(name)

    def _read(self, variant: str) -> StoredScores | None:
        # What is there is used: a results file that the user removed costs its numbers, not the run.
        try:
            value = read_results(self.paths.results(variant))
            eras, scores = per_era_scores(value["per_era"])
        except (OSError, ValueError):
            return None
        cv, data, diagnostics = (value.get(each) or {} for each in ("cv", "data", "diagnostics"))
        return StoredScores(eras, scores, cv, data, diagnostics, _primary_in(value)).since(self.start_era)


def _primary_in(results: Mapping[str, Any]) -> Primary:
    """What decided when these results were made; what does not say goes by BMC of the last eras."""
    score = (results.get("config") or {}).get("score") or {}
    asked = {name: score[name] for name in ("metric", "payout") if name in score}
    return validate(ScoreConfig, asked, "results").primary if asked else BMC


def comparison_of(score: ScoreConfig) -> Comparison:
    """How scores are compared that were made so: the primary metric's window, the score target's overlap."""
    last = score.last_eras if score.primary.recent else ALL_ERAS
    return Comparison(last, least_honest_gap(score.targets) - 1)


def with_evidence(
    base: VariantRecord,
    variants: Sequence[VariantRecord],
    reader: ScoreReader,
    comparison: Comparison,
    search: Search = ALONE,
) -> list[VariantRecord]:
    """``variants`` with their evidence against ``base``, judged together; None where per-era scores are missing."""
    theirs = reader.judged(base)
    ours = {each.id: series for each in variants if (series := reader.judged(each)) is not None}
    found: dict[str, Evidence] = {} if theirs is None else judge(theirs, ours, comparison, search)
    return [replace(each, evidence=found.get(each.id)) for each in variants]


def difference(
    ours: VariantRecord | None,
    theirs: VariantRecord | None,
    reader: ScoreReader,
    comparison: Comparison,
    search: Search = ALONE,
) -> PairedDelta | None:
    """The primary metric of one record minus another's; None where per-era scores are missing."""
    first, second = reader.judged(ours), reader.judged(theirs)
    return None if first is None or second is None else paired_delta(first, second, comparison, search)


def deltas_of(ours: VariantRecord, theirs: VariantRecord, reader: ScoreReader) -> tuple[NDArray[np.int64], FloatArray]:
    """Eras in which both have the primary metric, ascending, and the differences there."""
    first, second = reader.judged(ours), reader.judged(theirs)
    if first is None or second is None:
        return np.empty(0, np.int64), np.empty(0)
    base = dict(zip(second.eras, np.asarray(second.values).tolist(), strict=True))
    own = zip(first.eras, np.asarray(first.values).tolist(), strict=True)
    both = [(era, value - base.get(era, math.nan)) for era, value in own]
    known = [(era, delta) for era, delta in both if not math.isnan(delta)]
    return np.array([era for era, _ in known], np.int64), np.array([delta for _, delta in known])


def chosen_by(history: Sequence[RoundRecord], reader: ScoreReader) -> NDArray[np.int64]:
    """The eras by whose mean the scout rounds chose, ascending: the last ones that their bases have."""
    chosen = set[int]()
    for record in history:
        base = record.find("base")
        if record.stage != "scout" or base is None or base.metrics is None:
            continue
        stored = reader.read(base.id)
        if stored is not None:
            known = np.asarray(stored.eras)[~np.isnan(np.asarray(stored.judged.values))]
            recent = base.metrics.metric.recent
            chosen |= set(known[max(0, len(known) - base.metrics.bmc_last.n_eras) if recent else 0 :].tolist())
    return np.array(sorted(chosen), np.int64)


def share_of(
    chosen: NDArray[np.int64], pair: tuple[VariantRecord, VariantRecord], reader: ScoreReader, overlap_eras: int
) -> float:
    """How far a comparison rests on the eras ``chosen`` by which the rounds chose: a correlation."""
    eras, delta = deltas_of(*pair, reader)
    if not len(chosen) or not len(delta):
        return 1.0
    return correlation_with_part(delta, eras, np.isin(eras, chosen), overlap_eras)


def search_of(history: Sequence[RoundRecord], *, to_baseline: bool = False) -> Search:
    """How the best configuration so far was found, as far as it is judged on eras that chose it.

    Args:
        history: decided rounds.
        to_baseline: what it is compared with stood before the interpretations, which then are a round of the search.

    """
    judged: list[int] = []
    moves, changes = 0, dict[str, Any]()
    for record in history:
        reading = record.stage == "interpret"
        if record.stage == "scout" or (reading and to_baseline):
            # What was stopped as hopeless was looked at too. Of readings, none stood before the others.
            # A replication looked at nothing new.
            looked = (
                0 if record.kind == REPLICATE else sum(v.role == "variant" and v.error is None for v in record.variants)
            )
            judged.append(looked + reading)
        # A later stage moves the base too where it takes up what no round had promoted, and back where that fails.
        if record.stage in ("scout", "confirm", "scale"):
            moved, changes = record.decision.changes != changes, dict(record.decision.changes)
            moves = moves + moved if changes else 0
        elif reading and to_baseline:
            moves += 1
    judged = [count for count in judged if count]
    return Search(tuple(judged), min(max(1, moves), len(judged))) if judged else ALONE


def search_by(rule: int, history: Sequence[RoundRecord]) -> Search:
    """How a later stage's challenger was chosen without having been judged for it, by a version of the rule."""
    if rule > 1:
        return search_of(history)
    scouts = [record for record in history if record.stage == "scout"]
    if any(record.decision.promoted for record in scouts):
        return ALONE
    ran = {v.id for record in scouts for v in record.variants if v.role == "variant" and v.metrics is not None}
    return Search((max(1, len(ran)),))
