"""Compilation: numba's decorator for kernels.

Kernels release the GIL, so that a team of threads can run them; they use no threads of numba's own, whose layers abort
when two fits call them at once and do not live with fork.
"""

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import numba
import numpy as np
from llvmlite import ir
from numba.extending import intrinsic

from numerai_ray.trees.kernel_cache import folder

T = TypeVar("T")


def kernel(function: Callable[..., Any]) -> Any:
    """``function`` compiled by numba when it is first called, or found in our cache."""
    place, config = folder(), numba.config
    before = config.CACHE_DIR  # type: ignore[attr-defined]
    config.CACHE_DIR = "" if place is None else str(place)  # type: ignore[attr-defined]
    try:
        # Nobody calls a kernel from C: without the wrapper for it, a tenth less is compiled.
        options: dict[str, Any] = {
            "nogil": True,
            "cache": place is not None,
            "error_model": "numpy",
            "no_cfunc_wrapper": True,
        }
        return numba.njit(**options)(function)
    finally:
        config.CACHE_DIR = before  # type: ignore[attr-defined]


@intrinsic
def _pointer(_context, address):
    signature = numba.types.CPointer(numba.types.int8)(address)

    def code(_target, builder, _signature, arguments):
        return builder.inttoptr(arguments[0], ir.IntType(8).as_pointer())

    return signature, code


_pointer_to: Any = _pointer  # numba passes its context itself


@intrinsic
def _prefetch(_context, address):
    signature = numba.types.void(address)

    def code(context, builder, _signature, arguments):
        byte, whole = ir.IntType(8).as_pointer(), ir.IntType(32)
        of = ir.FunctionType(ir.VoidType(), [byte, whole, whole, whole])
        fetch = builder.module.declare_intrinsic("llvm.prefetch", [byte], of)
        to_read, to_second_level, data = whole(0), whole(2), whole(1)
        builder.call(fetch, [builder.inttoptr(arguments[0], byte), to_read, to_second_level, data])
        return context.get_dummy_value()

    return signature, code


@intrinsic
def _atomic_add(_context, address, number):
    signature = numba.types.int64(address, number)

    def code(context, builder, signature, arguments):
        place = builder.inttoptr(arguments[0], ir.IntType(64).as_pointer())
        more = context.cast(builder, arguments[1], signature.args[1], numba.types.int64)
        return builder.atomic_rmw("add", place, more, "seq_cst")

    return signature, code


@intrinsic
def _atomic_load(_context, address):
    signature = numba.types.int64(address)

    def code(_context, builder, _signature, arguments):
        place = builder.inttoptr(arguments[0], ir.IntType(64).as_pointer())
        return builder.load_atomic(place, "acquire", 8)

    return signature, code


@intrinsic
def _sched_yield(_context):
    def code(context, builder, _signature, _arguments):
        name, module = "sched_yield", builder.module
        function = module.globals.get(name) or ir.Function(module, ir.FunctionType(ir.IntType(32), []), name)
        builder.call(function, [])
        return context.get_dummy_value()

    return numba.types.void(), code


#: Adds to the int64 at an address that other threads add to, too; gives what was there. All that was written before is
#: seen by who finds the sum.
add_to: Any = _atomic_add
#: The int64 at an address that other threads add to.
number_at: Any = _atomic_load
#: Lets another thread have this core for a while; POSIX.
let_others: Any = _sched_yield
#: Has the line of memory at an address (np.uintp) brought to the second-level cache, which takes more such lines at
#: once than the first: a large leaf's rows came twice as fast. It changes no result, and no address is a wrong one.
prefetch: Any = _prefetch
# How many rows ahead that is worth it.
ROWS_AHEAD = 128
LINE_BYTES = 64


@kernel
def values_at(address, first, n):
    """Values ``first`` to ``first + n`` of the int8 column at an address.

    Thousands of columns are handed to a kernel as one array of addresses: as many arrays would take it longer to unpack
    than a small tree to grow.
    """
    return numba.carray(_pointer_to(address + np.uintp(first)), n)  # type: ignore[attr-defined]


class Team:
    """Runs a kernel on several pieces of work at once; a team of one runs them here, one after the other.

    Who asks is one of the team, and takes what no other thread has begun: nobody waits for one to wake up.
    """

    def __init__(self, threads: int):
        self.threads = max(1, threads)
        self._pool = ThreadPoolExecutor(self.threads - 1, "trees") if self.threads > 1 else None

    def run(self, kernel: Callable[..., T], pieces: Iterable[tuple[Any, ...]]) -> list[T]:
        """What the kernel returns for the arguments of each piece, in their order."""
        work = list(pieces)
        if self._pool is None or len(work) == 1:
            return [kernel(*arguments) for arguments in work]
        begun = [self._pool.submit(kernel, *arguments) for arguments in work[1:]]
        found = {0: kernel(*work[0])}
        for place in range(len(begun), 0, -1):
            if begun[place - 1].cancel():
                found[place] = kernel(*work[place])
        return [found[place] if place in found else begun[place - 1].result() for place in range(len(work))]

    def shares(self, n: int, start: int = 0) -> list[tuple[int, int]]:
        """``n`` things from ``start`` in as many ranges of about one length as there are threads, none empty."""
        size = -(-n // self.threads)
        return [(start + at, start + min(n, at + size)) for at in range(0, n, size)] if n else []

    def close(self) -> None:
        """Let the threads go."""
        if self._pool is not None:
            self._pool.shutdown()
