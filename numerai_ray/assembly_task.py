"""What is made of fits, as Ray tasks: a fold put together and scored as soon as its fits are there; a look at it.

A fold's features are read from their file by the task itself, an era at a time: neither the driver nor the object
store ever holds them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from numerai_ray.ray_start import FIT_RETRIES

# isort: split
import ray
from ray.exceptions import RayError, RayTaskError

from numerai_ray.assembly import assemble_fold, folds_needed, is_assembled
from numerai_ray.dataset import Columns
from numerai_ray.diagnosis import Diagnosis, alike, diagnose_fold, joined
from numerai_ray.errors import FitError, NumeraiRayError
from numerai_ray.fit_store import StoredFit
from numerai_ray.fit_task import Flight, own_words, unless_failed
from numerai_ray.fold_runner import FoldScore, fit_record, score_assembled
from numerai_ray.shared_dataset import Ref
from numerai_ray.trainings import Trained
from numerai_ray.trial_plan import FitSpec, TrialPlan

Floats = npt.NDArray[np.float64]
# A row group of all features, held twice while it is read, and an era of it as numbers.
TASK_BYTES = 2**30


@ray.remote(num_returns=2, max_retries=FIT_RETRIES)
def assemble_task(
    plan: TrialPlan, position: int, columns: Columns, *made: Trained
) -> tuple[Floats | FitError, tuple[FoldScore | FitError]]:
    """A fold's prediction and its score, or why one of its fits failed in the place of both."""
    try:
        fits = {key: fit for trained in made for key, fit in trained.fits.items()}
        needed = [spec for each in folds_needed(plan, position) for spec in plan.fold_fits[each]]
        there = {}
        for spec in needed:
            there[spec.key] = unless_failed(_placed(fits[spec.key], spec))
        stored = frozenset(key for trained in made for key in trained.stored)
        records = [fit_record(spec, there[spec.key], stored=spec.key in stored) for spec in plan.fold_fits[position]]
        made_of = assemble_fold(plan, position, there, columns)
        return made_of.prediction, (score_assembled(plan, position, made_of, records, columns),)
    except FitError as error:
        return error, (error,)


def _placed(fit: StoredFit | FitError, spec: FitSpec) -> StoredFit | FitError:
    """A failure says which fit of the fold it was."""
    return FitError(f"{spec.place}: {fit}") if isinstance(fit, FitError) else fit


@ray.remote(num_cpus=1, max_retries=FIT_RETRIES)
def diagnose_task(plans: list[TrialPlan], position: int, columns: Columns, *made: Trained | Floats) -> list[Diagnosis]:
    """What predictions of one fold lean on; ``made`` is each one's prediction, or the one fit that it is."""
    predictions = []
    for plan, each in zip(plans, made, strict=True):
        if isinstance(each, Trained):
            (spec,) = plan.fold_fits[position]
            predictions.append(unless_failed(each.fits[spec.key]).predictions)
        else:
            predictions.append(each)
    return diagnose_fold(plans[0], position, predictions, columns)


def submit_assemblies(flight: Flight, plans: Sequence[TrialPlan], columns: Mapping[str, Ref]) -> None:
    """Have every fold that is more than one fit put together; ``columns`` are by trial."""
    for plan in plans:
        if not is_assembled(plan):
            flight.folds[plan.id] = [flight.score_of(spec) for spec in plan.fits]
            continue
        plan_ref = ray.put(plan)
        flight.folds[plan.id], flight.predictions[plan.id] = [], []
        for position, fold in enumerate(plan.folds.trainable):
            keys = [spec.key for each in folds_needed(plan, position) for spec in plan.fold_fits[each]]
            parts = dict.fromkeys(flight.fits[key] for key in keys)
            # No core is asked for: it would be given to a fit first, and what hopes to be pruned would wait.
            task = assemble_task.options(
                name=f"{plan.label}/put together {fold.index}",
                num_cpus=0,
                memory=TASK_BYTES if plan.neutralizers else 0,
            )
            refs: Any = task.remote(plan_ref, position, columns[plan.id], *parts)
            flight.predictions[plan.id].append(refs[0])
            flight.folds[plan.id].append((refs[1], 0))


def diagnosed(flight: Flight, plans: Sequence[TrialPlan], columns: Mapping[str, Ref]) -> dict[str, Diagnosis]:
    """A look at trials that succeeded, by their id; one that cannot be looked at is left out and loses nothing else."""
    asked: list[tuple[list[TrialPlan], list[Ref]]] = []
    for group in alike(plans):
        first, group_ref = group[0], ray.put(group)
        refs: list[Any] = []
        for position, fold in enumerate(first.folds.trainable):
            made = [_made(flight, plan, position) for plan in group]
            task = diagnose_task.options(name=f"{first.label.rpartition('/')[0]}/diagnose {fold.index}")
            refs.append(task.remote(group_ref, position, columns[first.id], *made))
        asked.append((group, refs))
    found = {}
    for group, refs in asked:
        try:
            looks = ray.get(refs)
        except (RayTaskError, RayError, NumeraiRayError) as error:
            own_words(error)  # raises what is no fault of the trial
            continue
        for place, plan in enumerate(group):
            found[plan.id] = joined([look[place] for look in looks])
    return found


def _made(flight: Flight, plan: TrialPlan, position: int) -> Ref:
    """Where the prediction of a fold is, or the one fit that it is."""
    if is_assembled(plan):
        return flight.predictions[plan.id][position]
    return flight.fits[plan.fold_fits[position][0].key]
