"""Ray ahead of the first round: it starts, and workers import what fits need, while data are still being made."""

import threading
from concurrent.futures import Future
from dataclasses import dataclass

from numerai_ray.runners.ray.fit_tasks import warm_up
from numerai_ray.runners.ray.start import RaySettings, connect, disconnect, hush, is_ready, wait_until_gone
from numerai_ray.system.machine import this_machine
from numerai_ray.system.process import is_ending
from numerai_ray.system.resources import Machine


@dataclass(frozen=True)
class _Begun:
    """A Ray that starts: what the machine had before, and the dashboard's URL once it is up."""

    machine: Machine
    url: Future[str | None]


_begun: list[_Begun] = []


def begin(settings: RaySettings) -> None:
    """Start Ray on this machine in a thread of its own, unless there is one. What goes wrong, :func:`taken` raises."""
    if _begun or is_ready(0):
        return
    begun = _Begun(this_machine(), Future())
    _begun.append(begun)
    threading.Thread(target=_start, args=(settings, begun), name="ray", daemon=True).start()


def _start(settings: RaySettings, begun: _Begun) -> None:
    try:
        url = connect(settings, begun.machine, 0)
        for _ in range(begun.machine.cores):
            warm_up.remote([])
    except BaseException as error:
        begun.url.set_exception(error)
    else:
        begun.url.set_result(url)
        wait_until_gone()


def machine_before() -> Machine:
    """What this machine has without the Ray that was begun, which takes memory of it."""
    return _begun[-1].machine if _begun else this_machine()


def taken() -> tuple[bool, str | None]:
    """Wait for what was begun, and take it over: whether anything was, and the dashboard's URL where there is one.

    Raises:
        EnvironmentFault: Ray did not start.

    """
    return (True, _begun.pop().url.result()) if _begun else (False, None)


def end() -> None:
    """Let go of what was begun and nobody took over."""
    if not _begun:
        return
    begun = _begun.pop()
    if is_ending():  # all of it ends with this process
        hush()
        return
    if begun.url.exception() is None:
        disconnect()
