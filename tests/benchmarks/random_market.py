"""Numerai's files with random numbers in them, written quickly and in little memory: for measuring seconds and bytes.

    write(folder, eras, rows, features)

gives ``train``, ``validation`` and their benchmark files (half of the eras each, a row group every 10 eras) and
features.json with one feature set, ``all``. A market that means something is made by ``numerai-ray data synth``.
"""

import argparse
import json
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from numerai_ray.data.synthetic.layout import indexed_schema

GROUP_ERAS = 10
TARGETS = ("target", "target_ender_20", "target_ender_60")
BENCHMARK = "v52_lgbm_ender20"


def write(folder: Path, eras: int, rows: int, features: int) -> None:
    """``eras`` of ``rows`` rows each; the last two are of data_type test. Does nothing where it was done before."""
    if (folder / "features.json").exists():
        return
    folder.mkdir(parents=True, exist_ok=True)
    names = [f"feature_{i:04d}" for i in range(features)]
    half = eras // 2
    for part, first, stop in (("train", 1, half + 1), ("validation", half + 1, eras + 1)):
        _write_part(folder / part, range(first, stop), rows, names, eras - 2)
    (folder / "features.json").write_text(json.dumps({"feature_sets": {"all": names}, "targets": list(TARGETS)}))


def compared(doc: str | None, compare: Callable[[Path, int, int, int], int], size: tuple[int, int, int]) -> int:
    """The exit code of ``compare`` in a folder that is deleted afterwards, at this size or the one asked for."""
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, value in zip(("--eras", "--rows", "--features"), size, strict=True):
        parser.add_argument(name, type=int, default=value)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="benchmark-") as work:
        return compare(Path(work), options.eras, options.rows, options.features)


def _write_part(stem: Path, eras: range, rows: int, names: list[str], last_labelled: int) -> None:
    rng = np.random.default_rng(eras.start)
    columns: dict[str, pa.DataType] = {"era": pa.string(), "data_type": pa.string()}
    columns |= dict.fromkeys(names, pa.int8()) | dict.fromkeys(TARGETS, pa.float32())
    schema = indexed_schema(columns)
    bench_schema = indexed_schema({"era": pa.string(), BENCHMARK: pa.float64()})
    with (
        pq.ParquetWriter(stem.with_suffix(".parquet"), schema) as main,
        pq.ParquetWriter(stem.with_name(f"{stem.name}_benchmark_models.parquet"), bench_schema) as bench,
    ):
        for start in range(eras.start, eras.stop, GROUP_ERAS):
            group = np.repeat(np.arange(start, min(start + GROUP_ERAS, eras.stop)), rows)
            count = len(group)
            labels = pa.array([f"{era:04d}" for era in group.tolist()])
            types = ["test" if era > last_labelled else stem.name for era in group]
            ids = pa.array([f"n{era:07x}{row % rows:08x}" for row, era in enumerate(group.tolist())])
            features = [pa.array(rng.integers(0, 5, count, dtype=np.int8)) for _ in names]
            bins = (rng.binomial(4, 0.5, (len(TARGETS), count)) / 4).astype(np.float32)
            main.write_table(
                pa.table([labels, pa.array(types), *features, *map(pa.array, bins), ids], schema=schema),
                row_group_size=count,
            )
            bench.write_table(pa.table([labels, pa.array(rng.random(count)), ids], schema=bench_schema))
