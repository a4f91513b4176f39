"""Fit tasks: a fit on Ray, trained, stored and scored where its data lies.

One whose worker was killed for its memory is tried again alone on its node.
"""

from __future__ import annotations

import fcntl
import os
import platform
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, TypeVar

import ray
from ray.exceptions import (
    LocalRayletDiedError,
    NodeDiedError,
    ObjectLostError,
    OutOfMemoryError,
    RayError,
    RaySystemError,
    RayTaskError,
    WorkerCrashedError,
)

from numerai_ray.data.dataset import Columns
from numerai_ray.errors import EnvironmentFault, FitError, NumeraiRayError
from numerai_ray.models import Compiled, Model
from numerai_ray.models.reports import listening
from numerai_ray.runners.ray import FIT_RETRIES
from numerai_ray.runners.ray.monitoring import Pulse
from numerai_ray.runners.ray.placement import Environment, check_here
from numerai_ray.runners.ray.shared_data import InputShape, Ref, fit_bytes
from numerai_ray.system.files import open_own, own_temporary_folder
from numerai_ray.system.machine import give_back_memory
from numerai_ray.system.resources import GB
from numerai_ray.system.timeline import Span, record
from numerai_ray.training.batches import Trained, Training, carry_out
from numerai_ray.training.fit import run_fits
from numerai_ray.training.outcome import FoldScore, score_fold
from numerai_ray.training.spec import FitSpec, VariantPlan
from numerai_ray.training.store.fits import FitStore, StoredFit


@contextmanager
def lone_retry(run: str, family: str) -> Iterator[bool]:
    """Hold room for a fit while the block runs; yields whether it is alone because an earlier attempt was killed.

    Args:
        run: tells runs apart: an earlier run that was killed as a whole says nothing about memory.
        family: what is trained.

    """
    folder = own_temporary_folder()
    if folder is None:
        yield False
        return
    try:
        mark = folder / f"{run}-{family[:16]}"
        again = mark.exists()
        mark.touch()
        handle = open_own(folder / f"room-{run}", "a")
    except OSError:  # no room for marks: then without this care
        yield False
        return
    try:
        with handle:
            fcntl.flock(handle, fcntl.LOCK_EX if again else fcntl.LOCK_SH)
            yield again
    finally:
        # Not reached by a process that is killed, which is the point of it.
        with suppress(OSError):
            mark.unlink(missing_ok=True)


def forget_lone_retries(run: str) -> None:
    """Remove what a run left on this machine."""
    folder = own_temporary_folder()
    for path in [] if folder is None else [*folder.glob(f"{run}-*"), folder / f"room-{run}"]:
        with suppress(OSError):
            path.unlink(missing_ok=True)


T = TypeVar("T")
# Ray's words for a node, or all of Ray, having gone.
LOST = (LocalRayletDiedError, NodeDiedError, ObjectLostError, RaySystemError)


@dataclass(frozen=True, eq=False)
class FitOrder:
    """One training and how it is scored: ``scored`` are its specs, several of one key where scorings differ."""

    training: Training
    scored: tuple[FitSpec, ...]
    store: FitStore
    threads: int
    inputs: InputShape
    run: str
    origin: str
    label: str = "fit"
    environment: Environment = ()


@ray.remote(num_returns=3, max_retries=FIT_RETRIES)
def fit_task(order: FitOrder, columns: Columns, *given: Any) -> tuple[Trained, tuple[FoldScore | FitError, ...], Span]:
    """Train, keep and score one fold; the scores come apart, so that a trial never moves predictions.

    Last comes when it ran.
    """
    began, clock, cpu = time.time(), time.perf_counter(), time.process_time()
    check_here(order.environment)
    features = order.inputs.put_together(given)

    def train(specs: Sequence[FitSpec]) -> list[StoredFit]:
        return run_fits(specs, features, columns, order.threads, keep_model=order.store.keep_models)

    with lone_retry(order.run, order.training.longest.family), Pulse(order.label).beating() as pulse, listening(pulse):
        trained = carry_out(order.training, order.store, train, order.origin)
    give_back_memory()  # this process waits for its next fit, while others may be in the middle of theirs
    scores = scores_of(order.scored, trained, columns)
    took, cpu_s = time.perf_counter() - clock, time.process_time() - cpu
    lane = f"{platform.node()}, worker {os.getpid()}"
    return trained, scores, Span("fit", lane, began, took, cpu_s, took, cpu_s, cores=order.threads)


@ray.remote(num_cpus=1, max_retries=0)
def warm_up(models: Sequence[Model]) -> int:
    """Import what fits of these models need (handing them over does): a process's first fit takes seconds longer."""
    for model in models:
        if isinstance(model, Compiled):
            model.warm_up()
    return len(models)


def scores_of(specs: Sequence[FitSpec], trained: Trained, columns: Columns) -> tuple[FoldScore | FitError, ...]:
    """The score of each spec, or why its fit failed."""
    found: list[FoldScore | FitError] = []
    for spec in specs:
        fit = trained.fits[spec.key]
        stored = spec.key in trained.stored
        found.append(fit if isinstance(fit, FitError) else score_fold(spec, fit, columns, stored=stored))
    return tuple(found)


# By trial, where the score of each fold will be: the scores of a training, and the place in them.
Waits = Mapping[str, Sequence[tuple[Ref, int]]]
# Trials that one look serves, and by fold where what is seen of each of them will be.
Looks = tuple[list[VariantPlan], list[Ref]]


@dataclass(eq=False)
class Flight:
    """A round in flight: by key of a fit, where its predictions and scores will be.

    ``scored`` are the specs whose scores lie together under one reference, in their order. By trial, ``folds`` are
    where the scores of its folds will be (a reference, and the place in it), ``predictions`` those of folds that are
    put together. ``looks`` are the diagnoses that were asked for ahead; ``times`` say when trainings ran.
    """

    fits: dict[str, Ref] = field(default_factory=dict)
    scores: dict[str, Ref] = field(default_factory=dict)
    scored: dict[str, tuple[FitSpec, ...]] = field(default_factory=dict)
    folds: dict[str, list[tuple[Ref, int]]] = field(default_factory=dict)
    predictions: dict[str, list[Ref]] = field(default_factory=dict)
    looks: list[Looks] = field(default_factory=list)
    times: list[Ref] = field(default_factory=list)
    _arrived: dict[Ref, Sequence[FoldScore | FitError]] = field(default_factory=dict)

    def put(self, keys: Iterable[str], refs: tuple[Ref, Ref], scored: tuple[FitSpec, ...]) -> None:
        """Note where the fits ``keys`` and the scores of ``scored`` will be."""
        for key in keys:
            self.fits[key], self.scores[key] = refs
            self.scored[key] = scored

    def score_of(self, spec: FitSpec) -> tuple[Ref, int]:
        """Where the score of ``spec`` is found: scores, and the place in them."""
        together = self.scored[spec.key]
        position = next(i for i, each in enumerate(together) if each.key == spec.key and _same_scoring(each, spec))
        return self.scores[spec.key], position

    def score(self, ref: Ref, place: int) -> FoldScore:
        """The score at ``place`` of what is, or will be, at a reference; asked of Ray once for all of them.

        Raises:
            FitError: the fit failed.
            RayError: its task did.

        """
        if ref not in self._arrived:
            self._arrived[ref] = ray.get(ref)
        return unless_failed(self._arrived[ref][place])

    def let_go(self, plan: VariantPlan, others: Iterable[VariantPlan]) -> None:
        """Cancel the fits of a trial that no other trial needs, and what puts it together and no other."""
        others = list(others)
        needed = {self.fits[spec.key] for other in others for spec in other.fits}
        for ref in {self.fits[spec.key] for spec in plan.fits} - needed:
            ray.cancel(ref, force=True)
        shared = {ref.task_id() for other in others for ref in self.predictions.get(other.id, ())}
        for ref in self.predictions.get(plan.id, ()):
            if ref.task_id() not in shared:
                ray.cancel(ref, force=True)

    def record_times(self) -> None:
        """Add to the timeline when each training ran; of what failed or was let go nothing is known."""
        for time_s in got(self.times):
            if not isinstance(time_s, Exception):
                record(time_s)

    def cancel(self) -> None:
        """Let go of everything that has not finished."""
        assemblies = (ref for refs in self.predictions.values() for ref in refs)
        looks = (ref for _, refs in self.looks for ref in refs)
        for ref in {*self.fits.values(), *assemblies, *looks}:
            ray.cancel(ref, force=True)


def got(refs: Sequence[Ref]) -> list[Any]:
    """What is at references, the error in the place of what failed: at once, as each question of its own takes long."""
    try:
        return list(ray.get(list(refs)))
    except (RayError, NumeraiRayError):
        return [_got(ref) for ref in refs]


def _got(ref: Ref) -> Any:
    try:
        return ray.get(ref)
    except (RayError, NumeraiRayError) as error:
        return error


def unless_failed(value: T | FitError) -> T:
    """``value``, or raise what stands in its place."""
    if isinstance(value, FitError):
        raise value
    return value


def distinct_scorings(specs: Iterable[FitSpec]) -> dict[str, tuple[FitSpec, ...]]:
    """By key, one spec for each way in which the fit is scored."""
    found: dict[str, tuple[FitSpec, ...]] = {}
    for spec in specs:
        together = found.get(spec.key, ())
        if not any(_same_scoring(spec, each) for each in together):
            found[spec.key] = (*together, spec)
    return found


class ClusterLost(NumeraiRayError):
    """What a round held on Ray is gone, with a node or with Ray itself; what is stored is not."""


def error_text(error: BaseException, spec: FitSpec | None = None) -> str:
    """What failed, without Ray's frames; a fault of the machine or of Ray is no fault of the trial, and is raised."""
    cause: Any = error.cause if isinstance(error, RayTaskError) else error
    if isinstance(cause, EnvironmentFault):
        raise cause
    if isinstance(cause, LOST):
        raise ClusterLost(f"{type(cause).__name__}: {str(cause).splitlines()[0]}") from cause
    if isinstance(cause, FitError):
        return str(cause)
    if isinstance(cause, (OutOfMemoryError, WorkerCrashedError)) and spec is not None:
        return killed_text(spec, out_of_memory=isinstance(cause, OutOfMemoryError))
    return f"{type(cause).__name__}: {cause}"


def killed_text(spec: FitSpec, *, out_of_memory: bool) -> str:
    """What to do about a fit whose process was killed at every attempt, the later ones alone on their node."""
    rows, features = spec.index.n_rows, len(spec.features)
    needs = fit_bytes(spec) / GB
    why = "ran out of memory" if out_of_memory else "was killed without a word, most likely for memory"
    asked = spec.needs.memory_bytes is not None
    number = f"model.resources.memory_gb says {needs:.1f} GB" if asked else f"the estimate is {needs:.1f} GB"
    also = "raise memory_gb, " if asked else ""
    return (
        f"its process {why} {FIT_RETRIES + 1} times, the last ones alone on their node; {number} "
        f"({rows:,} rows x {features:,} features): {also}use a smaller feature_set or downsampled data, or a machine "
        f"with more memory"
    )


def _same_scoring(one: FitSpec, other: FitSpec) -> bool:
    return one.config.score == other.config.score
