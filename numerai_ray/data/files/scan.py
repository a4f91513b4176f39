"""One parquet file of a data version, read from front to back: what is in it, and what is wrong with it.

Read is a block of columns of one row group at a time, so memory does not grow with the file, but for eight bytes a
row: the hashes of the ids, which tell duplicates. Nothing is raised about the contents; what is wrong is a
:class:`Finding`.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from numerai_ray.data.columns import (
    EXTREMES_RULE,
    LIVE,
    LIVE_ERA,
    MAX_ID_BYTES,
    UNREADABLE,
    Role,
    era_codes,
    era_of,
    extremes,
    longest_text,
    matches,
    names_twice,
    number_values,
    plain,
    role_of,
    type_problem,
)
from numerai_ray.data.eras import era_label
from numerai_ray.system.files import plain_file

Hashes = npt.NDArray[np.uint64]
OnValues = Callable[[int], None]  # called with the number of values read since the last time

KEYS: tuple[Role, ...] = ("id", "era", "data_type")
_UNLABELLED = ("test", "live")
# Files whose every column but the keys is a number that is scored.
_ALL_NUMBERS = ("_benchmark_models", "meta_model", "_example_preds")
_BLOCK_VALUES = 1 << 23  # decoded at once
_FEATURE_VALUES = (0, 4)


@dataclass(frozen=True)
class Finding:
    """One thing wrong: what kind of thing, in which file, and a sentence with what to do about it."""

    kind: str
    file: str
    message: str


@dataclass
class FileScan:
    """What is in one file.

    ``eras`` maps the label of an era (``0575``, however the file writes it), in the order of the file, to its rows,
    ``labelled`` to those of them that are not of data_type test or live. ``known`` maps a column of numbers to the
    number of its values in each era that are not NaN. ``hashes`` (rows,) of the ids are sorted. ``rows`` is None when
    the footer cannot be read, or does not say which column is which;
    ``complete`` is False when something else could not.
    """

    path: Path
    bytes: int
    rows: int | None = None
    row_groups: int | None = None
    columns: tuple[str, ...] = ()
    features: tuple[str, ...] = ()
    eras: dict[str, int] = field(default_factory=dict)
    labelled: dict[str, int] = field(default_factory=dict)
    known: dict[str, dict[str, int]] = field(default_factory=dict)
    hashes: Hashes = field(default_factory=lambda: np.empty(0, np.uint64))
    complete: bool = False
    findings: list[Finding] = field(default_factory=list)

    def add(self, kind: str, message: str) -> None:
        self.findings.append(Finding(kind, self.path.name, message))


class _DamageError(Exception):
    """Stops a pass over the file; its text says what is damaged."""


def open_file(path: Path, features: AbstractSet[str]) -> FileScan:
    """Read a file's footer. A feature is a column that ``features`` names or that starts like one."""
    scan = FileScan(path, path.stat().st_size)
    try:
        with _opened(path) as file:
            scan.rows, scan.row_groups = file.metadata.num_rows, file.num_row_groups
            schema = file.schema_arrow  # made anew each time that it is asked for
            scan.columns = tuple(schema.names)
            scan.features = tuple(name for name in scan.columns if name in features or name.startswith("feature"))
            types = {name: str(kind) for name, kind in zip(schema.names, schema.types, strict=True)}
    except _DamageError as damage:
        scan.add("damaged_file", f"its footer cannot be read ({damage})")
        return scan
    twice = names_twice(scan.columns)
    if twice is not None:
        scan.add("duplicate_columns", f"it has two columns {twice!r}, so nobody knows which is meant; remove one")
        scan.rows = None  # neither can be read by its name
        return scan
    _check_types(scan, types, features)
    return scan


def _check_types(scan: FileScan, types: Mapping[str, str], features: AbstractSet[str]) -> None:
    """Note columns of a type that cannot be read; of features the first stands for all."""
    wrong = []
    for name, kind in types.items():
        role = "feature" if name in features else _role(scan, name)
        problem = type_problem(name, kind, role) if role else None
        if problem and role == "feature":
            wrong.append(problem)
        elif problem:
            scan.add("column_types", problem)
    if wrong:
        scan.add("feature_values", f"{len(wrong):,} features have a wrong type: {wrong[0]}")


def _role(scan: FileScan, name: str) -> Role | None:
    """What a column is by its name and its file; None for one that is never read."""
    return role_of(name) or ("number" if scan.path.stem.endswith(_ALL_NUMBERS) else None)


def values_to_read(scan: FileScan, *, deep: bool) -> int:
    """How many values the passes over a file will read."""
    return (scan.rows or 0) * (len(scan.columns) - (0 if deep else len(scan.features)))


def read_columns(scan: FileScan, on_values: OnValues) -> None:
    """Read everything but the features into ``scan``: ids, eras, and how much is known of each column of numbers."""
    if scan.rows is None:
        return
    try:
        with _opened(scan.path) as file:
            features = set(scan.features)
            numbers = [f.name for f in file.schema_arrow if _is(f, "number") and f.name not in {*features, *KEYS}]
            _read_groups(scan, file, numbers, on_values)
    except (_DamageError, pa.ArrowInvalid) as damage:  # Arrow's own: bytes where texts must be
        scan.add("damaged_file", str(damage))
        return
    scan.hashes.sort()
    scan.complete = True
    twice = scan.hashes[1:][scan.hashes[1:] == scan.hashes[:-1]]
    if len(twice):
        scan.add("duplicate_ids", f"{len(twice):,} ids stand there again, the first is {_first_id(scan, twice)!r}")


def read_features(scan: FileScan, on_values: OnValues) -> None:
    """Read every value of every feature and note those outside 0..4."""
    if scan.rows is None:
        return
    strange: dict[str, tuple[int, float, float]] = {}  # feature: rows, lowest, highest
    try:
        with _opened(scan.path) as file:
            features = set(scan.features)
            whole = [f.name for f in file.schema_arrow if f.name in features and pa.types.is_integer(f.type)]
            for group in range(file.num_row_groups):
                for table in _blocks(file, group, whole):
                    for name in table.column_names:
                        _note_strange(strange, name, table[name])
                    on_values(table.num_rows * table.num_columns)
    except _DamageError as damage:
        scan.complete = False
        scan.add("damaged_file", str(damage))
    if strange:
        name, (rows, low, high) = next(iter(strange.items()))
        found = "empty values" if math.isnan(low) else f"{low:g} to {high:g}"
        scan.add(
            "feature_values",
            f"{len(strange):,} features hold values outside 0..4, the first is {name!r} with {rows:,} rows ({found})",
        )


def era_key(era: str) -> float:
    """What eras are sorted by: their number, and live ones last."""
    return int(era) if era.isdecimal() else math.inf


def _is(field: pa.Field, role: Role) -> bool:
    return type_problem(field.name, str(field.type), role) is None


@contextmanager
def _opened(path: Path) -> Iterator[pq.ParquetFile]:
    try:
        file = pq.ParquetFile(plain_file(path), page_checksum_verification=True)
    except UNREADABLE as error:
        raise _DamageError(_first_line(error)) from None
    with file:
        yield file


def _blocks(file: pq.ParquetFile, group: int, columns: Sequence[str]) -> Iterator[pa.Table]:
    """``columns`` of one row group, as many at a time as make a block."""
    width = max(1, _BLOCK_VALUES // max(1, file.metadata.row_group(group).num_rows))
    for start in range(0, len(columns), width):
        block = list(columns[start : start + width])
        try:
            table = file.read_row_group(group, columns=block)
            table.validate(full=True)
        except UNREADABLE as error:
            place = f"{block[0]!r} to {block[-1]!r}" if len(block) > 1 else repr(block[0])
            damage = f"row group {group + 1} is damaged in columns {place} ({_first_line(error)})"
            raise _DamageError(damage) from None
        yield table


def _read_groups(scan: FileScan, file: pq.ParquetFile, numbers: Sequence[str], on_values: OnValues) -> None:
    schema = file.schema_arrow
    keys = [name for name in KEYS if name in scan.columns and _is(schema.field(name), name)]
    others = [name for name in scan.columns if name not in {*keys, *numbers, *scan.features}]
    scan.hashes = np.empty(file.metadata.num_rows if "id" in keys else 0, np.uint64)
    last, row = "", 0
    for group in range(file.num_row_groups):
        rows = file.metadata.row_group(group).num_rows
        if not rows:
            continue
        table = _joined(file, group, keys)
        labels, codes = [""], np.zeros(rows, np.int64)
        if "id" in keys:
            scan.hashes[row : row + rows] = _hashed(table["id"])
            if table["id"].null_count:
                scan.add("missing_ids", f"{table['id'].null_count:,} rows of row group {group + 1} have no id")
        if "era" in keys:
            labels, codes = _era_codes(scan, table["era"])
            last = _check_order(scan, last, [labels[code] for code in _runs(codes)])
            _count_rows(scan, table, labels, codes)
        on_values(rows * len(keys))
        for block in _blocks(file, group, [*numbers, *others]):
            for name in block.column_names:
                if name in numbers:
                    _count_known(scan, group, name, block[name], labels, codes)
            on_values(rows * block.num_columns)
        row += rows


def _joined(file: pq.ParquetFile, group: int, columns: Sequence[str]) -> pa.Table:
    """``columns`` of a row group in one table, however large it is."""
    tables = [table for name in columns for table in _blocks(file, group, [name])]
    return pa.table(dict(zip(columns, (table.column(0) for table in tables), strict=True)))


def _hashed(ids: pa.ChunkedArray) -> Hashes:
    """64-bit hashes of texts: their bytes, eight at a time, through the mixing steps of splitmix64."""
    plain_ids = plain(ids).cast(pa.string())
    if (longest := longest_text(plain_ids)) > MAX_ID_BYTES:
        raise _DamageError(f"ids must have at most {MAX_ID_BYTES} bytes, but one has {longest:,}")
    texts = np.asarray(plain_ids.cast(pa.binary()).to_numpy(), dtype=np.bytes_)
    padded = texts.astype(f"S{-(-texts.dtype.itemsize // 8) * 8}")
    mixed = np.zeros(len(padded), np.uint64)
    # From the last bytes to the first: zero mixes to zero, so the width that others are padded to does not count.
    for word in padded.view(np.uint64).reshape(len(padded), -1).T[::-1]:
        mixed ^= word
        for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
            mixed ^= mixed >> np.uint64(shift)
            mixed *= np.uint64(factor)
        mixed ^= mixed >> np.uint64(31)
    return mixed


def _first_id(scan: FileScan, wanted: Hashes) -> str:
    """The first id of the file whose hash is one of ``wanted``."""
    with _opened(scan.path) as file:
        for group in range(file.num_row_groups):
            for table in _blocks(file, group, ["id"]):
                places = np.flatnonzero(np.isin(_hashed(table["id"]), wanted))
                if len(places):
                    return str(table["id"][int(places[0])].as_py())
    raise AssertionError("the hashes are those of the file")


def _era_codes(scan: FileScan, eras: pa.ChunkedArray) -> tuple[list[str], npt.NDArray[np.int64]]:
    """The labels of eras as Numerai writes them, and the place in them of each row's."""
    written, codes = era_codes(eras)
    numbers = [era_of(label) for label in written]
    if None in numbers and not any(finding.kind == "era_labels" for finding in scan.findings):
        strange = written[numbers.index(None)]
        scan.add("era_labels", f"eras must be numbers such as '0575', but {strange!r} is there")
    labels = [_label(number, as_written) for number, as_written in zip(numbers, written, strict=True)]
    places = {label: place for place, label in enumerate(dict.fromkeys(labels))}
    return [*places], np.array([places[label] for label in labels], np.int64)[codes]


def _label(number: int | None, as_written: Any) -> str:
    if number is None:
        return "" if as_written is None else str(as_written)
    return LIVE_ERA if number == LIVE else era_label(number)


def _runs(codes: npt.NDArray[np.int64]) -> list[int]:
    starts = np.flatnonzero(np.diff(codes)) + 1
    return [int(code) for code in codes[np.append(0, starts)]]


def _check_order(scan: FileScan, last: str, labels: Sequence[str]) -> str:
    """Note the first era that does not rise; returns the last one."""
    for label in labels:
        falls = last and era_key(label) < era_key(last)
        if falls and not any(finding.kind == "unsorted_eras" for finding in scan.findings):
            scan.add("unsorted_eras", f"eras must rise, but era {label} comes after era {last}")
        last = label
    return last


def _count_rows(scan: FileScan, table: pa.Table, labels: Sequence[str], codes: npt.NDArray[np.int64]) -> None:
    labelled = np.ones(len(codes), bool)
    if "data_type" in table.column_names:
        labelled = ~matches(table["data_type"], _UNLABELLED).to_numpy().astype(bool)
    _count(scan.eras, labels, codes)
    _count(scan.labelled, labels, codes[labelled])


def _count_known(
    scan: FileScan, group: int, name: str, column: pa.ChunkedArray, labels: Sequence[str], codes: npt.NDArray[np.int64]
) -> None:
    values = number_values(column)
    strange = extremes(values) if _role(scan, name) == "number" else None
    told = f"column {name!r} {EXTREMES_RULE}, but"
    if strange is not None and not any(finding.message.startswith(told) for finding in scan.findings):
        scan.add("infinite_values", f"{told} row group {group + 1} holds others: {strange}; mend these rows")
    known = codes[~np.isnan(values)] if values.dtype.kind == "f" else codes
    _count(scan.known.setdefault(name, {}), labels, known)


def _count(counts: dict[str, int], labels: Sequence[str], codes: npt.NDArray[np.int64]) -> None:
    for label, rows in zip(labels, np.bincount(codes, minlength=len(labels)).tolist(), strict=True):
        counts[label] = counts.get(label, 0) + rows


def _note_strange(strange: dict[str, tuple[int, float, float]], name: str, column: pa.ChunkedArray) -> None:
    found = pc.min_max(column).as_py()
    low, high = found["min"], found["max"]
    inside = low is None or (low >= _FEATURE_VALUES[0] and high <= _FEATURE_VALUES[1])
    if inside and not column.null_count:
        return
    rows, lowest, highest = strange.get(name, (0, math.nan, math.nan))
    if not inside:
        outside = pc.or_(pc.less(column, _FEATURE_VALUES[0]), pc.greater(column, _FEATURE_VALUES[1]))
        rows += pc.sum(outside).as_py()
        lowest, highest = np.nanmin([lowest, low]), np.nanmax([highest, high])
    strange[name] = (rows + column.null_count, float(lowest), float(highest))


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0].rstrip(".")[:200]
