"""The bins of single features in some rows, read out of a saved LightGBM Dataset without LightGBM.

The layout is that of LightGBM 4.7 (``Dataset::SerializeHeader``, ``FeatureGroup``, ``BinMapper``). What is not plainly
there is not guessed: features that are bundled, categorical, or may be missing have no column here.
"""

import struct
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from numerai_ray.models.binned_rows import Bytes, Group, Layout, RowCutter, Rows, StoredBytes, aligned, column_bytes

# Of the header: features in all, and where the place of each among those used is told (-1: it is not used).
_TOTAL_AT, _USED_AT = 16, 80
# Of a group of one feature: where it says how many bins there are, and where their greatest values begin.
COUNT_AT, _HIGHEST_AT = 32, 104


@dataclass(frozen=True, eq=False)
class PlainColumn:
    """A feature's group; ``usual`` is the bin that most rows are in, ``highest`` the greatest value of each bin."""

    group: Group
    usual: int
    highest: npt.NDArray[np.float64]

    @property
    def numbers(self) -> int:
        """How many numbers there are for the file to hold: one a bin, and 0, which stands for the usual one."""
        return len(self.highest) + (self.usual != 0)


class BinColumns:
    """Features of ``rows`` (n_rows,), by their number among all features of the dataset."""

    def __init__(self, stored: StoredBytes, layout: Layout, rows: Rows):
        self.n_rows = len(rows)
        self._stored, self._all_rows, self._rows = stored, layout.n_rows, rows
        self._cut = ((0, 0), RowCutter(rows[:0]))
        places = _places(layout)
        self._columns = {feature: plain_column(layout.groups[place]) for feature, place in places.items()}
        #: The features whose bins stand in the file, in its order.
        self.in_order = sorted(places, key=places.__getitem__)

    @property
    def plain(self) -> bool:
        """Whether every feature is there."""
        return bool(self._columns) and None not in self._columns.values()

    def highest(self, feature: int) -> npt.NDArray[np.float64] | None:
        """The greatest value of each bin, ascending; None where the feature is not plainly there."""
        column = self._columns.get(feature)
        return None if column is None else column.highest

    def kept(self, feature: int, values: npt.NDArray[np.int8]) -> Bytes:
        """What the file holds for a row in which the feature is one of ``values`` (n,), (n,)."""
        column = self._column(feature)
        bins = np.searchsorted(column.highest, values).astype(np.uint8)
        # Rows in the usual bin are kept as 0, those in another bin as its number and one more.
        return bins if column.usual == 0 else np.where(bins == column.usual, np.uint8(0), bins + np.uint8(1))

    def bins(self, feature: int, start: int, stop: int) -> Bytes:
        """The bins of rows ``start`` to ``stop`` (n,)."""
        column = self._column(feature)
        if self._cut[0] != (start, stop):
            self._cut = ((start, stop), RowCutter(self._rows[start:stop]))
        first = column.group.start
        kept = self._cut[1].values(self._stored.read(first, first + column_bytes(self._all_rows, 4)))
        if column.usual == 0:
            return kept
        return np.where(kept == 0, np.uint8(column.usual), kept - np.uint8(1))

    def _column(self, feature: int) -> PlainColumn:
        column = self._columns[feature]
        if column is None:
            raise ValueError(f"feature {feature} is not plainly there")
        return column


def _places(layout: Layout) -> dict[int, int]:
    """By feature, its group; empty where the header says something else than what the groups are."""
    (total,) = struct.unpack_from("<i", layout.header, _TOTAL_AT)
    used = np.frombuffer(layout.header, np.int32, total, _USED_AT)
    count = len(layout.groups)
    at = _USED_AT + aligned(4 * total)
    (groups,) = struct.unpack_from("<i", layout.header, at)
    group_of = np.frombuffer(layout.header, np.int32, count, at + 8 + aligned(4 * count))
    of_used = {int(place): feature for feature, place in enumerate(used.tolist()) if place >= 0}
    if groups != count or sorted(of_used) != list(range(count)) or sorted(group_of.tolist()) != list(range(count)):
        return {}
    return {feature: int(group_of[place]) for place, feature in of_used.items()}


def boundaries_at(layout: Layout) -> int | None:
    """Where the header tells in which bin of all each group begins, and the number of all; None as in `_places`."""
    if not _places(layout):
        return None
    (total,) = struct.unpack_from("<i", layout.header, _TOTAL_AT)
    return _USED_AT + aligned(4 * total) + 8 + 3 * aligned(4 * len(layout.groups))


def plain_column(group: Group) -> PlainColumn | None:
    """The feature of a group, where it is plainly there."""
    (features,) = struct.unpack_from("<i", group.definition, COUNT_AT - 8)
    # bins, kind of missing, trivial, sparse rate, kind of bins, lowest, highest, default bin, most frequent bin
    count, missing, kind, usual = struct.unpack_from("<i4xi4x16xi28xi", group.definition, COUNT_AT)
    if features != 1 or group.bits != 4 or missing or kind:
        return None
    return PlainColumn(group, usual, np.frombuffer(group.definition, np.float64, count, _HIGHEST_AT))
