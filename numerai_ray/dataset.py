"""A data file as era-sorted arrays, and the fingerprint that stands for it.

Features are held feature by feature: one ``(n_features, n_rows)`` int8 matrix in which the rows of an era range are
a slice of every feature, so an expanding training window is handed to Arrow, and from there to a model, without a
copy.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from numerai_ray.config import Config, DataConfig, fingerprint, nearest
from numerai_ray.errors import DataError

# Every value of a missing feature in an era is 2: int8 has no NaN.
MISSING_VALUE = 2
ALL_MISSING = np.uint8(1 << MISSING_VALUE)

Floats = npt.NDArray[np.float64]
RowRange = tuple[int, int]


@dataclass(frozen=True, eq=False)
class DatasetIndex:
    """Where the eras of a data file are; read on the driver, without its features.

    ``era_starts`` (n_eras + 1,) are row offsets after sorting by era; ``order`` sorts the file's rows and is None
    when they are sorted already, as Numerai's are. ``columns`` are the file's, ``benchmark_columns`` those of the
    benchmark file (empty when it is missing).
    """

    path: Path
    benchmark_path: Path
    fingerprint: str
    eras: tuple[int, ...]
    era_starts: npt.NDArray[np.int64]
    order: npt.NDArray[np.int64] | None
    columns: tuple[str, ...]
    benchmark_columns: tuple[str, ...]

    @property
    def n_rows(self) -> int:
        return int(self.era_starts[-1])

    @cached_property
    def _positions(self) -> dict[int, int]:
        return {era: position for position, era in enumerate(self.eras)}

    def positions(self, eras: Sequence[int]) -> list[int]:
        """Positions of ``eras`` in :attr:`eras`."""
        return [self._positions[era] for era in eras]

    def row_ranges(self, eras: Sequence[int]) -> tuple[RowRange, ...]:
        """Rows of ascending ``eras`` as the fewest ranges (start, stop)."""
        return row_ranges(self.positions(eras), self.era_starts)


@dataclass(frozen=True, eq=False)
class FeatureMatrix:
    """Features of all rows: ``values`` (n_features, n_rows) int8, C order, possibly read-only.

    ``seen`` (n_eras, n_features) holds, as bits, which of the values 0..4 a feature takes in an era.
    """

    names: tuple[str, ...]
    values: npt.NDArray[np.int8]
    era_starts: npt.NDArray[np.int64]
    seen: npt.NDArray[np.uint8]

    def missing(self) -> npt.NDArray[np.bool_]:
        """(n_eras, n_features): true where Numerai has no data, that is, where a whole era is 2."""
        return np.asarray(self.seen == ALL_MISSING)

    def to_arrow(self, ranges: Sequence[RowRange], *, missing_as_null: bool) -> pa.Table:
        """The given rows as int8 columns, without a copy; optionally nulls where a feature is missing."""
        gaps = self.missing() if missing_as_null else None
        arrays = []
        for index, column in enumerate(self.values):
            gap = None if gaps is None or not gaps[:, index].any() else gaps[:, index]
            chunks = [self._chunk(column, start, stop, gap) for start, stop in ranges]
            arrays.append(chunks[0] if len(chunks) == 1 else pa.chunked_array(chunks))
        return pa.Table.from_arrays(arrays, names=list(self.names))

    def _chunk(
        self, column: npt.NDArray[np.int8], start: int, stop: int, gap: npt.NDArray[np.bool_] | None
    ) -> pa.Array:
        part = column[start:stop]
        if gap is None:
            return pa.Array.from_buffers(pa.int8(), len(part), [None, pa.py_buffer(part)])
        rows = np.repeat(gap, np.diff(self.era_starts))[start:stop]
        return pa.array(part, mask=rows)

    def to_numpy(self, ranges: Sequence[RowRange], dtype: npt.DTypeLike = np.int8) -> npt.NDArray[np.generic]:
        """The given rows as an (n, n_features) matrix in C order (a copy)."""
        rows = sum(stop - start for start, stop in ranges)
        out = np.empty((rows, len(self.names)), dtype)
        done = 0
        for start, stop in ranges:
            out[done : done + stop - start] = self.values[:, start:stop].T
            done += stop - start
        return out


@dataclass(frozen=True, eq=False)
class Columns:
    """Everything about rows that is not a feature: ids (n,) bytes, targets and benchmarks (n,), NaN = unknown."""

    ids: npt.NDArray[np.bytes_]
    targets: Mapping[str, npt.NDArray[np.float32]]
    benchmarks: Mapping[str, Floats]


def row_ranges(positions: Sequence[int], era_starts: npt.NDArray[np.int64]) -> tuple[RowRange, ...]:
    """Row ranges of eras at ascending ``positions``, neighbours merged."""
    ranges: list[RowRange] = []
    for position in positions:
        start, stop = int(era_starts[position]), int(era_starts[position + 1])
        if ranges and ranges[-1][1] == start:
            ranges[-1] = (ranges[-1][0], stop)
        else:
            ranges.append((start, stop))
    return tuple(ranges)


def feature_names(data_root: Path, version: str, feature_set: str) -> tuple[str, ...]:
    """Features of a set, in the order of ``features.json``.

    Raises:
        DataError: no such file, set, or feature; says what is there.

    """
    path = data_root / version / "features.json"
    try:
        sets = json.loads(path.read_text(encoding="utf-8"))["feature_sets"]
    except FileNotFoundError:
        there = [p.parent.name for p in sorted(data_root.glob("*/features.json"))]
        hint = f"versions there: {', '.join(there)}" if there else "make one with `numerai-ray data synth`"
        raise DataError(f"{path}: no such file; check --data-dir and the data version ({hint})") from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"{path}: not a features.json with 'feature_sets' ({error}); download it again") from error
    if feature_set not in sets:
        raise DataError(f"{path}: no feature set {feature_set!r}{nearest(feature_set, sets)}")
    return tuple(sets[feature_set])


def open_index(data_root: Path, data: DataConfig) -> DatasetIndex:
    """Read where the eras of a data file are.

    Raises:
        DataError: the file is missing, not parquet, or lacks its era column.

    """
    names = data.files()
    path, benchmark_path = (data_root / name for name in names)
    file = open_parquet(path, "build it with `numerai-ray data build`, or check --data-dir")
    columns = tuple(file.schema_arrow.names)
    if data.era_col not in columns:
        raise DataError(f"{path}: no column {data.era_col!r}{nearest(data.era_col, columns)}")
    era_of_row = _era_numbers(file.read([data.era_col]).column(0), path)
    order = None
    if np.any(np.diff(era_of_row) < 0):
        order = np.argsort(era_of_row, kind="stable")
        era_of_row = era_of_row[order]
    eras, starts = np.unique(era_of_row, return_index=True)
    benchmark_columns: tuple[str, ...] = ()
    if benchmark_path.exists():
        benchmark_columns = tuple(open_parquet(benchmark_path, "build it again").schema_arrow.names)
    return DatasetIndex(
        path=path,
        benchmark_path=benchmark_path,
        fingerprint=file_fingerprint(path),
        eras=tuple(int(era) for era in eras),
        era_starts=np.append(starts, len(era_of_row)).astype(np.int64),
        order=order,
        columns=columns,
        benchmark_columns=benchmark_columns,
    )


def check_columns(index: DatasetIndex, config: Config, features: Sequence[str]) -> None:
    """Raise one :class:`DataError` that names every column the config needs and the files lack."""
    have = set(index.columns)
    lost = [name for name in features if name not in have]
    if lost:
        raise DataError(
            f"{index.path}: {len(lost)} of {len(features)} features of set {config.data.feature_set!r} are not in "
            f"it, the first is {lost[0]!r}; features.json and data file are of different versions"
        )
    for target in dict.fromkeys((config.data.target, config.score.target)):
        if target not in have:
            targets = [name for name in index.columns if name.startswith("target")]
            raise DataError(f"{index.path}: no target {target!r}{nearest(target, targets)}")
    if config.data.id_col not in have:
        raise DataError(f"{index.path}: no column {config.data.id_col!r}; build the file again")
    if not index.benchmark_columns:
        raise DataError(
            f"{index.benchmark_path}: no such file; build it with `numerai-ray data build`, or check --data-dir"
        )
    if config.score.benchmark not in index.benchmark_columns:
        known = [name for name in index.benchmark_columns if name not in ("id", "era")]
        raise DataError(
            f"{index.benchmark_path}: no benchmark {config.score.benchmark!r}{nearest(config.score.benchmark, known)}"
        )


def load_features(index: DatasetIndex, names: Sequence[str]) -> FeatureMatrix:
    """Read features row group by row group into one matrix.

    Raises:
        DataError: a feature is not an integer in 0..4, or a row group is damaged.

    """
    file = open_parquet(index.path, "build it again")
    values = np.empty((len(names), index.n_rows), np.int8)
    row = 0
    for group in range(file.num_row_groups):
        table = _read_group(file, group, names, index.path)
        for position, column in enumerate(table.columns):
            values[position, row : row + table.num_rows] = _as_int8(column, names[position], index.path)
        row += table.num_rows
    if index.order is not None:
        for feature in values:  # one at a time: sorting the whole matrix would need a second one
            feature[:] = feature[index.order]
    seen = values_seen(values, index.era_starts)
    if int(seen.max(initial=0)) >= 1 << 5:
        position = int(np.argmax(seen.max(axis=0) >= 1 << 5))
        raise DataError(f"{index.path}: feature {names[position]!r} holds values outside 0..4; download it again")
    return FeatureMatrix(tuple(names), values, index.era_starts, seen)


def values_seen(values: npt.NDArray[np.int8], era_starts: npt.NDArray[np.int64]) -> npt.NDArray[np.uint8]:
    """(n_eras, n_features) bits of the values that each feature takes in each era; bit 5 stands for any other."""
    bits = np.full(256, 1 << 5, np.uint8)
    bits[:5] = 1 << np.arange(5)
    seen = np.empty((len(era_starts) - 1, len(values)), np.uint8)
    for position, feature in enumerate(values):
        seen[:, position] = np.bitwise_or.reduceat(bits[feature.view(np.uint8)], era_starts[:-1])
    return seen


def load_columns(index: DatasetIndex, data: DataConfig, targets: Sequence[str], benchmarks: Sequence[str]) -> Columns:
    """Read ids, targets and the benchmark columns, aligned by id; rows without a benchmark are NaN.

    Raises:
        DataError: an id stands twice in the data or in the benchmark file.

    """
    names = [data.id_col, *targets]
    table = open_parquet(index.path, "build it again").read(names)
    ids = table.column(0).cast(pa.string()).combine_chunks()
    if pc.count_distinct(ids).as_py() != len(ids):
        raise DataError(f"{index.path}: an id stands twice; download or build the file again")
    bench = open_parquet(index.benchmark_path, "build it again").read([data.id_col, *benchmarks])
    bench_ids = bench.column(0).cast(pa.string()).combine_chunks()
    if pc.count_distinct(bench_ids).as_py() != len(bench_ids):
        raise DataError(f"{index.benchmark_path}: an id stands twice; download or build the file again")
    where = pc.index_in(ids, value_set=bench_ids)
    order = slice(None) if index.order is None else index.order

    def aligned(name: str) -> Floats:
        column = bench.column(name).cast(pa.float64()).combine_chunks().take(where)
        return np.asarray(column.to_numpy(zero_copy_only=False), np.float64)[order]

    return Columns(
        ids=np.asarray(ids.to_numpy(zero_copy_only=False), dtype=np.bytes_)[order],
        targets={name: np.asarray(table.column(name).to_numpy(), np.float32)[order] for name in dict.fromkeys(targets)},
        benchmarks={name: aligned(name) for name in dict.fromkeys(benchmarks)},
    )


def open_parquet(path: Path, next_step: str) -> pq.ParquetFile:
    """The open file, or a :class:`DataError` that says what is wrong with it and what to do."""
    try:
        return pq.ParquetFile(path, memory_map=True)
    except FileNotFoundError:
        raise DataError(f"{path}: no such file; {next_step}") from None
    except (OSError, pa.ArrowInvalid) as error:
        raise DataError(f"{path}: not a readable parquet file ({error}); {next_step}") from error


def file_fingerprint(path: Path) -> str:
    """Stands for the contents of a parquet file: its size and its footer (rows, byte ranges, column statistics)."""
    with path.open("rb") as handle:
        handle.seek(-8, 2)
        size = handle.tell() + 8
        footer = int.from_bytes(handle.read(4), "little")
        handle.seek(size - 8 - footer)
        digest = hashlib.sha256(handle.read(footer)).hexdigest()
    return fingerprint([size, digest], digits=16)


def _era_numbers(column: pa.ChunkedArray, path: Path) -> npt.NDArray[np.int64]:
    try:
        codes = column.combine_chunks().dictionary_encode()
        numbers = np.array([int(era) for era in codes.dictionary.to_pylist()], np.int64)
        return np.asarray(numbers[codes.indices.to_numpy(zero_copy_only=False)])
    except (ValueError, TypeError, IndexError, pa.ArrowInvalid) as error:
        raise DataError(f"{path}: eras must be numbers such as '0575' ({error}); build the file again") from error


def _read_group(file: pq.ParquetFile, group: int, names: Sequence[str], path: Path) -> pa.Table:
    try:
        return file.read_row_group(group, columns=list(names))
    except (OSError, pa.ArrowInvalid) as error:
        raise DataError(f"{path}: row group {group} is damaged ({error}); download or build the file again") from error


def _as_int8(column: pa.ChunkedArray, name: str, path: Path) -> npt.NDArray[np.int8]:
    if not pa.types.is_integer(column.type) or column.null_count:
        found = "empty values" if column.null_count else str(column.type)
        raise DataError(f"{path}: feature {name!r} must hold integers 0..4, but holds {found}; use data of v5 or later")
    return np.asarray(column.to_numpy(), np.int8)
