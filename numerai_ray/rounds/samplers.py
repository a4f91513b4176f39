"""Where a dimension's next values come from.

A proposer is asked for values of one dimension around one base; the scheduler makes variants of them and refuses
configs that ran before. :mod:`numerai_ray.rounds.optuna_sampler` is the third of them.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from numerai_ray.config.ranges import Number, is_number, mapped, refined, spread
from numerai_ray.config.search_space import Dimension

# value -> whether the config it leads to ran before (or is the base itself)
Ran = Callable[[Any], bool]


@dataclass(frozen=True)
class Seen:
    """A value that ran: its gain in the primary metric over its round's base; NaN when the trial failed."""

    value: Any
    gain: float


@dataclass(frozen=True)
class Ask:
    """A question: ``count`` values of the dimension ``name`` around a base that holds ``base_value``.

    ``focus`` asks to map the whole range. ``turn`` counts the dimension's rounds, so that luck differs between them
    and not between runs.
    """

    name: str
    dimension: Dimension
    base_value: Any
    count: int
    ran: Ran
    seen: Sequence[Seen] = ()
    focus: bool = False
    turn: int = 0

    def known(self) -> list[Number]:
        """Every number that is known to have run, or is the base's."""
        listed = [value for value in self.dimension.values if self.ran(value)]
        values = [self.base_value, *(each.value for each in self.seen), *listed]
        return [value for value in values if is_number(value)]


@dataclass(frozen=True)
class JointAsk:
    """A question for configs that change several dimensions at once, from the ``base`` values by dimension.

    ``seen`` are values by dimension with the metric they had (NaN: failed); where two are searched at once, ``second``
    has the other one of each. ``ran`` tells known combinations.
    """

    dimensions: Mapping[str, Dimension]
    count: int
    ran: Callable[[Mapping[str, Any]], bool]
    seen: Sequence[tuple[Mapping[str, Any], float]] = field(default=())
    turn: int = 0
    second: Sequence[float] = field(default=())


class Sampler(Protocol):
    """Chooses values; the same question gets the same answer, also after a restart."""

    def propose(self, ask: Ask) -> list[Any]:
        """At most ``ask.count`` values for which ``ask.ran`` is false, best guess first; empty when none is left."""
        ...

    def propose_joint(self, ask: JointAsk) -> list[Mapping[str, Any]]:
        """At most ``ask.count`` combinations that did not run; empty from a proposer that knows only one variable."""
        ...

    def importances(
        self, dimensions: Mapping[str, Dimension], scored: Sequence[tuple[Mapping[str, Any], float]]
    ) -> Mapping[str, float]:
        """How much each dimension matters in all results; empty from a proposer that has no model of them."""
        ...


class ListedSampler:
    """The dimension's listed values, in their order; a range is spread over, and mapped when it is focused on."""

    def propose(self, ask: Ask) -> list[Any]:
        span = ask.dimension.range
        if ask.focus:
            return [] if span is None else list(mapped(span, ask.known(), ask.count, ask.ran))
        listed = [value for value in ask.dimension.values if not ask.ran(value)][: ask.count]
        if listed or ask.dimension.values or span is None:
            return listed
        return list(spread(span, ask.count, ask.ran))

    def propose_joint(self, ask: JointAsk) -> list[Mapping[str, Any]]:
        del ask
        return []

    def importances(
        self, dimensions: Mapping[str, Dimension], scored: Sequence[tuple[Mapping[str, Any], float]]
    ) -> Mapping[str, float]:
        del dimensions, scored
        return {}


class RefineSampler(ListedSampler):
    """The listed values first; then between and around the best, which is the base's, closer every time."""

    def propose(self, ask: Ask) -> list[Any]:
        span = ask.dimension.span
        if ask.focus:
            return [] if span is None else list(mapped(span, ask.known(), ask.count, ask.ran))
        first = super().propose(ask)
        if first or span is None or not is_number(ask.base_value):
            return first
        return list(refined(span, ask.base_value, ask.known(), ask.count, ask.ran))
