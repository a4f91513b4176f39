"""A parquet file written era by era: every row group holds whole eras, so that a range of eras is a range of groups.

While one row group is encoded and written in a thread of its own, the rows of the next one gather: reading, which
goes on meanwhile, is nearly free. In memory are two groups at most, whatever the file's size. The first row groups of
an earlier file that hold the same are copied as they are: encoding takes most of the time of a build.
"""

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from numerai_ray.data.eras import era_label
from numerai_ray.data.files.earlier import Earlier
from numerai_ray.errors import DataError
from numerai_ray.system.files import whole_file


@contextmanager
def era_writer(
    path: Path, schema: pa.Schema, kept: frozenset[int], rows: int, earlier: Earlier | None = None
) -> Iterator["EraWriter"]:
    """Write ``path``, there whole when the block ends well, and else as it was before.

    Args:
        path: the file.
        schema: its columns; ``era`` among them.
        kept: numbers of the eras that it holds; rows of others are dropped.
        rows: a row group ends with the era that reaches this many rows.
        earlier: a file whose first row groups may be taken over; it must be asked with digests of all eras so far.

    Raises:
        DataError: eras do not rise.
        EnvironmentFault: the folder cannot be written or the disk is full.

    """
    # Identifiers and benchmark ranks hardly repeat: a dictionary would only be built to be thrown away.
    repeating = [field.name for field in schema if field.name != "id" and field.type != pa.float64()]
    how: dict[str, Any] = {
        "compression": "zstd",
        "compression_level": 1,
        "use_dictionary": repeating,
        "write_statistics": ["era"],
    }
    footers: list[pq.FileMetaData] = []
    with whole_file(path) as partial:
        with (
            pa.OSFile(str(partial), "wb") as sink,
            pq.ParquetWriter(sink, schema, metadata_collector=footers, **how) as parquet,
            ThreadPoolExecutor(1, thread_name_prefix=path.stem) as thread,  # left, and so waited for, before the file
        ):
            writer = EraWriter(parquet, sink, thread, kept, rows, earlier)
            yield writer
            writer.finish()
            parquet.add_key_value_metadata(writer.about)
            end = sink.tell()
        if earlier is not None and writer.taken_over:
            # The writer knows nothing of the groups that were copied before its own.
            with pq.ParquetWriter(pa.BufferOutputStream(), schema, metadata_collector=footers, **how) as parquet:
                parquet.add_key_value_metadata(writer.about)
            earlier.finish(partial, writer.taken_over, end, own=footers[0], empty=footers[1])


class EraWriter:
    """Cuts row groups at the borders of eras: whole eras, as many as reach ``rows`` rows."""

    def __init__(
        self,
        parquet: pq.ParquetWriter,
        sink: pa.OSFile,
        thread: ThreadPoolExecutor,
        kept: frozenset[int],
        rows: int,
        earlier: Earlier | None,
    ):
        self._parquet = parquet
        self._sink = sink
        self._thread = thread
        self._writing: Future[None] | None = None
        self._kept = np.array(sorted(kept), np.int64)
        self._rows = rows
        self._earlier = earlier
        self._pending: list[pa.RecordBatch] = []
        self._pending_rows = 0
        self._pending_eras: list[int] = []
        self._era = -1
        self.eras = 0
        self.taken_over = 0  # row groups of the earlier file
        self.about: dict[bytes, str] = {}  # key-value metadata of the file

    def add(self, source: Path, batch: pa.RecordBatch, eras: npt.NDArray[np.int64]) -> None:
        """Take over those rows of ``batch``, which follows the last one of its file ``source``, that are kept.

        ``eras`` (n,) are the numbers of its rows' eras.
        """
        inside = np.isin(eras, self._kept)
        batch, eras = only(batch, pa.array(inside)), eras[inside]
        start = 0
        for end in (np.flatnonzero(np.diff(eras, append=-1)) + 1).tolist():
            era = int(eras[start])
            if era != self._era:
                if era < self._era:
                    raise DataError(
                        f"{source}: eras must rise, but era {era_label(era)} comes after era {era_label(self._era)}; "
                        "download both files of one data version again."
                    )
                self._era = era
                self.eras += 1
                if self._pending_rows >= self._rows:
                    self._flush()
                self._pending_eras.append(era)
            self._pending.append(batch.slice(start, end - start))
            self._pending_rows += end - start
            start = end

    def finish(self) -> None:
        """Write what is left, and wait for it."""
        self._flush()
        self._take_over()
        self._wait()

    def _flush(self) -> None:
        self._wait()
        if self._pending:
            table, rows = pa.Table.from_batches(self._pending), self._pending_rows
            if self._earlier is not None and self._earlier.holds(self.taken_over, self._pending_eras, table["era"]):
                self.taken_over += 1
            else:
                self._take_over()
                self._writing = self._thread.submit(self._parquet.write_table, table, row_group_size=rows)
        self._pending, self._pending_rows, self._pending_eras = [], 0, []

    def _take_over(self) -> None:
        """Copy what of the earlier file holds the same, once it is known how far that goes."""
        if self._earlier is not None and self.taken_over:
            self._earlier.copy(self._sink, self.taken_over)
        self._earlier = None

    def _wait(self) -> None:
        """Wait for the group that is being written; what went wrong with it is raised here."""
        if self._writing is not None:
            self._writing.result()
        self._writing = None


def only(batch: pa.RecordBatch, mask: pa.BooleanArray) -> pa.RecordBatch:
    """The rows of ``batch`` where ``mask`` is true; all of them cost no copy."""
    return batch if mask.true_count == len(batch) else batch.filter(mask)
