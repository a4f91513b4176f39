"""Work as Ray tasks beside fits: folds put together and scored, diagnostics, and independent pieces such as refits.

A fold's features are read from their file by the task itself, an era at a time: neither the driver nor the object
store ever holds them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import ray
from ray.exceptions import RayError, RayTaskError

from numerai_ray.data.dataset import Columns
from numerai_ray.errors import EnvironmentFault, FitError, NumeraiRayError
from numerai_ray.runners.ray import FIT_RETRIES
from numerai_ray.runners.ray.fit_tasks import Flight, Looks, error_text, unless_failed
from numerai_ray.runners.ray.placement import alive_nodes, ask_for, let_go, wait_for_nodes
from numerai_ray.runners.ray.shared_data import Ref
from numerai_ray.runners.ray.start import RaySettings, connect, disconnect, smallest_node_cores
from numerai_ray.system.cluster import check_room
from numerai_ray.system.machine import this_machine
from numerai_ray.system.resources import Needs
from numerai_ray.training.assembly import assemble_fold, folds_needed, is_assembled
from numerai_ray.training.batches import Trained
from numerai_ray.training.diagnostics import Diagnosis, alike, diagnose_fold, joined
from numerai_ray.training.linear_parts import LinearParts
from numerai_ray.training.outcome import fit_record, score_assembled
from numerai_ray.training.spec import FitSpec, VariantPlan
from numerai_ray.training.store.fits import StoredFit

Floats = npt.NDArray[np.float64]
# A row group of all features, held twice while it is read, and an era of it as numbers.
TASK_BYTES = 2**30


@ray.remote(max_retries=FIT_RETRIES)
def assemble_task(plans: list[VariantPlan], position: int, columns: Columns, *made: Trained) -> tuple[Any, ...]:
    """A fold of ``plans`` that are put together from the same fits: each one's prediction, then all of their scores.

    Where a fit failed, why it did stands in the place of each. What ``plans`` share of a neutralization is solved once.
    """
    parts = LinearParts()
    try:
        there = _fits(plans[0], position, made)
        stored = frozenset(key for trained in made for key in trained.stored)
        specs = plans[0].fold_fits[position]
        records = [fit_record(spec, there[spec.key], stored=spec.key in stored) for spec in specs]
        each = [assemble_fold(plan, position, there, columns, parts=parts) for plan in plans]
        scores = [score_assembled(plan, position, own, records, columns) for plan, own in zip(plans, each, strict=True)]
        return (*(own.prediction for own in each), tuple(scores))
    except FitError as error:
        return (*[error] * len(plans), (error,) * len(plans))


def _fits(plan: VariantPlan, position: int, made: Sequence[Trained]) -> dict[str, StoredFit]:
    """The fits that a fold is made of, by key; raises why the first of them failed that did."""
    fits = {key: fit for trained in made for key, fit in trained.fits.items()}
    needed = [spec for each in folds_needed(plan, position) for spec in plan.fold_fits[each]]
    return {spec.key: unless_failed(_placed(fits[spec.key], spec)) for spec in needed}


def _placed(fit: StoredFit | FitError, spec: FitSpec) -> StoredFit | FitError:
    """A failure says which fit of the fold it was."""
    return FitError(f"{spec.place}: {fit}") if isinstance(fit, FitError) else fit


@ray.remote(num_cpus=1, max_retries=FIT_RETRIES)
def diagnose_task(
    plans: list[VariantPlan], position: int, columns: Columns, after: object, *made: Trained | Floats | FitError
) -> list[Diagnosis | None]:
    """What predictions of one fold lean on; ``made`` is each one's prediction, or the one fit that it is.

    None stands for a prediction that failed. Ray runs it when there is what it is made of, and ``after``.
    """
    del after
    predictions = [_prediction(plan, position, each) for plan, each in zip(plans, made, strict=True)]
    there = [each for each in predictions if each is not None]
    found = iter(diagnose_fold(plans[0], position, there, columns) if there else ())
    return [None if each is None else next(found) for each in predictions]


def _prediction(plan: VariantPlan, position: int, made: Trained | Floats | FitError) -> Floats | None:
    if isinstance(made, Trained):
        (spec,) = plan.fold_fits[position]
        fit = made.fits[spec.key]
        return None if isinstance(fit, FitError) else fit.predictions
    return None if isinstance(made, FitError) else made


def submit_assemblies(flight: Flight, plans: Sequence[VariantPlan], columns: Mapping[str, Ref]) -> None:
    """Have every fold that is more than one fit put together; ``columns`` are by trial."""
    for plan in plans:
        if is_assembled(plan):
            flight.folds[plan.id], flight.predictions[plan.id] = [], []
        else:
            flight.folds[plan.id] = [flight.score_of(spec) for spec in plan.fits]
    for group in made_together([plan for plan in plans if is_assembled(plan)]):
        first, group_ref = group[0], ray.put(group)
        for position, fold in enumerate(first.folds.trainable):
            keys = [spec.key for each in folds_needed(first, position) for spec in first.fold_fits[each]]
            parts = dict.fromkeys(flight.fits[key] for key in keys)
            # No core is asked for: it would be given to a fit first, and what hopes to be pruned would wait.
            task = assemble_task.options(
                name=f"{first.label}/put together {fold.index}",
                num_cpus=0,
                num_returns=len(group) + 1,
                memory=TASK_BYTES if first.neutralizers else 0,
            )
            refs: Any = task.remote(group_ref, position, columns[first.id], *parts)
            for place, plan in enumerate(group):
                flight.predictions[plan.id].append(refs[place])
                flight.folds[plan.id].append((refs[-1], place))


def made_together(plans: Sequence[VariantPlan]) -> list[list[VariantPlan]]:
    """``plans`` in groups that differ in the proportion of a neutralization alone: what it takes out is the same."""
    groups: dict[object, list[VariantPlan]] = {}
    for plan in plans:
        post = plan.config.post
        same: object = plan.id
        if post.neutralize is not None:
            whole = post.model_copy(update={"neutralize": post.neutralize.model_copy(update={"proportion": 1.0})})
            config = plan.config.model_copy(update={"post": whole})
            same = (config.fingerprint(), tuple(spec.key for spec in plan.fits))
        groups.setdefault(same, []).append(plan)
    return list(groups.values())


def submit_diagnostics(
    flight: Flight, plans: Sequence[VariantPlan], columns: Mapping[str, Ref], after: Ref | None = None, **room: Any
) -> list[Looks]:
    """Have every fold of ``plans`` looked at when it and ``after`` are there; ``room`` is what Ray is asked for."""
    asked: list[Looks] = []
    for group in alike(plans):
        first, group_ref = group[0], ray.put(group)
        refs: list[Any] = []
        for position, fold in enumerate(first.folds.trainable):
            made = [_made(flight, plan, position) for plan in group]
            task = diagnose_task.options(name=f"{first.label.rpartition('/')[0]}/diagnose {fold.index}", **room)
            refs.append(task.remote(group_ref, position, columns[first.id], after, *made))
        asked.append((group, refs))
    return asked


def diagnosed(flight: Flight, plans: Sequence[VariantPlan], columns: Mapping[str, Ref]) -> dict[str, Diagnosis]:
    """A look at trials that succeeded, by their id; one that cannot be looked at is left out and loses nothing else."""
    found = _looked(flight.looks)
    # Those that shared a look with a trial that crashed or was stopped, and those that nobody expected to need one.
    rest = [plan for plan in plans if plan.id not in found]
    found |= _looked(submit_diagnostics(flight, rest, columns))
    return {plan.id: found[plan.id] for plan in plans if plan.id in found}


def _looked(asked: Sequence[Looks]) -> dict[str, Diagnosis]:
    found = {}
    for group, refs in asked:
        try:
            folds: list[list[Diagnosis | None]] = ray.get(refs)
        except (RayTaskError, RayError, NumeraiRayError) as error:
            error_text(error)  # raises what is no fault of the trial
            continue
        for plan, looks in zip(group, zip(*folds, strict=True), strict=True):
            there = [look for look in looks if look is not None]
            if len(there) == len(looks):
                found[plan.id] = joined(there)
    return found


def _made(flight: Flight, plan: VariantPlan, position: int) -> Ref:
    """Where the prediction of a fold is, or the one fit that it is."""
    if is_assembled(plan):
        return flight.predictions[plan.id][position]
    return flight.fits[plan.fold_fits[position][0].key]


T = TypeVar("T")
R = TypeVar("R")


def _nothing(_: object) -> Needs:
    return Needs()


def run_on_ray(
    function: Callable[[T, int], R],
    items: Sequence[T],
    name: str,
    settings: RaySettings,
    needs: Callable[[T], Needs] = _nothing,
) -> list[R]:
    """``function(item, threads)`` for each item, in their order; ``settings`` say where Ray runs.

    ``needs`` is what an item asks of its node. Without a number of cores it takes as many as every node has, so that
    it may run on any.

    Raises:
        EnvironmentFault: Ray does not start, or a node that was needed is gone for good.
        ResourceShortage: no node has what an item asks for.
        NumeraiRayError: what ``function`` raises on purpose.

    """
    connect(settings, this_machine(), store_bytes=0)
    try:
        asked = [needs(item) for item in items]
        ask_for(asked)
        check_room(alive_nodes() if settings.address is None else wait_for_nodes(max(e.gpus for e in asked)), asked)
        cores = smallest_node_cores()
        task = ray.remote(function)
        refs = []
        for item, each in zip(items, asked, strict=True):
            threads = each.cores or cores
            own = task.options(
                num_cpus=threads, num_gpus=each.gpus, memory=each.memory_bytes or 0, max_retries=3, name=name
            )
            refs.append(own.remote(item, threads))
        return list(ray.get(refs))
    except ray.exceptions.RayTaskError as error:
        cause = error.cause
        if isinstance(cause, NumeraiRayError):
            raise cause from None
        raise FitError(f"{name}: {type(cause).__name__}: {cause}") from error
    except ray.exceptions.RayError as error:
        raise EnvironmentFault(
            f"{name}: Ray gave up ({str(error).splitlines()[0]}); run the same command again"
        ) from None
    finally:
        let_go()
        disconnect()
