"""Features era by era, straight from their file: what looks at an era at a time never holds more than a row group.

All features of full data are 19 GB; one row group of them is a quarter of one. Each call reads its eras once, in order,
on one core: whoever wants more asks for parts of the eras in several processes.
"""

from collections.abc import Iterator, Sequence
from itertools import accumulate

import numpy as np
import numpy.typing as npt

from numerai_ray.data.dataset import DatasetIndex, as_int8, load_features, open_parquet, read_group
from numerai_ray.errors import DataError

Slab = npt.NDArray[np.int8]


def era_slabs(index: DatasetIndex, names: Sequence[str], eras: Sequence[int]) -> Iterator[Slab]:
    """The features ``names`` of each of the ascending ``eras``, (k, rows of the era).

    A file whose eras are not in order has no other way than being read whole.

    Raises:
        DataError: the file cannot be read, or holds something else than features.

    """
    if index.order is not None:
        whole = load_features(index, names)
        for era in eras:
            ((start, stop),) = index.row_ranges([era])
            yield whole.slab(slice(start, stop))
        return
    groups = _Groups(index, names)
    for era in eras:
        ((start, stop),) = index.row_ranges([era])
        yield groups.rows(start, stop)


class _Groups:
    """Row groups of a file, each read when a row of it is first asked for and let go when rows are past it."""

    def __init__(self, index: DatasetIndex, names: Sequence[str]):
        self._index = index
        self._names = tuple(names)
        self._file = open_parquet(index.path, "build it again")
        sizes = [self._file.metadata.row_group(group).num_rows for group in range(self._file.num_row_groups)]
        self._starts = list(accumulate(sizes, initial=0))
        self._held: dict[int, Slab] = {}

    def rows(self, start: int, stop: int) -> Slab:
        first = int(np.searchsorted(self._starts, start, side="right")) - 1
        last = int(np.searchsorted(self._starts, stop, side="left"))
        self._held = {group: slab for group, slab in self._held.items() if group >= first}
        parts = []
        for group in range(first, last):
            if group not in self._held:
                self._held[group] = self._read(group)
            begin = self._starts[group]
            parts.append(self._held[group][:, max(0, start - begin) : stop - begin])
        return parts[0] if len(parts) == 1 else np.concatenate(parts, axis=1)

    def _read(self, group: int) -> Slab:
        path = self._index.path
        table = read_group(self._file, group, self._names, path)
        slab = np.empty((len(self._names), table.num_rows), np.int8)
        for position, (name, values) in enumerate(zip(self._names, table.columns, strict=True)):
            slab[position] = as_int8(values, name, path)
        if slab.size and (slab.min() < 0 or slab.max() > 4):
            position = int(np.argmax((slab < 0).any(axis=1) | (slab > 4).any(axis=1)))
            raise DataError(f"{path}: feature {self._names[position]!r} holds values outside 0..4; download it again")
        return slab
