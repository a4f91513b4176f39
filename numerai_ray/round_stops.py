"""Who is stopped in a round that is under way, as its scores arrive; the rule itself is in `pruning`."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

from numerai_ray.data.eras import least_honest_gap
from numerai_ray.metrics.significance import Series
from numerai_ray.pruning import PruningRule, Stopped, stopped
from numerai_ray.training.assembly import is_stacked
from numerai_ray.training.spec import TrialPlan


@dataclass
class Stops:
    """Who is stopped in a round, by the scores that have arrived; any order of arrival leads to the same end."""

    plans: Sequence[TrialPlan]
    found: dict[str, Stopped] = field(default_factory=dict)
    _arrived: dict[str, dict[int, Series | None]] = field(default_factory=dict)

    def arrive(self, trial: str, fold: int, bmc: Series | None) -> dict[str, Stopped]:
        """Note a fold's score (None: its fit failed); returns the trials that are hopeless since."""
        if not self.may_stop:
            return {}
        self._arrived.setdefault(trial, {})[fold] = bmc
        arrived = {plan.id: self._arrived.get(plan.id, {}) for plan in self._looked_at}
        overlap = least_honest_gap(tuple(plan.config.score.target for plan in self.plans)) - 1
        now = stopped(arrived, PruningRule(self.may_stop, self._folds(), overlap))
        new = {trial: why for trial, why in now.items() if trial not in self.found}
        self.found |= new
        return new

    @cached_property
    def may_stop(self) -> frozenset[str]:
        """Trials that may be stopped; where there are none, nothing is looked at."""
        return frozenset(plan.id for plan in self._looked_at if plan.may_stop)

    @property
    def _looked_at(self) -> list[TrialPlan]:
        """All but stacks: a stacked fold waits for the folds before it, and everybody's look would wait for it."""
        return [plan for plan in self.plans if not is_stacked(plan)]

    def _folds(self) -> tuple[int, ...]:
        """The order of looks: as fits are trained, the largest first."""
        rows = {spec.fold.index: spec.train_rows for plan in self.plans for spec in plan.fits}
        return tuple(sorted(rows, key=lambda fold: (-rows[fold], -fold)))
