"""Mutated parquet files: refused with a message, or read to the values that a slow reader finds."""

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from fuzz import Case, FindingError
from fuzz_values import broken

from numerai_ray.config import Config, DataConfig
from numerai_ray.data.dataset import feature_names, load_columns, load_features, open_index
from numerai_ray.data.files.build import build
from numerai_ray.data.files.info import dataset_info
from numerai_ray.data.needs import check_columns
from numerai_ray.errors import NumeraiRayError

TARGETS, BENCHMARK = ("target_ender_20", "target_ender_60"), "v52_lgbm_ender20"
DATA = DataConfig(version="v5.2", file="full", feature_set="all", target=dict.fromkeys(TARGETS, 1.0))
TYPES = (
    pa.string(),
    pa.large_string(),
    pa.string_view(),
    pa.binary(),
    pa.int8(),
    pa.int16(),
    pa.int32(),
    pa.int64(),
    pa.uint8(),
    pa.uint64(),
    pa.float16(),
    pa.float32(),
    pa.float64(),
    pa.bool_(),
    pa.date32(),
    pa.timestamp("us"),
    pa.decimal128(12, 4),
    pa.null(),
)
NUMBERS = (np.nan, np.inf, -np.inf, 1e30, -1e300, 1e7, 0.0, -1.0, 0.5, 2.0)
ERAS = ("{}", "{:02d}", "{:04d}", "era{}", "era{:04d}", " {}", "{}.0")


def attempt(case: Case) -> bool:
    """Damage one or two files; look, build and read as a run does."""
    draw, version = case.random, case.desk.version
    names = ["full", "full_benchmark_models", "train", "validation", "train_benchmark_models"]
    damaged = draw.sample(names[:2], draw.choice((1, 1, 2))) if draw.random() < 0.7 else draw.sample(names[2:], 1)
    for name in damaged:
        _damage(version / f"{name}.parquet", draw)
    info = dataset_info(version, deep=draw.random() < 0.3)
    if any(not problem.message for problem in info.problems):
        raise FindingError("info names a problem without a word")
    if not {"full", "full_benchmark_models"} & {*damaged}:
        for name in ("full", "full_benchmark_models"):
            (version / f"{name}.parquet").unlink()
        build(version)
    try:
        found = _read(case.desk.data)
    except NumeraiRayError:
        if not info.problems and not _has_no_use(version):
            raise FindingError("is refused, but info finds nothing wrong with it") from None
        raise
    _compare(found, version)
    return True


def _has_no_use(version: Path) -> bool:
    """Whether the files are whole, but hold no rows, or have nothing in common."""
    data, bench = (pq.read_table(version / f"{name}.parquet") for name in ("full", "full_benchmark_models"))
    ids = [set(map(str, table["id"].to_pylist())) for table in (data, bench) if "id" in table.column_names]
    return not len(data) or not len(bench) or len(ids) < 2 or not ids[0] & ids[1] or _lacks(data, bench)


def _lacks(data: pa.Table, bench: pa.Table) -> bool:
    # Nobody told info which targets and benchmarks a config will ask for.
    return BENCHMARK not in bench.column_names or not {*TARGETS} <= {*data.column_names}


def _read(root: Path) -> dict[str, Any]:
    index = open_index(root, DATA)
    names = feature_names(root, "v5.2", "all")
    check_columns(index, Config(data=DATA), names)
    columns = load_columns(index, DATA, TARGETS, [BENCHMARK])
    features = load_features(index, names)
    rows = zip(
        np.repeat(index.eras, np.diff(index.era_starts)).tolist(),
        [each.decode() for each in columns.ids],
        *(columns.targets[name].tolist() for name in TARGETS),
        columns.benchmarks[BENCHMARK].tolist(),
        *(column.tolist() for column in features.columns),
        strict=True,
    )
    return {f"{era}/{name}": values for era, name, *values in rows}


def _compare(found: dict[str, Any], version: Path) -> None:
    """Row by row with Python's own numbers and mappings."""
    features = feature_names(version.parent, "v5.2", "all")
    # Nothing else: a column that nobody asks for may be damaged.
    data = pq.read_table(version / "full.parquet", columns=["era", "id", *TARGETS, *features])
    bench = pq.read_table(version / "full_benchmark_models.parquet", columns=["id", BENCHMARK])
    lists = [data[name].to_pylist() for name in ("era", "id", *TARGETS, *features)]
    ids = list(map(_text, bench["id"].to_pylist()))
    by_id = dict(zip(ids, bench[BENCHMARK].to_pylist(), strict=True))
    if len(by_id) < len(ids):  # ids that come again are told apart by their eras
        labels = pq.read_table(version / "full_benchmark_models.parquet", columns=["era"])["era"]
        eras = [_era(each) for each in labels.to_pylist()]
        keys = (f"{era}/{each}" for era, each in zip(eras, ids, strict=True))
        by_id = dict(zip(keys, bench[BENCHMARK].to_pylist(), strict=True))
    expected = {}
    for era, name, *values in zip(*lists, strict=True):
        key = f"{_era(era)}/{_text(name)}"
        benchmark = by_id.get(key, by_id.get(_text(name)))
        expected[key] = [*map(_float32, values[:2]), np.nan if benchmark is None else float(benchmark), *values[2:]]
    if found.keys() != expected.keys():
        raise FindingError(f"rows differ: {sorted(found.keys() ^ expected.keys())[:4]}")
    for key, values in expected.items():
        if not np.array_equal(np.array(found[key], float), np.array(values, float), equal_nan=True):
            raise FindingError(f"row {key} is {found[key]}, but the file holds {values}")


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


def _era(value: Any) -> int:
    text = _text(value).strip().lower().removeprefix("era")
    return int(float(text))


def _float32(value: Any) -> float:
    return float("nan") if value is None else float(np.float32(value))


def _damage(path: Path, draw: random.Random) -> None:
    table = pq.read_table(path).replace_schema_metadata(None)
    for _ in range(draw.choice((1, 1, 1, 2, 3))):
        change: Callable[[pa.Table, random.Random], pa.Table] = draw.choice((_cast, _cast, _cast, *CHANGES))
        try:
            table = change(table, draw)
        except (pa.ArrowException, OverflowError, TypeError, ValueError, KeyError, IndexError):
            continue  # no such column, or no such values of such a type
    path.unlink()
    size = draw.choice((None, None, 97, 1000))
    try:
        pq.write_table(table, path, row_group_size=size, compression=draw.choice(("snappy", "zstd", "none")))
    except (pa.ArrowException, OSError):
        path.write_bytes(b"PAR1")
    if draw.random() < 0.15:
        path.write_bytes(broken(path.read_bytes(), draw))


def _column(table: pa.Table, draw: random.Random) -> str:
    """Keys and what is scored more often than features."""
    named = [name for name in ("id", "era", "data_type", *TARGETS, BENCHMARK) if name in table.column_names]
    return draw.choice(named if named and draw.random() < 0.8 else table.column_names)


def _cast(table: pa.Table, draw: random.Random) -> pa.Table:
    name, kind = _column(table, draw), draw.choice(TYPES)
    column = table[name].combine_chunks()
    if name == "era" and draw.random() < 0.6:
        pattern = draw.choice(ERAS)
        column = pa.array([pattern.format(int(each)) for each in column.to_pylist()])
        kind = draw.choice((pa.string(), pa.string_view(), pa.large_string()))
    if name == "id" and draw.random() < 0.2:
        column = pa.array(range(len(column)))
    changed = column.cast(kind)
    if draw.random() < 0.3:
        changed = changed.dictionary_encode()
    return table.set_column(table.column_names.index(name), name, changed)


def _strange_number(table: pa.Table, draw: random.Random) -> pa.Table:
    names = [each for each in (*TARGETS, BENCHMARK) if each in table.column_names]
    name = draw.choice(names)
    values = table[name].to_numpy().astype(np.float64)
    for _ in range(draw.choice((1, 3, 50))):
        values[draw.randrange(len(values))] = draw.choice(NUMBERS)
    return table.set_column(table.column_names.index(name), name, pa.array(values))


def _nulls(table: pa.Table, draw: random.Random) -> pa.Table:
    name = _column(table, draw)
    rows = {draw.randrange(len(table)) for _ in range(draw.choice((1, 5, 10_000)))}
    mask = pa.array([row in rows for row in range(len(table))])
    column = table[name].combine_chunks()
    nothing = pa.nulls(len(table), column.type)
    return table.set_column(table.column_names.index(name), name, pc.if_else(mask, nothing, column))


def _feature_values(table: pa.Table, draw: random.Random) -> pa.Table:
    name = draw.choice([each for each in table.column_names if each.startswith("feature")])
    values = table[name].to_numpy().astype(np.int64)
    values[draw.randrange(len(values))] = draw.choice((-1, 5, 127, 256 + 2, 2**40))
    return table.set_column(table.column_names.index(name), name, pa.array(values))


def _era_value(table: pa.Table, draw: random.Random) -> pa.Table:
    eras = [str(each) for each in table["era"].to_pylist()]
    eras[draw.randrange(len(eras))] = draw.choice(("X", "", "-1", "99999", "100000", "1e3", "7.5", "era", "0", "２"))
    return table.set_column(table.column_names.index("era"), "era", pa.array(eras))


def _twice(table: pa.Table, draw: random.Random) -> pa.Table:
    return table.append_column(_column(table, draw), table[draw.choice(table.column_names)])


def _repeated(table: pa.Table, draw: random.Random) -> pa.Table:
    """An id that stands twice, or ids that every era has."""
    ids = [str(each) for each in table["id"].to_pylist()]
    if draw.random() < 0.5:
        ids[draw.randrange(len(ids))] = ids[draw.randrange(len(ids))]
    else:
        counts: dict[Any, int] = {}
        for row, era in enumerate(table["era"].to_pylist()):
            counts[era] = counts.get(era, 0) + 1
            ids[row] = f"stock{counts[era]}"
    return table.set_column(table.column_names.index("id"), "id", pa.array(ids))


def _shuffled(table: pa.Table, draw: random.Random) -> pa.Table:
    order = list(range(len(table)))
    draw.shuffle(order)
    return table.take(pa.array(order))


CHANGES: tuple[Callable[[pa.Table, random.Random], pa.Table], ...] = (
    _strange_number,
    _nulls,
    _feature_values,
    _era_value,
    _twice,
    _repeated,
    _shuffled,
    lambda table, draw: table.drop_columns([_column(table, draw)]),
    lambda table, draw: table.slice(draw.randrange(len(table)), draw.choice((0, 1, 100, len(table)))),
    lambda table, draw: table.rename_columns(
        [f"{each}{draw.choice((' ', 's', ''))}" if draw.random() < 0.02 else each for each in table.column_names]
    ),
    lambda table, draw: pa.concat_tables([table, table.slice(0, draw.choice((0, 1, 50)))]),
)
