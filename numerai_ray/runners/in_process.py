"""In-process runner: one fit at a time in this process; and stored fits scored here before Ray is asked."""

import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import count, repeat
from typing import Protocol

import numpy as np
from threadpoolctl import threadpool_limits

from numerai_ray.data.dataset import Columns, load_columns, load_features
from numerai_ray.data.features import FeatureMatrix
from numerai_ray.errors import FitError
from numerai_ray.runners.base import Floats, OnProgress, Progress, RoundRunner, progress_of
from numerai_ray.runners.pruning import Stops, given_up
from numerai_ray.system.cluster import RoundCost, Spent
from numerai_ray.system.process import finish_first
from numerai_ray.system.timeline import span
from numerai_ray.training.assembly import assemble_fold, is_stacked
from numerai_ray.training.batches import Training, carry_out, is_earlier, trainings
from numerai_ray.training.diagnostics import Diagnosis, alike, diagnose_fold, joined
from numerai_ray.training.fit import run_fits
from numerai_ray.training.linear_parts import LinearParts
from numerai_ray.training.outcome import (
    FoldScore,
    VariantOutcome,
    failed,
    fit_record,
    join_scores,
    metrics_by,
    score_assembled,
    succeeded,
    with_diagnostics,
)
from numerai_ray.training.spec import FitSpec, VariantPlan, column_needs
from numerai_ray.training.store.fits import FitStore, StoredFit, is_stored, lacks_model, stored_fit


class InProcessRunner:
    """Everything in this process, one fit at a time on all cores: for debugging, and as the reference."""

    def __init__(self, store: FitStore, threads: int):
        self.store = store
        self.threads = threads
        self.cost = RoundCost()
        self.ahead_s = 0.0  # nothing starts
        self._began: float | None = None
        self._columns: dict[str, Columns] = {}
        self._features: dict[tuple[str, str], FeatureMatrix] = {}
        self._parts = LinearParts(threads)

    def spent(self) -> Spent:
        began = self._began
        return Spent(0.0 if began is None else (time.perf_counter() - began) * self.threads, self.threads)

    def run(self, plans: Sequence[VariantPlan], on_progress: OnProgress) -> dict[str, VariantOutcome]:
        self._began = time.perf_counter()
        try:
            return self._run(plans, on_progress)
        finally:
            hours = (time.perf_counter() - self._began) / 3600
            self.cost = RoundCost(hours * self.threads, hours * self.threads, hours, 1)
            self._began = None

    def _run(self, plans: Sequence[VariantPlan], on_progress: OnProgress) -> dict[str, VariantOutcome]:
        self._parts = LinearParts(self.threads)
        needs = column_needs(plans)
        missing = [spec for plan in plans for spec in plan.fits if not is_stored(self.store, spec)]
        together = {spec.key: training for training in trainings(missing) for spec in training.specs}
        done: dict[str, StoredFit | FitError] = {}
        waiting = _Waiting(together, done, Stops(plans))
        outcomes = {plan.id: self._run_trial(plan, needs, waiting, on_progress) for plan in plans}
        # One trial after the other, nothing is saved by stopping; but what is left out is the same as on Ray.
        stops = waiting.stops.found
        outcomes |= {plan.id: given_up(plan, stops[plan.id]) for plan in plans if plan.id in stops}
        return with_diagnostics(self.store, outcomes, lambda plans: self._look(plans, outcomes))

    def _look(self, plans: Sequence[VariantPlan], outcomes: Mapping[str, VariantOutcome]) -> dict[str, Diagnosis]:
        """What the predictions of trials that succeeded lean on, by trial; folds side by side."""
        found: dict[str, Diagnosis] = {}
        for group in alike(plans):
            columns = self._load_columns(group[0], column_needs(group))  # a round may hold plans of several files
            sizes = [group[0].index.starts_of(fold.validation_eras)[-1] for fold in group[0].folds.trainable]
            by_plan = [np.split(outcomes[each.id].prediction, np.cumsum(sizes)[:-1]) for each in group]
            by_fold = list(zip(*by_plan, strict=True))
            with threadpool_limits(1, user_api="blas"), ThreadPoolExecutor(self.threads, "diagnose") as pool:
                looks = list(pool.map(partial(diagnose_fold, group[0]), count(), by_fold, repeat(columns)))
            found |= {each.id: joined([look[place] for look in looks]) for place, each in enumerate(group)}
        return found

    def columns(self, plan: VariantPlan) -> Columns:
        return self._load_columns(plan, column_needs([plan]))

    def close(self) -> None:
        """Nothing outlives this process."""

    def _run_trial(
        self,
        plan: VariantPlan,
        needs: tuple[tuple[str, ...], tuple[str, ...]],
        waiting: "_Waiting",
        on_progress: OnProgress,
    ) -> VariantOutcome:
        columns = self._load_columns(plan, needs)
        fits: dict[str, StoredFit] = {}
        predictions: list[Floats] = []
        scored: list[FoldScore] = []
        error: str | None = None
        for position, specs in enumerate(plan.fold_fits):
            tried = [(spec, *self._fit(spec, waiting, columns, plan.origin)) for spec in specs]
            refused = [f"{spec.place}: {fit}" for spec, fit, _ in tried if isinstance(fit, FitError)]
            if refused or (error is not None and is_stacked(plan)):  # a stack is made of the folds before it, too
                error = error or refused[0]
                waiting.stops.arrive(plan.id, specs[0].fold.index, None)
                on_progress(Progress(plan.id, 0, len(plan.fold_fits), np.nan, error))
                if not waiting.stops.may_stop:
                    break
                continue  # others may be stopped by what its other folds score
            good = [(spec, fit, stored) for spec, fit, stored in tried if not isinstance(fit, FitError)]
            fits |= {spec.key: fit for spec, fit, _ in good}
            with span("scores"):
                made = assemble_fold(plan, position, fits, columns, parts=self._parts)
                predictions.append(made.prediction)
                records = [fit_record(spec, fit, stored=stored) for spec, fit, stored in good]
                scored.append(score_assembled(plan, position, made, records, columns))
            waiting.stops.arrive(plan.id, scored[-1].fold, scored[-1].judged(plan.config.score))
            if error is None:
                metrics = metrics_by(plan.config.score, join_scores(scored))
                on_progress(progress_of(plan, scored, metrics))
        return succeeded(plan, predictions, scored) if error is None else failed(plan, error)

    def _fit(
        self, spec: FitSpec, waiting: "_Waiting", columns: Columns, origin: str
    ) -> tuple[StoredFit | FitError, bool]:
        """The fit, and whether it was there before the round ``origin``."""
        done = waiting.done.get(spec.key)
        if done is not None:
            return done, False
        kept = stored_fit(self.store, spec)
        if kept is not None and not lacks_model(self.store, spec):
            return kept, is_earlier(kept, origin)
        training = waiting.together.get(spec.key, Training((spec,)))
        trained = carry_out(training, self.store, lambda specs: self._train(specs, columns), origin)
        waiting.done.update({key: fit for key, fit in trained.fits.items() if key not in trained.stored})
        return trained.fits[spec.key], spec.key in trained.stored

    def _train(self, specs: Sequence[FitSpec], columns: Columns) -> list[StoredFit]:
        spec = specs[0]
        if spec.dataset not in self._features:
            with span("data"):
                self._features = {spec.dataset: load_features(spec.index, spec.features)}
        features = self._features[spec.dataset]
        with span("fit", cores=self.threads):
            return run_fits(specs, features, columns, self.threads, keep_model=self.store.keep_models)

    def _load_columns(self, plan: VariantPlan, needs: tuple[tuple[str, ...], tuple[str, ...]]) -> Columns:
        held = self._columns.get(plan.index.fingerprint)
        if held is None or not ({*held.targets} >= {*needs[0]} and {*held.benchmarks} >= {*needs[1]}):
            with span("data"):
                held = load_columns(plan.index, plan.config.data, *needs)
            self._columns = {plan.index.fingerprint: held}
        return held


@dataclass(frozen=True, eq=False)
class _Waiting:
    """A round in this process: by key of a fit, what it is trained together with and what came of it; who stops."""

    together: dict[str, Training]
    done: dict[str, StoredFit | FitError]
    stops: Stops


class ClosingRunner(RoundRunner, Protocol):
    """A runner that holds processes."""

    @property
    def dashboard_url(self) -> str | None: ...

    def shared_bytes(self) -> int: ...

    def close(self) -> None: ...


class StoredFirst:
    """Scores stored rounds in this process, and hands the others to the runner that ``make`` makes on first need.

    ``cores`` are what that runner will have, 0 where that shows only then.
    """

    def __init__(self, store: FitStore, threads: int, make: Callable[[], ClosingRunner], cores: int = 0):
        self.store = store
        self._local = InProcessRunner(store, threads)
        self._make, self._cores = make, cores
        self._training: ClosingRunner | None = None
        self._last: RoundRunner = self._local

    def run(self, plans: Sequence[VariantPlan], on_progress: OnProgress) -> dict[str, VariantOutcome]:
        if all(is_stored(self.store, spec) for plan in plans for spec in plan.fits):
            self._last = self._local
            return self._last.run(plans, on_progress)
        if self._training is None:
            with finish_first(), span("imports"):  # a library of which half was imported cannot be imported again
                self._training = self._make()
        self._last = self._training
        return self._last.run(plans, on_progress)

    def columns(self, plan: VariantPlan) -> Columns:
        return self._last.columns(plan)

    @property
    def dashboard_url(self) -> str | None:
        """Where Ray's dashboard is, once there was something to train."""
        return None if self._training is None else self._training.dashboard_url

    def shared_bytes(self) -> int:
        """Bytes of the dataset that the current round shares."""
        return 0 if self._training is None else self._training.shared_bytes()

    @property
    def cost(self) -> RoundCost:
        """What the last round cost."""
        return self._last.cost

    def spent(self) -> Spent:
        now = self._last.spent()
        return Spent(now.core_s, self._cores if self._training is None else self._training.spent().cores)

    def close(self) -> None:
        if self._training is not None:
            self._training.close()
