"""Optuna chooses the values: ask/tell in memory, from all results so far, the same answers after a restart.

Every question makes its study anew from the ledger's results and a seed, so an answer depends on nothing else: not on
how often the run was interrupted, and not on what a storage holds. A dimension is asked for alone (a study with one
fixed distribution); optuna's ``PartialFixedSampler`` would leave the fixed ones out of its model. Failed trials are
told FAIL: a NaN would leave them running, and their surroundings shunned.
"""

import math
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.trial import TrialState, create_trial

from numerai_ray.config import canonical_json
from numerai_ray.config.ranges import is_number, mapped
from numerai_ray.config.search_space import Dimension
from numerai_ray.rounds.samplers import Ask, JointAsk, ListedSampler, Seen

# So many times a sampler may name a value that ran before the widest gap is taken instead.
MOST_ASKS = 40
# Fewer results than these for each dimension say nothing about what matters.
RESULTS_A_DIMENSION = 5
# Nor does a first place that luck decides: it must hold in so many of these draws of four fifths of the results.
DRAWS, HELD, DRAWN = 20, 18, 0.8
# PED-ANOVA asks what the good results have in common. Optuna takes the best tenth; of a dozen results that is one, and
# chance: of 8 planted ones it never named the right dimension. So at least these many, up to a third of all.
GOOD_RESULTS, MOST_GOOD, LEAST_GOOD = 8, 1 / 3, 0.1


class OptunaSampler(ListedSampler):
    """TPE (Bergstra et al. 2011) after a first round that covers the range."""

    def __init__(self, seed: int = 0):
        self.seed = seed
        self._told: tuple[Sequence[tuple[Mapping[str, Any], float]], Mapping[str, float]] = ((), {})
        optuna.logging.set_verbosity(optuna.logging.WARNING)

    def propose(self, ask: Ask) -> list[Any]:
        span, dimension = ask.dimension.span, ask.dimension
        # Focus maps, and the first round covers: a sampler that knows nothing does neither.
        if ask.focus:
            return [] if span is None else list(mapped(span, ask.known(), ask.count, ask.ran))
        known = [each for each in ask.seen if math.isfinite(each.gain)]
        if not known:
            return super().propose(ask)
        kind = distribution(dimension)
        study = self._study([ask.name, ask.turn], ask.count, joint=False)
        # A base that no round of this dimension brought is what their gains are measured from.
        first = [] if any(each.value == ask.base_value for each in ask.seen) else [Seen(ask.base_value, 0.0)]
        for each in [*first, *ask.seen]:
            _tell(study, {ask.name: kind}, {ask.name: each.value}, each.gain)
        found: list[Any] = []
        for _ in range(MOST_ASKS):
            if len(found) == ask.count:
                return found
            asked = study.ask({ask.name: kind}).params[ask.name]
            value = decoded(dimension, asked)
            if value not in found and not ask.ran(value):
                found.append(value)
        rest = ask.count - len(found)
        left = super().propose(ask) if span is None else mapped(span, [*ask.known(), *found], ask.count, ask.ran)
        return [*found, *[value for value in left if value not in found][:rest]]

    def propose_joint(self, ask: JointAsk) -> list[Mapping[str, Any]]:
        kinds = {name: distribution(each) for name, each in ask.dimensions.items()}
        study = self._study(["joint", ask.turn], 2 * ask.count, joint=True, objectives=2 if ask.second else 1)
        for at, (values, first) in enumerate(ask.seen):
            _tell(study, kinds, values, first, *ask.second[at : at + 1])
        found: list[Mapping[str, Any]] = []
        for _ in range(MOST_ASKS):
            asked = study.ask(kinds).params
            values = {name: decoded(each, asked[name]) for name, each in ask.dimensions.items()}
            if values not in found and not ask.ran(values):
                found.append(values)
            if len(found) == ask.count:
                break
        return found

    def importances(
        self, dimensions: Mapping[str, Dimension], scored: Sequence[tuple[Mapping[str, Any], float]]
    ) -> Mapping[str, float]:
        """Share of the metric's variation by dimension (PED-ANOVA, Watanabe et al. 2023).

        Empty with fewer than five results for each dimension, and where the first place is a matter of luck: where it
        does not hold in 18 of 20 draws of four fifths of the results.
        """
        known = [(values, primary) for values, primary in scored if math.isfinite(primary)]
        if len(dimensions) < 2 or len(known) < RESULTS_A_DIMENSION * len(dimensions):
            return {}
        if self._told[0] != known:  # asked for several times a round
            self._told = (known, self._importances(dimensions, known))
        return self._told[1]

    def _importances(
        self, dimensions: Mapping[str, Dimension], known: Sequence[tuple[Mapping[str, Any], float]]
    ) -> Mapping[str, float]:
        shares = self._shares(dimensions, known)
        rng, held = np.random.default_rng(self.seed), 0
        for draw in range(DRAWS):
            chosen = sorted(rng.choice(len(known), math.ceil(DRAWN * len(known)), replace=False))
            held += _first(self._shares(dimensions, [known[at] for at in chosen])) == _first(shares)
            if draw - held >= DRAWS - HELD:
                return {}
        return shares

    def _shares(
        self, dimensions: Mapping[str, Dimension], known: Sequence[tuple[Mapping[str, Any], float]]
    ) -> dict[str, float]:
        kinds = {name: distribution(each) for name, each in dimensions.items()}
        study = self._study(["importances"], 1, joint=True)
        for values, primary in known:
            _tell(study, kinds, values, primary)
        complete = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
        if len(complete) < 2:  # values that the plan no longer has
            return {}
        good = max(LEAST_GOOD, min(MOST_GOOD, GOOD_RESULTS / len(complete)))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            evaluator = optuna.importance.PedAnovaImportanceEvaluator(target_quantile=good)
            found = optuna.importance.get_param_importances(study, evaluator=evaluator)
        return {name: round(float(share), 6) for name, share in found.items() if math.isfinite(share)}

    def _study(self, salt: Sequence[Any], startup: int, *, joint: bool, objectives: int = 1) -> optuna.Study:
        seed = int.from_bytes(canonical_json([self.seed, *salt]).encode(), "little") % (2**32 - 1)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            sampler = optuna.samplers.TPESampler(
                seed=seed, n_startup_trials=startup, multivariate=True if joint else None, n_ei_candidates=48
            )
        return optuna.create_study(directions=["maximize"] * objectives, sampler=sampler)


def _first(shares: Mapping[str, float]) -> str:
    """What matters most; "" where nothing is known."""
    return max(shares, key=lambda name: shares[name], default="")


def distribution(dimension: Dimension) -> BaseDistribution:
    """Where a dimension's values come from; choices stand as text, so that any storage holds them."""
    span = dimension.span
    if span is None:
        return CategoricalDistribution([encoded(dimension, value) for value in dimension.values])
    if span.integer:
        return IntDistribution(int(span.low), int(span.high), log=span.scale == "log")
    return FloatDistribution(span.low, span.high, log=span.scale == "log")


def encoded(dimension: Dimension, value: Any) -> Any:
    """The value as Optuna holds it."""
    if dimension.span is not None:
        return value
    return value if isinstance(value, str) else canonical_json(value)


def decoded(dimension: Dimension, value: Any) -> Any:
    """Inverse of :func:`encoded`; numbers are rounded to what can be told apart."""
    if dimension.span is not None:
        return dimension.span.at(dimension.span.position(value))
    return next(each for each in dimension.values if encoded(dimension, each) == value)


def trial_of(
    kinds: Mapping[str, BaseDistribution], values: Mapping[str, Any], scores: Sequence[float], attrs: Mapping[str, Any]
) -> optuna.trial.FrozenTrial:
    """A finished trial with a score for each metric that is searched; FAIL when one is unknown."""
    state = TrialState.COMPLETE if all(math.isfinite(each) for each in scores) else TrialState.FAIL
    return create_trial(
        state=state,
        values=list(scores) if state == TrialState.COMPLETE else None,
        params=dict(values),
        distributions=dict(kinds),
        user_attrs=dict(attrs),
    )


def fits(kinds: Mapping[str, BaseDistribution], values: Mapping[str, Any]) -> bool:
    """Whether the values lie where the distributions are; those of a base may not."""
    return all(_holds(kind, values.get(name)) for name, kind in kinds.items())


def _holds(kind: BaseDistribution, value: Any) -> bool:
    if isinstance(kind, CategoricalDistribution):
        return value in kind.choices
    return is_number(value) and kind.low <= value <= kind.high  # type: ignore[attr-defined]


def _tell(
    study: optuna.Study, kinds: Mapping[str, BaseDistribution], values: Mapping[str, Any], *scores: float
) -> None:
    own = {
        name: canonical_json(value)
        if isinstance(kinds[name], CategoricalDistribution) and not isinstance(value, str)
        else value
        for name, value in values.items()
    }
    if fits(kinds, own):
        study.add_trial(trial_of(kinds, own, scores, {}))
