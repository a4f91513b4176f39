"""Where fits run: what nodes a cluster has, whether they may take part, what is asked of its autoscaler, what it cost.

Ray's scheduler does the rest: it places a fit where most of its data already is, moves data between nodes in chunks
and never through the driver, gives waiting fits to a node that joins, and runs those of a lost node again.
"""

from __future__ import annotations

import logging
import os
import platform
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import ray
from ray.exceptions import GetTimeoutError, RayError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from numerai_ray.errors import EnvironmentFault, ResourceShortage
from numerai_ray.runners.ray.shared_data import workload
from numerai_ray.system.cluster import Node, RoundCost, Spent, shape_fits
from numerai_ray.system.resources import Needs, ResourcePlan
from numerai_ray.training.spec import FitSpec

log = logging.getLogger("ray.numerai_ray")

# Predictions, or the pickles between nodes, depend on these.
LIBRARIES = ("ray", "numpy", "pyarrow", "scipy", "lightgbm")
PROBE_S = 120.0
# How long to wait for an autoscaled cluster's first node; machines of a cloud take two to six minutes.
WAIT_VARIABLE = "NUMERAI_RAY_NODE_WAIT_S"
SAMPLE_S = 1.0

Environment = tuple[tuple[str, str], ...]


def alive_nodes() -> list[Node]:
    """Every node that has cores for tasks, the largest first."""
    raw: Any = ray.nodes()  # type: ignore[no-untyped-call]
    found = [
        Node(
            id=str(each["NodeID"]),
            address=str(each["NodeManagerAddress"]),
            cores=int(each["Resources"].get("CPU", 0)),
            gpus=int(each["Resources"].get("GPU", 0)),
            memory_bytes=int(each["Resources"].get("memory", 0)),
            store_bytes=int(each["Resources"].get("object_store_memory", 0)),
        )
        for each in raw
        if each["Alive"]
    ]
    return sorted((node for node in found if node.cores), key=lambda node: (-node.cores, node.id))


@cache
def this_environment(libraries: Sequence[str] = LIBRARIES) -> Environment:
    """What two nodes must have in common: Python, processor family, and the libraries that decide predictions."""
    found = {"Python": platform.python_version().rsplit(".", 1)[0], "processor": platform.machine()}
    for name in libraries:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "missing"
    return tuple(found.items())


def differences(driver: Environment, node: Environment) -> list[str]:
    """``lightgbm 4.6.0 (driver: 4.7.0)`` for everything that differs."""
    there = dict(node)
    return [
        f"{name} {there.get(name, 'missing')} (driver: {value})" for name, value in driver if there.get(name) != value
    ]


def check_here(driver: Environment) -> None:
    """Refuse to work on a node that joined with other versions; a look at a cached value.

    Raises:
        EnvironmentFault: names the node and what differs.

    """
    libraries = tuple(name for name, _ in driver if name not in ("Python", "processor"))
    found = differences(driver, this_environment(libraries))
    if found:
        raise EnvironmentFault(_refusal(platform.node(), found))


def _refusal(where: str, found: Sequence[str]) -> str:
    return (
        f"node {where}: must have the driver's versions, or its predictions would differ, but has "
        f"{', '.join(found)}; start it from the same image, or take it out of the cluster"
    )


@ray.remote(num_cpus=0, max_retries=0)
def _environment(libraries: Sequence[str]) -> Environment:
    return this_environment(tuple(libraries))


class Gatekeeper:
    """Looks at every node once, before it is given work."""

    def __init__(self, libraries: Sequence[str] = LIBRARIES):
        self._libraries = tuple(libraries)
        self._passed: set[str] = set()

    def check(self, nodes: Sequence[Node]) -> None:
        """Raise :class:`EnvironmentFault` for nodes whose versions differ; one that just died is no fault."""
        asked = {
            node: _environment.options(
                name=f"check node {node.address}",
                scheduling_strategy=NodeAffinitySchedulingStrategy(node.id, soft=False),
            ).remote(self._libraries)
            for node in nodes
            if node.id not in self._passed
        }
        mine = this_environment(self._libraries)
        refused = []
        for node, ref in asked.items():
            try:
                found = differences(mine, ray.get(ref, timeout=PROBE_S))
            except GetTimeoutError:
                refused.append(f"node {node.address}: does not start a worker within {PROBE_S:.0f} s; see its logs")
                continue
            except RayError as error:
                log.warning("node %s left while it was checked: %s", node.address, error)
                continue
            if found:
                refused.append(_refusal(node.address, found))
            else:
                self._passed.add(node.id)
        if refused:
            raise EnvironmentFault("\n".join(refused))


def ask_for(needs: Sequence[Needs]) -> None:
    """Tell the autoscaler of a whole round's fits at once; without one, nothing happens."""
    bundles: list[dict[str, Any]] = [
        {"CPU": each.cores or 1, **({"GPU": each.gpus} if each.gpus else {})} for each in needs
    ]
    _request(bundles)


def let_go() -> None:
    """Withdraw what was asked of the autoscaler: idle nodes may go."""
    _request([])


def _request(bundles: list[dict[str, Any]]) -> None:
    with suppress(Exception):  # an old or foreign autoscaler must not cost a round
        # All of Ray's autoscaler comes with it, and every worker imports this file.
        from ray.autoscaler.sdk import request_resources  # noqa: PLC0415

        request_resources(bundles=bundles)


def wait_for_nodes(gpus: float) -> list[Node]:
    """The nodes to work on, at least one with so many GPUs; an autoscaled cluster takes its time.

    Raises:
        ResourceShortage: none came.

    """
    limit_s = float(os.environ.get(WAIT_VARIABLE, "900"))
    deadline = time.monotonic() + limit_s
    while True:
        nodes = alive_nodes()
        if any(node.gpus >= gpus for node in nodes):
            return nodes
        what = f"node with {gpus:g} GPU{'s' if gpus != 1 else ''}" if gpus else "node with cores"
        if time.monotonic() > deadline:
            there = f" ({len(nodes)} nodes, {max(node.gpus for node in nodes)} GPUs at most)" if nodes else ""
            raise ResourceShortage(
                f"the cluster has no {what}{there}, and none came within {limit_s:.0f} s; add one, look at the "
                f"autoscaler (`ray status`), train on the processor, or wait longer ({WAIT_VARIABLE})"
            )
        log.warning("waiting for a %s", what)
        time.sleep(min(5.0, SAMPLE_S))


class NodeClock(threading.Thread):
    """Counts node-seconds while a round runs, whatever joins and leaves."""

    def __init__(self) -> None:
        super().__init__(name="node-clock", daemon=True)
        self._done = threading.Event()
        self._node_s, self._core_s, self._most = 0.0, 0.0, 0
        self.cores = 0

    def run(self) -> None:
        last = time.monotonic()
        while True:
            ended = self._done.wait(SAMPLE_S)
            with suppress(Exception):  # a head that is away is counted again when it is back
                nodes, now = alive_nodes(), time.monotonic()
                self._node_s += len(nodes) * (now - last)
                self.cores = sum(node.cores for node in nodes)
                self._core_s += self.cores * (now - last)
                self._most, last = max(self._most, len(nodes)), now
            if ended:
                return

    def spent(self) -> Spent:
        """What it has counted so far."""
        return Spent(self._core_s, self.cores)

    def stop(self) -> RoundCost:
        """The round's cost, but for what its fits held."""
        self._done.set()
        self.join()
        return RoundCost(self._core_s / 3600, 0.0, self._node_s / 3600, self._most)


class Placement:
    """A round's fits on the nodes of a cluster that runs already."""

    def __init__(self, libraries: Sequence[str] = LIBRARIES):
        self.environment = this_environment(tuple(libraries))
        self._gate = Gatekeeper(libraries)

    def resources(self, specs: Sequence[FitSpec]) -> ResourcePlan:
        """How the cluster's nodes are cut for these fits; waits for nodes where there are none yet.

        Raises:
            EnvironmentFault: a node has other versions.
            ResourceShortage: no node has room for a fit, or none came.

        """
        work = workload(specs)
        ask_for([spec.needs for spec in specs])
        nodes = wait_for_nodes(work.needs.gpus)
        self._gate.check(nodes)
        # What is shared alone: Ray itself has chosen how large its stores are.
        shared = int(1.1 * (work.shared_bytes or 0))
        shape = shape_fits(nodes, len(specs), work.fit_bytes, shared, (work.needs, work.usual))
        peak = work.store_bytes * len(nodes) + shape.slots * work.fit_bytes
        return ResourcePlan(shape.slots, shape.threads, work.store_bytes, work.fit_bytes, peak)
