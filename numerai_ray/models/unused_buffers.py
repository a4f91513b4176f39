"""Give back a buffer that LightGBM fills with zeros and never uses: half of what its four-bit features take.

Every ``DenseBin`` of four-bit values has beside its ``data_`` a second buffer as large, ``buf_``, for rows that several
threads push in any order (``dense_bin.hpp`` of LightGBM 4.7). Where bins are read from a file or copied nothing is
pushed, but the buffer is there, written with zeros, until the Dataset goes: a fit holds a byte a value instead of half.

The pages of such a buffer can be handed back to the system: it maps them anew, full of zeros, should anybody look. To
find them, the object is followed from its handle, reading through ``/proc/self/mem``, where a wrong address is an error
and not a crash; nothing is given back but memory that is where a buffer must be, has its size, and is all zeros.
Anywhere else than on Linux, and with another layout of these objects, nothing happens.
"""

import ctypes
import mmap
import os
import struct
from collections.abc import Iterator
from contextlib import suppress

import lightgbm as lgb
import numpy as np

_DATASET_BYTES, _GROUP_BYTES = 256, 256  # where a vector of groups, and a pointer to bins, is looked for
_MADV_DONTNEED = 4


def give_back(dataset: lgb.Dataset, groups: int) -> int:
    """Bytes given back of a constructed Dataset with so many groups of features; 0 where its layout is another."""
    n_rows, handle = dataset.num_data(), dataset._handle
    if handle is None or not handle.value:
        return 0
    try:
        memory = os.open("/proc/self/mem", os.O_RDONLY)
    except OSError:
        return 0
    try:
        return sum(_drop(start, size) for start, size in _buffers(memory, handle.value, groups, n_rows))
    finally:
        os.close(memory)


def _buffers(memory: int, handle: int, groups: int, n_rows: int) -> Iterator[tuple[int, int]]:
    """Address and size of every unused buffer."""
    for pointer in _group_pointers(memory, handle, groups):
        for place in _words(memory, pointer, _GROUP_BYTES):
            # DenseBin: table of functions, number of rows, begin, end and limit of data_, and of buf_.
            found = _words(memory, place, 64) if place > mmap.PAGESIZE and place % 8 == 0 else ()
            if len(found) == 8 and found[1] & 0xFFFFFFFF == n_rows and _is_pair(found[2:], (n_rows + 1) // 2):
                yield found[5], (n_rows + 1) // 2
                break


def _group_pointers(memory: int, handle: int, groups: int) -> tuple[int, ...]:
    words = _words(memory, handle, _DATASET_BYTES)
    for begin, end, limit in zip(words, words[1:], words[2:], strict=False):
        if begin and end - begin == 8 * groups and limit >= end:
            return _words(memory, begin, 8 * groups)
    return ()


def _is_pair(vectors: tuple[int, ...], size: int) -> bool:
    """Whether these are two vectors of ``size`` bytes each, neither within the other."""
    data, data_end, data_limit, buffer, buffer_end, buffer_limit = vectors
    sizes = data_end - data == size == buffer_end - buffer and data_limit >= data_end and buffer_limit >= buffer_end
    return bool(sizes and data and buffer and (buffer >= data_end or data >= buffer_end))


def _words(memory: int, address: int, size: int) -> tuple[int, ...]:
    """Eight-byte words at an address; none where there is no memory."""
    with suppress(OSError, OverflowError):
        content = os.pread(memory, size, address)
        return struct.unpack(f"<{len(content) // 8}Q", content[: len(content) // 8 * 8])
    return ()


def _drop(start: int, size: int) -> int:
    """Give back the whole pages of a buffer of zeros."""
    first = -(-start // mmap.PAGESIZE) * mmap.PAGESIZE
    length = (start + size) // mmap.PAGESIZE * mmap.PAGESIZE - first
    if length <= 0 or np.ctypeslib.as_array((ctypes.c_uint8 * length).from_address(first)).any():
        return 0
    done = ctypes.CDLL(None, use_errno=True).madvise(ctypes.c_void_p(first), ctypes.c_size_t(length), _MADV_DONTNEED)
    return length if done == 0 else 0
