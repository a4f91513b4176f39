"""The full and the downsampled training files, built from Numerai's train and validation files.

``full`` is train plus the rows of validation whose data_type is ``validation`` (the rest has no labels yet),
without data_type and with ``id`` as an ordinary column; ``downsampled_full`` keeps every 4th of its eras. Each
has a benchmark file of the same eras beside it. The inputs are read once, a slice of rows at a time (their era
columns once before, to know the eras), and no era of an output lies in two row groups, so that a reader may
take whole eras group by group. What a file was built from stands in its key-value metadata under
``numerai_ray.build``.
"""

import hashlib
import json
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from numerai_ray.data.columns import (
    LIVE,
    MAX_ERA,
    era_numbers,
    matches,
    names_twice,
    plain,
    plain_type,
    role_of,
    type_problem,
)
from numerai_ray.data.eras import era_label
from numerai_ray.data.files.era_writer import era_writer, only
from numerai_ray.errors import DataError, RequestError
from numerai_ray.system.files import plain_file, tidy
from numerai_ray.system.json_text import parse_json

BUILD_VERSION = 1  # what a change of the outputs' contents or layout must raise
BUILD_KEY = b"numerai_ray.build"

_MAIN = ("train.parquet", "validation.parquet")
_BENCHMARK = ("train_benchmark_models.parquet", "validation_benchmark_models.parquet")
# Built file -> the files it is built from. The benchmark files hold what the main files decide: which eras have labels.
SOURCES = {
    "full.parquet": _MAIN,
    "downsampled_full.parquet": _MAIN,
    "full_benchmark_models.parquet": (*_BENCHMARK, *_MAIN),
    "downsampled_full_benchmark_models.parquet": (*_BENCHMARK, *_MAIN),
}

_LABELLED_TYPE = "validation"
_KEYS = ("id", "era", "data_type")
# Rows of a slice that is read, and of a row group that is written (which then ends with its era): the first that
# is reached. Groups are larger, because the footer describes every column of every group: groups of one era would
# give Numerai's 2,748 features a footer of 200 MB.
_SLICE_ROWS, _SLICE_CELLS = 100_000, 16_000_000
_GROUP_ROWS, _GROUP_CELLS = 50_000, 160_000_000
_READ_CELLS = 200_000_000  # a row group of an input of up to this many values is read at once
# Read column chunks through small windows: a whole chunk of Numerai's row groups is hundreds of megabytes.
_READ_BUFFER_BYTES = 1 << 16


@dataclass(frozen=True)
class BuildSpec:
    """Which eras the downsampled files keep: of all retained eras those at ``offset + k * step``."""

    step: int = 4
    offset: int = 0

    def __post_init__(self) -> None:
        if not (self.step >= 1 and 0 <= self.offset < self.step):
            raise RequestError(
                f"Downsampling needs step >= 1 and 0 <= offset < step, but got step={self.step}, offset={self.offset}."
            )


@dataclass(frozen=True)
class BuiltFile:
    """One built file; ``fresh`` is False when it was up to date and left alone."""

    path: Path
    rows: int
    eras: int
    fresh: bool


@dataclass(frozen=True)
class _Output:
    """One file to build: ``eras`` is what it keeps, ``build`` what it will say about itself."""

    path: Path
    eras: frozenset[int]
    build: dict[str, Any]


def build(
    version_dir: Path, spec: BuildSpec = BuildSpec(), on_rows: Callable[[int, int], None] | None = None
) -> tuple[BuiltFile, ...]:
    """Build what is missing or out of date of the four files in ``version_dir``.

    ``full.parquet``, ``downsampled_full.parquet``, ``full_benchmark_models.parquet`` and
    ``downsampled_full_benchmark_models.parquet`` are returned in this order. A file is up to date when the
    fingerprint of its inputs (size and footer) and its step and offset are those it was built with. An
    exception leaves every file as it was or whole.

    Args:
        version_dir: folder with ``{train,validation}.parquet`` and their ``_benchmark_models`` files.
        spec: which eras the downsampled files keep.
        on_rows: called as ``on_rows(done, total)`` with rows read.

    Raises:
        DataError: an input is missing, damaged or not in Numerai's layout.
        EnvironmentFault: the folder cannot be written or the disk is full.

    """
    tidy(version_dir)
    sources = {name: _Input(version_dir / name) for name in (*_MAIN, *_BENCHMARK)}
    main, benchmark = ((sources[a], sources[b]) for a, b in (_MAIN, _BENCHMARK))
    eras = _retained_eras(*main)
    prints = {name: _fingerprint(source.path) for name, source in sources.items()}
    jobs = []
    for inputs, suffix in ((main, ""), (benchmark, "_benchmark_models")):
        _check_columns(inputs)
        outputs = []
        for kind, spacing in (("full", None), ("downsampled_full", spec)):
            path = version_dir / f"{kind}{suffix}.parquet"
            printed = [prints[name] for name in SOURCES[path.name]]
            about: dict[str, Any] = {"version": BUILD_VERSION, "inputs": printed}
            about |= asdict(spacing) if spacing else {}
            kept = eras[spacing.offset :: spacing.step] if spacing else eras
            outputs.append(_Output(path, frozenset(kept), about))
        jobs.append((inputs, outputs))
    stale = [(inputs, [output for output in outputs if not _up_to_date(output)]) for inputs, outputs in jobs]
    total = sum(source.rows for inputs, outputs in stale if outputs for source in inputs)
    done = 0
    for inputs, outputs in stale:
        if outputs:
            # Closed here, not by the garbage collector: an exception must leave no partial file behind it.
            with closing(_write(inputs, outputs)) as slices:
                for rows in slices:
                    done += rows
                    if on_rows is not None:
                        on_rows(done, total)
    rebuilt = {output.path for _, outputs in stale for output in outputs}
    return tuple(_built(output.path, output.path in rebuilt) for _, outputs in jobs for output in outputs)


class _Input:
    """One input file; what pyarrow says about a bad file becomes a sentence of ours.

    It is open only while it is read: a footer of many row groups and features takes more memory than a row group.
    """

    def __init__(self, path: Path):
        self.path = path
        with self._opened() as file:
            self.rows: int = file.metadata.num_rows
            self.schema: pa.Schema = file.schema_arrow
        for column in ("id", "era"):
            if column not in self.schema.names:
                raise DataError(
                    f"{self.path}: has no column {column!r}, so it is not one of Numerai's files; "
                    "download it again or point to another folder."
                )
        twice = names_twice(self.schema.names)
        if twice is not None:
            raise DataError(f"{self.path}: has two columns {twice!r}, so nobody knows which is meant; remove one.")
        for field in self.schema:
            role = role_of(field.name) or ("number" if path.name in _BENCHMARK else None)
            problem = type_problem(field.name, str(field.type), role) if role else None
            if problem is not None:
                raise DataError(f"{self.path}: {problem}, or download the file again.")
        self.schema = pa.schema([pa.field(field.name, plain_type(field.type)) for field in self.schema])

    def eras(self) -> list[int]:
        """List the labelled eras in file order; one that is not in one piece stands there again."""
        columns = ["era", "data_type"] if "data_type" in self.schema.names else ["era"]
        eras: list[int] = []
        for batch in self.slices(columns, _SLICE_ROWS):
            part = pa.Table.from_batches([batch])
            if "data_type" in columns and self.path.name.startswith("validation"):
                part = part.filter(matches(part["data_type"], [_LABELLED_TYPE]))
            numbers = self.numbers_of(part["era"])
            starts = np.append(0, np.flatnonzero(np.diff(numbers)) + 1)[: len(numbers)]
            for era in numbers[starts].tolist():
                if not eras or eras[-1] != era:
                    eras.append(era)
        return eras

    def numbers_of(self, eras: pa.ChunkedArray | pa.Array) -> npt.NDArray[np.int64]:
        """(n,): eras of labelled rows as numbers."""
        with self._readable():
            try:
                numbers = era_numbers(eras)
                if LIVE not in numbers:
                    return numbers
                found = "that of a live row"
            except ValueError as error:
                found = str(error)
        raise DataError(
            f"{self.path}: eras must be numbers such as '0575', from 0 to {MAX_ERA:,}, but {found} is there; write "
            "them so, or download the file again."
        )

    def slices(self, columns: Sequence[str], rows: int) -> Iterator[pa.RecordBatch]:
        """Read the file from front to back, at most ``rows`` rows at a time, in the plain types of ``schema``.

        A row group of moderate size is read at once: that is faster, and takes less memory than the readers of
        all its columns, which stay open while one larger than that is read slice by slice.
        """
        with self._opened() as file:
            for group in range(file.num_row_groups):
                if file.metadata.row_group(group).num_rows * len(columns) <= _READ_CELLS:
                    with self._readable():
                        table = file.read_row_group(group, columns=list(columns))
                        batches = [self._plain(batch) for batch in table.to_batches(max_chunksize=rows)]
                    yield from batches
                    continue
                parts = file.iter_batches(batch_size=rows, row_groups=[group], columns=list(columns))
                while True:
                    with self._readable():
                        batch = next(parts, None)
                        batch = None if batch is None else self._plain(batch)
                    if batch is None:
                        break
                    yield batch

    def _plain(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        schema = pa.schema([self.schema.field(name) for name in batch.schema.names])
        if batch.schema.equals(schema):
            return batch
        return pa.RecordBatch.from_arrays([plain(column) for column in batch.columns], schema=schema)

    @contextmanager
    def _opened(self) -> Iterator[pq.ParquetFile]:
        with self._readable():
            file = pq.ParquetFile(plain_file(self.path), buffer_size=_READ_BUFFER_BYTES)
        with file:
            yield file

    @contextmanager
    def _readable(self) -> Iterator[None]:
        try:
            yield
        except FileNotFoundError as error:
            rule = "is missing; download it, or write a synthetic market into this folder."
            raise DataError(f"{self.path}: {rule}") from error
        except (OSError, pa.ArrowException) as error:
            rule = "cannot be read as a parquet file, so it is damaged or only partly downloaded"
            remedy = f"delete it and download it again ({_first_line(error)})."
            raise DataError(f"{self.path}: {rule}; {remedy}") from error


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0].rstrip(".")


def _retained_eras(train: _Input, validation: _Input) -> list[int]:
    """All eras of ``full`` in order; they must rise from the first row of train to the last of validation."""
    if "data_type" not in validation.schema.names:
        raise DataError(
            f"{validation.path}: has no column 'data_type', so rows without labels cannot be told; "
            "download the file again."
        )
    eras: list[int] = []
    for source in (train, validation):
        for era in source.eras():
            if eras and era <= eras[-1]:
                raise DataError(
                    f"{source.path}: eras must rise from train.parquet to the end of validation.parquet, but "
                    f"era {era_label(era)} comes after era {era_label(eras[-1])}; download both files of one data "
                    "version again."
                )
            eras.append(era)
    if not eras:
        raise DataError(f"{train.path}: holds no rows, and neither does validation; download both files again.")
    return eras


def _check_columns(inputs: tuple[_Input, _Input]) -> None:
    """Both files of a pair must have the same columns of the same types, in the order of the first."""
    first, second = inputs
    for field in first.schema:
        if field.name == "data_type":
            continue
        if field.name not in second.schema.names:
            raise DataError(
                f"{second.path}: has no column {field.name!r}, which {first.path.name} has; download both files "
                "of one data version again."
            )
        other = second.schema.field(field.name).type
        if field.name not in _KEYS and not field.type.equals(other):
            raise DataError(
                f"{second.path}: column {field.name!r} is {other}, but {field.type} in {first.path.name}; write both "
                "alike, or download both files of one data version again."
            )
    extra = sorted(set(second.schema.names) - {*first.schema.names, "data_type"})
    if extra:
        raise DataError(
            f"{second.path}: has column {extra[0]!r}, which {first.path.name} does not have; download both files "
            "of one data version again."
        )


def _write(inputs: tuple[_Input, _Input], outputs: Sequence[_Output]) -> Generator[int, None, None]:
    """Stream both inputs into all outputs at once; yields the rows read, slice by slice."""
    names = [name for name in inputs[0].schema.names if name not in ("id", "era", "data_type")]
    era_type = inputs[0].schema.field("era").type
    keys = [("id", pa.string()), ("era", era_type if pa.types.is_integer(era_type) else pa.string())]
    schema = pa.schema([*keys, *(inputs[0].schema.field(name) for name in names)])
    slice_rows = max(1, min(_SLICE_ROWS, _SLICE_CELLS // len(schema)))
    group_rows = max(1, min(_GROUP_ROWS, _GROUP_CELLS // len(schema)))
    with ExitStack() as opened:
        writers = [opened.enter_context(era_writer(output.path, schema, output.eras, group_rows)) for output in outputs]
        for source in inputs:
            typed = source is inputs[1] and "data_type" in source.schema.names
            columns = [*schema.names, "data_type"] if typed else schema.names
            for batch in source.slices(columns, slice_rows):
                labelled = only(batch, matches(batch["data_type"], [_LABELLED_TYPE])) if typed else batch
                eras = source.numbers_of(labelled["era"])
                selected = _with_keys(labelled.select(schema.names), eras, schema)
                for writer in writers:
                    writer.add(source.path, selected, eras)
                yield len(batch)
        for output, writer in zip(outputs, writers, strict=True):
            writer.finish()
            writer.describe(BUILD_KEY, json.dumps(output.build | {"eras": writer.eras}))


def _with_keys(batch: pa.RecordBatch, eras: npt.NDArray[np.int64], schema: pa.Schema) -> pa.RecordBatch:
    """``batch`` with ids and eras in the schema's types: numbers become labels where the first file has labels."""
    if batch.schema.equals(schema):
        return batch
    kind = schema.field("era").type
    if pa.types.is_integer(kind):
        labels = pa.array(eras).cast(kind)
    elif batch["era"].type == kind:
        labels = batch["era"]
    else:
        labels = pa.array([era_label(era) for era in eras.tolist()], kind)
    return pa.RecordBatch.from_arrays([batch["id"].cast(pa.string()), labels, *batch.columns[2:]], schema=schema)


def _fingerprint(path: Path) -> str:
    """Size and hash of the footer, which tells every column chunk's place, length and range."""
    with plain_file(path).open("rb") as handle:
        size = handle.seek(0, 2)
        handle.seek(-8, 2)
        footer_bytes = int.from_bytes(handle.read(4), "little")
        handle.seek(-(footer_bytes + 8), 2)
        return f"{path.name}:{size}:{hashlib.sha256(handle.read()).hexdigest()}"


def out_of_date(path: Path) -> str | None:
    """Why `build` would build ``path``, one of :data:`SOURCES`, again; None when it would not or it cannot be told.

    It cannot be told without the file's inputs, or when one of these files is damaged.
    """
    try:
        current = [_fingerprint(path.parent / name) for name in SOURCES[path.name]]
        about = _build_of(path)
    except (OSError, pa.ArrowException):
        return None
    if not about:
        return "was not built by numerai-ray, so nobody knows what it was built from"
    if about["version"] != BUILD_VERSION:
        return f"was built by another version of numerai-ray (layout {about['version']}, now {BUILD_VERSION})"
    changed = sorted({name.partition(":")[0] for name in {*current} - {*about["inputs"]}})
    return f"was built before {' and '.join(changed)} changed" if changed else None


def _build_of(path: Path) -> dict[str, Any]:
    return _about(pq.read_metadata(plain_file(path)))


def _about(footer: pq.FileMetaData) -> dict[str, Any]:
    """What a built file says about itself; empty when it says nothing."""
    try:
        about = parse_json((footer.metadata or {}).get(BUILD_KEY, b"{}"))
    except ValueError:
        return {}
    return about if isinstance(about, dict) and about.keys() >= {"version", "inputs"} else {}


def _up_to_date(output: _Output) -> bool:
    try:
        kept = _build_of(output.path)
    except (OSError, pa.ArrowException):
        return False  # missing or damaged: it is ours to build again
    return {name: value for name, value in kept.items() if name != "eras"} == output.build


def _built(path: Path, fresh: bool) -> BuiltFile:  # noqa: FBT001
    footer = pq.read_metadata(path)
    return BuiltFile(path=path, rows=footer.num_rows, eras=_about(footer)["eras"], fresh=fresh)
