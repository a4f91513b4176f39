"""Ray ahead of the first round: it starts, and workers import what fits need, while data are still being made."""

import threading
from concurrent.futures import Future

from numerai_ray.runners.ray.fit_tasks import warm_up
from numerai_ray.runners.ray.start import RaySettings, connect, disconnect, hush, is_ready, wait_until_gone
from numerai_ray.system.machine import this_machine
from numerai_ray.system.process import is_ending
from numerai_ray.system.resources import Machine

_begun: list[Future[str | None]] = []


def begin(settings: RaySettings) -> None:
    """Start Ray on this machine in a thread of its own, unless there is one. What goes wrong, :func:`taken` raises."""
    if _begun or is_ready(0):
        return
    machine, future = this_machine(), Future[str | None]()
    _begun.append(future)
    threading.Thread(target=_start, args=(settings, machine, future), name="ray", daemon=True).start()


def _start(settings: RaySettings, machine: Machine, future: Future[str | None]) -> None:
    try:
        url = connect(settings, machine, 0)
        for _ in range(machine.cores):
            warm_up.remote([])
    except BaseException as error:
        future.set_exception(error)
    else:
        future.set_result(url)
        wait_until_gone()


def taken() -> tuple[bool, str | None]:
    """Wait for what was begun, and take it over: whether anything was, and the dashboard's URL where there is one.

    Raises:
        EnvironmentFault: Ray did not start.

    """
    return (True, _begun.pop().result()) if _begun else (False, None)


def end() -> None:
    """Let go of what was begun and nobody took over."""
    if not _begun:
        return
    future = _begun.pop()
    if is_ending():  # all of it ends with this process
        hush()
        return
    if future.exception() is None:
        disconnect()
