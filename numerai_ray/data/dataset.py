"""A data file as era-sorted arrays, and the fingerprint that stands for it."""

import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from numerai_ray.config import DataConfig
from numerai_ray.data.columns import (
    EXTREMES_RULE,
    LIVE,
    LIVE_ERA,
    MAX_ERA,
    UNREADABLE,
    era_numbers,
    extremes,
    names_twice,
    number_values,
    texts,
    type_problem,
)
from numerai_ray.data.features import FeatureMatrix, RowRange, values_seen
from numerai_ray.errors import DataError, EnvironmentFault, nearest
from numerai_ray.system.files import plain_file, read_plain_text
from numerai_ray.system.json_text import parse_json, read_json
from numerai_ray.system.storage import Place, Url, chunks, facts, folders_in, local_folder, open_random, write_whole

Floats = npt.NDArray[np.float64]
# Of ids that come again in other eras, at most this share are different.
MOST_DISTINCT = 0.5
META_MODEL, META_MODEL_FILE = "numerai_meta_model", "meta_model.parquet"  # of recent eras only


@dataclass(frozen=True, eq=False)
class DatasetIndex:
    """Where the eras of a data file are; read on the driver, without its features.

    ``era_starts`` (n_eras + 1,) are row offsets after sorting by era; ``order`` sorts the file's rows and is None when
    they are sorted already, as Numerai's are. ``columns`` are the file's and ``types`` their Arrow types by name; those
    of the benchmark file are empty when it is missing. ``meta_model_path`` is None where no file of it lies beside.
    """

    path: Place
    benchmark_path: Place
    fingerprint: str
    eras: tuple[int, ...]
    era_starts: npt.NDArray[np.int64]
    order: npt.NDArray[np.int64] | None
    columns: tuple[str, ...]
    benchmark_columns: tuple[str, ...]
    meta_model_path: Place | None = field(default=None, kw_only=True)
    types: Mapping[str, str] = field(default_factory=dict)
    benchmark_types: Mapping[str, str] = field(default_factory=dict)

    @property
    def n_rows(self) -> int:
        return int(self.era_starts[-1])

    @cached_property
    def _positions(self) -> dict[int, int]:
        return {era: position for position, era in enumerate(self.eras)}

    def positions(self, eras: Sequence[int]) -> list[int]:
        """Positions of ``eras`` in :attr:`eras`."""
        return [self._positions[era] for era in eras]

    def starts_of(self, eras: Sequence[int]) -> npt.NDArray[np.int64]:
        """(n_eras + 1,): offsets of ascending ``eras`` in the rows of them alone."""
        return np.append(0, np.cumsum(np.diff(self.era_starts)[self.positions(eras)]))

    def row_ranges(self, eras: Sequence[int]) -> tuple[RowRange, ...]:
        """Rows of ascending ``eras`` as the fewest ranges (start, stop)."""
        return row_ranges(self.positions(eras), self.era_starts)


@dataclass(frozen=True, eq=False)
class Columns:
    """Everything about rows that is not a feature: ids (n,) bytes, targets and benchmarks (n,), NaN = unknown.

    ``ids_persist`` tells whether an id stands in several eras; Numerai Classic gives every row a new one.
    """

    ids: npt.NDArray[np.bytes_]
    targets: Mapping[str, npt.NDArray[np.float32]]
    benchmarks: Mapping[str, Floats]
    ids_persist: bool = False


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


def feature_names(data_root: Place, version: str, feature_set: str) -> tuple[str, ...]:
    """Features of a set, in the order of ``features.json``.

    Raises:
        DataError: no such file, set, or feature; says what is there.

    """
    path = data_root / version / "features.json"
    sets = feature_sets(data_root, version)
    if feature_set not in sets:
        raise DataError(f"{path}: no feature set {feature_set!r}{nearest(feature_set, sets)}")
    names = sets[feature_set]
    if not (isinstance(names, list) and names and all(isinstance(name, str) for name in names)):
        rule = f"feature set {feature_set!r} must be a list of names, but is {names!r:.60}"
        raise DataError(f"{path}: {rule}; download it again")
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise DataError(f"{path}: feature set {feature_set!r} names {twice!r} twice; download it again")
    return tuple(names)


def feature_sets(data_root: Place, version: str) -> dict[str, Any]:
    """What ``features.json`` says are sets of features, by name; raises :class:`DataError`."""
    path = data_root / version / "features.json"
    try:
        content = parse_json(read_plain_text(path) if isinstance(path, Path) else path.read_bytes())
    except FileNotFoundError:
        there = [name for name in folders_in(data_root) if (data_root / name / "features.json").exists()]
        hint = f"versions there: {', '.join(there)}" if there else "make one with `numerai-ray data synth`"
        raise DataError(f"{path}: no such file; check --data-dir and the data version ({hint})") from None
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: cannot be read as JSON ({error}); download it again") from error
    sets = content.get("feature_sets") if isinstance(content, dict) else None
    if not isinstance(sets, dict):
        raise DataError(f"{path}: must hold a mapping 'feature_sets', but does not; download it again")
    return sets


def open_index(data_root: Place, data: DataConfig) -> DatasetIndex:
    """Read where the eras of a data file are.

    Raises:
        DataError: the file is missing, not parquet, or lacks its era column.

    """
    names = data.files()
    path, benchmark_path = (data_root / name for name in names)
    file = open_parquet(path, "build it with `numerai-ray data build`, or check --data-dir")
    types = _types_of(file, path)
    columns = tuple(types)
    if data.era_col not in columns:
        raise DataError(f"{path}: no column {data.era_col!r}{nearest(data.era_col, columns)}")
    if not file.metadata.num_rows:
        raise DataError(f"{path}: holds no rows; download or build the file again")
    era_of_row = eras_of_rows(file, path, data.era_col)
    order = None
    if np.any(np.diff(era_of_row) < 0):
        order = np.argsort(era_of_row, kind="stable")
        era_of_row = era_of_row[order]
    eras, starts = np.unique(era_of_row, return_index=True)
    benchmark_types: dict[str, str] = {}
    if benchmark_path.exists():
        benchmark_types = _types_of(open_parquet(benchmark_path, "build it again"), benchmark_path)
    return DatasetIndex(
        path=path,
        meta_model_path=meta if (meta := path.parent / META_MODEL_FILE).exists() else None,
        benchmark_path=benchmark_path,
        fingerprint=file_fingerprint(path),
        eras=tuple(int(era) for era in eras),
        era_starts=np.append(starts, len(era_of_row)).astype(np.int64),
        order=order,
        columns=columns,
        benchmark_columns=tuple(benchmark_types),
        types=types,
        benchmark_types=benchmark_types,
    )


def _types_of(file: pq.ParquetFile, path: Place) -> dict[str, str]:
    """A file's columns and their types; raises :class:`DataError` where one stands twice."""
    schema = file.schema_arrow
    twice = names_twice(schema.names)
    if twice is not None:
        raise DataError(f"{path}: has two columns {twice!r}, so nobody knows which is meant; remove one")
    return {name: str(kind) for name, kind in zip(schema.names, schema.types, strict=True)}


def load_features(index: DatasetIndex, names: Sequence[str]) -> FeatureMatrix:
    """Read features row group by row group into one matrix.

    Raises:
        DataError: a feature is not an integer in 0..4, or a row group is damaged.

    """
    file = open_parquet(index.path, "build it again")
    values = np.empty((len(names), index.n_rows), np.int8)
    row = 0
    for group in range(file.num_row_groups):
        table = read_group(file, group, names, index.path)
        for position, column in enumerate(table.columns):
            values[position, row : row + table.num_rows] = as_int8(column, names[position], index.path)
        row += table.num_rows
    if index.order is not None:
        for feature in values:  # one at a time: sorting the whole matrix would need a second one
            feature[:] = feature[index.order]
    seen = values_seen(values, index.era_starts)
    if int(seen.bits.max(initial=0)) >= 1 << 5:
        position = int(np.argmax(seen.bits.max(axis=0) >= 1 << 5))
        raise DataError(f"{index.path}: feature {names[position]!r} holds values outside 0..4; download it again")
    return FeatureMatrix(tuple(names), tuple(values), seen)


def load_columns(index: DatasetIndex, data: DataConfig, targets: Sequence[str], benchmarks: Sequence[str]) -> Columns:
    """Read ids, targets and the benchmark columns, aligned by id; rows without a benchmark are NaN.

    :data:`META_MODEL` stands among the benchmarks where it is asked for, and is read from its own file. Where ids come
    again in other eras, rows are aligned by era and id.

    Raises:
        DataError: an id stands twice in an era of the data or of the benchmark file, no id is in both, or a number is
            not finite.

    """
    names = [data.id_col, *targets]
    with _readable(index.path):
        table = open_parquet(index.path, "build it again").read(names)
    ids = _ids(table, index.path, data)
    # A few that stand twice are damage; where ids stay with what they name, hardly one stands once.
    persist = len(pc.unique(ids)) <= MOST_DISTINCT * len(ids)  # ten times as fast as Arrow's count of distinct ones
    keys = _keys(index.path, data, ids, with_eras=persist)
    order = slice(None) if index.order is None else index.order
    own = [name for name in dict.fromkeys(benchmarks) if name != META_MODEL]
    beside, known = _beside(index.benchmark_path, own, data, keys, with_eras=persist)
    if not known:
        rule = f"must hold ids of {index.path}, but holds none of them"
        raise DataError(f"{index.benchmark_path}: {rule}; download or build both files again")
    if META_MODEL in benchmarks and index.meta_model_path is not None:
        beside |= _beside(index.meta_model_path, [META_MODEL], data, keys, with_eras=persist)[0]
    return Columns(
        ids=np.asarray(ids.cast(pa.binary()).to_numpy(zero_copy_only=False), dtype=np.bytes_)[order],
        targets={
            name: _finite(table, name, index.path).astype(np.float32, copy=False)[order]
            for name in dict.fromkeys(targets)
        },
        benchmarks={name: values[order] for name, values in beside.items()},
        ids_persist=persist,
    )


def _beside(
    path: Place, names: Sequence[str], data: DataConfig, keys: pa.Array, *, with_eras: bool
) -> tuple[dict[str, Floats], int]:
    """Columns of a file beside the data's by row of ``keys``, NaN where it has none; and how many rows it has."""
    with _readable(path):
        table = open_parquet(path, "build or download it again").read([data.id_col, *names])
    where = _places(keys, _keys(path, data, _ids(table, path, data), with_eras=with_eras))

    found = {}
    for name in names:
        values = pa.array(_finite(table, name, path).astype(np.float64, copy=False), from_pandas=True)
        found[name] = np.asarray(values.take(where).to_numpy(zero_copy_only=False), np.float64)
    return found, len(keys) - where.null_count


def _ids(table: pa.Table, path: Place, data: DataConfig) -> pa.Array:
    try:
        return texts(table.column(data.id_col))
    except ValueError as error:
        raise DataError(f"{path}: ids {error}; write them so") from None


def _finite(table: pa.Table, name: str, path: Place) -> npt.NDArray[Any]:
    """A column of numbers, NaN where unknown; one that is not finite would ruin every fit and every score."""
    problem = type_problem(name, str(table.schema.field(name).type), "number")
    if problem is not None:
        raise DataError(f"{path}: {problem}")
    values = number_values(table.column(name))
    strange = extremes(values)
    if strange is not None:
        raise DataError(f"{path}: column {name!r} {EXTREMES_RULE}, but does not in {strange}; mend or drop these rows")
    return values


def _keys(path: Place, data: DataConfig, ids: pa.Array, *, with_eras: bool) -> pa.Array:
    """What tells the rows of a file apart: ids or, where those come again in other eras, era and id."""
    keys = ids
    if with_eras:
        file = open_parquet(path, "build it again")
        if data.era_col in file.schema_arrow.names:
            eras = pa.array(eras_of_rows(file, path, data.era_col)).cast(pa.string())
            keys = pc.binary_join_element_wise(eras, ids, "/")
    if len(pc.unique(keys)) != len(keys):
        raise DataError(f"{path}: an id stands twice; download or build the file again")
    return keys


def _places(keys: pa.Array, among: pa.Array) -> pa.Array:
    """Where each of ``keys`` stands in ``among``, null where it does not; both hold each key once."""
    start = pc.index(keys, among[0]).as_py() if len(among) else -1
    if start < 0 or not keys.slice(start, len(among)).equals(among):
        return pc.index_in(keys, value_set=among)
    # The usual case: benchmarks begin later, and have the same rows since.
    places = np.arange(-start, len(keys) - start)
    return pa.array(places, mask=(places < 0) | (places >= len(among)))


def open_parquet(path: Place, next_step: str) -> pq.ParquetFile:
    """The open file, or a :class:`DataError` that says what is wrong with it and what to do."""
    try:
        if isinstance(path, Url):
            return pq.ParquetFile(open_random(path), pre_buffer=True)
        return pq.ParquetFile(plain_file(path), memory_map=True)
    except FileNotFoundError:
        raise DataError(f"{path}: no such file; {next_step}") from None
    except UNREADABLE as error:
        raise DataError(f"{path}: not a readable parquet file ({error}); {next_step}") from error


def file_fingerprint(path: Place) -> str:
    """Sixteen hex digits of the SHA-256 of a file's bytes.

    Hashed once: size and time of the file stand for its bytes afterwards (kept in ``.fingerprints.json`` beside it,
    or, where that cannot be written, in this machine's cache).
    """
    now = facts(path)
    keepers = [folder / ".fingerprints.json" for folder in dict.fromkeys((path.parent, local_folder(path.parent)))]
    for kept in keepers:
        match read_json(kept).get(path.name):
            case [now.size_bytes, now.changed_ns, str(known)] if re.fullmatch("[0-9a-f]{16}", known):
                return known
    total = hashlib.sha256()
    for part in chunks(path):
        total.update(part)
    digest = total.hexdigest()[:16]
    for kept in keepers:
        try:
            entry = {path.name: (now.size_bytes, now.changed_ns, digest)}
            write_whole(kept, json.dumps(read_json(kept) | entry).encode())
            break
        except EnvironmentFault:
            continue
    return digest


def eras_of_rows(file: pq.ParquetFile, path: Place, name: str) -> npt.NDArray[np.int64]:
    """(n,): the era of each row by the column ``name``; raises :class:`DataError` where one is no number."""
    if (problem := type_problem(name, str(file.schema_arrow.field(name).type), "era")) is not None:
        raise DataError(f"{path}: {problem}")
    with _readable(path):
        column = file.read([name]).column(0)
        try:
            numbers = era_numbers(column)
            if LIVE not in numbers:
                return numbers
            found = repr(LIVE_ERA)
        except ValueError as error:
            found = str(error)
    raise DataError(
        f"{path}: eras must be numbers such as '0575', from 0 to {MAX_ERA:,}, but {found} is there; write them so, or "
        "download or build the file again"
    )


def read_group(file: pq.ParquetFile, group: int, names: Sequence[str], path: Place) -> pa.Table:
    """Columns of one row group; raises :class:`DataError` where it is damaged."""
    with _readable(path):
        return file.read_row_group(group, columns=list(names))


@contextmanager
def _readable(path: Place) -> Iterator[None]:
    """What Arrow says about damaged contents becomes a sentence of ours."""
    try:
        yield
    except UNREADABLE as error:
        first = next(iter(str(error).splitlines()), "").rstrip(".")
        raise DataError(f"{path}: is damaged ({first}); download or build the file again") from error


def as_int8(column: pa.ChunkedArray, name: str, path: Place) -> npt.NDArray[np.int8]:
    """A feature's values; raises :class:`DataError` for what is no whole number 0..4."""
    if not pa.types.is_integer(column.type) or column.null_count:
        found = "empty values" if column.null_count else str(column.type)
        raise DataError(f"{path}: feature {name!r} must hold integers 0..4, but holds {found}; use data of v5 or later")
    values = number_values(column)
    # A wider type is narrowed only when nothing is lost: 258 would become 2.
    if values.dtype != np.int8 and len(values) and not (values.min() >= 0 and values.max() <= 4):
        raise DataError(f"{path}: feature {name!r} holds values outside 0..4; download it again")
    return np.asarray(values, np.int8)
