"""Compilation: numba's decorator for kernels.

Kernels release the GIL, so that a team of threads can run them; they use no threads of numba's own, whose layers abort
when two fits call them at once and do not live with fork.
"""

from collections.abc import Callable
from typing import Any

import numba
import numpy as np
from llvmlite import ir
from numba.extending import intrinsic

from numerai_ray.trees.kernel_cache import folder


def kernel(function: Callable[..., Any]) -> Any:
    """``function`` compiled by numba when it is first called, or found in our cache."""
    place, config = folder(), numba.config
    before = config.CACHE_DIR  # type: ignore[attr-defined]
    config.CACHE_DIR = "" if place is None else str(place)  # type: ignore[attr-defined]
    try:
        return numba.njit(nogil=True, cache=place is not None, error_model="numpy")(function)
    finally:
        config.CACHE_DIR = before  # type: ignore[attr-defined]


@intrinsic
def _pointer(_context, address):
    signature = numba.types.CPointer(numba.types.int8)(address)

    def code(_target, builder, _signature, arguments):
        return builder.inttoptr(arguments[0], ir.IntType(8).as_pointer())

    return signature, code


_pointer_to: Any = _pointer  # numba passes its context itself


@kernel
def values_at(address, first, n):
    """Values ``first`` to ``first + n`` of the int8 column at an address.

    Thousands of columns are handed to a kernel as one array of addresses: as many arrays would take it longer to unpack
    than a small tree to grow.
    """
    return numba.carray(_pointer_to(address + np.uintp(first)), n)  # type: ignore[attr-defined]
