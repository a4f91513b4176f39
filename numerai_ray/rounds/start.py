"""Round start: what watchers are told when a round begins, the fits that it asks for among it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from numerai_ray.config.plan_schema import Stage
from numerai_ray.experiment.records import VariantRecord
from numerai_ray.metrics.registry import BMC

if TYPE_CHECKING:  # who only shows a round imports nothing that trains
    from numerai_ray.training.spec import VariantPlan


@dataclass(frozen=True)
class FitWork:
    """A fit as work to be done: ``task`` is its name while it runs, ``cost`` its training time relative to others.

    Fits of one ``family`` are one training, as long as the costliest of them.
    """

    task: str
    family: str
    cost: float


@dataclass(frozen=True)
class RoundStart:
    """What a watcher is told when a round begins.

    ``trials`` maps ids to names, ``folds`` has their number by id, ``known`` ran in earlier rounds. ``fits`` are those
    of each trial, by key: trials may share some. ``metric`` is what decides. ``rows`` are those that all its trials
    predict.
    """

    number: int
    stage: Stage
    dimension: str | None
    trials: Mapping[str, str]
    folds: Mapping[str, int]
    known: tuple[VariantRecord, ...]
    fits: Mapping[str, Mapping[str, FitWork]] = field(default_factory=dict)
    metric: str = BMC.name
    rows: int = 0


def fit_work(plans: Sequence[VariantPlan]) -> dict[str, dict[str, FitWork]]:
    """By trial and key, the fits of a round; a shared one is named after the first trial that asks for it."""
    found: dict[str, FitWork] = {}
    for plan in plans:
        for fit in plan.fits:
            if fit.key not in found:
                found[fit.key] = FitWork(f"{plan.label}/fold{fit.fold.index}", fit.family, fit.cost)
    return {plan.id: {fit.key: found[fit.key] for fit in plan.fits} for plan in plans}
