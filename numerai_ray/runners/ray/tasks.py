"""Independent pieces of work as Ray tasks: refits of a winner.

Each takes what it asks for, as a fit of a round does, and where it asks for no number of cores, all of a node.
"""

from collections.abc import Callable, Sequence
from typing import TypeVar

import ray

from numerai_ray.errors import EnvironmentFault, FitError, NumeraiRayError
from numerai_ray.runners.ray.placement import alive_nodes, ask_for, let_go, wait_for_nodes

# Before Ray: it sets what Ray reads when it is imported.
from numerai_ray.runners.ray.start import RaySettings, connect, disconnect, smallest_node_cores
from numerai_ray.system.cluster import check_room
from numerai_ray.system.machine import this_machine
from numerai_ray.system.resources import Needs

T = TypeVar("T")
R = TypeVar("R")


def _nothing(_: object) -> Needs:
    return Needs()


def run_on_ray(
    function: Callable[[T, int], R],
    items: Sequence[T],
    name: str,
    settings: RaySettings,
    needs: Callable[[T], Needs] = _nothing,
) -> list[R]:
    """``function(item, threads)`` for each item, in their order; ``settings`` say where Ray runs.

    ``needs`` is what an item asks of its node. Without a number of cores it takes as many as every node has, so that
    it may run on any.

    Raises:
        EnvironmentFault: Ray does not start, or a node that was needed is gone for good.
        ResourceShortage: no node has what an item asks for.
        NumeraiRayError: what ``function`` raises on purpose.

    """
    connect(settings, this_machine(), store_bytes=0)
    try:
        asked = [needs(item) for item in items]
        ask_for(asked)
        check_room(alive_nodes() if settings.address is None else wait_for_nodes(max(e.gpus for e in asked)), asked)
        cores = smallest_node_cores()
        task = ray.remote(function)
        refs = []
        for item, each in zip(items, asked, strict=True):
            threads = each.cores or cores
            own = task.options(
                num_cpus=threads, num_gpus=each.gpus, memory=each.memory_bytes or 0, max_retries=3, name=name
            )
            refs.append(own.remote(item, threads))
        return list(ray.get(refs))
    except ray.exceptions.RayTaskError as error:
        cause = error.cause
        if isinstance(cause, NumeraiRayError):
            raise cause from None
        raise FitError(f"{name}: {type(cause).__name__}: {cause}") from error
    except ray.exceptions.RayError as error:
        raise EnvironmentFault(
            f"{name}: Ray gave up ({str(error).splitlines()[0]}); run the same command again"
        ) from None
    finally:
        let_go()
        disconnect()
