"""Which dimension deserves a full round of its own. Pure.

Two things call for it: a winner that is the largest or smallest value tried (the best may lie beyond), and a dimension
whose choice matters far more than that of any other.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from numerai_ray.config.ranges import is_number
from numerai_ray.experiment.decision import spreads
from numerai_ray.experiment.records import REPLICATE, RoundRecord


@dataclass(frozen=True)
class Focus:
    """A dimension whose range is to be mapped, and why."""

    dimension: str
    why: str


class Landscape(Protocol):
    """What the search knows of its dimensions."""

    def value(self, dimension: str, changes: Mapping[str, Any]) -> Any:
        """The dimension's value in the config that ``changes`` lead to."""
        ...

    def can_map(self, dimension: str, changes: Mapping[str, Any]) -> bool:
        """Whether its range around that config has values that did not run yet."""
        ...


# how much each dimension matters, by name; "" stands for nothing known
Weights = Mapping[str, float]


def find_focus(
    history: Sequence[RoundRecord], dimensions: Sequence[str], ratio: float, landscape: Landscape, weights: Weights
) -> Focus | None:
    """The dimension to map next, or None.

    Args:
        history: decided rounds, oldest first.
        dimensions: names in the plan's order.
        ratio: how many times another dimension's weight makes one dominate.
        landscape: values and what is left to try.
        weights: importances of the dimensions; empty to go by :func:`spreads`.

    """
    if not history or history[-1].stage != "scout":
        return None
    base = history[-1].decision.changes

    # An edge: what was just promoted is the outermost value tried, and the range has more to show.
    last = history[-1]
    tried = history[-2] if last.kind == REPLICATE and len(history) > 1 else last
    own = last.dimension or ""
    if last.decision.promoted and own in dimensions and landscape.can_map(own, base):
        value = landscape.value(own, base)
        if at_edge(value, tried_values(tried, landscape.value)):
            return Focus(own, f"its best value {value} is the outermost tried")

    # Dominance, once everything was looked at: mapped once, for a plateau elsewhere says nothing about it.
    # Importances speak of every dimension, also of one that never varied, and of those that rounds vary together.
    varied = {record.dimension for record in history if record.stage == "scout"}
    sizes = dict(weights) or {name: size for name, size in spreads(history).items() if name in dimensions}
    if not varied.issuperset(dimensions) or len(sizes) < max(2, len(dimensions)):
        return None
    first, second = sorted(sizes, key=lambda name: -sizes[name])[:2]
    mapped = any(record.kind == "focus" and record.dimension == first for record in history)
    if mapped or sizes[first] <= 0 or sizes[first] < ratio * sizes[second] or not landscape.can_map(first, base):
        return None
    what = "importance" if weights else "spread"
    return Focus(first, f"its {what} is {sizes[first] / max(sizes[second], 1e-12):.1f} times that of {second}")


def tried_values(record: RoundRecord, value: Callable[[str, Mapping[str, Any]], Any]) -> list[Any]:
    """The dimension's values in a scout round, the base's first."""
    name = record.dimension or ""
    own = [{**record.base_changes, **each.changes} for each in record.variants if each.role == "variant"]
    return [value(name, record.base_changes), *(value(name, changes) for changes in own)]


def at_edge(best: Any, tried: Sequence[Any]) -> bool:
    """Whether a number is the largest or smallest of at least three."""
    numbers = {each for each in tried if is_number(each)}
    return is_number(best) and len(numbers) > 2 and best in (min(numbers), max(numbers))
