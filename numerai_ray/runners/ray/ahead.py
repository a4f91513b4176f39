"""Ray ahead of the first round: it starts, and workers import what fits need, while data are still being made."""

import threading
import time
from concurrent.futures import Future
from dataclasses import dataclass

from numerai_ray.runners.ray.fit_tasks import warm_up
from numerai_ray.runners.ray.start import RaySettings, connect, disconnect, hush, is_ready, wait_until_gone
from numerai_ray.system.machine import this_machine
from numerai_ray.system.process import is_ending
from numerai_ray.system.resources import Machine


@dataclass(frozen=True)
class _Begun:
    """A Ray that starts: what the machine had before, and once it is up, the dashboard's URL; when it began."""

    machine: Machine
    up: Future[tuple[str | None, float]]
    at: float


_begun: list[_Begun] = []


def begin(settings: RaySettings) -> None:
    """Start Ray on this machine in a thread of its own, unless there is one. What goes wrong, :func:`taken` raises."""
    if _begun or is_ready(0):
        return
    begun = _Begun(this_machine(), Future(), time.monotonic())
    _begun.append(begun)
    threading.Thread(target=_start, args=(settings, begun), name="ray", daemon=True).start()


def _start(settings: RaySettings, begun: _Begun) -> None:
    try:
        url = connect(settings, begun.machine, 0)
        for _ in range(begun.machine.cores):
            warm_up.remote([])
    except BaseException as error:
        begun.up.set_exception(error)
    else:
        begun.up.set_result((url, time.monotonic()))
        wait_until_gone()


def machine_before() -> Machine:
    """What this machine has without the Ray that was begun, which takes memory of it."""
    return _begun[-1].machine if _begun else this_machine()


def taken() -> tuple[bool, str | None, float]:
    """Wait for what was begun, and take it over.

    Returns:
        Whether anything was begun, the dashboard's URL where there is one, and the seconds of Ray's start that went by
        before it was waited for.

    Raises:
        EnvironmentFault: Ray did not start.

    """
    if not _begun:
        return False, None, 0.0
    begun, now = _begun.pop(), time.monotonic()
    url, ready = begun.up.result()
    return True, url, min(now, ready) - begun.at


def end() -> None:
    """Let go of what was begun and nobody took over."""
    if not _begun:
        return
    begun = _begun.pop()
    if is_ending():  # all of it ends with this process
        hush()
        return
    if begun.up.exception() is None:
        disconnect()
