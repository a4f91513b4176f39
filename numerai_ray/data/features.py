"""Features in memory, feature by feature.

A feature is one int8 array of all rows, in which the rows of an era range are a slice, so an expanding training window
is handed to Arrow, and from there to a model, without a copy; and any choice of features is one without a copy, too.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa

# Every value of a missing feature in an era is 2: int8 has no NaN.
MISSING_VALUE = 2
ALL_MISSING = np.uint8(1 << MISSING_VALUE)
_HARMLESS = re.compile(r"[A-Za-z0-9_.-]+")
_TURNED_AT_ONCE = 64  # features, when rows are made of them: their cache lines are then filled at once

RowRange = tuple[int, int]
Order = Literal["C", "F"]


@dataclass(frozen=True, eq=False)
class ValuesSeen:
    """Which of the values 0..4 a feature takes in an era: ``bits`` (n_eras, n_features), bit 5 for any other value.

    ``era_starts`` (n_eras + 1,) are row offsets.
    """

    era_starts: npt.NDArray[np.int64]
    bits: npt.NDArray[np.uint8]

    @property
    def n_rows(self) -> int:
        return int(self.era_starts[-1])

    def missing(self) -> npt.NDArray[np.bool_]:
        """(n_eras, n_features): true where Numerai has no data, that is, where a whole era is 2."""
        return np.asarray(self.bits == ALL_MISSING)


@dataclass(frozen=True, eq=False)
class FeatureMatrix:
    """Features of all rows: ``columns`` are (n_rows,) int8 each, contiguous, possibly read-only."""

    names: tuple[str, ...]
    columns: tuple[npt.NDArray[np.int8], ...]
    seen: ValuesSeen

    def select(self, names: Sequence[str]) -> "FeatureMatrix":
        """Only ``names``, in this order, without a copy; raises ``KeyError`` for one that is not there."""
        places = {name: place for place, name in enumerate(self.names)}
        chosen = [places[name] for name in names]
        seen = ValuesSeen(self.seen.era_starts, self.seen.bits[:, chosen])
        return FeatureMatrix(tuple(names), tuple(self.columns[place] for place in chosen), seen)

    def to_arrow(self, ranges: Sequence[RowRange], *, missing_as_null: bool) -> pa.Table:
        """The given rows as int8 columns, without a copy; optionally nulls where a feature is missing."""
        gaps = self.seen.missing() if missing_as_null else None
        arrays = []
        for index, column in enumerate(self.columns):
            gap = None if gaps is None or not gaps[:, index].any() else gaps[:, index]
            chunks = [self._chunk(column, start, stop, gap) for start, stop in ranges]
            arrays.append(chunks[0] if len(chunks) == 1 else pa.chunked_array(chunks))
        return pa.Table.from_arrays(arrays, names=[harmless_name(name) for name in self.names])

    def _chunk(
        self, column: npt.NDArray[np.int8], start: int, stop: int, gap: npt.NDArray[np.bool_] | None
    ) -> pa.Array:
        part = column[start:stop]
        if gap is None:
            return pa.Array.from_buffers(pa.int8(), len(part), [None, pa.py_buffer(part)])
        rows = np.repeat(gap, np.diff(self.seen.era_starts))[start:stop]
        return pa.array(part, mask=rows)

    def slab(self, rows: slice) -> npt.NDArray[np.int8]:
        """Every feature in ``rows``, (n_features, rows), a copy: meant for an era at a time."""
        return np.stack([column[rows] for column in self.columns])

    def to_numpy(
        self, ranges: Sequence[RowRange], dtype: npt.DTypeLike = np.int8, order: Order = "C"
    ) -> npt.NDArray[np.generic]:
        """The given rows as an (n, n_features) matrix (a copy): rows one after the other, or columns (``F``)."""
        rows = sum(stop - start for start, stop in ranges)
        out = np.empty((rows, len(self.names)), dtype, order)
        done = 0
        if order == "F":
            for place, column in enumerate(self.columns):
                np.concatenate([column[start:stop] for start, stop in ranges], out=out[:, place], casting="unsafe")
            return out
        for start, stop in ranges:
            for first in range(0, len(self.columns), _TURNED_AT_ONCE):
                block = np.stack([column[start:stop] for column in self.columns[first : first + _TURNED_AT_ONCE]])
                out[done : done + stop - start, first : first + _TURNED_AT_ONCE] = block.T
            done += stop - start
        return out


def harmless_name(name: str) -> str:
    """A name that every library takes as it is, of a feature that may have any: its own, or one made of its bytes.

    LightGBM refuses some characters (``a:b``) and takes others for each other (``a b`` and ``a_b``).
    """
    return name if _HARMLESS.fullmatch(name) else f"feature_named_{name.encode().hex()}"


def joined(blocks: Sequence[FeatureMatrix]) -> FeatureMatrix:
    """The features of all ``blocks``, which have the same rows, without a copy."""
    bits = np.concatenate([block.seen.bits for block in blocks], axis=1)
    return FeatureMatrix(
        tuple(name for block in blocks for name in block.names),
        tuple(column for block in blocks for column in block.columns),
        ValuesSeen(blocks[0].seen.era_starts, bits),
    )


def values_seen(
    values: npt.NDArray[np.int8] | Sequence[npt.NDArray[np.int8]], era_starts: npt.NDArray[np.int64]
) -> ValuesSeen:
    """What each of the features ``values`` (n_features, n_rows) takes in each era."""
    bits = np.full(256, 1 << 5, np.uint8)
    bits[:5] = 1 << np.arange(5)
    seen = np.empty((len(era_starts) - 1, len(values)), np.uint8)
    for position, feature in enumerate(values):
        seen[:, position] = np.bitwise_or.reduceat(bits[feature.view(np.uint8)], era_starts[:-1])
    return ValuesSeen(era_starts, seen)
