"""``data build`` against the plain pandas way on the same files: time, peak memory, and memory when rows double.

``python tests/benchmarks/build_speed.py`` makes 300 eras x 10,000 rows x 512 features (1.5 GB of int8; deleted
afterwards), builds the full and downsampled files with features and benchmarks in both ways, checks that they hold the
same, builds the same market with twice the rows, prints ratios and limits and exits 1 when one is missed.
"""

import shutil
import sys
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import random_market
from memory_use import MB, Watched, watched

SPEED_LIMIT = 1.3
MEMORY_LIMIT = 1 / 5
FLAT_LIMIT = 1.15
PLAIN = Path(__file__).with_name("plain_build.py")
CLI = [sys.executable, "-c", "from numerai_ray.cli import main; main()"]
FILES = ("full", "downsampled_full", "full_benchmark_models", "downsampled_full_benchmark_models")


def ours(root: Path, log: Path) -> Watched:
    return watched([*CLI, "data", "build", "--data-dir", str(root), "--version", "v5.2"], log)


def same(one: Path, other: Path) -> bool:
    """Whether two files hold the same rows, read a few columns at a time."""
    files = [pq.ParquetFile(path) for path in (one, other)]
    names = files[0].schema_arrow.names
    if set(names) != set(files[1].schema_arrow.names) or files[0].metadata.num_rows != files[1].metadata.num_rows:
        return False
    for start in range(0, len(names), 64):
        tables = [file.read(names[start : start + 64]) for file in files]
        for name in names[start : start + 64]:
            a, b = (table[name].to_numpy() for table in tables)
            if not (np.array_equal(a, b) if a.dtype == object else np.array_equal(a, b, equal_nan=True)):
                return False
    return True


def compare(work: Path, eras: int, rows: int, features: int) -> int:
    log = work / "log"
    size = eras * rows * features
    random_market.write(work / "once" / "v5.2", eras, rows, features)
    plain_out = work / "plain"
    plain_out.mkdir()
    plain = watched([sys.executable, str(PLAIN), str(work / "once" / "v5.2"), str(plain_out)], log)
    once = ours(work / "once", log)
    equal = all(same(work / "once" / "v5.2" / f"{name}.parquet", plain_out / f"{name}.parquet") for name in FILES)
    for folder in (plain_out, work / "once"):
        shutil.rmtree(folder)
    random_market.write(work / "twice" / "v5.2", 2 * eras, rows, features)
    twice = ours(work / "twice", log)

    speed, memory = plain.wall_s / once.wall_s, once.peak_bytes / plain.peak_bytes
    flat = twice.peak_bytes / once.peak_bytes
    print(f"{eras} eras x {rows:,} rows x {features} features: {size / 1e9:.2f} GB of int8")
    print(f"plain pandas  {plain.wall_s:6.1f} s   peak {plain.peak_bytes / MB:7.0f} MB")
    print(f"data build    {once.wall_s:6.1f} s   peak {once.peak_bytes / MB:7.0f} MB")
    print(f"twice the rows {twice.wall_s:5.1f} s   peak {twice.peak_bytes / MB:7.0f} MB")
    print(f"speed-up {speed:.2f} x (limit {SPEED_LIMIT} x), memory 1/{1 / memory:.1f} (limit 1/{1 / MEMORY_LIMIT:.0f})")
    print(f"peak when rows double {flat:.2f} x (limit {FLAT_LIMIT} x); the same contents: {equal}")
    good = speed >= SPEED_LIMIT and memory <= MEMORY_LIMIT and 1 / FLAT_LIMIT <= flat <= FLAT_LIMIT and equal
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(random_market.compared(__doc__, compare, (300, 10_000, 512)))
