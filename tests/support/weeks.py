"""Numerai's files as they stood in a week: later rows cut off, labels that were not resolved yet taken out again."""

import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

UNLABELLED = 4  # weeks whose 20-day labels are still to come
UNRESOLVED_60 = 8  # weeks before them without 60-day labels
CUT = ("validation.parquet", "validation_benchmark_models.parquet", "meta_model.parquet")


def as_of(market: Path, out: Path, last: int) -> None:
    """Write into ``out`` what was published of ``market`` when ``last`` was the last labelled era."""
    out.mkdir(parents=True, exist_ok=True)
    for path in (each for each in market.iterdir() if not each.name.startswith(".") and "full" not in each.name):
        if path.name not in CUT:
            if not (out / path.name).exists():
                shutil.copy(path, out)
            continue
        table = pq.read_table(path)
        eras = pc.cast(table["era"], pa.int64())
        table = table.filter(pc.less_equal(eras, last + UNLABELLED))
        if path.name == "validation.parquet":
            table = _unresolved(table, last)
        pq.write_table(table, out / path.name, row_group_size=2000)


def _unresolved(table: pa.Table, last: int) -> pa.Table:
    eras = np.array([int(era) for era in table["era"].to_pylist()])
    types = ["test" if era > last else "validation" for era in eras.tolist()]
    table = table.set_column(table.schema.get_field_index("data_type"), "data_type", pa.array(types))
    for name in (each for each in table.column_names if each.startswith("target")):
        known = last - UNRESOLVED_60 if name.endswith("_60") else last
        values = np.where(eras > known, np.float32(np.nan), table[name].to_numpy())
        table = table.set_column(table.schema.get_field_index(name), table.schema.field(name), pa.array(values))
    return table
