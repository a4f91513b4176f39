"""Whether a file that arrived is the one of Numerai's that its name says, read to its last byte.

Numerai publishes no checksums, so the contents must speak: a parquet file's footer and every page of every row group
(with their checksums, where there are some), the columns and types that belong to the file, values in their range,
eras that parse and lie where this part of the data lies, and the features and targets that features.json names.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from numerai_ray.data.columns import UNREADABLE
from numerai_ray.data.eras import era_label
from numerai_ray.errors import DataError
from numerai_ray.system.json_text import parse_json

CHECK_VERSION = 1  # to be raised when a check is added that files checked before might fail

FEATURES_FILE = "features.json"
# What the column data_type of a data file may hold: a file in another's place gives itself away here.
_DATA_TYPES = {
    "train.parquet": {"train"},
    "validation.parquet": {"validation", "test"},
    "live.parquet": {"live"},
}
_LABELLED = ("train.parquet", "validation.parquet")
_LIVE_ERA = "X"
_ID_PATTERN = "^n[0-9a-f]{15}$"
# Values decoded at once: a whole row group of Numerai's 2,748 features is gigabytes.
_BLOCK_BYTES = 1 << 26

Eras = tuple[int, int]
OnChecked = Callable[[int, int], None]  # called with the column chunks read so far and in all


@dataclass(frozen=True)
class Known:
    """What other files of the version say; empty where they are not there.

    ``features`` and ``targets`` are those of features.json, ``eras`` the first and last era of files by name.
    """

    features: Sequence[str] = ()
    targets: Sequence[str] = ()
    eras: Mapping[str, Eras] = field(default_factory=dict)


@dataclass(frozen=True)
class Contents:
    """What was found in a file: rows, and its first and last era; None where it has none."""

    rows: int | None = None
    eras: Eras | None = None


def check_contents(path: Path, name: str, known: Known, on_checked: OnChecked) -> Contents:
    """Read the file at ``path`` as Numerai's ``name``.

    Raises:
        DataError: it is damaged or another file; the message starts with ``name``.

    """
    if path.stat().st_size == 0:
        raise DataError(f"{name}: is empty")
    if name == FEATURES_FILE:
        read_features(path)
        return Contents()
    if not name.endswith(".parquet"):
        return Contents()  # a form of which nothing is known but its size
    try:
        with pq.ParquetFile(path, page_checksum_verification=True) as file:
            _check_schema(file.schema_arrow, name, known)
            eras = _read_everything(file, name, on_checked)
            rows = file.metadata.num_rows
    except UNREADABLE as error:
        raise DataError(f"{name}: is no whole parquet file ({_first_line(error)})") from None
    if not rows:
        raise DataError(f"{name}: holds no rows")
    _check_eras(name, eras, known)
    return Contents(rows, eras)


def read_features(path: Path) -> Known:
    """Features and targets that a ``features.json`` names.

    Raises:
        DataError: it is not one.

    """
    try:
        content = parse_json(path.read_bytes())
    except (OSError, ValueError) as error:
        raise DataError(f"{FEATURES_FILE}: cannot be read as JSON ({error})") from None
    sets = content.get("feature_sets") if isinstance(content, dict) else None
    if not (isinstance(sets, dict) and sets and all(_names(names) for names in sets.values())):
        raise DataError(f"{FEATURES_FILE}: must hold 'feature_sets', each a list of names, but does not")
    targets = content.get("targets", [])
    if targets and not _names(targets):
        raise DataError(f"{FEATURES_FILE}: 'targets' must be a list of names, but is not")
    return Known(features=tuple(sets["all"]) if "all" in sets else (), targets=tuple(targets))


def _names(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(name, str) for name in value)


def _check_schema(schema: pa.Schema, name: str, known: Known) -> None:
    columns = set(schema.names)
    if len(columns) < len(schema.names):
        raise DataError(f"{name}: must name each of its {len(schema.names):,} columns once, but names some twice")
    lost = [column for column in _required(name) if column not in columns]
    if name in _DATA_TYPES:
        lost += [feature for feature in known.features if feature not in columns]
        if not any(column.startswith("feature") for column in columns):
            lost.append("feature_…")
    if name in _LABELLED:
        lost += [target for target in known.targets if target not in columns]
        if not any(column.startswith("target") for column in columns):
            lost.append("target")
    if lost:
        more = f" and {len(lost) - 1:,} more" if len(lost) > 1 else ""
        raise DataError(f"{name}: lacks the column {lost[0]!r}{more}, so it is another file or of another version")
    for column in schema:
        if _limits(name, column) is None and column.name.startswith(("feature", "target")) and name in _DATA_TYPES:
            raise DataError(f"{name}: column {column.name!r} must hold numbers, but holds {column.type}")


def _required(name: str) -> tuple[str, ...]:
    if name in _DATA_TYPES:
        return ("id", "era", "data_type")
    if name.endswith("_benchmark_models.parquet"):
        return ("id", "era")
    if name == "meta_model.parquet":
        return ("id", "era", "numerai_meta_model")
    return ("id", "prediction") if name.endswith("_example_preds.parquet") else ()


def _limits(name: str, column: pa.Field) -> tuple[int, int] | None:
    """Lowest and highest value of a column; None where any will do."""
    if column.name.startswith("feature") and pa.types.is_integer(column.type):
        return (0, 4)
    # Targets, features of old versions, benchmarks, meta model and example predictions are shares and ranks.
    return (0, 1) if _required(name) and pa.types.is_floating(column.type) else None


def _read_everything(file: pq.ParquetFile, name: str, on_checked: OnChecked) -> Eras | None:
    """Read every column of every row group, a block of columns at a time; returns the first and last era."""
    columns = list(file.schema_arrow)
    total = file.num_row_groups * len(columns)
    eras: set[str] = set()
    for group in range(file.num_row_groups):
        for start, block in _blocks(columns, file.metadata.row_group(group).num_rows):
            try:
                table = file.read_row_group(group, columns=[column.name for column in block])
                table.validate(full=True)
            except UNREADABLE as error:
                place = f"columns {block[0].name!r} to {block[-1].name!r} of row group {group + 1}"
                raise DataError(f"{name}: {place} are damaged ({_first_line(error)})") from None
            for column in block:
                _check_values(name, column, table[column.name])
                if column.name == "era" and _required(name):
                    eras.update(pc.unique(table["era"].cast(pa.string())).to_pylist())
            on_checked(group * len(columns) + start + len(block), total)
    return _era_range(name, eras)


def _blocks(columns: Sequence[pa.Field], rows: int) -> Iterator[tuple[int, Sequence[pa.Field]]]:
    """As many columns as stay within a block's bytes, at least one; with the place of the first."""
    start, block_bytes = 0, 0
    for place, column in enumerate(columns):
        width = column.type.bit_width // 8 if pa.types.is_primitive(column.type) else 24
        if place > start and block_bytes + rows * width > _BLOCK_BYTES:
            yield start, columns[start:place]
            start, block_bytes = place, 0
        block_bytes += rows * width
    if columns:
        yield start, columns[start:]


def _check_values(name: str, column: pa.Field, values: pa.ChunkedArray) -> None:
    limits = _limits(name, column)
    whole = column.name in _required(name) or limits == (0, 4)
    if whole and values.null_count:
        raise DataError(f"{name}: column {column.name!r} has {values.null_count:,} rows without a value")
    if column.name == "id" and whole and not pc.all(pc.match_substring_regex(values, _ID_PATTERN), min_count=0).as_py():
        raise DataError(f"{name}: ids must be 'n' and 15 hexadecimal digits, but some are not")
    if limits is not None:
        found = pc.min_max(values).as_py()
        # Without any value both are None, and both are NaN where all are: labels that are still to come.
        if found["min"] is not None and (found["min"] < limits[0] or found["max"] > limits[1]):
            rule = f"must hold values from {limits[0]} to {limits[1]}, but holds {found['min']} to {found['max']}"
            raise DataError(f"{name}: column {column.name!r} {rule}")
    if column.name == "data_type" and name in _DATA_TYPES:
        strange = set(pc.unique(values.cast(pa.string())).to_pylist()) - _DATA_TYPES[name]
        if strange:
            ours = " or ".join(repr(each) for each in sorted(_DATA_TYPES[name]))
            raise DataError(f"{name}: data_type must be {ours}, but {min(strange)!r} is there: it is another file")


def _era_range(name: str, eras: set[str]) -> Eras | None:
    live = name.startswith("live")
    numbers = []
    for era in sorted(eras):
        if era.isdecimal():
            numbers.append(int(era))
        elif not (live and era == _LIVE_ERA):
            raise DataError(f"{name}: eras must be numbers such as '0575', but {era!r} is there")
    return (min(numbers), max(numbers)) if numbers else None


def _check_eras(name: str, eras: Eras | None, known: Known) -> None:
    """Train ends before validation begins, and benchmarks lie where their rows do."""
    if eras is None:
        return
    spans = {**known.eras, name: eras}
    train, validation = (spans.get(part) for part in _LABELLED)
    if name in _LABELLED and train and validation and train[1] >= validation[0]:
        raise DataError(
            f"{name}: train must end before validation begins, but train.parquet has eras {_span(train)} and "
            f"validation.parquet {_span(validation)}: one of them is another file or of another version"
        )
    if name == "train_benchmark_models.parquet" and train and not (train[0] <= eras[0] and eras[1] <= train[1]):
        raise DataError(f"{name}: must lie within train's eras {_span(train)}, but has {_span(eras)}")
    # Its last eras may be newer: both files grow every week, one after the other.
    if name == "validation_benchmark_models.parquet" and validation and eras[0] < validation[0]:
        raise DataError(f"{name}: must not begin before validation's eras {_span(validation)}, but has {_span(eras)}")


def _span(eras: Eras) -> str:
    return f"{era_label(eras[0])}–{era_label(eras[1])}"


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0].rstrip(".")[:200]
