"""Sources: the files that Numerai publishes, read a slice of rows at a time; what is wrong with one is a sentence."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from numerai_ray.data.columns import (
    LIVE,
    MAX_ERA,
    UNREADABLE,
    era_numbers,
    matches,
    names_twice,
    plain,
    plain_type,
    role_of,
    type_problem,
)
from numerai_ray.data.eras import era_label
from numerai_ray.errors import DataError
from numerai_ray.system.files import plain_file

MAIN = ("train.parquet", "validation.parquet")
BENCHMARK = ("train_benchmark_models.parquet", "validation_benchmark_models.parquet")
LABELLED_TYPE = "validation"
KEYS = ("id", "era", "data_type")
# Rows of a slice when the eras of a file are listed, which takes two columns.
_SLICE_ROWS = 100_000
_READ_CELLS = 200_000_000  # a row group of an input of up to this many values is read at once
# Read column chunks through small windows: a whole chunk of Numerai's row groups is hundreds of megabytes.
_READ_BUFFER_BYTES = 1 << 16


class Source:
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
            role = role_of(field.name) or ("number" if path.name in BENCHMARK else None)
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
                part = part.filter(matches(part["data_type"], [LABELLED_TYPE]))
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
            for column in batch.columns:
                plain(column)  # raises for bytes that are no text
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
        except UNREADABLE as error:
            rule = "cannot be read as a parquet file, so it is damaged or only partly downloaded"
            remedy = f"delete it and download it again ({_first_line(error)})."
            raise DataError(f"{self.path}: {rule}; {remedy}") from error


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0].rstrip(".")


def retained_eras(train: Source, validation: Source) -> list[int]:
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


def check_columns(inputs: tuple[Source, Source]) -> None:
    """Both files of a pair must have the same columns of the same types, in the order of the first."""
    first, second = inputs
    types = dict(zip(second.schema.names, second.schema.types, strict=True))  # by name it is searched from its start
    for field in first.schema:
        if field.name == "data_type":
            continue
        if field.name not in types:
            raise DataError(
                f"{second.path}: has no column {field.name!r}, which {first.path.name} has; download both files "
                "of one data version again."
            )
        other = types[field.name]
        if field.name not in KEYS and not field.type.equals(other):
            raise DataError(
                f"{second.path}: column {field.name!r} is {other}, but {field.type} in {first.path.name}; write both "
                "alike, or download both files of one data version again."
            )
    extra = sorted(types.keys() - {*first.schema.names, "data_type"})
    if extra:
        raise DataError(
            f"{second.path}: has column {extra[0]!r}, which {first.path.name} does not have; download both files "
            "of one data version again."
        )
