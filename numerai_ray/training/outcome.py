"""Outcomes: a scored fold, and what came of a variant."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from numerai_ray.config import ScoreConfig
from numerai_ray.data.dataset import META_MODEL, Columns, DatasetIndex
from numerai_ray.data.eras import Fold
from numerai_ray.metrics.importance import Importance, importance_from_json
from numerai_ray.metrics.scoring import EraScores, Metrics, metrics_of, score_eras
from numerai_ray.metrics.significance import Series
from numerai_ray.system.timeline import span
from numerai_ray.training.assembly import Assembled, FoldWeights, coverage_notes
from numerai_ray.training.diagnostics import Diagnosis
from numerai_ray.training.rows import take
from numerai_ray.training.spec import FitSpec, VariantPlan
from numerai_ray.training.store.diagnostics import DiagnosticsStore, diagnostics_key
from numerai_ray.training.store.fits import FitStore, StoredFit

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class FoldRecord:
    """One fit as it happened; its seconds are 0 when it was read from the store.

    ``part`` tells the fits of one fold apart (member, target, seed); it is empty where there is one. ``importance``
    is in the order of the fit's features; None where its model tells none.
    """

    fold: int
    key: str
    train_eras: tuple[int, ...]
    validation_eras: tuple[int, ...]
    train_rows: int
    validation_rows: int
    dropped_rows: int
    seconds: float
    stored: bool
    part: str = ""
    importance: Importance | None = None


@dataclass(frozen=True, eq=False)
class FoldScore:
    """A scored fold: its number, its validation eras, a score of each, the records of its fits, a stack's weights."""

    fold: int
    eras: tuple[int, ...]
    scores: EraScores
    records: tuple[FoldRecord, ...]
    weights: FoldWeights | None = None

    def judged(self, score: ScoreConfig) -> Series:
        """The primary metric by era, which decides who stops."""
        return Series(self.eras, score.primary.values(self.scores))


@dataclass(frozen=True, eq=False)
class VariantOutcome:
    """What came of one trial. With an ``error``, or when it was ``pruned``, nothing else counts.

    ``rows`` (n,) are row numbers in the dataset, ``prediction`` (n,) and ``fold`` (n,) go with them; ``eras`` and
    the arrays of ``scores`` have one entry an out-of-fold era. ``folds`` has a record a fit, in fold order. ``notes``
    are the plan's, and what only the predictions show; ``diagnosis`` is what they lean on; ``weights`` has an entry a
    fold where members are stacked.
    """

    plan: VariantPlan
    error: str | None
    folds: tuple[FoldRecord, ...]
    rows: npt.NDArray[np.int64]
    prediction: Floats
    fold: npt.NDArray[np.int64]
    eras: tuple[int, ...]
    scores: EraScores
    metrics: Metrics | None
    pruned: str | None = None
    notes: tuple[str, ...] = ()
    diagnosis: Diagnosis | None = None
    weights: tuple[FoldWeights, ...] = ()


def score_fold(spec: FitSpec, fit: StoredFit, columns: Columns, *, stored: bool) -> FoldScore:
    """Score a fold that is one fit's predictions, against the config's score target and benchmark."""
    record = fit_record(spec, fit, stored=stored)
    return _scored(spec.config.score, spec.index, spec.fold, fit.predictions, (record,), columns)


def score_assembled(
    plan: VariantPlan, position: int, made: Assembled, records: Sequence[FoldRecord], columns: Columns
) -> FoldScore:
    """Score what came out of one fold's fits per era against the plan's score target and benchmark.

    ``made`` is what the fold at ``position`` was put together to, ``records`` tell of its fits.
    """
    fold = plan.folds.trainable[position]
    score = _scored(plan.config.score, plan.index, fold, made.prediction, tuple(records), columns)
    return replace(score, weights=made.weights)


def _scored(
    score: ScoreConfig,
    index: DatasetIndex,
    fold: Fold,
    prediction: Floats,
    records: tuple[FoldRecord, ...],
    columns: Columns,
) -> FoldScore:
    ranges = index.row_ranges(fold.validation_eras)
    starts = index.starts_of(fold.validation_eras)
    scores = era_scores(score, prediction, columns, lambda values: take(values, ranges), starts)
    return FoldScore(fold.index, fold.validation_eras, scores, records)


def era_scores(
    score: ScoreConfig,
    prediction: Floats,
    columns: Columns,
    rows: Callable[[npt.NDArray[Any]], npt.NDArray[Any]],
    era_starts: npt.ArrayLike,
) -> EraScores:
    """Every per-era score of a prediction: the one place where a config's columns become scores.

    Args:
        score: names target, benchmark and the label that is paid.
        prediction: (n,), ordered by era.
        columns: of the whole file.
        rows: picks the prediction's rows, (n,), of a column.
        era_starts: (n_eras + 1,) in these rows.

    """
    meta_model = columns.benchmarks.get(META_MODEL)
    paid = score.paid_target
    return score_eras(
        prediction,
        rows(columns.targets[score.target]),
        rows(columns.benchmarks[score.benchmark]),
        era_starts,
        None if meta_model is None else rows(meta_model),
        None if paid is None else rows(columns.targets[paid]),
    )


def fit_record(spec: FitSpec, fit: StoredFit, *, stored: bool) -> FoldRecord:
    """What is told of a fit."""
    return FoldRecord(
        fold=spec.fold.index,
        key=spec.key,
        train_eras=spec.fold.train_eras,
        validation_eras=spec.fold.validation_eras,
        train_rows=fit.facts["train_rows"],
        validation_rows=len(fit.predictions),
        dropped_rows=fit.facts["dropped_rows"],
        seconds=0.0 if stored else fit.facts["seconds"],
        stored=stored,
        part=spec.asked.part,
        importance=importance_from_json(fit.facts.get("importance")),
    )


def join_scores(scored: Sequence[FoldScore]) -> EraScores:
    """Per-era scores of several folds, in fold order."""
    return EraScores.joined([fold.scores for fold in sorted(scored, key=lambda fold: fold.fold)])


def metrics_by(score: ScoreConfig, scores: EraScores) -> Metrics:
    """Summaries as a config asks for them."""
    return metrics_of(scores, score.last_eras, score.primary)


def succeeded(plan: VariantPlan, predictions: Sequence[Floats], scored: Sequence[FoldScore]) -> VariantOutcome:
    """The outcome of a trial all of whose folds are there: assembled predictions and scores, in fold order."""
    scores = join_scores(scored)
    folds = plan.folds.trainable
    ranges = [plan.index.row_ranges(fold.validation_eras) for fold in folds]
    rows = [np.arange(start, stop) for fold in ranges for start, stop in fold]
    prediction = np.concatenate(predictions)
    eras = tuple(era for fold in folds for era in fold.validation_eras)
    return VariantOutcome(
        plan=plan,
        error=None,
        folds=tuple(record for fold in scored for record in fold.records),
        rows=np.concatenate(rows),
        prediction=prediction,
        fold=np.repeat([fold.index for fold in folds], [len(each) for each in predictions]),
        eras=eras,
        scores=scores,
        metrics=metrics_by(plan.config.score, scores),
        notes=(*plan.notes, *coverage_notes(plan, eras, prediction)),
        weights=tuple(fold.weights for fold in scored if fold.weights is not None),
    )


def failed(plan: VariantPlan, error: str | None) -> VariantOutcome:
    """The outcome of a trial that failed for a reason of its own."""
    nothing = np.empty(0)
    none = np.empty(0, np.int64)
    scores = EraScores(nothing, nothing, nothing)
    return VariantOutcome(plan, error, (), none, nothing, none, (), scores, None, notes=plan.notes)


@span("diagnostics")
def with_diagnostics(
    store: FitStore,
    outcomes: Mapping[str, VariantOutcome],
    look: Callable[[Sequence[VariantPlan]], Mapping[str, Diagnosis]],
) -> dict[str, VariantOutcome]:
    """``outcomes`` with a look at each that succeeded: one that was kept, or a new one of those that ``look`` finds."""
    looks = DiagnosticsStore(store.root)
    seen = {each.plan.id: each for each in outcomes.values() if each.metrics and each.plan.diagnosed.features}
    keys = {trial: diagnostics_key(each.plan, each.prediction) for trial, each in seen.items()}
    found = {trial: kept for trial, key in keys.items() if (kept := looks.get(key)) is not None}
    new = look([each.plan for trial, each in seen.items() if trial not in found])
    for trial, each in new.items():
        looks.put(keys[trial], each)
        found[trial] = each
    return {trial: replace(outcome, diagnosis=found.get(trial)) for trial, outcome in outcomes.items()}
