"""Independent pieces of work as Ray tasks, one at a time on a node and with all its cores: refits of a winner."""

import logging
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import ray

from numerai_ray.errors import EnvironmentFault, FitError, NumeraiRayError
from numerai_ray.machine import this_machine

T = TypeVar("T")
R = TypeVar("R")


def run_on_ray(function: Callable[[T, int], R], items: Sequence[T], name: str, address: str | None) -> list[R]:
    """``function(item, threads)`` for each item, in their order; ``address`` None starts a Ray on this machine.

    Raises:
        EnvironmentFault: Ray does not start, or a node that was needed is gone for good.
        NumeraiRayError: what ``function`` raises on purpose.

    """
    _connect(address)
    try:
        threads = _smallest_node()
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
        ray.shutdown()


def _connect(address: str | None) -> None:
    options: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.WARNING}
    if address is None:
        options |= {"address": "local", "num_cpus": this_machine().cores, "include_dashboard": False}
    else:
        options["address"] = address
    try:
        ray.init(**options)
    except (ConnectionError, RuntimeError, ValueError, OSError) as error:
        raise EnvironmentFault(
            f"Ray does not start on {address or 'this machine'}: {error}; try --in-process"
        ) from error


def _smallest_node() -> int:
    nodes = ray.nodes()  # type: ignore[no-untyped-call]
    cores = [int(node["Resources"].get("CPU", 0)) for node in nodes if node["Alive"]]
    return max(1, min((each for each in cores if each), default=1))
