"""A few eras of a dataset, by themselves: the rows that a pickle is proved on, without the rest in memory."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from numerai_ray.data.dataset import Columns, DatasetIndex, load_features, open_parquet
from numerai_ray.data.features import FeatureMatrix, values_seen
from numerai_ray.errors import DataError

PROOF_ERAS = 3


@dataclass(frozen=True, eq=False)
class ProofRows:
    """``index`` and ``columns`` of these eras alone; ``matrix`` has every feature that anything needs."""

    index: DatasetIndex
    columns: Columns
    matrix: FeatureMatrix


def proof_eras(index: DatasetIndex, columns: Columns) -> tuple[int, ...]:
    """The last eras in which every row knows all targets and benchmarks of ``columns``, at most three.

    Raises:
        DataError: there is none.

    """
    known = np.ones(index.n_rows, bool)
    for group in (columns.targets, columns.benchmarks):
        for values in group.values():
            known &= ~np.isnan(np.asarray(values))
    whole = np.logical_and.reduceat(known, index.era_starts[:-1])
    eras = tuple(era for era, good in zip(index.eras, whole, strict=True) if good)
    if not eras:
        names = ", ".join((*columns.targets, *columns.benchmarks))
        raise DataError(f"{index.path}: no era has {names} in every row, so there is nothing to prove a refit on")
    return eras[-PROOF_ERAS:]


def proof_rows(index: DatasetIndex, columns: Columns, features: Sequence[str], eras: Sequence[int]) -> ProofRows:
    """``eras`` cut out of a dataset.

    Raises:
        DataError: the features cannot be read.

    """
    rows = np.concatenate([np.arange(start, stop) for start, stop in index.row_ranges(eras)])
    starts = index.starts_of(eras).astype(np.int64)
    values = _values(index, features, rows)
    own = Columns(
        ids=columns.ids[rows],
        targets={name: each[rows] for name, each in columns.targets.items()},
        benchmarks={name: each[rows] for name, each in columns.benchmarks.items()},
    )
    matrix = FeatureMatrix(tuple(features), tuple(values), values_seen(values, starts))
    return ProofRows(replace(index, eras=tuple(eras), era_starts=starts, order=None), own, matrix)


def _values(index: DatasetIndex, features: Sequence[str], rows: npt.NDArray[np.int64]) -> npt.NDArray[np.int8]:
    """(features, rows) int8: only the row groups with these rows are read, where the file is in era order."""
    if index.order is not None:
        return np.stack([column[rows] for column in load_features(index, features).columns])
    file = open_parquet(index.path, "build it again")
    values = np.empty((len(features), len(rows)), np.int8)
    start = 0
    for group in range(file.num_row_groups):
        stop = start + file.metadata.row_group(group).num_rows
        inside = np.flatnonzero((rows >= start) & (rows < stop))
        if len(inside):
            table = file.read_row_group(group, columns=list(features))
            for position, name in enumerate(features):
                values[position, inside] = table.column(name).to_numpy()[rows[inside] - start]
        start = stop
    return values
