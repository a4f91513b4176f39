"""Rounds on Ray Tune: a trial a variant, folds as named Ray tasks.

The driver owns every fit task: a fit that two variants share runs once, the largest start first whatever variant
they belong to, and a trial that dies loses nothing. A trial waits for its folds' scores and reports them to Tune
fold by fold, beside the round: nothing waits for it.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext, suppress
from dataclasses import replace
from typing import Any
from uuid import uuid4

import numpy as np
import numpy.typing as npt
import ray
from ray.exceptions import RayError, RayTaskError

from numerai_ray.data.dataset import Columns, load_columns
from numerai_ray.errors import EnvironmentFault, FitError
from numerai_ray.models.engine import prepare
from numerai_ray.models.user import is_user_model
from numerai_ray.runners.base import OnProgress
from numerai_ray.runners.pruning import given_up
from numerai_ray.runners.ray.ahead import machine_before, taken
from numerai_ray.runners.ray.fit_tasks import (
    LOST,
    ClusterLost,
    FitOrder,
    Flight,
    distinct_scorings,
    error_text,
    fit_task,
    forget_lone_retries,
    got,
    scores_of,
    unless_failed,
    warm_up,
)
from numerai_ray.runners.ray.fold_tasks import diagnosed, submit_assemblies, submit_diagnostics
from numerai_ray.runners.ray.placement import NodeClock, Placement, let_go
from numerai_ray.runners.ray.progress import ProgressTeller
from numerai_ray.runners.ray.shared_data import Ahead, Ref, SharedDatasets, read_ahead, sides, workload
from numerai_ray.runners.ray.showing import LAST_WORDS_ON_A_CLUSTER_S, LAST_WORDS_S, Showing
from numerai_ray.runners.ray.start import RaySettings, connect, disconnect, is_ready
from numerai_ray.system.cluster import RoundCost, Spent
from numerai_ray.system.machine import PeakMemory
from numerai_ray.system.resources import ResourcePlan, plan_resources, threads_for
from numerai_ray.system.timeline import span
from numerai_ray.training.assembly import is_assembled
from numerai_ray.training.batches import Trained, Training, is_earlier, trainings
from numerai_ray.training.outcome import FoldScore, VariantOutcome, failed, succeeded, with_diagnostics
from numerai_ray.training.spec import FitSpec, VariantPlan, column_needs
from numerai_ray.training.store.fits import FitStore, StoredFit, lacks_model, stored_fit

# A round outlives as many losses of all of Ray; nodes of a cluster are Ray's own to replace.
RAY_RESTARTS = 3


class TuneRunner:
    """Executes rounds on Ray Tune; starts Ray with the first of them."""

    def __init__(self, store: FitStore, settings: RaySettings):
        self.store = store
        self.settings = settings
        self.dashboard_url: str | None = None
        self.cost = RoundCost()
        self.slots = 0
        self.ahead_s = 0.0
        self._shared = SharedDatasets()
        self._ahead = Ahead()  # what is there before Ray is
        self._placement: Placement | None = None
        # Diagnosed at once: what our own object store takes later is not missing.
        self._machine = machine_before()
        self._run_id = uuid4().hex[:12]
        self._showing = Showing(settings.trial_dir, self._machine.cores, self._run_id)
        self._clock: NodeClock | None = None
        self._threads: dict[str, int] = {}  # by fit
        self._before = RoundCost()  # of attempts at the round that were lost with Ray
        # Those of a cluster show when it is looked at.
        self._cores = self._machine.cores if settings.address is None else 0

    def spent(self) -> Spent:
        now = Spent() if self._clock is None else self._clock.spent()
        return Spent(self._before.core_hours * 3600 + now.core_s, now.cores or self._cores)

    def run(self, plans: Sequence[VariantPlan], on_progress: OnProgress) -> dict[str, VariantOutcome]:
        try:
            return self._attempts(plans, on_progress)
        finally:
            self._before = RoundCost()

    def _attempts(self, plans: Sequence[VariantPlan], on_progress: OnProgress) -> dict[str, VariantOutcome]:
        for left in reversed(range(RAY_RESTARTS + 1)):
            try:
                return self._attempt(plans, on_progress)
            except (ClusterLost, *LOST) as error:
                # What was stored is not trained again; the rest starts on a new Ray, or on what is left of it.
                logging.getLogger("ray").warning("round lost on Ray, %d more attempts: %s", left, error)
                if not left:
                    raise EnvironmentFault(
                        f"Ray was lost {RAY_RESTARTS + 1} times in one round ({error}); see "
                        f"{self.settings.log_file}, then run again: what was trained is kept"
                    ) from error
                self._start_over()
        raise AssertionError("the last attempt returns or raises")

    def _start_over(self) -> None:
        self._showing.end()
        self._shared = SharedDatasets()
        with suppress(Exception):  # a dead Ray may refuse even this
            disconnect(kept_too=True)

    def _attempt(self, plans: Sequence[VariantPlan], on_progress: OnProgress) -> dict[str, VariantOutcome]:
        specs = {spec.key: spec for plan in plans for spec in plan.fits}
        whole = (spec for spec in specs.values() if not lacks_model(self.store, spec))
        stored = {spec.key: fit for spec in whole if (fit := stored_fit(self.store, spec)) is not None}
        missing = [spec for key, spec in specs.items() if key not in stored]
        running, began = ray.is_initialized(), time.perf_counter()
        with span("data"):
            resources = self._start(plans, missing, missing or list(specs.values()))
        start_s = 0.0 if running or self._placement is not None else time.perf_counter() - began
        self.slots = resources.fits_at_once
        self._clock = clock = NodeClock()
        clock.start()
        memory = PeakMemory()
        try:
            # Of a cluster only the driver's part could be seen, and each look costs milliseconds.
            with memory if self._placement is None else nullcontext():
                outcomes = self._run(plans, stored, missing, resources, on_progress)
        finally:
            used = clock.stop()
            self._cores, self._clock = clock.cores or self._cores, None
            self.cost = self._before = self._before + used
            if self._placement is not None:
                let_go()
        self.cost = replace(self.cost, fit_core_hours=fit_core_hours(outcomes, self._threads))
        # What trains nothing needs none of what was planned.
        if self._placement is None and missing:
            self.cost = replace(self.cost, peak_bytes=memory.bytes, planned_bytes=resources.peak_bytes, start_s=start_s)
        return outcomes

    def _run(
        self,
        plans: Sequence[VariantPlan],
        stored: Mapping[str, StoredFit],
        missing: Sequence[FitSpec],
        resources: ResourcePlan,
        on_progress: OnProgress,
    ) -> dict[str, VariantOutcome]:
        with span("data"):
            self._shared.open(plans, missing, self._ahead)
        self._ahead = Ahead()
        flight = Flight()
        self._put_stored(flight, plans, stored)
        with span("fits handed out"):
            under_way = self._submit(flight, plans, missing, resources)
        columns = {plan.id: self._shared.columns(plan) for plan in plans}
        submit_assemblies(flight, plans, columns)
        if under_way:
            # In the place of a fit, once the last of them leave one. A look at what is stored was kept, too.
            training = {spec.key for spec in missing}
            new = [
                plan for plan in plans if plan.diagnosed.features and any(spec.key in training for spec in plan.fits)
            ]
            room = {"num_cpus": resources.threads_per_fit, "memory": resources.fit_bytes}
            gate = under_way[-resources.fits_at_once :][0]
            flight.looks = submit_diagnostics(flight, new, columns, after=gate, **room)
        teller = ProgressTeller(plans, flight, on_progress)
        teller.start()
        try:
            if self.settings.shown:
                self._showing.show(plans, {plan.id: flight.folds[plan.id] for plan in plans})
            with span("waiting for fits"):
                teller.join()
        except BaseException:
            teller.stop()
            flight.cancel()
            raise
        stops = teller.stops
        flight.record_times()
        with span("scores"):
            outcomes = {
                plan.id: given_up(plan, stops[plan.id]) if plan.id in stops else _outcome(plan, flight)
                for plan in plans
            }
        return with_diagnostics(self.store, outcomes, lambda seen: diagnosed(flight, seen, columns))

    def columns(self, plan: VariantPlan) -> Columns:
        if not self._shared.has(plan):
            return load_columns(plan.index, plan.config.data, *column_needs([plan]))
        columns: Columns = ray.get(self._shared.columns(plan))
        return columns

    def shared_bytes(self) -> int:
        """Bytes of the dataset that the current round shares."""
        return self._shared.shared_bytes() if ray.is_initialized() else 0

    def close(self) -> None:
        """Let go of Ray; a cluster that was there before stays."""
        self._shared = SharedDatasets()
        with span("waiting for Tune"):
            here = self.settings.address is None
            shown = self._showing.end(LAST_WORDS_S if here else LAST_WORDS_ON_A_CLUSTER_S)
        with span("Ray"):
            disconnect(in_use=not shown)
        forget_lone_retries(self._run_id)

    def _resources(self, specs: Sequence[FitSpec]) -> ResourcePlan:
        return plan_resources(self._machine, workload(specs))

    def _start(
        self, plans: Sequence[VariantPlan], missing: Sequence[FitSpec], specs: Sequence[FitSpec]
    ) -> ResourcePlan:
        """Connect to Ray, and say how it is used; on this machine, data is read and prepared while Ray starts."""
        if self.settings.address is not None:
            if not ray.is_initialized():
                with span("Ray"):
                    self.dashboard_url = connect(self.settings, self._machine, 0)
            self._placement = self._placement or Placement()
            return self._placement.resources(specs)
        resources, shared = self._resources(specs), self._shared
        prepare(spec.engine for spec in missing)
        with ThreadPoolExecutor(1, "read") as pool:
            columns = {
                side: pool.submit(load_columns, plan.index, plan.config.data, *side[1:])
                for side, plan in sides(plans).items()
                if not shared.holds(side)
            }
            blocks = pool.submit(read_ahead, missing, shared)
            needed = resources.object_store_bytes
            with span("Ray"):
                new, url, ahead_s = taken()
                self.ahead_s += ahead_s  # none of it in later rounds
                if not is_ready(needed, new=new):
                    new, url = True, connect(self.settings, self._machine, needed)
            if new:
                self.dashboard_url = url
                self._warm_up(missing, resources.fits_at_once)
            self._ahead = Ahead(blocks.result(), {side: each.result() for side, each in columns.items()})
        return resources

    def _warm_up(self, missing: Sequence[FitSpec], fits_at_once: int) -> None:
        """Have workers import what fits need while data is still prepared and put where they find it."""
        # Code of the user's own is read when its fit is due, and libraries look for a GPU only where they have one.
        shipped = (spec for spec in missing if not is_user_model(spec.config.model.type) and not spec.needs.gpus)
        models = {(spec.config.model.type, spec.engine.name): spec.model for spec in shipped}
        if models:
            for _ in range(min(fits_at_once, self._machine.cores)):
                warm_up.remote([*models.values()])

    def _threads_of(self, work: Sequence[Training], resources: ResourcePlan) -> list[int]:
        """Of each training: what it asks for, or on this machine as many as have a round end soonest."""
        usual = resources.threads_per_fit
        if self._placement is not None or any(each.longest.needs.cores for each in work):
            return [each.longest.needs.cores or usual for each in work]
        return threads_for([each.longest.cost for each in work], usual, max(usual, self._machine.cores))

    def _put_stored(self, flight: Flight, plans: Sequence[VariantPlan], stored: Mapping[str, StoredFit]) -> None:
        """Score what is in the store, and put it where the trials look."""
        by_dataset = {plan.index.fingerprint: plan for plan in plans}
        scorings = _scorings(plans)
        there = {spec.key: spec for plan in plans for spec in plan.fits if spec.key in stored}
        for key, spec in there.items():
            earlier = is_earlier(stored[key], plans[0].origin)
            trained = Trained({key: stored[key]}, frozenset([key] if earlier else []))
            columns, scored = self.columns(by_dataset[spec.index.fingerprint]), scorings.get(key, ())
            flight.put([key], (ray.put(trained), ray.put(scores_of(scored, trained, columns))), scored)

    def _submit(
        self, flight: Flight, plans: Sequence[VariantPlan], missing: Sequence[FitSpec], resources: ResourcePlan
    ) -> list[Ref]:
        """Hand every training to Ray, the costliest first: the last to finish then decides least.

        Returns where their scores will be, in that order.
        """
        under_way: list[Ref] = []
        scorings = _scorings(plans)
        names: dict[str, str] = {}
        for plan in plans:
            for spec in plan.fits:
                names.setdefault(spec.key, f"{plan.label}/fold{spec.fold.index}")
        by_dataset = {plan.index.fingerprint: plan for plan in plans}
        work = trainings(missing)
        for training, threads in zip(work, self._threads_of(work, resources), strict=True):
            spec = training.longest
            self._threads |= dict.fromkeys((rung.key for rung in training.specs), threads)
            scored = tuple(each for rung in training.specs for each in scorings.get(rung.key, ()))
            given = self._shared.inputs(spec)
            where, name = self._placement, names[spec.key]
            environment = where.environment if where else ()
            needs = spec.needs
            order = FitOrder(
                training, scored, self.store, threads, given.shape, self._run_id, plans[0].origin, name, environment
            )
            # Each asks for the memory of the largest: Ray takes turns between tasks that ask for different amounts.
            task = fit_task.options(name=name, num_cpus=threads, num_gpus=needs.gpus, memory=resources.fit_bytes)
            columns = self._shared.columns(by_dataset[spec.index.fingerprint])
            refs: Any = task.remote(order, columns, *given.refs)
            flight.put([rung.key for rung in training.specs], (refs[0], refs[1]), scored)
            flight.times.append(refs[2])
            under_way.append(refs[1])
        return under_way


def fit_core_hours(outcomes: Mapping[str, VariantOutcome], threads: Mapping[str, int]) -> float:
    """Core-hours that the fits of a round held, each fit once; those of stopped trials are not known."""
    seconds = {fold.key: fold.seconds for outcome in outcomes.values() for fold in outcome.folds}
    return sum(each * threads.get(key, 1) for key, each in seconds.items()) / 3600


def _scorings(plans: Sequence[VariantPlan]) -> dict[str, tuple[FitSpec, ...]]:
    """How fits are scored that are a fold's predictions by themselves; others are scored when they are put together."""
    return distinct_scorings(spec for plan in plans if not is_assembled(plan) for spec in plan.fits)


def _outcome(plan: VariantPlan, flight: Flight) -> VariantOutcome:
    if is_assembled(plan):
        return _assembled_outcome(plan, flight)
    predictions: list[npt.NDArray[np.float64]] = []
    scored: list[FoldScore] = []
    for spec, found in zip(plan.fits, got([flight.fits[spec.key] for spec in plan.fits]), strict=True):
        try:
            if isinstance(found, Exception):
                raise found
            predictions.append(unless_failed(found.fits[spec.key]).predictions)
            scored.append(flight.score(*flight.score_of(spec)))
        except (FitError, RayTaskError, RayError) as error:
            return failed(plan, f"fold {spec.fold.index}: {error_text(error, spec)}")
    return succeeded(plan, predictions, scored)


def _assembled_outcome(plan: VariantPlan, flight: Flight) -> VariantOutcome:
    predictions: list[npt.NDArray[np.float64]] = []
    scored: list[FoldScore] = []
    for specs, prediction, (ref, place) in zip(
        plan.fold_fits, flight.predictions[plan.id], flight.folds[plan.id], strict=True
    ):
        try:
            scored.append(flight.score(ref, place))
            predictions.append(unless_failed(ray.get(prediction)))
        except FitError as error:
            return failed(plan, str(error))
        except (RayTaskError, RayError) as error:
            return failed(plan, f"fold {specs[0].fold.index}: {error_text(error, specs[0])}")
    return succeeded(plan, predictions, scored)
