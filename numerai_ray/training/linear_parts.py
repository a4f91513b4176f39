"""Linear parts of a round: variants that neutralize one prediction by different proportions solve it once.

Least squares are most of what a round without a fit to train has to do, see :mod:`numerai_ray.metrics.neutralization`.
They run on one BLAS thread, several eras side by side where there are cores for them: an era is too small for several
threads, which spend most of their time waiting for each other, all the more on a machine that has other work.
"""

import hashlib
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
from threadpoolctl import threadpool_limits

Floats = npt.NDArray[np.float64]
# Four folds of full data are 50 MB; beyond this the oldest go.
ROOM_BYTES = 400 * 2**20


class LinearParts:
    """Found parts by prediction and by what it is made neutral to; the round's own, and gone with it.

    ``threads`` is how many eras whoever solves may solve side by side.
    """

    def __init__(self, threads: int = 1) -> None:
        self.threads = threads
        self._found: dict[tuple[str, Any], Floats] = {}

    def of(self, prediction: Floats, against: Any, solve: Callable[[], Floats]) -> Floats:
        """(n,): what ``solve`` gives for ``prediction`` (n,), solved once for equal predictions.

        ``against`` (hashable) tells apart eras and neutralizers.
        """
        key = (hashlib.sha256(np.ascontiguousarray(prediction).tobytes()).hexdigest(), against)
        if key not in self._found:
            with threadpool_limits(1, user_api="blas"):
                self._found[key] = solve()
            while sum(part.nbytes for part in self._found.values()) > ROOM_BYTES and len(self._found) > 1:
                del self._found[next(iter(self._found))]
        return self._found[key]
