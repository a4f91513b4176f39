"""Earlier file: its first row groups, taken over by a newer one as far as they hold the same, without encoding again.

A group is taken over when the newer file's rows there have the same eras, row by row, and every column of them the same
digest of its values. The digests of the earlier file are those kept beside it, which are of exactly its bytes; those of
the newer rows are made of the rows themselves. From the first group that differs everything is written anew: in a new
week the newest eras differ, and these are the last.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from numerai_ray.data.columns import UNREADABLE
from numerai_ray.data.dataset import file_fingerprint
from numerai_ray.data.digests import Digests, Kind, column_key, read_digests
from numerai_ray.data.files.footer import Footer
from numerai_ray.errors import EnvironmentFault

_PART_BYTES = 1 << 24


class Earlier:
    """One file that a newer one of the same schema is to take the place of.

    Args:
        path: the file.
        footer: of it.
        digests: of its eras.
        columns: names in ``digests``, in the order of what ``current`` gives.
        current: gives the digests of a newer era, end to end.

    """

    def __init__(
        self, path: Path, footer: Footer, digests: Digests, columns: Sequence[str], current: Callable[[int], bytes]
    ):
        self.path = path
        self._footer = footer
        kept = digests.of(columns)
        self._known = {era: values.tobytes() for era, values in zip(digests.eras, kept, strict=True)}
        self._current = current

    def holds(self, group: int, eras: Sequence[int], labels: pa.ChunkedArray) -> bool:
        """Whether row group ``group`` is what a newer file has there: rows of ``eras``, each with its label."""
        if group >= len(self._footer):
            return False
        if any(self._known.get(era) != self._current(era) for era in eras):
            return False
        with pq.ParquetFile(self.path, metadata=self._footer.only(group)) as file:
            return bool(file.read_row_group(0, columns=["era"]).column(0).equals(labels))

    def copy(self, sink: pa.NativeFile, groups: int) -> None:
        """Write the first ``groups`` row groups where they belong: right after what a parquet file begins with."""
        end = self._footer.end(groups)
        with self.path.open("rb") as file:
            file.seek(at := sink.tell())
            while at < end and (part := file.read(min(_PART_BYTES, end - at))):
                sink.write(part)
                at += len(part)

    def finish(self, partial: Path, groups: int, end: int, own: pq.FileMetaData, empty: pq.FileMetaData) -> None:
        """Give ``partial`` a footer of the ``groups`` that were copied and of its ``own``, which end at ``end``."""
        empty.append_row_groups(self._footer.first(groups))
        empty.append_row_groups(own)
        footer = pa.BufferOutputStream()
        empty.write_metadata_file(footer)
        with partial.open("r+b") as file:
            file.truncate(end)
            file.seek(end)
            file.write(footer.getvalue()[4:])  # a file of metadata alone begins as every parquet file does


def earlier_file(
    path: Path, schema: pa.Schema, kinds: Mapping[str, Kind], current: Callable[[int], bytes]
) -> Earlier | None:
    """What may be taken over from ``path``, which was built before; None where that cannot be told of every column.

    Args:
        path: the file.
        schema: of the file that is to take its place.
        kinds: as what columns are hashed, in the order of what ``current`` gives.
        current: gives the digests of a newer era, end to end.

    """
    if not all(field.name == "era" or _told(field, kinds) for field in schema):
        return None
    columns = [column_key(kind, name) for name, kind in kinds.items()]
    try:
        footer = Footer(path)
        if not footer.schema.equals(schema):
            return None
        digests = read_digests(path, file_fingerprint(path), "era")
        return None if digests is None else Earlier(path, footer, digests, columns, current)
    except (*UNREADABLE, ValueError, KeyError, EnvironmentFault):  # damaged, or nobody made digests of all its columns
        return None


def _told(field: pa.Field, kinds: Mapping[str, Kind]) -> bool:
    """Whether equal digests mean equal values: a number that was rounded to be hashed is not told by its digest."""
    kind, held = kinds.get(field.name), field.type
    if kind == "float32":
        return bool(pa.types.is_float32(held))
    if kind == "float64":
        return bool(pa.types.is_floating(held))
    return kind == "text" or (kind == "int8" and bool(pa.types.is_integer(held)))
