"""Memory of what a pure function of arrays gave, by the content of what it was asked.

A decided round never changes, but every round's report, answer and leaderboard judge all rounds before it again, each
from arrays of its own. Only digests and results are held, so thousands of them take a few megabytes.
"""

import hashlib
import threading
from collections.abc import Callable, Hashable

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]


class ByContent:
    """Holds the latest ``most`` results; threads may share it."""

    def __init__(self, most: int):
        self._most = most
        self._held: dict[Hashable, FloatArray] = {}
        self._lock = threading.Lock()

    def get(
        self, arrays: tuple[NDArray[np.generic], ...], settings: Hashable, make: Callable[[], FloatArray]
    ) -> FloatArray:
        """What ``make`` gives for these arrays and settings, read-only; made once as long as it is held.

        Args:
            arrays: all arrays that the result depends on.
            settings: everything else that it depends on.
            make: works the result out.

        """
        key = (settings, *(_digest(each) for each in arrays))
        with self._lock:
            found = self._held.pop(key, None)
        if found is None:
            found = make()
            found.setflags(write=False)
        with self._lock:
            self._held[key] = found  # at the end: what was asked for last is let go last
            while len(self._held) > self._most:
                del self._held[next(iter(self._held))]
        return found


def _digest(array: NDArray[np.generic]) -> tuple[tuple[int, ...], str, bytes]:
    content = np.ascontiguousarray(array)
    return content.shape, content.dtype.str, hashlib.blake2b(content.data, digest_size=16).digest()
