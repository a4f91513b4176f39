"""Runner contract: executes the variants of a round; equal plans give equal outcomes, whatever the runner."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

import numpy as np
import numpy.typing as npt

from numerai_ray.system.cluster import RoundCost, Spent

if TYPE_CHECKING:  # who only reads what a runner told imports nothing that trains
    from numerai_ray.data.dataset import Columns
    from numerai_ray.metrics.scoring import Metrics
    from numerai_ray.training.outcome import FoldScore, VariantOutcome
    from numerai_ray.training.spec import VariantPlan

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Progress:
    """What a runner tells while a round runs: a trial's folds so far and its primary metric over them.

    ``primary`` is NaN before the first fold; ``error`` is set when the trial failed, ``pruned`` when it was stopped;
    ``stored`` of the folds were not trained but read; ``fits`` tells by key whether each fit of these folds was stored.
    """

    trial: str
    folds_done: int
    folds: int
    primary: float
    error: str | None = None
    pruned: str | None = None
    stored: int = 0
    fits: Mapping[str, bool] = field(default_factory=dict)


OnProgress = Callable[[Progress], None]


class RoundRunner(Protocol):
    """Executes the trials of a round; equal plans give equal outcomes, whatever the runner."""

    @property
    def cost(self) -> RoundCost:
        """What the last round cost."""
        ...

    def spent(self) -> Spent:
        """What the round under way has used so far, nothing between rounds; may be asked at any moment, never waits."""
        ...

    def run(self, plans: Sequence[VariantPlan], on_progress: OnProgress) -> dict[str, VariantOutcome]:
        """Outcome by trial id. A trial that fails for a reason of its own has an ``error``; the others go on."""
        ...

    def columns(self, plan: VariantPlan) -> Columns:
        """Ids, targets and benchmarks of the plan's dataset."""
        ...


def progress_of(plan: VariantPlan, scored: Sequence[FoldScore], metrics: Metrics) -> Progress:
    """What is told after a fold: those so far, and how many of them were read from the store."""
    stored = sum(all(record.stored for record in fold.records) for fold in scored)
    fits = {record.key: record.stored for fold in scored for record in fold.records}
    return Progress(plan.id, len(scored), len(plan.fold_fits), metrics.primary, stored=stored, fits=fits)
