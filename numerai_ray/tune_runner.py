"""Rounds on Ray Tune: one ``Tuner.fit`` a round, a trial a variant, folds as named Ray tasks.

The driver owns every fit task: a fit that two variants share runs once, the largest start first whatever variant
they belong to, and a trial that dies loses nothing. A trial waits for its folds' scores and reports them to Tune
fold by fold. What is in the fit store is scored right here: a round with nothing to train needs no Ray at all.
"""

from __future__ import annotations

import logging
import os
import shutil
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

# Before Ray is imported: our ledger and logs replace Tune's, trials stay in the driver's folder, an interrupt is
# ours to handle, and Tune prints nothing.
for _name, _value in {
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_DISABLE_SIGINT_HANDLER": "1",
    "RAY_CHDIR_TO_TRIAL_DIR": "0",
    "RAY_AIR_NEW_OUTPUT": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
}.items():
    os.environ.setdefault(_name, _value)

import numpy as np
import numpy.typing as npt
import ray
from ray import tune
from ray.exceptions import RayError, RayTaskError

from numerai_ray.dataset import Columns
from numerai_ray.errors import EnvironmentFault, FitError
from numerai_ray.feature_matrix import FeatureMatrix, ValuesSeen
from numerai_ray.fit_store import FitStore, StoredFit
from numerai_ray.fold_runner import (
    FoldScore,
    InProcessRunner,
    OnProgress,
    Progress,
    VariantOutcome,
    failed,
    join_scores,
    run_fit,
    score_fold,
    succeeded,
)
from numerai_ray.machine import this_machine
from numerai_ray.models import Prepared
from numerai_ray.prepared import prepare_ahead, prepared_key
from numerai_ray.resource_plan import plan_resources
from numerai_ray.results import metrics_of
from numerai_ray.shared_dataset import Ref, SharedDatasets
from numerai_ray.trial_plan import FitSpec, TrialPlan

# A trial only waits and reports; memory is the one resource that Ray lets it hold without taking a core.
TRIAL_BYTES = 200 * 2**20
FIT_RETRIES = 3


@dataclass(frozen=True)
class RaySettings:
    """Where Ray runs. ``address`` None starts one on this machine; ``trial_dir`` is Tune's own folder."""

    trial_dir: Path
    log_file: Path
    address: str | None = None
    dashboard: bool = True


@dataclass(frozen=True, eq=False)
class FitOrder:
    """One fit, and how it is scored: ``specs`` have one key and may differ in their score section."""

    specs: tuple[FitSpec, ...]
    store: FitStore
    threads: int
    prepared_key: str | None


@ray.remote(num_returns=2, max_retries=FIT_RETRIES)
def _fit(
    order: FitOrder,
    columns: Columns,
    features: FeatureMatrix | None,
    prepared: npt.NDArray[np.uint8] | None,
    seen: ValuesSeen | None,
) -> tuple[StoredFit, tuple[FoldScore, ...]]:
    """Train, keep and score one fold; the scores come apart, so that a trial never moves predictions."""
    spec = order.specs[0]
    shared = None
    if order.prepared_key is not None and prepared is not None and seen is not None:
        shared = Prepared(order.prepared_key, prepared, seen)
    target = columns.targets[spec.config.data.target]
    fit = run_fit(spec, features, target, order.threads, shared)
    order.store.put(spec.key, fit)
    return fit, tuple(score_fold(each, fit, columns, stored=False) for each in order.specs)


@dataclass(eq=False)
class _Round:
    """A round in flight: what the driver holds of every fit."""

    fits: dict[str, Ref] = field(default_factory=dict)
    scores: dict[str, Ref] = field(default_factory=dict)
    specs: dict[str, tuple[FitSpec, ...]] = field(default_factory=dict)

    def score_of(self, spec: FitSpec) -> tuple[Ref, int]:
        """Where the score of ``spec`` is found: the fit's scores, and the place in them."""
        position = next(i for i, each in enumerate(self.specs[spec.key]) if _same_scoring(each, spec))
        return self.scores[spec.key], position


class TuneRunner:
    """Executes rounds on Ray Tune; starts Ray when the first fit has to be trained."""

    def __init__(self, store: FitStore, settings: RaySettings):
        self.store = store
        self.settings = settings
        self.dashboard_url: str | None = None
        self._shared = SharedDatasets()
        # Looked at once: what our own object store takes later is not missing.
        self._machine = this_machine()
        self._local = InProcessRunner(store, threads=self._machine.cores)

    def run(self, plans: Sequence[TrialPlan], on_progress: OnProgress) -> dict[str, VariantOutcome]:
        specs = {spec.key: spec for plan in plans for spec in plan.fits}
        missing = [spec for spec in specs.values() if not self.store.has(spec.key)]
        if not missing:
            return self._local.run(plans, on_progress)
        rows = max(spec.index.n_rows for spec in missing)
        features = max(len(spec.features) for spec in missing)
        resources = plan_resources(self._machine, rows, features, len(missing))
        self._start(missing, resources.object_store_bytes)
        self._shared.open(plans, missing, _smallest_node_cores())
        flight = self._submit(plans, resources.threads_per_fit, resources.fit_bytes)
        watcher = _Watcher(plans, flight, on_progress)
        watcher.start()
        try:
            self._tune(plans, flight)
        except BaseException:
            watcher.stop(at_once=True)
            for ref in flight.fits.values():
                ray.cancel(ref, force=True)
            raise
        watcher.stop()
        return {plan.id: _outcome(plan, flight) for plan in plans}

    def columns(self, plan: TrialPlan) -> Columns:
        return ray.get(self._shared.columns(plan)) if self._shared.has(plan) else self._local.columns(plan)

    def close(self) -> None:
        """Let go of Ray; a cluster that was there before stays."""
        if ray.is_initialized():
            ray.shutdown()

    def _start(self, missing: Sequence[FitSpec], store_bytes: int) -> None:
        """Connect to Ray; on this machine, data is prepared while Ray starts."""
        with ThreadPoolExecutor(1, "prepare") as pool:
            ahead = []
            if self.settings.address is None:
                one_each = {prepared_key(spec): spec for spec in missing}
                ahead = [pool.submit(prepare_ahead, spec, self._machine.cores) for spec in one_each.values()]
            self._connect(store_bytes)
            for each in ahead:
                each.result()

    def _connect(self, store_bytes: int) -> None:
        if ray.is_initialized():
            return
        _log_to_file(self.settings.log_file)
        options: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.WARNING}
        if self.settings.address is None:
            machine = self._machine
            # Ray's own default, unless the dataset needs more.
            room = max(store_bytes, min(int(0.3 * machine.memory_bytes), int(0.9 * machine.shm_bytes)))
            options |= {
                "address": "local",
                "num_cpus": machine.cores,
                "object_store_memory": room,
                "include_dashboard": self.settings.dashboard,
                "dashboard_host": "127.0.0.1",
            }
        else:
            options["address"] = self.settings.address
        try:
            context = ray.init(**options)
        except (ConnectionError, RuntimeError, ValueError, OSError) as error:
            where = self.settings.address or "this machine"
            raise EnvironmentFault(f"Ray does not start on {where}: {error}; see {self.settings.log_file}") from error
        self.dashboard_url = context.dashboard_url and f"http://{context.dashboard_url}"

    def _submit(self, plans: Sequence[TrialPlan], threads: int, fit_bytes: int) -> _Round:
        """Hand every distinct fit to Ray, the costliest first: the last to finish then decides least."""
        flight = _Round()
        names: dict[str, str] = {}
        for plan in plans:
            for spec in plan.fits:
                together = flight.specs.get(spec.key, ())
                if not any(_same_scoring(spec, each) for each in together):
                    flight.specs[spec.key] = (*together, spec)
                names.setdefault(spec.key, f"{plan.label}/fold{spec.fold.index}")
        by_dataset = {plan.index.fingerprint: plan for plan in plans}
        for specs in sorted(flight.specs.values(), key=lambda each: -each[0].cost):
            spec = specs[0]
            columns = self._shared.columns(by_dataset[spec.index.fingerprint])
            fit = self.store.get(spec.key)
            if fit is not None:
                side = ray.get(columns)
                flight.fits[spec.key] = ray.put(fit)
                flight.scores[spec.key] = ray.put(tuple(score_fold(each, fit, side, stored=True) for each in specs))
                continue
            given = self._shared.inputs(spec)
            order = FitOrder(specs, self.store, threads, given.prepared_key)
            task = _fit.options(name=names[spec.key], num_cpus=threads, memory=fit_bytes)
            refs: Any = task.remote(order, columns, given.features, given.prepared, given.seen)
            flight.fits[spec.key], flight.scores[spec.key] = refs
        return flight

    def _tune(self, plans: Sequence[TrialPlan], flight: _Round) -> None:
        waits = {plan.id: [flight.score_of(spec) for spec in plan.fits] for plan in plans}
        windows = {plan.id: plan.config.score.last_eras for plan in plans}
        folder = plans[0].label.rsplit("/", 1)[0].replace("/", "-")
        # Tune's state is worth nothing to us: an earlier, killed attempt at this round must not be picked up.
        shutil.rmtree(self.settings.trial_dir / folder, ignore_errors=True)
        trainable = tune.with_parameters(_report_folds, waits=waits, windows=windows)
        tuner = tune.Tuner(
            tune.with_resources(trainable, {"memory": TRIAL_BYTES}),
            param_space={"variant": tune.grid_search([plan.id for plan in plans])},
            tune_config=tune.TuneConfig(
                reuse_actors=True,
                # Trials only report: fits run in parallel whatever their number. Each is a process to start, so a
                # small machine runs few at a time.
                max_concurrent_trials=max(1, self._machine.cores // 2),
                trial_name_creator=_trial_name,
                trial_dirname_creator=_trial_name,
            ),
            run_config=tune.RunConfig(name=folder, storage_path=str(self.settings.trial_dir.resolve()), verbose=0),
        )
        tuner.fit()


def _report_folds(config: Mapping[str, Any], waits: Mapping[str, Any], windows: Mapping[str, int]) -> None:
    """A trial: the scores of a variant's folds, reported as they come."""
    variant = config["variant"]
    places = dict(waits[variant])
    done: list[FoldScore] = []
    pending = list(places)
    while pending:
        ready, pending = ray.wait(pending, num_returns=1)
        for ref in ready:
            done.append(ray.get(ref)[places[ref]])
            metrics = metrics_of(join_scores(done), windows[variant])
            tune.report(
                {
                    "folds_done": len(done),
                    "bmc_last_200_eras_mean": metrics.primary,
                    "bmc_mean": metrics.bmc.mean,
                    "corr_mean": metrics.corr.mean,
                    "avg_corr_with_benchmark": metrics.avg_corr_with_benchmark,
                }
            )


def _smallest_node_cores() -> int:
    """How many cores a task may ask for and run on any node: binning takes them, as nothing runs beside it."""
    nodes: Any = ray.nodes()  # type: ignore[no-untyped-call]
    cores = [int(node["Resources"].get("CPU", 0)) for node in nodes if node["Alive"]]
    return min((count for count in cores if count > 0), default=1)


def _trial_name(trial: Any) -> str:
    return str(trial.config["variant"])


class _Watcher(threading.Thread):
    """Tells the progress of a round as folds arrive, whether or not their trial's process has started."""

    def __init__(self, plans: Sequence[TrialPlan], flight: _Round, on_progress: OnProgress):
        super().__init__(name="round-progress", daemon=True)
        self._plans = plans
        self._flight = flight
        self._on_progress = on_progress
        self._stop_asked = threading.Event()
        self._at_once = False

    def stop(self, *, at_once: bool = False) -> None:
        """Wait for the thread to tell what has arrived, or nothing more."""
        self._at_once = at_once
        self._stop_asked.set()
        self.join()

    def run(self) -> None:
        key_of = {ref: key for key, ref in self._flight.scores.items()}
        pending = list(key_of)
        while pending and not self._at_once:
            timeout = 0 if self._stop_asked.is_set() else 0.3
            ready, pending = ray.wait(pending, num_returns=1, timeout=timeout)
            if not ready and self._stop_asked.is_set():
                return
            for ref in ready:
                self._tell(key_of[ref], set(pending))

    def _tell(self, key: str, pending: set[Ref]) -> None:
        for plan in self._plans:
            if not any(spec.key == key for spec in plan.fits):
                continue
            there = [self._flight.score_of(spec) for spec in plan.fits]
            try:
                done = [ray.get(ref)[place] for ref, place in there if ref not in pending]
            except (RayTaskError, RayError) as error:
                self._on_progress(Progress(plan.id, 0, len(plan.fits), float("nan"), _own_words(error)))
                continue
            metrics = metrics_of(join_scores(done), plan.config.score.last_eras)
            self._on_progress(Progress(plan.id, len(done), len(plan.fits), metrics.primary))


def _outcome(plan: TrialPlan, flight: _Round) -> VariantOutcome:
    fits: list[StoredFit] = []
    scored: list[FoldScore] = []
    for spec in plan.fits:
        ref, place = flight.score_of(spec)
        try:
            fits.append(ray.get(flight.fits[spec.key]))
            scored.append(ray.get(ref)[place])
        except (RayTaskError, RayError) as error:
            return failed(plan, f"fold {spec.fold.index}: {_own_words(error)}")
    return succeeded(plan, fits, scored)


def _own_words(error: BaseException) -> str:
    """What failed, without Ray's frames; a fault of the machine ends the run instead of one trial."""
    cause = error.cause if isinstance(error, RayTaskError) else error
    if isinstance(cause, EnvironmentFault):
        raise cause
    if isinstance(cause, FitError):
        return str(cause)
    return f"{type(cause).__name__}: {cause}"


def _same_scoring(one: FitSpec, other: FitSpec) -> bool:
    return one.config.score == other.config.score


def _log_to_file(path: Path) -> None:
    """Ray's and Tune's own messages go to a file: the screen is for results."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handler = logging.FileHandler(path)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    for name in ("ray", "ray.tune", "ray.data"):
        logger = logging.getLogger(name)
        with suppress(ValueError):
            for old in list(logger.handlers):
                logger.removeHandler(old)
        logger.addHandler(handler)
        logger.propagate = False
