"""The two routines of BLAS and LAPACK that take most of a neutralization, called without Python's lock.

SciPy's own wrappers hold the lock while they compute (measured, SciPy 1.16: two threads that multiply take as long as
one after the other); NumPy's let go of it, but copy their operands (9 % slower on an era). So these are called where
SciPy publishes them for other compilers, ``scipy.linalg.cython_blas`` and ``cython_lapack``: the same code, the same
numbers, and eras side by side in threads.
"""

import ctypes
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cython_blas, cython_lapack

_NAME = ctypes.PYFUNCTYPE(ctypes.c_char_p, ctypes.py_object)(("PyCapsule_GetName", ctypes.pythonapi))
_POINTER = ctypes.PYFUNCTYPE(ctypes.c_void_p, ctypes.py_object, ctypes.c_char_p)(
    ("PyCapsule_GetPointer", ctypes.pythonapi)
)


def _routine(module: ModuleType, name: str, arguments: str) -> Any:
    """A routine by its arguments, one letter each: t(ext), i(nteger), n(umber), a(rray)."""
    capsule: Any = module.__pyx_capi__[name]
    kinds: dict[str, Any] = {
        "t": ctypes.c_char_p,
        "i": ctypes.POINTER(ctypes.c_int),
        "n": ctypes.c_void_p,
        "a": ctypes.c_void_p,
    }
    return ctypes.CFUNCTYPE(None, *(kinds[each] for each in arguments))(_POINTER(capsule, _NAME(capsule)))


_SYRK = {
    np.dtype(np.float32): (_routine(cython_blas, "ssyrk", "ttiinainai"), ctypes.c_float),
    np.dtype(np.float64): (_routine(cython_blas, "dsyrk", "ttiinainai"), ctypes.c_double),
}
_POTRF = _routine(cython_lapack, "dpotrf", "tiaii")


def products(x: NDArray[Any], out: NDArray[Any]) -> None:
    """Fill the upper triangle of ``out`` (k, k) with that of X X' of ``x`` (k, n), both float32 or both float64.

    Raises ValueError when they are not C-ordered arrays of such shapes and of one type.
    """
    k, n = x.shape
    if x.dtype not in _SYRK or out.dtype != x.dtype or out.shape != (k, k):
        raise ValueError(f"out must be ({k}, {k}) of {x.dtype}, float32 or float64, but is {out.shape} of {out.dtype}")
    _check_order(x, out)
    if not x.size:
        out[:] = 0
        return
    syrk, number = _SYRK[x.dtype]
    rows, columns, one, zero = ctypes.c_int(k), ctypes.c_int(n), number(1), number(0)
    # Fortran reads the same memory with rows and columns exchanged: the lower triangle there is the upper one here.
    syrk(
        *(b"L", b"T", rows, columns, ctypes.byref(one), x.ctypes.data, columns),
        *(ctypes.byref(zero), out.ctypes.data, rows),
    )


def cholesky(matrix: NDArray[np.float64]) -> bool:
    """Replace the upper triangle of ``matrix`` (k, k) by its Cholesky factor U, U' U = matrix; false where it has none.

    Raises ValueError when it is not a C-ordered square of float64.
    """
    if matrix.dtype != np.float64 or matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1]:
        raise ValueError(f"matrix must be a square of float64, but is {matrix.shape} of {matrix.dtype}")
    _check_order(matrix)
    size, fault = ctypes.c_int(len(matrix)), ctypes.c_int(0)
    _POTRF(b"L", size, matrix.ctypes.data, size, fault)
    return fault.value == 0


def _check_order(*arrays: NDArray[Any]) -> None:
    if not all(array.flags.c_contiguous for array in arrays):
        raise ValueError("arrays must be C-ordered")
