"""One variant's folds: train, predict, score, put together. The same functions serve every runner.

A :class:`RoundRunner` executes the trials of one round. :class:`InProcessRunner` does so in this process, one fit
at a time: the plain way, and the reference for the one on Ray.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

import numpy as np
import numpy.typing as npt

from numerai_ray.config import ModelConfig
from numerai_ray.dataset import Columns, load_columns, load_features
from numerai_ray.eras import least_honest_gap
from numerai_ray.errors import FitError
from numerai_ray.feature_matrix import FeatureMatrix, RowRange
from numerai_ray.fit_store import FitStore, StoredFit
from numerai_ray.models import Batch, Ladder, Prepared, Rungs, model_for
from numerai_ray.prepared import is_enough, prepare, prepared_key
from numerai_ray.pruning import PruningRule, Stopped, stopped
from numerai_ray.results import FoldRecord, Metrics, metrics_of
from numerai_ray.scoring import EraScores, score_eras
from numerai_ray.significance import Series
from numerai_ray.trainings import Training, carry_out, trainings
from numerai_ray.trial_plan import FitSpec, TrialPlan

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Progress:
    """What a runner tells while a round runs: a trial's folds so far and its primary metric over them.

    ``primary`` is NaN before the first fold; ``error`` is set when the trial failed, ``pruned`` when it was stopped.
    """

    trial: str
    folds_done: int
    folds: int
    primary: float
    error: str | None = None
    pruned: str | None = None


OnProgress = Callable[[Progress], None]


@dataclass(frozen=True, eq=False)
class FoldScore:
    """A scored fold: per-era scores of its validation eras, and the record of its fit."""

    scores: EraScores
    record: FoldRecord


@dataclass(frozen=True, eq=False)
class VariantOutcome:
    """What came of one trial. With an ``error``, or when it was ``pruned``, nothing else counts.

    ``rows`` (n,) are row numbers in the dataset, ``prediction`` (n,) and ``fold`` (n,) go with them; ``eras`` and
    the arrays of ``scores`` have one entry an out-of-fold era.
    """

    plan: TrialPlan
    error: str | None
    folds: tuple[FoldRecord, ...]
    rows: npt.NDArray[np.int64]
    prediction: Floats
    fold: npt.NDArray[np.int64]
    eras: tuple[int, ...]
    scores: EraScores
    metrics: Metrics | None
    pruned: str | None = None


class RoundRunner(Protocol):
    """Executes the trials of a round; equal plans give equal outcomes, whatever the runner."""

    def run(self, plans: Sequence[TrialPlan], on_progress: OnProgress) -> dict[str, VariantOutcome]:
        """Outcome by trial id. A trial that fails for a reason of its own has an ``error``; the others go on."""
        ...

    def columns(self, plan: TrialPlan) -> Columns:
        """Ids, targets and benchmarks of the plan's dataset."""
        ...


def run_fits(
    specs: Sequence[FitSpec],
    features: FeatureMatrix | None,
    target: npt.NDArray[np.float32],
    threads: int,
    prepared: Prepared | None,
) -> list[StoredFit]:
    """Train one fold and predict its validation rows: once, whatever the number of lengths asked for.

    Args:
        specs: what to fit: one spec, or several of one family, ascending in length.
        features: the whole dataset's features; None where the prepared copy is enough.
        target: (n_rows,) the training target, NaN where unknown; such rows are not trained on.
        threads: how many the model may use; predictions do not depend on it.
        prepared: what the model shares between fits on these features.

    Returns:
        One fit a spec, in their order. Their seconds add up to the time it took.

    Raises:
        FitError: no labelled row is left, the library refuses, or a prediction is not finite.

    """
    started = time.perf_counter()
    config, index, fold = specs[0].config, specs[0].index, specs[0].fold
    ranges = index.row_ranges(fold.train_eras)
    labels = take(target, ranges)
    keep = _kept_rows(labels, config.model)
    if keep is not None:
        labels = labels[keep]
    if not len(labels):
        raise FitError(f"every {config.data.target} of the training eras is NaN; train on a target with labels")
    missing_as_null = config.data.missing == "nan"
    train = Batch(features, ranges, missing_as_null, labels, keep)
    validation = Batch(features, index.row_ranges(fold.validation_eras), missing_as_null)
    predictions = _predictions(specs, train, validation, threads, prepared)
    if not all(np.isfinite(prediction).all() for prediction in predictions):
        raise FitError("the model predicts NaN or infinity; check its parameters and objective")
    dropped = int(np.isnan(take(target, ranges)).sum())
    shares = np.diff([0, *(spec.length or 1 for spec in specs)]) / (specs[-1].length or 1)
    seconds = np.round(shares * (time.perf_counter() - started), 3).tolist()
    return [
        StoredFit(prediction, {"train_rows": len(labels), "dropped_rows": dropped, "seconds": share})
        for prediction, share in zip(predictions, seconds, strict=True)
    ]


def _predictions(
    specs: Sequence[FitSpec], train: Batch, validation: Batch, threads: int, prepared: Prepared | None
) -> list[Floats]:
    model, params = model_for(specs[0].config.model.type), specs[-1].config.model.params
    if len(specs) == 1 or not isinstance(model, Ladder):
        return [model.fit_predict(train, validation, params, threads, prepared)]
    rungs = Rungs(params, tuple(spec.length or 0 for spec in specs))
    return model.fit_predict_lengths(train, validation, rungs, threads, prepared)


def _kept_rows(labels: npt.NDArray[np.float32], model: ModelConfig) -> npt.NDArray[np.int64] | None:
    """Positions that are trained on: labelled, and sampled as ``pandas.DataFrame.sample`` does; None for all."""
    keep = np.flatnonzero(~np.isnan(labels))
    if model.max_train_samples and len(keep) > model.max_train_samples:
        # The official pipeline samples with pandas, whose generator this is; in file order, because trees depend
        # on the order of rows only through rounding.
        chosen = np.random.RandomState(model.sample_seed).choice(len(keep), model.max_train_samples, replace=False)
        keep = keep[np.sort(chosen)]
    return None if len(keep) == len(labels) else keep


def take(values: npt.NDArray[np.generic], ranges: Sequence[RowRange]) -> npt.NDArray:  # type: ignore[type-arg]
    """Rows of ``values`` (n_rows,) in ``ranges``: a view of one range, a copy of several."""
    if len(ranges) == 1:
        return values[slice(*ranges[0])]
    return np.concatenate([values[start:stop] for start, stop in ranges])


def score_fold(spec: FitSpec, fit: StoredFit, columns: Columns, *, stored: bool) -> FoldScore:
    """Score a fold's predictions per era against the config's score target and benchmark."""
    score, index, eras = spec.config.score, spec.index, spec.fold.validation_eras
    ranges = index.row_ranges(eras)
    sizes = np.diff(index.era_starts)[index.positions(eras)]
    scores = score_eras(
        fit.predictions,
        take(columns.targets[score.target], ranges),
        take(columns.benchmarks[score.benchmark], ranges),
        np.append(0, np.cumsum(sizes)),
    )
    record = FoldRecord(
        fold=spec.fold.index,
        key=spec.key,
        train_eras=spec.fold.train_eras,
        validation_eras=eras,
        train_rows=fit.facts["train_rows"],
        validation_rows=len(fit.predictions),
        dropped_rows=fit.facts["dropped_rows"],
        seconds=0.0 if stored else fit.facts["seconds"],
        stored=stored,
    )
    return FoldScore(scores, record)


def join_scores(scored: Sequence[FoldScore]) -> EraScores:
    """Per-era scores of several folds, in fold order."""
    parts = [fold.scores for fold in sorted(scored, key=lambda fold: fold.record.fold)]
    return EraScores(
        np.concatenate([part.corr for part in parts]),
        np.concatenate([part.bmc for part in parts]),
        np.concatenate([part.benchmark_corr for part in parts]),
    )


def succeeded(plan: TrialPlan, fits: Sequence[StoredFit], scored: Sequence[FoldScore]) -> VariantOutcome:
    """The outcome of a trial all of whose folds are there, in fold order."""
    scores = join_scores(scored)
    ranges = [plan.index.row_ranges(fit.fold.validation_eras) for fit in plan.fits]
    rows = [np.arange(start, stop) for fold in ranges for start, stop in fold]
    return VariantOutcome(
        plan=plan,
        error=None,
        folds=tuple(fold.record for fold in scored),
        rows=np.concatenate(rows),
        prediction=np.concatenate([fit.predictions for fit in fits]),
        fold=np.repeat([fit.fold.index for fit in plan.fits], [len(fit.predictions) for fit in fits]),
        eras=tuple(era for fit in plan.fits for era in fit.fold.validation_eras),
        scores=scores,
        metrics=metrics_of(scores, plan.config.score.last_eras),
    )


def failed(plan: TrialPlan, error: str | None) -> VariantOutcome:
    """The outcome of a trial that failed for a reason of its own."""
    nothing = np.empty(0)
    none = np.empty(0, np.int64)
    return VariantOutcome(plan, error, (), none, nothing, none, (), EraScores(nothing, nothing, nothing), None)


def given_up(plan: TrialPlan, why: Stopped) -> VariantOutcome:
    """The outcome of a trial that was stopped because it is hopeless."""
    return replace(failed(plan, None), pruned=str(why))


@dataclass
class Stops:
    """Who is stopped in a round, by the scores that have arrived; any order of arrival leads to the same end."""

    plans: Sequence[TrialPlan]
    found: dict[str, Stopped] = field(default_factory=dict)
    _arrived: dict[str, dict[int, Series | None]] = field(default_factory=dict)

    def arrive(self, trial: str, fold: int, score: FoldScore | None) -> dict[str, Stopped]:
        """Note a fold's score (None: its fit failed); returns the trials that are hopeless since."""
        may_stop = frozenset(plan.id for plan in self.plans if plan.may_stop)
        if not may_stop:
            return {}
        series = None if score is None else Series(score.record.validation_eras, score.scores.bmc)
        self._arrived.setdefault(trial, {})[fold] = series
        arrived = {plan.id: self._arrived.get(plan.id, {}) for plan in self.plans}
        overlap = least_honest_gap(tuple(plan.config.score.target for plan in self.plans)) - 1
        now = stopped(arrived, PruningRule(may_stop, self._folds(), overlap))
        new = {trial: why for trial, why in now.items() if trial not in self.found}
        self.found |= new
        return new

    def _folds(self) -> tuple[int, ...]:
        """The order of looks: as fits are trained, the largest first."""
        rows = {spec.fold.index: spec.train_rows for plan in self.plans for spec in plan.fits}
        return tuple(sorted(rows, key=lambda fold: (-rows[fold], -fold)))


def column_needs(plans: Sequence[TrialPlan]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Targets and benchmarks that any of the plans needs, in a fixed order."""
    targets = sorted({name for plan in plans for name in plan.targets})
    benchmarks = sorted({name for plan in plans for name in plan.benchmarks})
    return tuple(targets), tuple(benchmarks)


class InProcessRunner:
    """Everything in this process, one fit at a time on all cores: for debugging, and as the reference."""

    def __init__(self, store: FitStore, threads: int):
        self.store = store
        self.threads = threads
        self._columns: dict[str, Columns] = {}
        self._features: dict[tuple[str, str], FeatureMatrix] = {}
        self._prepared: dict[str, Prepared] = {}

    def run(self, plans: Sequence[TrialPlan], on_progress: OnProgress) -> dict[str, VariantOutcome]:
        needs = column_needs(plans)
        missing = [spec for plan in plans for spec in plan.fits if not self.store.has(spec.key)]
        together = {spec.key: training for training in trainings(missing) for spec in training.specs}
        done: dict[str, StoredFit | FitError] = {}
        waiting = _Waiting(together, done, Stops(plans))
        outcomes = {plan.id: self._run_trial(plan, needs, waiting, on_progress) for plan in plans}
        # One trial after the other, nothing is saved by stopping; but what is left out is the same as on Ray.
        stops = waiting.stops.found
        return {plan.id: given_up(plan, stops[plan.id]) if plan.id in stops else outcomes[plan.id] for plan in plans}

    def columns(self, plan: TrialPlan) -> Columns:
        return self._load_columns(plan, column_needs([plan]))

    def close(self) -> None:
        """Nothing outlives this process."""

    def _run_trial(
        self,
        plan: TrialPlan,
        needs: tuple[tuple[str, ...], tuple[str, ...]],
        waiting: "_Waiting",
        on_progress: OnProgress,
    ) -> VariantOutcome:
        columns = self._load_columns(plan, needs)
        fits: list[StoredFit] = []
        scored: list[FoldScore] = []
        for spec in plan.fits:
            stored = False
            fit = waiting.done.get(spec.key)
            if fit is None:
                fit = self.store.get(spec.key)
                stored = fit is not None
            if fit is None:
                training = waiting.together.get(spec.key, Training((spec,)))
                trained = carry_out(training, self.store, lambda specs: self._train(specs, columns))
                waiting.done.update({key: fit for key, fit in trained.fits.items() if key not in trained.stored})
                fit, stored = trained.fits[spec.key], spec.key in trained.stored
            if isinstance(fit, FitError):
                waiting.stops.arrive(plan.id, spec.fold.index, None)
                message = f"fold {spec.fold.index}: {fit}"
                on_progress(Progress(plan.id, len(scored), len(plan.fits), np.nan, message))
                return failed(plan, message)
            fits.append(fit)
            scored.append(score_fold(spec, fit, columns, stored=stored))
            waiting.stops.arrive(plan.id, spec.fold.index, scored[-1])
            metrics = metrics_of(join_scores(scored), plan.config.score.last_eras)
            on_progress(Progress(plan.id, len(scored), len(plan.fits), metrics.primary))
        return succeeded(plan, fits, scored)

    def _train(self, specs: Sequence[FitSpec], columns: Columns) -> list[StoredFit]:
        spec = specs[0]
        key = prepared_key(spec)
        if key is not None and key not in self._prepared:
            self._prepared = {key: prepare(spec, self.threads)}
        prepared = None if key is None else self._prepared[key]
        features = None
        if prepared is None or not is_enough(spec, prepared.seen):
            if spec.dataset not in self._features:
                self._features = {spec.dataset: load_features(spec.index, spec.features)}
            features = self._features[spec.dataset]
        return run_fits(specs, features, columns.targets[spec.config.data.target], self.threads, prepared)

    def _load_columns(self, plan: TrialPlan, needs: tuple[tuple[str, ...], tuple[str, ...]]) -> Columns:
        held = self._columns.get(plan.index.fingerprint)
        if held is None or not ({*held.targets} >= {*needs[0]} and {*held.benchmarks} >= {*needs[1]}):
            held = load_columns(plan.index, plan.config.data, *needs)
            self._columns = {plan.index.fingerprint: held}
        return held


@dataclass(frozen=True, eq=False)
class _Waiting:
    """A round in this process: by key of a fit, what it is trained together with and what came of it; who stops."""

    together: dict[str, Training]
    done: dict[str, StoredFit | FitError]
    stops: Stops
