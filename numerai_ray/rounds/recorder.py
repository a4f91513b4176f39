"""What a round leaves in the ledger: a record a variant, the benchmark's, and each trial's log."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from numerai_ray.config import Config, fingerprint
from numerai_ray.experiment.diagnostics_output import Alike, correlations_of_round
from numerai_ray.experiment.paths import ExperimentPaths
from numerai_ray.experiment.records import Decision, RoundRecord, VariantRecord
from numerai_ray.experiment.score_values import official_metrics, per_era_json
from numerai_ray.experiment.variant_output import data_flags, write_variant
from numerai_ray.experiment.verdicts import confirmation
from numerai_ray.metrics.significance import INTERVAL_PERCENT, e4
from numerai_ray.rounds.candidates import Candidate, identity
from numerai_ray.runners.base import RoundRunner
from numerai_ray.system.files import write_text
from numerai_ray.system.json_text import write_json
from numerai_ray.system.timeline import span
from numerai_ray.training.outcome import VariantOutcome, era_scores, metrics_by
from numerai_ray.training.rows import take


@dataclass(frozen=True)
class Recorder:
    """Writes what trials leave, and makes their records; ``alike`` are correlations of the round's predictions."""

    paths: ExperimentPaths
    runner: RoundRunner
    known: Mapping[str, VariantRecord]
    stage: str
    alike: Mapping[str, Alike] = field(default_factory=dict)

    def variant(self, each: Candidate, outcome: VariantOutcome | None, suspects: Sequence[str]) -> VariantRecord:
        """The record of a trial that just ran, or of what ran before (no ``outcome``).

        Args:
            each: the round's line.
            outcome: what came of it, None when it is known.
            suspects: what is wrong with the data it was trained on.

        """
        own = identity(each.config, self.stage)
        if outcome is None:
            # Flags and evidence spoke of another round's base.
            ran = replace(self.known[own], flags=self.known[own].data_flags, evidence=None)
            return replace(ran, name=each.name, role=each.role, changes=each.changes)
        trial = outcome.plan.id
        if outcome.metrics is not None:
            columns, own_alike = self.runner.columns(outcome.plan), self.alike.get(trial, {})
            with span("predictions written"):
                write_variant(outcome, columns, self.paths.results(trial), self.paths.predictions(trial), own_alike)
        write_text(self.paths.trial_log(trial), trial_log(outcome))
        flags = (*suspects, *data_flags(outcome))
        return VariantRecord(
            id=trial,
            name=each.name,
            role=each.role,
            fingerprint=own,
            changes=each.changes,
            metrics=outcome.metrics,
            error=outcome.error,
            pruned=outcome.pruned,
            flags=flags,
            data_flags=flags,
            fits_new=sum(not fold.stored for fold in outcome.folds),
            fits_stored=sum(fold.stored for fold in outcome.folds),
            fit_seconds=round(sum(fold.seconds for fold in outcome.folds), 3),
        )

    def benchmark(self, config: Config, outcomes: Mapping[str, VariantOutcome]) -> list[VariantRecord]:
        """The benchmark column scored like a prediction, on the eras that the round predicts; once a stage."""
        own = fingerprint([config.data.files(), config.cv.model_dump(), config.score.model_dump()])
        own += "-holdout" if self.stage == "holdout" else ""
        if own in self.known:
            return [self.known[own]]
        outcome = next((outcome for outcome in outcomes.values() if outcome.metrics is not None), None)
        if outcome is None:
            return []
        plan, score = outcome.plan, config.score
        columns = self.runner.columns(plan)
        ranges = plan.index.row_ranges(outcome.eras)
        values = np.asarray(take(columns.benchmarks[score.benchmark], ranges), np.float64)
        starts = np.append(0, np.cumsum(np.diff(plan.index.era_starts)[plan.index.positions(outcome.eras)]))
        scores = era_scores(score, values, columns, lambda column: take(column, ranges), starts)
        metrics = metrics_by(score, scores)
        name = f"benchmark-{self.stage}"
        write_json(
            self.paths.results(name),
            {
                "metrics": official_metrics(metrics),
                "config": {"score": score.model_dump(mode="json")},
                "per_era": per_era_json(outcome.eras, scores),
            },
        )
        return [VariantRecord(name, score.benchmark, "benchmark", own, {}, metrics)]


@span("statistics")
def round_alike(
    outcomes: Mapping[str, VariantOutcome], earlier: Sequence[str], paths: ExperimentPaths, runner: RoundRunner
) -> dict[str, dict[str, float]]:
    """Correlations between the predictions of a round, those of variants that ran ``earlier`` among them."""
    there = {trial: outcome for trial, outcome in outcomes.items() if outcome.metrics is not None}
    first = next(iter(there.values()), None)
    return correlations_of_round(there, earlier, paths, None if first is None else runner.columns(first.plan))


def holdout_decision(decision: Decision, winner: VariantRecord | None, history: Sequence[RoundRecord]) -> Decision:
    """What the eras that were kept out say: nothing is decided by them, the found gain is held against them."""
    changes = history[-1].decision.changes
    seen = sum(record.stage == "holdout" for record in history)
    again = f"; these eras were looked at {seen} time{'s' if seen > 1 else ''} before" if seen else ""
    if winner is None:
        reason = "recorded: nothing but the base was found, so there is no gain to hold against the kept eras"
        return replace(decision, promoted=False, changes=changes, reason=reason + again)
    before = [record for record in history if record.stage in ("confirm", "scale") and record.decision.gain is not None]
    found = before[-1].decision.gain if before else None
    gain, title = decision.gain, "BMC" if winner.metrics is None else winner.metrics.metric.metric.noun
    if gain is None or not math.isfinite(gain):
        reason = f"the gain on the kept eras is unknown: {decision.reason}"
    elif not found:
        reason = f"on the kept eras the winner differs from the base by {e4(gain)} {title}"
    else:
        both, words = f"{e4(gain)} {title}", f"{_survived(gain, found)}, how sure is unknown"
        paired = None if winner.evidence is None else winner.evidence.to_base
        if paired is not None and not math.isnan(paired.low):
            both = f"{both} ({INTERVAL_PERCENT} % interval {e4(paired.low)} to {e4(paired.high)})"
            words = confirmation(paired)
        both = f"by {both}, in the search by {e4(found)}"
        reason = f"on the kept eras the winner differs from the base {both}: {words}"
    return replace(decision, winner=winner.id, promoted=False, changes=changes, reason=reason + again)


def _survived(gain: float, found: float) -> str:
    """How much of the gain that the search ``found`` is there on the kept eras."""
    if found <= 0:
        return "there was no gain to survive"
    if gain >= found:
        return "all of the gain survived"
    return f"{100 * gain / found:.0f} % of the gain survived" if gain > 0 else "nothing of the gain survived"


def trial_log(outcome: VariantOutcome) -> str:
    """One line a fold: what was trained on what, and how long it took."""
    lines = [outcome.plan.label]
    for fold in outcome.folds:
        took = "stored" if fold.stored else f"{fold.seconds:.1f} s"
        lines.append(
            f"fold {fold.fold}: {len(fold.train_eras)} eras, {fold.train_rows:,} rows trained "
            f"({fold.dropped_rows:,} without a label), {fold.validation_rows:,} rows predicted, {took}"
        )
    metrics = outcome.metrics
    if metrics is not None and math.isfinite(metrics.primary):
        lines.append(
            f"{metrics.metric.name.removesuffix('.mean')} {metrics.primary:.6f}, bmc {metrics.bmc.mean:.6f}, "
            f"corr {metrics.corr.mean:.6f}"
        )
    if outcome.pruned:
        lines.append(outcome.pruned)
    if outcome.error:
        lines.append(f"failed: {outcome.error}")
    return "\n".join([*lines, *outcome.notes]) + "\n"
