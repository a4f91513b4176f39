"""Independent pieces of work as Ray tasks, one at a time on a node and with all its cores: refits of a winner."""

from collections.abc import Callable, Sequence
from typing import TypeVar

# Before Ray: it sets what Ray reads when it is imported.
from numerai_ray.ray_start import RaySettings, connect, disconnect, smallest_node_cores  # isort: skip

import ray

from numerai_ray.errors import EnvironmentFault, FitError, NumeraiRayError
from numerai_ray.machine import this_machine

T = TypeVar("T")
R = TypeVar("R")


def run_on_ray(function: Callable[[T, int], R], items: Sequence[T], name: str, settings: RaySettings) -> list[R]:
    """``function(item, threads)`` for each item, in their order; ``settings`` say where Ray runs.

    Raises:
        EnvironmentFault: Ray does not start, or a node that was needed is gone for good.
        NumeraiRayError: what ``function`` raises on purpose.

    """
    connect(settings, this_machine(), store_bytes=0)
    try:
        threads = smallest_node_cores()
        task = ray.remote(function).options(num_cpus=threads, max_retries=3, name=name)
        return list(ray.get([task.remote(item, threads) for item in items]))
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
        disconnect()
