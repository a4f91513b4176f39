"""Progress of a round on Ray, told from the driver."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from contextlib import suppress

from numerai_ray.fit_task import Flight, own_words, unless_failed

# isort: split
import ray
from ray.exceptions import RayError, RayTaskError

from numerai_ray.errors import FitError, NumeraiRayError
from numerai_ray.fold_runner import OnProgress, Progress, Stops, join_scores, progress_of
from numerai_ray.pruning import Stopped
from numerai_ray.results import metrics_of
from numerai_ray.shared_dataset import Ref
from numerai_ray.trial_plan import TrialPlan


class ProgressTeller(threading.Thread):
    """Tells the progress of a round as folds arrive, whether or not their trial's process has started."""

    def __init__(self, plans: Sequence[TrialPlan], flight: Flight, on_progress: OnProgress):
        super().__init__(name="round-progress", daemon=True)
        self._plans = plans
        self._plans_of: dict[str, list[TrialPlan]] = {}
        for plan in plans:
            for key in dict.fromkeys(spec.key for spec in plan.fits):
                self._plans_of.setdefault(key, []).append(plan)
        self._flight = flight
        self._on_progress = on_progress
        self._stops = Stops(plans)
        self._stop_asked = threading.Event()
        self._at_once = False

    def stop(self, *, at_once: bool = False) -> None:
        """Wait for the thread to tell what has arrived, or nothing more."""
        self._at_once = at_once
        self._stop_asked.set()
        self.join()

    def run(self) -> None:
        keys_of: dict[Ref, set[str]] = {}
        for key, ref in self._flight.scores.items():
            keys_of.setdefault(ref, set()).add(key)
        pending = list(keys_of)
        while pending and not self._at_once:
            timeout = 0 if self._stop_asked.is_set() else 0.3
            ready, pending = ray.wait(pending, num_returns=1, timeout=timeout)
            if not ready and self._stop_asked.is_set():
                return
            for ref in ready:
                # Telling is never worth a round: a lost node or a full disk shows when the outcomes are gathered.
                with suppress(NumeraiRayError, RayError):
                    self._tell(keys_of[ref], set(pending))

    def _tell(self, keys: set[str], pending: set[Ref]) -> None:
        concerned = {plan.id: plan for key in sorted(keys) for plan in self._plans_of[key]}
        for plan in concerned.values():
            self._arrive(plan, keys)
            if plan.id in self._stops.found:
                continue
            there = [self._flight.score_of(spec) for spec in plan.fits]
            try:
                done = [unless_failed(ray.get(ref)[place]) for ref, place in there if ref not in pending]
            except (FitError, RayTaskError, RayError) as error:
                self._on_progress(Progress(plan.id, 0, len(plan.fits), float("nan"), own_words(error)))
                continue
            metrics = metrics_of(join_scores(done), plan.config.score.last_eras)
            self._on_progress(progress_of(plan, done, metrics))

    def _arrive(self, plan: TrialPlan, keys: set[str]) -> None:
        """Note what has arrived of a trial, and let go of the fits of trials that are hopeless since."""
        for spec in plan.fits:
            if spec.key not in keys:
                continue
            ref, place = self._flight.score_of(spec)
            try:
                score = unless_failed(ray.get(ref)[place])
            except (FitError, RayTaskError, RayError):
                score = None
            for trial, why in self._stops.arrive(plan.id, spec.fold.index, score).items():
                stopped = next(each for each in self._plans if each.id == trial)
                self._flight.let_go(stopped, (each for each in self._plans if each.id not in self._stops.found))
                self._on_progress(Progress(trial, 0, len(stopped.fits), float("nan"), pruned=str(why)))

    @property
    def stops(self) -> dict[str, Stopped]:
        """Who was stopped; complete once the thread has ended."""
        return self._stops.found
