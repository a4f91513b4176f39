"""Predictions from anywhere: a frame of pandas, polars or Arrow, or a file, as ids and numbers in one form."""

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv

from numerai_ray.data.columns import (
    EXTREMES_RULE,
    UNREADABLE,
    era_numbers,
    extremes,
    names_twice,
    number_values,
    texts,
    type_problem,
)
from numerai_ray.data.dataset import open_parquet
from numerai_ray.errors import DataError, RequestError, nearest
from numerai_ray.system.files import plain_file

PREDICTION, FOLD = "prediction", "cv_fold"
# Columns of a predictions file that are no predictions.
OTHERS = ("era", "data_type", FOLD)


@dataclass(frozen=True, eq=False)
class Predictions:
    """Predictions of somebody else, in the order in which they came.

    ``ids`` (n,) are texts and ``values`` (n,) float64, NaN where there is none; ``eras`` (n,) are era numbers and
    ``folds`` (n,) cross-validation folds, each None where nobody says. ``source`` is what messages call them.
    """

    source: str
    ids: pa.Array
    values: npt.NDArray[np.float64]
    eras: npt.NDArray[np.int64] | None = None
    folds: npt.NDArray[np.int64] | None = None


def read_predictions(given: Any, column: str | None = None, *, source: str = "") -> Predictions:
    """Read predictions.

    Args:
        given: path of a ``.parquet`` or ``.csv`` file; a DataFrame or Series of pandas; a table of Arrow; or anything
            that Arrow can read, such as a DataFrame of polars. Ids are a column ``id``, or pandas' index.
        column: the column of predictions; else ``prediction``, or the one column of numbers that is there.
        source: what messages call it; else the path, or the kind of object.

    Raises:
        DataError: a file is missing or damaged, an id stands twice, or a column does not hold what it must.
        RequestError: it is no table, or which of its columns are the predictions is not clear.

    """
    source = source or (str(given) if isinstance(given, str | Path) else type(given).__name__)
    table = _table(given, source)
    twice = names_twice(table.column_names)
    if twice is not None:
        raise DataError(f"{source}: has two columns {twice!r}, so nobody knows which is meant; remove one")
    if "id" not in table.column_names:
        rule = "has no column and no index 'id', which says whose predictions these are"
        raise DataError(f"{source}: {rule}{nearest('id', table.column_names)}; add it")
    name = _prediction_column(table, column, source)
    _check(table, name, "number", source)
    try:
        ids = texts(table.column("id"))
    except ValueError as error:
        raise DataError(f"{source}: ids {error}; write them so") from None
    values = number_values(table.column(name)).astype(np.float64)
    strange = extremes(values)
    if strange is not None:
        raise DataError(f"{source}: column {name!r} {EXTREMES_RULE}, but does not in {strange}; mend these rows")
    eras = _eras(table, source)
    _refuse_repeats(ids, eras, source)
    return Predictions(source, ids, values, eras, _folds(table, source))


def _table(given: Any, source: str) -> pa.Table:
    if isinstance(given, str | Path):
        return _file(Path(given))
    if isinstance(given, pd.Series):
        given = given.to_frame(given.name if isinstance(given.name, str) else PREDICTION)
    if isinstance(given, pd.DataFrame):
        return _of_pandas(given, source)
    if isinstance(given, pa.RecordBatch | pa.RecordBatchReader):
        return pa.Table.from_batches([given]) if isinstance(given, pa.RecordBatch) else given.read_all()
    if isinstance(given, pa.Table):
        return given
    if hasattr(given, "__arrow_c_stream__"):
        with suppress(pa.ArrowException, TypeError):  # a single column is no table
            return pa.table(given)
    if hasattr(given, "collect"):  # a lazy frame of polars
        return _table(given.collect(), source)
    rule = "must be a DataFrame of pandas or polars, a table of Arrow, or the path of a .parquet or .csv file"
    raise RequestError(f"predictions {rule}, but are {type(given).__name__}; convert them")


def _of_pandas(frame: pd.DataFrame, source: str) -> pa.Table:
    if "id" not in frame.columns and "id" in frame.index.names:
        frame = frame.reset_index()
    elif "id" not in frame.columns:
        if frame.index.names != [None] or isinstance(frame.index, pd.RangeIndex):
            named = "the index only counts rows"
            if frame.index.names != [None]:
                named = f"the index is {', '.join(map(repr, frame.index.names))}"
            raise DataError(f"{source}: has no column 'id' and {named}; set the ids as index, or add the column")
        frame = frame.rename_axis("id").reset_index()
    try:
        return pa.Table.from_pandas(frame, preserve_index=False)
    except (pa.ArrowException, TypeError) as error:
        raise DataError(f"{source}: cannot be read as a table ({str(error).splitlines()[0]}); mend it") from None


def _file(path: Path) -> pa.Table:
    if path.suffix == ".parquet":
        try:
            return _index_named_id(open_parquet(path, "check the path").read())
        except UNREADABLE as error:
            raise DataError(f"{path}: is damaged ({error}); write it again") from error
    if path.suffix != ".csv":
        raise RequestError(f"{path}: must be a .parquet or .csv file of predictions; write them as one of these")
    # An id of digits alone is still a text.
    options = pyarrow.csv.ConvertOptions(column_types={"id": pa.string(), "era": pa.string()}, strings_can_be_null=True)
    try:
        return pyarrow.csv.read_csv(plain_file(path), convert_options=options)
    except FileNotFoundError:
        raise DataError(f"{path}: no such file; check the path") from None
    except UNREADABLE as error:
        raise DataError(f"{path}: cannot be read as CSV ({str(error).splitlines()[0]}); write it again") from error


def _index_named_id(table: pa.Table) -> pa.Table:
    """A file that pandas wrote with ids as an index without a name."""
    unnamed = "__index_level_0__"
    if "id" in table.column_names or unnamed not in table.column_names:
        return table
    return table.rename_columns(["id" if name == unnamed else name for name in table.column_names])


def _prediction_column(table: pa.Table, column: str | None, source: str) -> str:
    names: list[str] = [name for name in table.column_names if name != "id"]
    if column is not None:
        if column not in names:
            raise RequestError(f"{source}: no column {column!r}{nearest(column, names)}")
        return column
    if PREDICTION in names:
        return PREDICTION
    numbers = [
        name
        for name in names
        if name not in OTHERS
        and not name.startswith(("target", "feature"))
        and type_problem(name, str(table.schema.field(name).type), "number") is None
    ]
    if len(numbers) == 1:
        return numbers[0]
    there = f"several columns hold numbers: {', '.join(numbers[:8])}" if numbers else "no column holds numbers"
    raise RequestError(f"{source}: has no column 'prediction', and {there}; name the one that is meant (column)")


def _check(table: pa.Table, name: str, role: Any, source: str) -> None:
    problem = type_problem(name, str(table.schema.field(name).type), role)
    if problem is not None:
        raise DataError(f"{source}: {problem}")


def _eras(table: pa.Table, source: str) -> npt.NDArray[np.int64] | None:
    if "era" not in table.column_names:
        return None
    _check(table, "era", "era", source)
    try:
        return era_numbers(table.column("era"))
    except ValueError as error:
        raise DataError(f"{source}: {error} in column 'era' is no number of a week; mend or drop the column") from None


def _folds(table: pa.Table, source: str) -> npt.NDArray[np.int64] | None:
    if FOLD not in table.column_names:
        return None
    _check(table, FOLD, "number", source)
    values = number_values(table.column(FOLD))
    if not np.all(np.isfinite(values)) or np.any(values != np.floor(values)):
        raise DataError(f"{source}: column {FOLD!r} must hold the whole number of a fold in every row; mend it")
    return values.astype(np.int64)


def _refuse_repeats(ids: pa.Array, eras: npt.NDArray[np.int64] | None, source: str) -> None:
    """An id that stands twice, in its era where eras are told: which of its predictions counts, nobody knows."""
    keys = ids if eras is None else pc.binary_join_element_wise(pa.array(eras).cast(pa.string()), ids, "/")
    if len(pc.unique(keys)) == len(keys):
        return
    counts = pc.value_counts(keys)
    often = counts.filter(pc.greater(counts.field("counts"), 1))
    first = often[0]["values"].as_py()
    first = first if eras is None else first.partition("/")[2]
    rule = f"must name each id once, but {len(often):,} stand several times, the first {first!r}"
    raise DataError(f"{source}: {rule}; keep one prediction of each")
