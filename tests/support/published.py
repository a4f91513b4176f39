"""A data version as it was some weeks ago: later eras cut off, and the labels of its last weeks not known yet."""

import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from numerai_ray.data.files.build import BuildSpec, build

# A label of 20 (60) days is known five (thirteen) weeks after its era.
RESOLVED_AFTER = {"_20": 5, "_60": 13}


def as_of(market: Path, out: Path, last_era: int, *, hide_labels: bool = True) -> None:
    """Write ``market`` (a version's folder) to ``out`` as it was when ``last_era`` was the newest; built.

    With ``hide_labels`` the targets of the last weeks are unknown, as they are in Numerai's files.
    """
    out.mkdir(parents=True, exist_ok=True)
    for path in sorted(market.iterdir()):
        name = path.name
        if name.startswith((".", "full", "downsampled")):
            continue
        if name.removesuffix(".parquet") not in (
            "train",
            "validation",
            "train_benchmark_models",
            "validation_benchmark_models",
        ):
            shutil.copyfile(path, out / name)
            continue
        table = pq.read_table(path)
        eras = pc.cast(table["era"], pa.int64()).to_numpy()
        keep = eras <= last_era
        table, eras = table.filter(pa.array(keep)), eras[keep]
        for column in table.column_names if hide_labels else ():
            weeks = next((each for end, each in RESOLVED_AFTER.items() if column.endswith(end)), None)
            if column.startswith("target") and (weeks or column == "target"):
                values = table[column].to_numpy().astype(np.float32)
                values[eras > last_era - (weeks or 5)] = np.nan
                place = table.column_names.index(column)
                field = table.schema.field(column)
                table = table.set_column(place, field, pa.array(values, field.type, from_pandas=True))
        pq.write_table(table, out / name, row_group_size=10_000)
    for built in out.glob("*full*.parquet"):
        built.unlink()
    build(out, BuildSpec())
