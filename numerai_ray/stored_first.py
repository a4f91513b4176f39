"""What is stored needs no Ray: a round without a fit to train is scored right here.

Ray's import and start cost seconds, and a round that changes only how predictions are scored has nothing for it to
do; so the runner that trains is made when there is something to train.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Protocol

from numerai_ray.assembly import is_assembled
from numerai_ray.cluster_plan import RoundCost
from numerai_ray.config import PostConfig
from numerai_ray.dataset import Columns
from numerai_ray.fit_store import FitStore
from numerai_ray.fold_runner import InProcessRunner, OnProgress, RoundRunner, VariantOutcome
from numerai_ray.results import FoldRecord
from numerai_ray.trial_plan import FitSpec, TrialPlan


def _as_trained(fit: FoldRecord, trained: Mapping[str, FoldRecord]) -> FoldRecord:
    """The fit's record with what its training took, where it was trained in this round."""
    ran = trained.get(fit.key)
    return fit if ran is None else replace(fit, seconds=ran.seconds, stored=ran.stored)


def _pieces(plan: TrialPlan, new: set[str]) -> list[TrialPlan]:
    """A trial's fits as trials of their own, one fit a fold and nothing after it: those with a fit in ``new``."""
    parts: dict[str, list[FitSpec]] = {}
    for spec in plan.fits:
        parts.setdefault(spec.asked.part, []).append(spec)
    round_label, _, _ = plan.label.rpartition("/")
    return [
        replace(
            plan,
            id=f"{plan.id}.{number}",
            label=f"{round_label}-fits/{plan.id}.{number}",
            config=specs[0].config.model_copy(update={"ensemble": None, "post": PostConfig()}),
            fits=tuple(specs),
            neutralizers=(),
            may_stop=False,
        )
        for number, specs in enumerate(parts.values())
        if any(spec.key in new for spec in specs)
    ]


class ClosingRunner(RoundRunner, Protocol):
    """A runner that holds processes."""

    @property
    def dashboard_url(self) -> str | None: ...

    def shared_bytes(self) -> int: ...

    def close(self) -> None: ...


class StoredFirst:
    """Scores stored rounds in this process, and hands the others to the runner that ``make`` makes on first need."""

    def __init__(self, store: FitStore, threads: int, make: Callable[[], ClosingRunner]):
        self.store = store
        self._local = InProcessRunner(store, threads)
        self._make = make
        self._training: ClosingRunner | None = None
        self._last: RoundRunner = self._local

    def run(self, plans: Sequence[TrialPlan], on_progress: OnProgress) -> dict[str, VariantOutcome]:
        if all(self.store.has(spec.key) for plan in plans for spec in plan.fits):
            self._last = self._local
            return self._last.run(plans, on_progress)
        self._training = self._training or self._make()
        self._last = self._training
        assembled = [plan for plan in plans if is_assembled(plan)]
        if not assembled:
            return self._last.run(plans, on_progress)
        found = self._assembled(self._training, assembled, on_progress)
        simple = [plan for plan in plans if plan.id not in found]
        if simple:
            found |= self._training.run(simple, on_progress)
        return {plan.id: found[plan.id] for plan in plans}

    def _assembled(
        self, training: ClosingRunner, plans: Sequence[TrialPlan], on_progress: OnProgress
    ) -> dict[str, VariantOutcome]:
        """Trials put together from several fits, or worked on afterwards: fits on Ray, the short rest here."""
        new = {spec.key for plan in plans for spec in plan.fits if not self.store.has(spec.key)}
        pieces = [piece for plan in plans for piece in _pieces(plan, new)]
        trained = training.run(pieces, lambda _: None) if pieces else {}
        records = {record.key: record for outcome in trained.values() for record in outcome.folds}
        return {
            trial: replace(outcome, folds=tuple(_as_trained(each, records) for each in outcome.folds))
            for trial, outcome in self._local.run(plans, on_progress).items()
        }

    def columns(self, plan: TrialPlan) -> Columns:
        return self._last.columns(plan)

    @property
    def dashboard_url(self) -> str | None:
        """Where Ray's dashboard is, once there was something to train."""
        return None if self._training is None else self._training.dashboard_url

    def shared_bytes(self) -> int:
        """Bytes of the dataset that the current round shares."""
        return 0 if self._training is None else self._training.shared_bytes()

    @property
    def cost(self) -> RoundCost:
        """What the last round cost."""
        return self._last.cost

    def close(self) -> None:
        if self._training is not None:
            self._training.close()
