"""Columns of parquet files as any program writes them, read in one way by whoever reads data.

Eras are numbers, however they are written: ``7``, ``'7'``, ``'0007'``, ``'era7'``. Ids are texts, whether plain, large,
a view, a category or a number. Labels, benchmarks and predictions are finite numbers or NaN for unknown. A column of
another type is told by its name, its type, and what it must hold.
"""

import re
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

# What opening or reading a damaged parquet file raises: names of its columns may be no text.
UNREADABLE = (OSError, pa.ArrowException, UnicodeDecodeError)

Role = Literal["id", "era", "data_type", "feature", "number"]
Column = Any  # pa.Array or pa.ChunkedArray, which pyarrow gives no types for

LIVE_ERA = "X"
LIVE = -1  # the number that stands for it
# Eras are weeks: far more of them than there will be, and far fewer than a date has digits.
MAX_ERA = 99_999
# Numerai's have 16. All rows' ids are held as wide as the longest.
MAX_ID_BYTES = 200
# Targets lie in 0..1 and a transform moves them little: what is beyond is a fault, or a stand-in for "unknown".
MAX_NUMBER = 1e6

_RULES: dict[Role, tuple[str, str]] = {
    "id": ("must hold texts or integers", "write it as strings"),
    "era": ("must hold the numbers of weeks, as integers or as texts such as '0575'", "write it so"),
    "data_type": ("must hold texts such as 'validation'", "write it as strings"),
    "feature": ("must hold integers 0..4", "use data of v5 or later, or write it as int8"),
    "number": ("must hold numbers", "write it as float32"),
}
_INTEGERS = {f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)}
_FRACTIONS = {"halffloat", "float", "double"}
_TEXTS = {"string", "large_string", "string_view", "binary", "large_binary", "binary_view"}
_CATEGORY = re.compile(r"dictionary<values=(\w+), ")
_ERA = re.compile(r"\s*(?:era[\s_-]*)?(\d{1,12})(?:\.0*)?\s*", re.IGNORECASE)


def role_of(name: str, *, id_col: str = "id", era_col: str = "era") -> Role | None:
    """What a column of one of Numerai's files is, by its name; None where it may be anything."""
    if name in (id_col, era_col, "data_type"):
        return "id" if name == id_col else "era" if name == era_col else "data_type"
    if name.startswith("feature"):
        return "feature"
    return "number" if name.startswith("target") else None


def type_problem(name: str, kind: str, role: Role) -> str | None:
    """Why a column of a type, named as Arrow names it, cannot be read as what it is; None where it can."""
    category = _CATEGORY.match(kind) if role != "feature" else None
    inner = category[1] if category else kind
    whole, fraction, text = inner in _INTEGERS, inner in _FRACTIONS, inner in _TEXTS
    fits = {
        "id": whole or text,
        "era": whole or fraction or text,
        "data_type": text,
        "feature": whole,
        "number": whole or fraction,
    }
    noun = "feature" if role == "feature" else "column"
    return None if fits[role] else f"{noun} {name!r} {_RULES[role][0]}, but holds {kind}; {_RULES[role][1]}"


def names_twice(names: Sequence[str]) -> str | None:
    """The first name that stands twice among a file's columns: which of them is meant, nobody knows."""
    seen: set[str] = set()
    return next((name for name in names if name in seen or seen.add(name)), None)  # type: ignore[func-returns-value]


def plain(column: Column) -> Column:
    """A column without dictionaries, and its texts as plain strings: what every function of pyarrow takes.

    Raises:
        pyarrow.ArrowInvalid: bytes that are no text.

    """
    kind = plain_type(column.type)
    if pa.types.is_dictionary(column.type):
        if isinstance(column, pa.ChunkedArray):
            return pa.chunked_array([plain(chunk) for chunk in column.chunks], kind)
        return plain(column.dictionary).take(column.indices)
    found = column if column.type == kind else column.cast(kind)
    if kind == pa.string():
        found.validate(full=True)  # a file may say that bytes are text which are not
    return found


def plain_type(kind: pa.DataType) -> pa.DataType:
    """The type of :func:`plain` columns of a type."""
    inner = kind.value_type if pa.types.is_dictionary(kind) else kind
    return pa.string() if str(inner) in _TEXTS else inner


def texts(column: Column) -> pa.Array:
    """Ids as one array of strings.

    Raises:
        ValueError: a row has none, one that is no text, or one that is no name; says what must be.

    """
    try:
        values = plain(column).cast(pa.string())
    except pa.ArrowInvalid:
        raise ValueError("must be texts in UTF-8, but some are other bytes") from None
    if values.null_count:
        raise ValueError(f"must stand in every row, but {values.null_count:,} have none")
    if (longest := longest_text(values)) > MAX_ID_BYTES:
        raise ValueError(f"must have at most {MAX_ID_BYTES} bytes, but one has {longest:,}")
    return values.combine_chunks() if isinstance(values, pa.ChunkedArray) else values


def longest_text(column: Column) -> int:
    """Bytes of the longest of some texts."""
    return int(pc.max(pc.binary_length(column)).as_py() or 0)


def era_of(label: Any) -> int | None:
    """The number of an era as anyone writes it, :data:`LIVE` for a live one, None for what is none."""
    if isinstance(label, str):
        if label.strip().upper() in (LIVE_ERA, f"ERA{LIVE_ERA}"):
            return LIVE
        found = _ERA.fullmatch(label)
        number = int(found[1]) if found else None
    else:
        whole = isinstance(label, int | float) and not isinstance(label, bool) and label == label // 1
        number = int(label) if whole else None
    return number if number is not None and 0 <= number <= MAX_ERA else None


def era_codes(column: Column) -> tuple[list[Any], npt.NDArray[np.int64]]:
    """The distinct labels of eras as they are written, None for a missing one, and the place in them of each row's."""
    values = plain(column)
    if isinstance(values, pa.ChunkedArray):
        values = values.combine_chunks()
    encoded = values.dictionary_encode(null_encoding="encode")
    # Not to_numpy: that imports pandas.
    return encoded.dictionary.to_pylist(), np.from_dlpack(encoded.indices).astype(np.int64)


def era_numbers(column: Column) -> npt.NDArray[np.int64]:
    """(n,): the number of each row's era, :data:`LIVE` for a live one.

    Raises:
        ValueError: a row has no era, or one that is not the number of a week; says which.

    """
    try:
        labels, codes = era_codes(column)
    except pa.ArrowInvalid:
        raise ValueError("a text that is not in UTF-8") from None
    numbers = [era_of(label) for label in labels]
    if None in numbers:
        raise ValueError(repr(labels[numbers.index(None)]))
    return np.array(numbers, np.int64)[codes]


def extremes(values: npt.NDArray[Any]) -> str | None:
    """What of ``values`` (n,) is not finite, or beyond :data:`MAX_NUMBER`: how many, and the first; None if nothing.

    NaN is unknown and no fault.
    """
    # Python's floats: a limit beyond a narrow type's would become infinite in it.
    ends = [float(each.reduce(values)) for each in (np.fmin, np.fmax)] if len(values) else [0.0]
    if not any(abs(each) > MAX_NUMBER for each in ends):
        return None
    strange = np.flatnonzero(np.abs(values.astype(np.float64)) > MAX_NUMBER)
    return f"{len(strange):,} of {len(values):,} rows, the first is row {strange[0] + 1:,} with {values[strange[0]]:g}"


EXTREMES_RULE = f"must hold finite numbers within ±{MAX_NUMBER:,.0f}, or NaN where unknown"


def number_values(column: Column) -> npt.NDArray[Any]:
    """(n,): a column of numbers, NaN where it has no value."""
    values = plain(column)
    if isinstance(values, pa.ChunkedArray):
        values = values.combine_chunks()
    whole = pa.types.is_integer(values.type)
    if not (whole or pa.types.is_float32(values.type) or pa.types.is_float64(values.type)):
        return np.asarray(values.to_numpy(zero_copy_only=False))
    if values.null_count:
        values = pc.fill_null(values.cast(pa.float64(), safe=False) if whole else values, np.nan)
    return np.from_dlpack(values)  # not to_numpy: that imports pandas, 50 MB of every worker


def matches(column: Column, values: Sequence[str]) -> pa.BooleanArray:
    """(n,): whether a row's text is one of ``values``; a missing one is not."""
    return pc.is_in(plain(column), value_set=pa.array(list(values), pa.string()))
