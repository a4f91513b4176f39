"""Parquet footer that can be cut to its first row groups, as a file that ended there would have it.

pyarrow joins the footers of several files but does not take one apart. A footer is one struct of Thrift's compact
protocol (https://github.com/apache/thrift/blob/master/doc/specs/thrift-compact-protocol.md), ``FileMetaData`` of
https://github.com/apache/parquet-format: version, schema, rows and row groups are its fields 1 to 4, in this order.
"""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

_MAGIC = b"PAR1"
_ROWS, _GROUPS = 3, 4  # fields of FileMetaData
_BOOLS, _BYTE, _VARINTS, _DOUBLE, _BINARY, _LISTS, _STRUCT = (1, 2), 3, (4, 5, 6), 7, 8, (9, 10), 12


class Footer:
    """The footer of one file; each of its row groups is read by pyarrow as in the whole footer, or none is used.

    Raises:
        OSError: the file cannot be read.
        ValueError: it is damaged, or its footer is not what is expected.

    """

    def __init__(self, path: Path):
        with path.open("rb") as file:
            file.seek(-8, 2)
            size = int.from_bytes(file.read(4), "little")
            file.seek(-(size + 8), 2)
            content = file.read(size)
        try:
            whole = pq.read_metadata(path)
            self._before, self._groups = _parts(content)
        except (IndexError, KeyError, pa.ArrowException) as error:
            raise ValueError(f"{path}: its footer cannot be taken apart") from error
        groups = [whole.row_group(group) for group in range(whole.num_row_groups)]
        self.schema = whole.schema.to_arrow_schema()
        self._rows = [group.num_rows for group in groups]
        self._ends = [_end(group) for group in groups]
        # One at a time, and the whole is not kept: it takes more memory than a row group does.
        same = (self.only(place).row_group(0).equals(group) for place, group in enumerate(groups))
        if len(self) != len(groups) or not all(same):
            raise ValueError(f"{path}: its footer has other row groups than pyarrow sees")

    def __len__(self) -> int:
        return len(self._groups)

    def only(self, group: int) -> pq.FileMetaData:
        """Metadata of one row group, without key-value metadata."""
        return self._read(range(group, group + 1))

    def first(self, groups: int) -> pq.FileMetaData:
        """The same of the first ``groups`` row groups."""
        return self._read(range(groups))

    def end(self, groups: int) -> int:
        """Where in the file the last column of the first ``groups`` row groups ends; they are one or more."""
        return self._ends[groups - 1]

    def _read(self, groups: range) -> pq.FileMetaData:
        rows = _varint(2 * sum(self._rows[group] for group in groups))
        head = bytes([1 << 4 | _LISTS[0], 0xF0 | _STRUCT]) + _varint(len(groups))
        cut = b"".join([self._before, rows, head, *self._groups[groups.start : groups.stop], b"\0"])
        return pq.read_metadata(pa.BufferReader(_MAGIC + cut + len(cut).to_bytes(4, "little") + _MAGIC))


def _end(group: pq.RowGroupMetaData) -> int:
    columns = [group.column(i) for i in range(group.num_columns)]
    starts: list[int] = [column.dictionary_page_offset or column.data_page_offset for column in columns]
    sizes: list[int] = [column.total_compressed_size for column in columns]
    return max(at + size for at, size in zip(starts, sizes, strict=True))


def _parts(content: bytes) -> tuple[bytes, list[bytes]]:
    """What stands before the number of rows, and each row group."""
    before, at, number = b"", 0, 0
    while True:
        head, began = content[at], at
        at, number = at + 1, number + (head >> 4)
        if number == _GROUPS:
            break
        before += content[began:at] if number == _ROWS else b""
        end = _after(content, at, head & 15)
        before += content[began:end] if number < _ROWS else b""
        at = end
    (size, kind), at = _list_head(content, at)
    groups = []
    for _ in range(size):
        end = _after(content, at, {_STRUCT: _STRUCT}[kind])
        groups.append(content[at:end])
        at = end
    return before, groups


def _after(content: bytes, at: int, kind: int) -> int:
    """Where the value of a ``kind`` that begins ``at`` a place ends."""
    if kind in _VARINTS:
        while content[at] & 128:
            at += 1
        return at + 1
    if kind == _BINARY:
        size, at = _number(content, at)
        return at + size
    if kind == _STRUCT:
        while head := content[at]:
            at += 1
            if not head >> 4:  # the field's number stands after it
                at = _after(content, at, _VARINTS[0])
            if head & 15 not in _BOOLS:  # whose value is their kind
                at = _after(content, at, head & 15)
        return at + 1
    if kind in _LISTS:
        (size, each), at = _list_head(content, at)
        for _ in range(size):
            at = at + 1 if each in _BOOLS else _after(content, at, each)
        return at
    return at + {_BYTE: 1, _DOUBLE: 8}[kind]


def _list_head(content: bytes, at: int) -> tuple[tuple[int, int], int]:
    size, kind = content[at] >> 4, content[at] & 15
    if size < 15:
        return (size, kind), at + 1
    size, at = _number(content, at + 1)
    return (size, kind), at


def _number(content: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while content[at] & 128:
        value |= (content[at] & 127) << shift
        at, shift = at + 1, shift + 7
    return value | content[at] << shift, at + 1


def _varint(value: int) -> bytes:
    written = bytearray()
    while value > 127:
        written.append(value & 127 | 128)
        value >>= 7
    return bytes([*written, value])
