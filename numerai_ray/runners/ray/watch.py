"""Notices at once that the Ray that was started here is gone: before this process touches its object store again."""

import threading
from collections.abc import Callable
from typing import Any

import ray

from numerai_ray.system.process import is_ending, stop_within

# Without either of them there is no Ray; others may end, and are told of in its logs.
VITAL = ("raylet", "gcs_server")
# Once the command was stopped: Ray's native code ends a process .05 to .1 s after its raylet got the same signal.
EVERY_S, STOPPED_S = 0.05, 0.002


class RayWatch:
    """Calls ``on_lost`` with what is gone, once, unless it was stopped before; all else of that Ray is ended first."""

    def __init__(self, on_lost: Callable[[str], None]):
        self._on_lost = on_lost
        self._node: Any = ray._private.worker._global_node
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="ray-watch", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """From now on, Ray may end."""
        self._stopped.set()
        self._thread.join()

    def _watch(self) -> None:
        asked = False
        while not self._stopped.is_set():
            asked = stop_within(STOPPED_S if asked else EVERY_S)
            dead = [kind for kind, _ in self._node.dead_processes()]
            # Whoever stops a service or a job stops all of its processes, and a Ray that goes answers nobody.
            gone = dead if asked else [kind for kind in dead if kind in VITAL]
            if gone and not self._stopped.is_set():
                if not is_ending():  # what remains then ends with this process
                    self._node.kill_all_processes(check_alive=False)
                self._on_lost(f"Ray on this machine is gone ({gone[0]})")
                return
