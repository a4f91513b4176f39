"""Digests: sixteen bytes for what an era holds in a column, for all eras and columns of a data file, kept beside it.

They are of values and not of bytes on the disk, so that two files that hold the same era hold the same digests. A file
of digests says which data file it is of by the hash of that one's bytes, and ends with a checksum of its own: what does
not fit, or is damaged, counts as none and is made again.

They are XXH3-128: two different contents have the same digest by a chance of 2^-128, and nobody gains by looking for
such a pair. What began with digests of SHA-256, which take some thirty times as long, goes on with these; one file may
keep both.
"""

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import xxhash

from numerai_ray.data.columns import number_values, plain
from numerai_ray.data.eras import TODAY, Hash
from numerai_ray.errors import EnvironmentFault
from numerai_ray.system.json_text import parse_json
from numerai_ray.system.storage import Place, local_folder, write_whole

MAGIC = b"numerai-ray digests 1\n"
SIZE = 16  # bytes of a digest; of a SHA-256 the first
HASHES: Mapping[Hash, Callable[[Any], Any]] = {"xxh3": xxhash.xxh3_128, "sha256": hashlib.sha256}
# As what values are hashed: that is how fits read them, whatever type the file has.
Kind = Literal["int8", "float32", "float64", "text"]
Table = npt.NDArray[np.uint8]
_CHECKSUM = hashlib.sha256().digest_size


@dataclass(frozen=True, eq=False)
class Digests:
    """``values`` (n_eras, n_columns, 16) of ascending ``eras`` and of ``columns``, each named by :func:`column_key`."""

    eras: tuple[int, ...]
    columns: tuple[str, ...]
    values: Table

    @cached_property
    def places(self) -> Mapping[str, int]:
        """Where a column stands."""
        return {name: place for place, name in enumerate(self.columns)}

    def of(self, columns: Sequence[str]) -> Table:
        """(n_eras, n, 16): the digests of some columns, in their order."""
        return np.ascontiguousarray(self.values[:, [self.places[name] for name in columns]])

    def with_more(self, columns: Sequence[str], values: Table) -> "Digests":
        """These and those of further ``columns``, of the same eras."""
        return Digests(self.eras, (*self.columns, *columns), np.concatenate([self.values, values], axis=1))

    def at(self, eras: Sequence[int]) -> "Digests":
        """Those of some of the eras, ascending."""
        places = np.searchsorted(self.eras, eras)
        return Digests(tuple(eras), self.columns, self.values[places])


def column_key(kind: Kind, name: str, hashed: Hash = TODAY) -> str:
    """What a column is called here: its name, as what its values are hashed, and by what unless that is SHA-256."""
    return f"{kind}/{name}" if hashed == "sha256" else f"{hashed}-{kind}/{name}"


class EraDigester:
    """Takes rows as they stream by, eras ascending, and makes their digests.

    Args:
        kinds: the columns, and as what their values are hashed.
        hashed: by what.

    """

    def __init__(self, kinds: Mapping[str, Kind], hashed: Hash = TODAY):
        self._kinds = dict(kinds)
        self._hashed = hashed
        self._era: int | None = None
        self._hashes: list[Any] = []
        self._rows: dict[int, bytes] = {}

    def add(self, columns: Mapping[str, Any] | pa.RecordBatch, eras: npt.NDArray[np.int64]) -> None:
        """Take over rows: Arrow or NumPy ``columns`` of (n,), and the eras (n,) that they are of."""
        if not len(eras):
            return
        if isinstance(columns, pa.RecordBatch):  # all at once: one by name looks through all names
            columns = dict(zip(columns.schema.names, columns.columns, strict=True))
        read, hashed = [_values_of(kind, columns[name]) for name, kind in self._kinds.items()], HASHES[self._hashed]
        start = 0
        for end in (np.flatnonzero(np.diff(eras, append=-1)) + 1).tolist():
            era = int(eras[start])
            if era != self._era:
                self._close()
                self._era = era
                self._hashes = [hashed(values[start:end]) for values in read]
            else:
                for total, values in zip(self._hashes, read, strict=True):
                    total.update(values[start:end])
            start = end

    def row(self, era: int) -> bytes:
        """The digests of an era that ended, end to end: rows of a later one came, or all is finished."""
        return self._rows[era]

    def finish(self) -> Digests:
        """What was taken over, as digests."""
        self._close()
        self._era = None
        shape = (len(self._rows), len(self._kinds), SIZE)
        values = np.frombuffer(b"".join(self._rows.values()), np.uint8).reshape(shape)
        columns = tuple(column_key(kind, name, self._hashed) for name, kind in self._kinds.items())
        return Digests(tuple(self._rows), columns, values)

    def _close(self) -> None:
        if self._era is not None:
            self._rows[self._era] = b"".join(total.digest()[:SIZE] for total in self._hashes)


@dataclass(frozen=True, eq=False)
class _Texts:
    """Texts end to end as bytes; ``ends`` (n + 1,) says where each begins."""

    values: npt.NDArray[np.uint8]
    ends: npt.NDArray[np.int64]

    def __getitem__(self, rows: slice) -> npt.NDArray[np.uint8]:
        return self.values[self.ends[rows.start] : self.ends[rows.stop]]


def _values_of(kind: Kind, column: Any) -> npt.NDArray[Any] | _Texts:
    """What of a column is hashed: a slice of rows gives their bytes."""
    if kind == "int8" and isinstance(column, pa.Int8Array) and not column.null_count:
        return np.from_dlpack(column)  # the quickest view: a build has thousands of columns in every slice
    if kind == "text":
        # Each ends with a zero, so that "a", "bc" and "ab", "c" differ.
        end, nothing = (pa.scalar(text, pa.large_string()) for text in ("\0", ""))
        ended = pc.fill_null(pc.binary_join_element_wise(plain(column).cast(pa.large_string()), end, nothing), nothing)
        ended = ended.combine_chunks() if isinstance(ended, pa.ChunkedArray) else ended
        _, offsets, data = ended.buffers()
        ends = np.frombuffer(offsets, np.int64, len(ended) + 1, 8 * ended.offset)
        return _Texts(np.frombuffer(data or b"", np.uint8), ends)
    values = column if isinstance(column, np.ndarray) else number_values(column)
    if kind == "int8":
        # What is no small whole number is refused by whoever reads it; here it only has to differ.
        small = values.dtype.kind in "iu" and (values.dtype == np.int8 or not len(values) or _is_small(values))
        return np.ascontiguousarray(values, np.int8 if small else np.float64)
    with np.errstate(over="ignore"):
        numbers = np.ascontiguousarray(values, np.float32 if kind == "float32" else np.float64)
    unknown = np.isnan(numbers)
    if unknown.any():  # NaN has many bit patterns, and all of them are unknown
        numbers = np.where(unknown, np.array(np.nan, numbers.dtype), numbers)
    return numbers


def _is_small(values: npt.NDArray[Any]) -> bool:
    return int(values.min()) >= -128 and int(values.max()) <= 127


def digests_file(path: Place) -> str:
    """Name of the file beside ``path`` that keeps its digests."""
    return f".{path.stem}.digests"


def read_digests(path: Place, fingerprint: str, era_col: str) -> Digests | None:
    """What is kept of a data file; None where nothing is, or what is there is of other bytes.

    Args:
        path: the data file.
        fingerprint: of its bytes.
        era_col: the column that its eras stand in.

    """
    for keeper in _keepers(path):
        with suppress(OSError, EnvironmentFault):
            found = _decoded(keeper.read_bytes(), [fingerprint, era_col])
            if found is not None:
                return found
    return None


def write_digests(path: Place, fingerprint: str, era_col: str, digests: Digests) -> None:
    """Keep digests beside a data file, else in this machine's cache, else not at all: they can be made again."""
    head = {"of": [fingerprint, era_col], "eras": digests.eras, "columns": digests.columns}
    text = json.dumps(head).encode()
    content = MAGIC + len(text).to_bytes(8, "little") + text + np.ascontiguousarray(digests.values).tobytes()
    for keeper in _keepers(path):
        with suppress(EnvironmentFault):
            write_whole(keeper, content + hashlib.sha256(content).digest())
            return


def _keepers(path: Place) -> Iterator[Place]:
    for folder in dict.fromkeys((path.parent, local_folder(path.parent))):
        yield folder / digests_file(path)


def _decoded(content: bytes, of: list[str]) -> Digests | None:
    start = len(MAGIC) + 8
    body, checksum = content[:-_CHECKSUM], content[-_CHECKSUM:]
    if not body.startswith(MAGIC) or hashlib.sha256(body).digest() != checksum:
        return None
    end = start + int.from_bytes(body[len(MAGIC) : start], "little")
    head = parse_json(body[start:end])
    if head["of"] != of:
        return None
    shape = (len(head["eras"]), len(head["columns"]), SIZE)
    values = np.frombuffer(body, np.uint8, offset=end).reshape(shape)
    return Digests(tuple(head["eras"]), tuple(head["columns"]), values)
