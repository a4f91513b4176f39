"""Pure arithmetic of a cluster: nodes of any size in, how fits are cut for them out; and what a round costs.

A fit's threads are one number for all nodes, because every fit must be able to run on every node that has room for
it, and Ray places it. The number that ends the round first wins, the smaller one in a tie.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from numerai_ray.errors import ResourceShortage
from numerai_ray.system.resources import GB, Needs

# LightGBM 4.7 on two threads runs 1.67 times as fast as on one (see `resource_plan`): speed = threads ** this.
THREADS_EXPONENT = math.log2(1.67)


@dataclass(frozen=True)
class Node:
    """What a node of the cluster has for tasks: cores, GPUs, memory, and room in its object store (bytes)."""

    id: str
    address: str
    cores: int
    gpus: int
    memory_bytes: int
    store_bytes: int


@dataclass(frozen=True)
class FitShape:
    """What one fit asks of a node. ``slots`` is how many run at once in the whole cluster."""

    threads: int
    memory_bytes: int
    slots: int


@dataclass(frozen=True)
class RoundCost:
    """What a round cost: cores that were there (budgets are of these), cores that fits held, nodes (at most).

    ``peak_bytes`` of memory are this machine's, measured, and ``planned_bytes`` what was expected of it; 0 is unknown,
    as on the nodes of a cluster. ``start_s`` are the seconds in which Ray was started, 0 where it ran already.
    """

    core_hours: float = 0.0
    fit_core_hours: float = 0.0
    node_hours: float = 0.0
    nodes: int = 0
    peak_bytes: int = 0
    planned_bytes: int = 0
    start_s: float = 0.0

    def __add__(self, more: "RoundCost") -> "RoundCost":
        """Of two attempts at one round: what was used adds up, the nodes that took part were there at once."""
        return replace(
            more,
            core_hours=self.core_hours + more.core_hours,
            fit_core_hours=self.fit_core_hours + more.fit_core_hours,
            node_hours=self.node_hours + more.node_hours,
            nodes=max(self.nodes, more.nodes),
        )

    def to_json(self) -> Mapping[str, float]:
        """As the ledger keeps it."""
        known = {"peak_bytes": self.peak_bytes, "planned_bytes": self.planned_bytes, "start_s": round(self.start_s, 3)}
        return {
            "core_hours": round(self.core_hours, 6),
            "fit_core_hours": round(self.fit_core_hours, 6),
            "node_hours": round(self.node_hours, 6),
            "nodes": self.nodes,
            **{name: value for name, value in known.items() if value},
        }


@dataclass(frozen=True)
class Spent:
    """Core-seconds that the round under way has used so far, and the ``cores`` that are there; 0 are not known yet."""

    core_s: float = 0.0
    cores: int = 0


def slots_on(node: Node, threads: int, memory_bytes: int, gpus: float = 0.0) -> int:
    """How many fits run at once on a node."""
    return min(Needs(threads, gpus).at_once(node.cores, node.gpus), node.memory_bytes // max(1, memory_bytes))


def check_room(nodes: Sequence[Node], asked: Sequence[Needs]) -> None:
    """Raise :class:`ResourceShortage` for what no node has room for at all; Ray would wait for such a node forever."""
    for each in asked:
        if not any(slots_on(node, each.cores or 1, each.memory_bytes or 0, each.gpus) for node in nodes):
            raise _shortage(nodes, each)


def _shortage(nodes: Sequence[Node], asked: Needs) -> ResourceShortage:
    there = "; ".join(
        f"{node.address}: {node.cores} cores, {node.gpus} GPUs"
        + (f", {node.memory_bytes / GB:.1f} GB" if asked.memory_bytes is not None else "")
        for node in nodes[:4]
    )
    return ResourceShortage(
        f"one fit needs {asked}, but no node has as much ({there}); add such a node, "
        f"lower model.resources, or train on the processor"
    )


def shape_fits(
    nodes: Sequence[Node], fits: int, memory_bytes: int, shared_bytes: int, asked: tuple[Needs, Needs] | None = None
) -> FitShape:
    """Cut ``fits`` fits for ``nodes``, of which only those count that can hold the dataset.

    ``asked`` are the most and the least that a fit asks for beside memory.

    Raises:
        ResourceShortage: no node has room for one fit; the message holds the numbers of the largest.

    """
    most, usual = asked or (Needs(), Needs())
    roomy = [node for node in nodes if node.store_bytes >= shared_bytes and slots_on(node, 1, memory_bytes)]
    if roomy and not any(slots_on(node, most.cores or 1, memory_bytes, most.gpus) for node in roomy):
        raise _shortage(roomy, replace(most, memory_bytes=None))
    able = [node for node in roomy if slots_on(node, usual.cores or 1, memory_bytes, usual.gpus)]
    if not roomy:
        largest = max(nodes, key=lambda node: node.memory_bytes, default=None)
        there = (
            "no node has a core"
            if largest is None
            else (
                f"the largest node ({largest.address}) has {largest.cores} cores, {largest.memory_bytes / GB:.1f} GB, "
                f"{largest.store_bytes / GB:.1f} GB of object store"
            )
        )
        # No smaller data make less of what is asked for expressly.
        asked_for = (most.memory_bytes or 0) >= memory_bytes and any(node.store_bytes >= shared_bytes for node in nodes)
        less = "lower model.resources.memory_gb" if asked_for else "use a smaller feature_set or downsampled data"
        raise ResourceShortage(
            f"one fit needs a core, {memory_bytes / GB:.1f} GB of memory and {shared_bytes / GB:.1f} GB of object "
            f"store, but {there}; add larger nodes, or {less}"
        )

    def slots_of(threads: int) -> int:
        return sum(slots_on(node, threads, memory_bytes, usual.gpus) for node in able)

    def seconds(threads: int) -> float:
        slots = slots_of(threads)
        return math.inf if not slots else math.ceil(fits / slots) / threads**THREADS_EXPONENT

    counts = range(1, max(node.cores for node in able) + 1)
    # On a GPU more threads make no fit faster: as many as leave all shares of GPUs in use.
    if usual.gpus:
        counts = range(1, max(count for count in counts if slots_of(count) == slots_of(1)) + 1)
        threads = usual.cores or counts[-1]
    else:
        threads = usual.cores or min(counts, key=lambda count: (seconds(count), count))
    return FitShape(threads, memory_bytes, slots_of(threads))


@dataclass(frozen=True)
class ScalingModel:
    """Constants of one round, as ``tests/benchmarks/scaling.py`` measures them; its table is in ``cluster/README.md``.

    ``data_bytes`` go once to every node, from each node that has them to another at ``link_bytes_s`` (so the number
    of holders doubles), ``start_s`` is what a node's first worker takes, ``control_s`` the driver's share of a fit.
    """

    fits: int
    fit_core_s: float
    largest_fit_core_s: float
    data_bytes: float
    link_bytes_s: float
    start_s: float
    control_s: float

    def parts_s(self, nodes: int, cores: int) -> Mapping[str, float]:
        """Seconds of what a round on ``nodes`` nodes of ``cores`` cores waits for, by what it is.

        Data travel before the rest; ``cores``, ``largest fit`` and ``driver`` run beside each other.
        """

        def trained_s(threads: int) -> tuple[float, float]:
            faster = threads**THREADS_EXPONENT
            slots = nodes * (cores // threads)
            return self.fits * self.fit_core_s / faster / slots, self.largest_fit_core_s / faster

        # Largest first: no schedule beats the mean load, and none is worse by more than the last fit.
        mean, largest = min(map(trained_s, range(1, cores + 1)), key=max)
        spread = math.ceil(math.log2(nodes)) * self.data_bytes / self.link_bytes_s if nodes > 1 else 0.0
        return {"cores": mean, "largest fit": largest, "driver": self.fits * self.control_s, "data": spread}

    def wall_s(self, nodes: int, cores: int) -> float:
        """Seconds of a round."""
        parts = self.parts_s(nodes, cores)
        return parts["data"] + self.start_s + max(parts["cores"], parts["largest fit"], parts["driver"])

    def speedup(self, nodes: int, cores: int) -> float:
        """Against one node of the same kind."""
        return self.wall_s(1, cores) / self.wall_s(nodes, cores)

    def limit(self, nodes: int, cores: int) -> str:
        """What the round waits for longest: ``cores``, ``largest fit``, ``driver`` or ``data``."""
        parts = self.parts_s(nodes, cores)
        return max(parts, key=lambda name: parts[name])
