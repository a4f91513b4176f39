"""What is stored needs no Ray: a round without a fit to train is scored right here.

Ray's import and start cost seconds, and a round that changes only how predictions are scored has nothing for it to
do; so the runner that trains is made when there is something to train.
"""

from collections.abc import Callable, Sequence
from typing import Protocol

from numerai_ray.data.dataset import Columns
from numerai_ray.fold_runner import InProcessRunner, OnProgress, RoundRunner
from numerai_ray.system.cluster import RoundCost, Spent
from numerai_ray.system.process import finish_first
from numerai_ray.training.outcome import VariantOutcome
from numerai_ray.training.spec import TrialPlan
from numerai_ray.training.store.fits import FitStore, is_stored


class ClosingRunner(RoundRunner, Protocol):
    """A runner that holds processes."""

    @property
    def dashboard_url(self) -> str | None: ...

    def shared_bytes(self) -> int: ...

    def close(self) -> None: ...


class StoredFirst:
    """Scores stored rounds in this process, and hands the others to the runner that ``make`` makes on first need.

    ``cores`` are what that runner will have, 0 where that shows only then.
    """

    def __init__(self, store: FitStore, threads: int, make: Callable[[], ClosingRunner], cores: int = 0):
        self.store = store
        self._local = InProcessRunner(store, threads)
        self._make, self._cores = make, cores
        self._training: ClosingRunner | None = None
        self._last: RoundRunner = self._local

    def run(self, plans: Sequence[TrialPlan], on_progress: OnProgress) -> dict[str, VariantOutcome]:
        if all(is_stored(self.store, spec) for plan in plans for spec in plan.fits):
            self._last = self._local
            return self._last.run(plans, on_progress)
        if self._training is None:
            with finish_first():  # a library of which half was imported cannot be imported again
                self._training = self._make()
        self._last = self._training
        return self._last.run(plans, on_progress)

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

    def spent(self) -> Spent:
        now = self._last.spent()
        return Spent(now.core_s, self._cores if self._training is None else self._training.spent().cores)

    def close(self) -> None:
        if self._training is not None:
            self._training.close()
