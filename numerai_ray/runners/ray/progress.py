"""Progress of a round on Ray: told as folds arrive, and who is hopeless since is let go."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from contextlib import suppress

import ray
from ray.exceptions import RayError, RayTaskError

from numerai_ray.errors import FitError, NumeraiRayError
from numerai_ray.runners.base import OnProgress, Progress, progress_of
from numerai_ray.runners.pruning import Stopped, Stops
from numerai_ray.runners.ray.fit_tasks import Flight, error_text
from numerai_ray.runners.ray.shared_data import Ref
from numerai_ray.training.outcome import join_scores, metrics_by
from numerai_ray.training.spec import VariantPlan


class ProgressTeller(threading.Thread):
    """Tells the progress of a round as folds arrive, whether or not their trial's process has started."""

    def __init__(self, plans: Sequence[VariantPlan], flight: Flight, on_progress: OnProgress):
        super().__init__(name="round-progress", daemon=True)
        self._plans = plans
        self._plans_of: dict[Ref, list[VariantPlan]] = {}
        for plan in plans:
            for ref in dict.fromkeys(ref for ref, _ in flight.folds[plan.id]):
                self._plans_of.setdefault(ref, []).append(plan)
        self._flight = flight
        self._on_progress = on_progress
        self._stops = Stops(plans)
        self._stop_asked = threading.Event()

    def stop(self) -> None:
        """Tell nothing more."""
        self._stop_asked.set()
        self.join()

    def run(self) -> None:
        pending = list(self._plans_of)
        while pending and not self._stop_asked.is_set():
            ready, pending = ray.wait(pending, num_returns=1, timeout=0.3)
            if ready and pending:
                more, pending = ray.wait(pending, num_returns=len(pending), timeout=0)
                ready += more
            waiting = {*pending, *ready}
            for ref in ready:
                waiting.remove(ref)
                # Telling is never worth a round: a lost node or a full disk shows when the outcomes are gathered.
                with suppress(NumeraiRayError, RayError):
                    self._tell(ref, waiting)

    def _tell(self, arrived: Ref, pending: set[Ref]) -> None:
        for plan in self._plans_of[arrived]:
            folds = self._flight.folds[plan.id]
            self._arrive(plan, arrived)
            if plan.id in self._stops.found:
                continue
            try:
                done = [self._flight.score(ref, place) for ref, place in folds if ref not in pending]
            except (FitError, RayTaskError, RayError) as error:
                self._on_progress(Progress(plan.id, 0, len(folds), float("nan"), error_text(error)))
                continue
            metrics = metrics_by(plan.config.score, join_scores(done))
            self._on_progress(progress_of(plan, done, metrics))

    def _arrive(self, plan: VariantPlan, arrived: Ref) -> None:
        """Note what has arrived of a trial, and let go of the fits of trials that are hopeless since."""
        for fold, (ref, place) in zip(plan.folds.trainable, self._flight.folds[plan.id], strict=True):
            if ref != arrived:
                continue
            try:
                scores = self._flight.score(ref, place).judged(plan.config.score)
            except (FitError, RayTaskError, RayError):
                scores = None
            for trial, why in self._stops.arrive(plan.id, fold.index, scores).items():
                stopped = next(each for each in self._plans if each.id == trial)
                self._flight.let_go(stopped, (each for each in self._plans if each.id not in self._stops.found))
                self._on_progress(Progress(trial, 0, len(stopped.fold_fits), float("nan"), pruned=str(why)))

    @property
    def stops(self) -> dict[str, Stopped]:
        """Who was stopped; complete once the thread has ended."""
        return self._stops.found
