"""Tune: one ``Tuner.fit`` a round, a trial a variant that reports its folds as they come; the only ``ray.tune``."""

from __future__ import annotations

import logging
import shutil
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import ray
from ray import tune
from ray.exceptions import RayError, RayTaskError

from numerai_ray.config import ScoreConfig
from numerai_ray.errors import FitError, NumeraiRayError
from numerai_ray.runners.base import OnProgress, Progress, progress_of
from numerai_ray.runners.pruning import Stopped, Stops
from numerai_ray.runners.ray.fit_tasks import Flight, error_text, unless_failed
from numerai_ray.runners.ray.shared_data import Ref
from numerai_ray.training.outcome import FoldScore, join_scores, metrics_by
from numerai_ray.training.spec import VariantPlan

# A trial only waits and reports; memory is the one resource that Ray lets it hold without taking a core.
TRIAL_BYTES = 200 * 2**20
# By trial, where the score of each fold will be: the scores of a training, and the place in them.
Waits = Mapping[str, Sequence[tuple[Ref, int]]]


def run_trials(plans: Sequence[VariantPlan], flight: Flight, trial_dir: Path, at_once: int, run_id: str) -> None:
    """Show a round to Tune; returns when every trial has reported all its folds or failed.

    Args:
        plans: one trial each.
        flight: their fits, under way.
        trial_dir: where Tune keeps its own files.
        at_once: trials at a time; each is a process to start, and fits run in parallel whatever the number.
        run_id: of this driver alone. Tune keeps what trials run in the cluster, by name, under a job number that this
            process may have from an earlier Ray, and that is another driver's on this one: of one name, the driver
            that ends first would take it away from both ("Unknown trainable").

    """
    waits: Waits = {plan.id: flight.folds[plan.id] for plan in plans}
    scoring = {plan.id: plan.config.score for plan in plans}
    folder = plans[0].label.rsplit("/", 1)[0].replace("/", "-")
    # Tune's state is worth nothing to us: an earlier, killed attempt at this round must not be picked up.
    shutil.rmtree(trial_dir / folder, ignore_errors=True)
    here: str = ray.util.get_node_ip_address()  # type: ignore[no-untyped-call]
    # Beside the driver: a node that is lost takes no trial with it, and Tune's folder is there.
    trainable = tune.with_resources(
        tune.with_parameters(VariantTrial, waits=waits, scoring=scoring),
        {"memory": TRIAL_BYTES, f"node:{here}": 1e-4},
    )
    trainable.__name__ = f"{VariantTrial.__name__}_{run_id}"
    tuner = tune.Tuner(
        trainable,
        param_space={"variant": tune.grid_search([plan.id for plan in plans])},
        tune_config=tune.TuneConfig(
            reuse_actors=True,
            max_concurrent_trials=at_once,
            trial_name_creator=_trial_name,
            trial_dirname_creator=_trial_name,
        ),
        run_config=tune.RunConfig(
            name=folder,
            storage_path=str(trial_dir.resolve()),
            verbose=0,
            checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),
        ),
    )
    try:
        tuner.fit()
    except (tune.TuneError, RayError, OSError) as error:
        # Trials only show the round: its fits, and what comes of them, are the driver's own.
        logging.getLogger("ray.tune").warning("the round is not shown to its end: %s", error)


class VariantTrial(tune.Trainable):
    """A trial: the scores of a variant's folds, reported as they come."""

    def setup(  # type: ignore[override]
        self, config: dict[str, Any], waits: Waits, scoring: Mapping[str, ScoreConfig]
    ) -> None:
        self._waits, self._scoring = waits, scoring
        self.reset_config(config)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Become another variant's trial: this process stays, with all that it has imported and been handed."""
        self._variant = new_config["variant"]
        self._done: list[FoldScore] = []
        self._pending = list(dict(self._waits[self._variant]))
        return True

    def step(self) -> dict[str, Any]:
        """Wait for one fold more, and tell of all that are there."""
        places = dict(self._waits[self._variant])
        ready, waiting = ray.wait(self._pending, num_returns=1)
        more, self._pending = ray.wait(waiting, num_returns=len(waiting), timeout=0) if waiting else ([], [])
        for ref in (*ready, *more):
            self._done.append(unless_failed(ray.get(ref)[places[ref]]))
        metrics = metrics_by(self._scoring[self._variant], join_scores(self._done))
        return {
            "folds_done": len(self._done),
            metrics.metric.name.replace(".", "_"): metrics.primary,
            "bmc_mean": metrics.bmc.mean,
            "corr_mean": metrics.corr.mean,
            "avg_corr_with_benchmark": metrics.avg_corr_with_benchmark,
            "done": not self._pending,
        }


def _trial_name(trial: Any) -> str:
    return str(trial.config["variant"])


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
        self._at_once = False

    def stop(self, *, at_once: bool = False) -> None:
        """Wait for the thread to tell what has arrived, or nothing more."""
        self._at_once = at_once
        self._stop_asked.set()
        self.join()

    def run(self) -> None:
        pending = list(self._plans_of)
        while pending and not self._at_once:
            timeout = 0 if self._stop_asked.is_set() else 0.3
            ready, pending = ray.wait(pending, num_returns=1, timeout=timeout)
            if not ready and self._stop_asked.is_set():
                return
            for ref in ready:
                # Telling is never worth a round: a lost node or a full disk shows when the outcomes are gathered.
                with suppress(NumeraiRayError, RayError):
                    self._tell(ref, set(pending))

    def _tell(self, arrived: Ref, pending: set[Ref]) -> None:
        for plan in self._plans_of[arrived]:
            folds = self._flight.folds[plan.id]
            self._arrive(plan, arrived)
            if plan.id in self._stops.found:
                continue
            try:
                done = [unless_failed(ray.get(ref)[place]) for ref, place in folds if ref not in pending]
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
                scores = unless_failed(ray.get(ref)[place]).judged(plan.config.score)
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
