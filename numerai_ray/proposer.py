"""Where a dimension's next values come from.

A proposer is asked for values of one dimension around one base; the scheduler makes variants of them and refuses
configs that ran before.
"""

from collections.abc import Callable
from typing import Any, Protocol

from numerai_ray.search_space import Dimension

# value -> whether the config it leads to ran before (or is the base itself)
Ran = Callable[[Any], bool]


class Proposer(Protocol):
    """Chooses values; the same question gets the same answer, also after a restart."""

    def propose(self, dimension: Dimension, count: int, ran: Ran) -> list[Any]:
        """At most ``count`` values for which ``ran`` is false, best guess first; empty when none is left."""
        ...


class ListedProposer:
    """The dimension's listed values, in their order."""

    def propose(self, dimension: Dimension, count: int, ran: Ran) -> list[Any]:
        return [value for value in dimension.values if not ran(value)][:count]
