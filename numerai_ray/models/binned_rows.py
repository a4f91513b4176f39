"""Some rows of a saved LightGBM Dataset, loaded without ever loading all of it.

What ``Dataset.save_binary`` writes is a header, a few facts about the rows, and then, feature by feature, the bins of
all rows, four bits each where a feature has at most 15 of them. :func:`load_rows` lets LightGBM read a file that
exists nowhere: the same header with another number of rows, and of every feature only the bytes of the rows that are
wanted, cut out of the shared copy while LightGBM reads. A fit then holds its own rows and nothing else, where loading
the copy and taking a subset holds both, and a memory file to load it from a third one.

The layout is that of LightGBM 4.7 (``Dataset::SaveBinaryFile``, ``FeatureGroup``, ``DenseBin`` in its source).
:func:`read_layout` checks every length it relies on, so that a file of another layout, or with sparse features, is
told (None) and not misread; such a copy has to be loaded whole.
"""

import fcntl
import os
import struct
import tempfile
import termios
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightgbm as lgb
import numpy as np
import numpy.typing as npt

from numerai_ray.models.unused_buffers import give_back

Bytes = npt.NDArray[np.uint8]
Rows = npt.NDArray[np.int64]

_TOKEN = b"______LightGBM_Binary_File_Token______\n"
# Where the header begins: after the token and its own length.
HEADER_AT = -(-len(_TOKEN) // 8) * 8 + 8
_PIPE_BYTES = 1 << 20
# How often LightGBM opens a file for its first bytes alone, before it opens it to read it.
_LOOKS = 2
_MAX_PLAIN_BINS = {4: 16, 8: 256, 16: 65536}  # bits a value -> bins that they can tell apart


class StoredBytes:
    """Bytes in several pieces, read as one: (n,) uint8 each, possibly read-only."""

    def __init__(self, chunks: Sequence[Bytes]):
        self._chunks = tuple(chunks)
        self._starts = np.concatenate([[0], np.cumsum([len(chunk) for chunk in self._chunks])]).astype(np.int64)

    def __len__(self) -> int:
        return int(self._starts[-1])

    def read(self, start: int, stop: int) -> Bytes:
        """Bytes ``start`` to ``stop``: a view of one chunk, a copy of several; ``ValueError`` past the end."""
        if not 0 <= start <= stop <= len(self):
            raise ValueError(f"bytes {start} to {stop} of {len(self)}")
        first = int(np.searchsorted(self._starts, start, side="right")) - 1
        parts = []
        for chunk, offset in zip(self._chunks[first:], self._starts[first:].tolist(), strict=False):
            if offset >= stop:
                break
            parts.append(chunk[max(0, start - offset) : stop - offset])
        return parts[0] if len(parts) == 1 else np.concatenate([np.empty(0, np.uint8), *parts])

    def chunks(self) -> Iterator[Bytes]:
        yield from self._chunks


@dataclass(frozen=True)
class Group:
    """One group of features: its definition, and where the bins of all rows are (``bits`` a row)."""

    definition: bytes
    start: int
    bits: int


@dataclass(frozen=True)
class Layout:
    """Where everything is in a saved Dataset of ``n_rows``; its groups begin at byte ``start`` and end with it."""

    n_rows: int
    header: bytes
    start: int
    groups: tuple[Group, ...]


def read_layout(stored: StoredBytes) -> Layout | None:
    """The layout of a saved Dataset, or None when its rows cannot be cut out of it."""
    try:
        return _read_layout(stored)
    except (struct.error, ValueError):
        return None


def _read_layout(stored: StoredBytes) -> Layout | None:
    at = HEADER_AT - 8
    if stored.read(0, len(_TOKEN)).tobytes() != _TOKEN:
        return None
    header = stored.read(HEADER_AT, HEADER_AT + _integer(stored, at)).tobytes()
    at += 8 + len(header)
    (n_rows,) = struct.unpack_from("<i", header)
    features, has_raw = struct.unpack_from("<i", header, 8)[0], header[9 * 8]
    # Row count, weights and queries, eight bytes each, then a label a row.
    about_bytes = _integer(stored, at)
    about = struct.unpack("<i4xi4xi4x", stored.read(at + 8, at + 32).tobytes())
    if about != (n_rows, 0, 0) or about_bytes != 24 + aligned(4 * n_rows) or has_raw:
        return None
    at += 8 + about_bytes
    start = at
    groups: list[Group] = []
    found = 0
    while at < len(stored):
        size = _integer(stored, at)
        group, count = _read_group(stored, at + 8, size, n_rows)
        if group is None:
            return None
        groups.append(group)
        found += count
        at += 8 + size
    return Layout(n_rows, header, start, tuple(groups)) if found == features and at == len(stored) else None


def _read_group(stored: StoredBytes, at: int, size: int, n_rows: int) -> tuple[Group | None, int]:
    """The group of ``size`` bytes at ``at``, None unless its bins are dense; and its number of features."""
    multi, dense_multi, sparse, features = struct.unpack("<?7x?7x?7xi4x", stored.read(at, at + 32).tobytes())
    if multi or dense_multi or sparse:
        return None, features
    end, bins = at + 32, 1
    for _ in range(features):
        # bins, kind of missing, trivial, sparse rate, kind of bins, lowest, highest, default bin, most frequent bin
        count, kind, usual = struct.unpack("<i4x24xi4x16x8xi4x", stored.read(end, end + 72).tobytes())
        bins += count - (usual == 0)
        end += 72 + count * (8 if kind == 0 else 4)
    bits = next((bits for bits, most in _MAX_PLAIN_BINS.items() if bins <= most), 0)
    if not bits or aligned(column_bytes(n_rows, bits)) != size - (end - at):
        return None, features
    return Group(stored.read(at, end).tobytes(), end, bits), features


def load_rows(
    stored: StoredBytes, layout: Layout, rows: Rows, params: Mapping[str, Any], written: Layout | None = None
) -> lgb.Dataset:
    """The Dataset of ``rows`` (n,), ascending, not labelled yet; ``params`` are those it was made and is used with.

    LightGBM is told that the file is ``written`` (see :mod:`numerai_ray.models.wide_bins`), by default as it is.
    """
    with _one_at_a_time():
        try:
            dataset = _through_pipe(_saved(stored, layout, rows, written), params)
        except lgb.basic.LightGBMError:  # it looks more often than we know; what is really wrong is told now
            dataset = through_memory_file(_saved(stored, layout, rows, written), params)
        if dataset.num_data() != len(rows):
            raise ValueError(f"LightGBM read {dataset.num_data()} rows of {len(rows)}")
        give_back(dataset, len(layout.groups))
    return dataset


@contextmanager
def _one_at_a_time() -> Iterator[None]:
    """Fits of one machine load one after the other: while one loads, it holds twice what it keeps."""
    path = Path(tempfile.gettempdir()) / f"numerai-ray-loading-{os.getuid()}.lock"
    try:
        handle = path.open("w")
    except OSError:  # no place for a lock: memory may then be short for a moment
        yield
        return
    with handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def through_memory_file(pieces: Iterable[Any], params: Mapping[str, Any]) -> lgb.Dataset:
    """The Dataset saved in ``pieces``, which are all in memory at once while LightGBM reads them."""
    descriptor = os.memfd_create("numerai-ray-binned")
    try:
        for piece in pieces:
            _write(descriptor, piece)
        return _read(descriptor, params)
    finally:
        os.close(descriptor)


def _through_pipe(pieces: Iterable[Any], params: Mapping[str, Any]) -> lgb.Dataset:
    """The same without ever holding more than one piece."""
    reading, writing = os.pipe()
    with suppress(OSError):  # not more than a limit of the machine allows
        fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
    writer = _Writer(writing, pieces)
    writer.start()
    try:
        return _read(reading, params)
    finally:
        os.close(reading)
        writer.stop()


def _read(descriptor: int, params: Mapping[str, Any]) -> lgb.Dataset:
    return lgb.Dataset(f"/proc/self/fd/{descriptor}", params=dict(params)).construct()


def _write(descriptor: int, piece: Any) -> None:
    view = memoryview(piece)
    while view:
        view = view[os.write(descriptor, view) :]


class _Writer(threading.Thread):
    """Writes a saved Dataset into a pipe that LightGBM opens several times."""

    def __init__(self, descriptor: int, pieces: Iterable[Any]):
        super().__init__(name="binned-rows", daemon=True)
        self._descriptor = descriptor
        self._pieces = pieces
        self._stopped = threading.Event()

    def run(self) -> None:
        try:
            for _ in range(_LOOKS):
                _write(self._descriptor, _TOKEN)
                while self._unread() and not self._stopped.wait(0.0005):
                    pass
            for piece in self._pieces:
                _write(self._descriptor, piece)
        except BrokenPipeError:  # LightGBM gave up; it says why
            pass
        finally:
            os.close(self._descriptor)

    def stop(self) -> None:
        """Wait for the end; nobody reads any more."""
        self._stopped.set()
        self.join()

    def _unread(self) -> int:
        size = fcntl.ioctl(self._descriptor, termios.FIONREAD, bytes(4))
        return int.from_bytes(size, "little")


def beginning(header: bytes, n_rows: int) -> bytes:
    """What stands before the groups in the file of ``n_rows`` without labels, ``header`` being of any rows."""
    token = _TOKEN.ljust(HEADER_AT - 8, b"\0")
    about_bytes = 24 + aligned(4 * n_rows)
    about = struct.pack("<Qi4xi4xi4x", about_bytes, n_rows, 0, 0) + bytes(about_bytes - 24)
    return token + struct.pack("<Qi", len(header), n_rows) + header[4:] + about


def _saved(stored: StoredBytes, layout: Layout, rows: Rows, written: Layout | None = None) -> Iterator[Any]:
    """The file that ``save_binary`` would have written of ``rows``, piece by piece, as ``written`` or as it is."""
    n_rows = len(rows)
    written = written or layout
    yield beginning(written.header, n_rows)
    cut = RowCutter(rows)
    for group, target in zip(layout.groups, written.groups, strict=True):
        column = stored.read(group.start, group.start + column_bytes(layout.n_rows, group.bits))
        if group.bits > 4:
            bins = cut.whole_bytes(column, group.bits // 8)
        else:
            bins = cut.four_bits(column) if target.bits == 4 else cut.values(column).data
        yield from saved_group(target, bins)


def saved_group(group: Group, bins: Any) -> Iterator[Any]:
    """What the file holds of a group, ``bins`` (bytes) being those of its rows."""
    size = memoryview(bins).nbytes
    yield struct.pack("<Q", len(group.definition) + aligned(size)) + group.definition
    yield bins
    yield bytes(aligned(size) - size)


class RowCutter:
    """Takes the same rows out of one column of bins after the other."""

    def __init__(self, rows: Rows):
        self._rows = rows
        self._first = int(rows[0]) if len(rows) else 0
        # One range, as an expanding window is: its bytes are there already.
        self._one_range = bool(len(rows) and rows[-1] - rows[0] == len(rows) - 1)
        self._near = None if self._one_range else rows - self._first

    def whole_bytes(self, column: Bytes, width: int) -> Any:
        values = column.view(np.dtype(f"u{width}"))
        taken = values[self._first : self._first + len(self._rows)] if self._one_range else values[self._rows]
        return np.ascontiguousarray(taken).view(np.uint8).data

    def values(self, column: Bytes) -> Bytes:
        """The bins (n,) of a column of four bits a row."""
        if not len(self._rows):
            return np.empty(0, np.uint8)
        within = column[self._first >> 1 : (int(self._rows[-1]) >> 1) + 1]
        pairs = np.empty((len(within), 2), np.uint8)
        np.bitwise_and(within, 15, out=pairs[:, 0])
        np.right_shift(within, 4, out=pairs[:, 1])
        values = pairs.ravel()[self._first & 1 :]
        return values[: len(self._rows)] if self._near is None else values[self._near]

    def four_bits(self, column: Bytes) -> Any:
        count = len(self._rows)
        if not count:
            return b""
        if self._one_range and not self._first & 1:
            within = column[self._first >> 1 : (int(self._rows[-1]) >> 1) + 1]
            return within.data if not count & 1 else _last_half_cleared(within).data
        return halves_joined(self.values(column)).data


def halves_joined(values: Bytes) -> Bytes:
    """``values`` (n,) below 16, four bits each, the first in the lower half of a byte."""
    packed = values[::2].copy()
    packed[: len(values) >> 1] |= values[1::2] << 4
    return packed


def _last_half_cleared(column: Bytes) -> Bytes:
    cleared = column.copy()
    cleared[-1] &= 15
    return cleared


def column_bytes(n_rows: int, bits: int) -> int:
    return (n_rows + 1) // 2 if bits == 4 else n_rows * bits // 8


def _integer(stored: StoredBytes, at: int) -> int:
    return int(struct.unpack("<Q", stored.read(at, at + 8).tobytes())[0])


def aligned(size: int) -> int:
    return -(-size // 8) * 8
