"""What a round runs: from the policy's step to named configs, each different from what ran before."""

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from numerai_ray.config import Config, Json, leaves, value_at
from numerai_ray.config.plan import LoadedPlan
from numerai_ray.config.plan_schema import Stage
from numerai_ray.config.search_space import (
    MAX_NAME,
    Dimension,
    changes_for,
    check_variables,
    variant_name,
    variants,
    with_changes,
)
from numerai_ray.experiment.front import searched_values
from numerai_ray.experiment.ledger import known_by_fingerprint
from numerai_ray.experiment.records import JOINT, REPLICATE, Role, RoundRecord, VariantRecord
from numerai_ray.rounds.policy import (
    ConfirmRound,
    FinalRound,
    InterpretRound,
    ReplicateRound,
    Round,
    ScaleRound,
    ScoutRound,
)
from numerai_ray.rounds.replication import with_fresh_seeds
from numerai_ray.rounds.samplers import Ask, JointAsk, Sampler, Seen


@dataclass(frozen=True)
class Candidate:
    """One line of a round before it runs. ``changes`` are relative to the round's base."""

    name: str
    role: Role
    changes: Mapping[str, Any]
    config: Config


@dataclass(frozen=True)
class Setup:
    """A round before it runs; the first candidate is its base."""

    stage: Stage
    candidates: tuple[Candidate, ...]
    base_changes: Mapping[str, Any]
    dimension: str | None = None
    kind: str = ""
    why: str = ""


def identity(config: Config, stage: str) -> str:
    """What makes two trials one: the config, and whether it is scored on the eras that were kept out."""
    return config.fingerprint() + ("-holdout" if stage == "holdout" else "")


class Search:
    """What is left to try, after a history."""

    def __init__(self, loaded: LoadedPlan, proposer: Sampler, history: Sequence[RoundRecord]):
        self.loaded = loaded
        self.proposer = proposer
        self.history = history
        self.known: Mapping[str, VariantRecord] = known_by_fingerprint(history)
        # Not offered again by itself: it would fail in every round of its dimension. A user's own round may ask for it.
        self._failed = {each.fingerprint for record in history for each in record.variants if each.error is not None}

    @property
    def dimensions(self) -> dict[str, bool]:
        """Name -> whether it must be tried, in the plan's order; all model parameters are one when searched jointly."""
        space = self.loaded.space.dimensions
        joint = self.joined()
        single = {name: each.required for name, each in space.items() if name not in joint}
        return ({JOINT: True} if joint else {}) | single

    def has_values(self, name: str, base_changes: Mapping[str, Any]) -> bool:
        """Whether something is left to try around this base."""
        if name == JOINT:
            return bool(self._combinations(base_changes))
        return bool(self.values(name, base_changes))

    def can_map(self, name: str, base_changes: Mapping[str, Any]) -> bool:
        """Whether a round that maps the range has at least two new values."""
        return name in self.loaded.space.dimensions and len(self.values(name, base_changes, focus=True)) > 1

    def value(self, name: str, changes: Mapping[str, Any]) -> Any:
        """The dimension's value in the scout config that ``changes`` lead to."""
        dimension = self.loaded.space.dimensions.get(name)
        return None if dimension is None else value_at(self._values(changes), dimension.path)

    def values(self, name: str, base_changes: Mapping[str, Any], *, focus: bool = False) -> list[Any]:
        """The proposer's next values of a dimension; none around a base that it does not apply to."""
        dimension, base = self.loaded.space.dimensions[name], self._values(base_changes)
        if not dimension.applies(base):
            return []

        def ran(value: Any) -> bool:
            return self._ran({**base_changes, **changes_for(dimension, value, base)}, base_changes)

        turns = [record for record in self.history if record.dimension == name]
        return self.proposer.propose(
            Ask(
                name=name,
                dimension=dimension,
                base_value=value_at(base, dimension.path),
                count=self.loaded.plan.rounds.variants,
                ran=ran,
                seen=self.seen(name),
                focus=focus,
                turn=len(turns),
            )
        )

    def seen(self, name: str) -> list[Seen]:
        """Every value of a dimension that ran in a round of its own, with its gain there."""
        found = []
        for record in self.history:
            base = record.find("base")
            if record.dimension != name or base is None or base.metrics is None:
                continue
            for variant in (each for each in record.variants if each.role == "variant"):
                primary = math.nan if variant.metrics is None else variant.metrics.primary
                value = self.value(name, {**record.base_changes, **variant.changes})
                found.append(Seen(value, primary - base.metrics.primary))
        return found

    def importances(self) -> Mapping[str, float]:
        """How much each variable matters in the joint rounds, where the proposer can tell.

        Rounds of one variable are left out. They vary each by itself around a base that moves, so that what the good
        results have in common is the base of the day: of planted responses, importances then named the wrong variable
        nine times in ten. Their own measure is the spread within a round.
        """
        joint = self.joined()
        return self.proposer.importances(joint, self.scored(list(joint), kind="joint")) if joint else {}

    def setup(self, step: Round) -> Setup:
        """The round that the policy's step asks for."""
        if isinstance(step, InterpretRound):
            return Setup("interpret", tuple(self._with_baseline(self._interpretations(), "interpret")), {})
        if isinstance(step, ScoutRound):
            return self._scout(step)
        if isinstance(step, ReplicateRound):
            return self._again(step)
        if isinstance(step, FinalRound):
            winner = Candidate("winner", "base", {}, self.loaded.config("final", step.changes))
            return Setup("final", tuple(self._with_baseline([winner], "final")), step.changes)
        if isinstance(step, ConfirmRound):
            return self._compared("confirm", "challenger", step.challenger, step.why)
        stage: Stage = "scale" if isinstance(step, ScaleRound) else "holdout"
        return self._compared(stage, "winner", step.changes or None)

    def lent(self, setup: Setup) -> Candidate | None:
        """The candidate that results kept by ``numerai-ray baseline`` may stand in for: the baseline, where it is new.

        Alone in its round it runs: the benchmark's row is scored on what a round predicts.
        """
        own = identity(self.loaded.baseline_config(setup.stage), setup.stage)
        new = [each for each in setup.candidates if identity(each.config, setup.stage) not in self.known]
        found = next((each for each in new if identity(each.config, setup.stage) == own), None)
        return found if len(new) > 1 else None

    def by_hand(self, name: str, dimension: Dimension, values: Sequence[Any], base_changes: Mapping[str, Any]) -> Setup:
        """A scout round of values that the user names; those that ran are shown again, not run again."""
        found = self._variants(name, dimension, values, base_changes)
        return Setup("scout", tuple(found), base_changes, name, "manual", "asked for by hand")

    def _scout(self, step: ScoutRound) -> Setup:
        if step.dimension == JOINT:
            return self._joint(step)
        dimension, focus = self.loaded.space.dimensions[step.dimension], bool(step.focus)
        values = self.values(step.dimension, step.base_changes, focus=focus)
        found = self._variants(step.dimension, dimension, values, step.base_changes)
        kind = "focus" if focus else ""
        return Setup("scout", tuple(found), step.base_changes, step.dimension, kind, step.focus)

    def _again(self, step: ReplicateRound) -> Setup:
        """Base and best of a round with fresh seeds."""
        number, base, changed = len(self.history) + 1, step.base_changes, {**step.base_changes, **step.changes}
        found = (
            Candidate("base", "base", {}, with_fresh_seeds(self.loaded.config("scout", base), number)),
            Candidate(
                step.name, "variant", step.changes, with_fresh_seeds(self.loaded.config("scout", changed), number)
            ),
        )
        return Setup("scout", found, base, step.dimension, REPLICATE, "runs best and base again with fresh seeds")

    def _variants(
        self, name: str, dimension: Dimension, values: Sequence[Any], base_changes: Mapping[str, Any]
    ) -> list[Candidate]:
        base = self.loaded.config("scout", base_changes)
        found = [Candidate("base", "base", {}, base)]
        for variant in variants(name, dimension, values, base.to_json()):
            config = self.loaded.config("scout", {**base_changes, **variant.changes})
            check_variables(base, config, [dimension], variant.name)
            found.append(Candidate(variant.name, "variant", variant.changes, config))
        return self._with_baseline(found, "scout")

    def _joint(self, step: ScoutRound) -> Setup:
        base, joined = self.loaded.config("scout", step.base_changes), self.joined()
        found = [Candidate("base", "base", {}, base)]
        for combination in self._combinations(step.base_changes):
            changes = self._combined(combination, base.to_json())
            config = self.loaded.config("scout", {**step.base_changes, **changes})
            name = _joint_name(combination)
            check_variables(base, config, list(joined.values()), name)
            found.append(Candidate(name, "variant", changes, config))
        why = f"varies {', '.join(joined)} at once"
        return Setup("scout", tuple(self._with_baseline(found, "scout")), step.base_changes, JOINT, "joint", why)

    def joined(self) -> dict[str, Dimension]:
        """The model parameters that one round varies together; none unless the plan says so."""
        if not self.loaded.plan.rounds.joint:
            return {}
        space = self.loaded.space.dimensions
        found = {name: each for name, each in space.items() if each.path.startswith("model.params.") and not each.when}
        return found if len(found) > 1 else {}

    def _combinations(self, base_changes: Mapping[str, Any]) -> list[Mapping[str, Any]]:
        base, joined = self._values(base_changes), self.joined()

        def ran(combination: Mapping[str, Any]) -> bool:
            return self._ran({**base_changes, **self._combined(combination, base)}, base_changes)

        turns = [record for record in self.history if record.dimension == JOINT]
        count = self.loaded.plan.rounds.variants
        seen = self.scored(list(joined))
        second: tuple[float, ...] = ()
        if self.metrics:
            pairs = self.objectives()
            seen = [(values, first) for (values, _), (first, _) in zip(seen, pairs, strict=True)]
            second = tuple(each for _, each in pairs)
        return self.proposer.propose_joint(JointAsk(joined, count, ran, seen, len(turns), second))

    @property
    def metrics(self) -> tuple[str, ...]:
        """The two metrics that are searched at once; none where one decides alone."""
        return tuple(self.loaded.plan.rounds.metrics or ())

    def objectives(self) -> list[tuple[float, ...]]:
        """The values that are searched of every trial of :meth:`results`, in its order (NaN: failed)."""
        scouts = (record for record in self.history if record.stage == "scout")
        found: dict[str, tuple[float, ...]] = {}
        for variant in (each for record in scouts for each in record.variants if each.role in ("base", "variant")):
            found.setdefault(variant.id, searched_values(variant.metrics, self.metrics))
        return list(found.values())

    def scored(self, names: Sequence[str], kind: str | None = None) -> list[tuple[Mapping[str, Any], float]]:
        """Values of these dimensions in every scout config that ran, with its primary metric (NaN: failed).

        With a ``kind``, in those of such rounds.
        """
        dimensions = {name: self.loaded.space.dimensions.get(name) for name in names}
        found: list[tuple[Mapping[str, Any], float]] = []
        for changes, primary in self.results(kind).values():
            values = self._values(changes)  # a whole config: once for all dimensions
            at = {name: each and value_at(values, each.path) for name, each in dimensions.items()}
            found.append((at, primary))
        return found

    def results(self, kind: str | None = None) -> dict[str, tuple[Mapping[str, Any], float]]:
        """Every scout trial by id: the changes that lead to its config, and its primary metric (NaN: failed)."""
        found: dict[str, tuple[Mapping[str, Any], float]] = {}
        for record in (record for record in self.history if record.stage == "scout" and kind in (None, record.kind)):
            for variant in (each for each in record.variants if each.role in ("base", "variant")):
                changes = {**record.base_changes, **(variant.changes if variant.role == "variant" else {})}
                primary = math.nan if variant.metrics is None else variant.metrics.primary
                found.setdefault(variant.id, (changes, primary))
        return found

    def _combined(self, combination: Mapping[str, Any], base: Mapping[str, Any]) -> Json:
        """Changes of several dimensions, one after the other, so that couplings see what was set before them."""
        changes: Json = {}
        for name, value in combination.items():
            dimension = self.loaded.space.dimensions[name]
            if value != value_at(base, dimension.path):
                changes |= changes_for(dimension, value, with_changes(base, changes))
        return changes

    def _interpretations(self) -> list[Candidate]:
        found: list[Candidate] = []
        for name, changes in self.loaded.plan.interpretations.items():
            config = self.loaded.interpreted(name).config("interpret", {})
            found.append(Candidate(name, "variant" if found else "base", leaves(changes), config))
        return found

    def _compared(self, stage: Stage, name: str, changes: Mapping[str, Any] | None, why: str = "") -> Setup:
        """The experiment's base and one other config in a later stage."""
        found = [Candidate("base", "base", {}, self.loaded.config(stage, {}))]
        if changes is not None:
            found.append(Candidate(name, "variant", changes, self.loaded.config(stage, changes)))
        return Setup(stage, tuple(self._with_baseline(found, stage)), {}, why=why)

    def _with_baseline(self, found: list[Candidate], stage: Stage) -> list[Candidate]:
        """The baseline stands in every table; it costs a trial once a stage, and none where it is the base."""
        baseline = Candidate("baseline", "baseline", {}, self.loaded.baseline_config(stage))
        own = identity(baseline.config, stage)  # what fits take of a node makes no other configuration
        return found if any(identity(each.config, stage) == own for each in found) else [*found, baseline]

    def _values(self, changes: Mapping[str, Any]) -> Json:
        return self.loaded.config("scout", changes).to_json()

    def _ran(self, changes: Mapping[str, Any], base_changes: Mapping[str, Any]) -> bool:
        config = self.loaded.config("scout", changes)
        own = identity(config, "scout")
        return config == self.loaded.config("scout", base_changes) or own in self.known or own in self._failed


def _joint_name(combination: Mapping[str, Any]) -> str:
    name = "+".join(variant_name(dimension, value) for dimension, value in combination.items())
    if len(name) <= MAX_NAME:
        return name
    return f"{name[: MAX_NAME - 9]}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"
