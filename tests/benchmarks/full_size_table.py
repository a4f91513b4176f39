"""Memory and time of Numerai v5.2 at full size, all 2,748 features: on paper, from rates measured here.

``python tests/benchmarks/full_size_table.py`` measures on this machine, one thread each, the seconds it takes to read
a value from parquet, to bin one, and to grow the trees of two models a row and used feature; takes the memory from
``resource_plan``, as a round does; and prints docs/data.md's table: what a round of five configurations needs on 64 GB
with 16 cores and on 256 GB with 64. A fit on t threads is taken to be t ** .74 times as fast (1.67 on 2; measured).
"""

import math
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import lightgbm as lgb
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
from numerai_ray.models.few_rows import FEW_ROWS

from numerai_ray.errors import ResourceShortage
from numerai_ray.feature_matrix import FeatureMatrix, values_seen
from numerai_ray.models.lightgbm import LightGBM
from numerai_ray.resource_plan import GB, Machine, Workload, plan_resources

# Train and validation rows of v5.2 with labels, and its features.
ROWS, FEATURES = 2_746_268 + 4_120_000, 2748
FOLDS = (0.2, 0.4, 0.6, 0.8)  # of the rows that four of five expanding folds train on
CONFIGS = 5
THREADS_GAIN = 0.74
MACHINES = {"64 GB, 16 cores": Machine(16, 60 * GB, 30 * GB), "256 GB, 64 cores": Machine(64, 250 * GB, 125 * GB)}


@dataclass(frozen=True)
class Baseline:
    """A model whose time is told: its trees, and what of a tree's work is measured with."""

    name: str
    trees: int
    params: dict[str, float]


BASELINES = (
    Baseline("small (2,000 trees, 31 leaves)", 2_000, {"num_leaves": 31, "max_depth": 5}),
    Baseline("deep (30,000 trees, 1,024 leaves)", 30_000, {"num_leaves": 1024, "max_depth": 10}),
)
SAMPLED_FEATURES = 0.1  # colsample_bytree of both
MEASURED_ROWS, MEASURED_FEATURES, MEASURED_TREES = 200_000, 275, 4


def main() -> int:
    read_s, bin_s, tree_s = measured()
    print(f"one thread here: {1e9 * read_s:.2f} ns to read a value, {1e9 * bin_s:.1f} ns to bin one, and a row and")
    print("used feature of a tree: " + ", ".join(f"{1e9 * s:.2f} ns ({each.name})" for each, s in tree_s))
    print(f"v5.2 full, all features: {ROWS:,} x {FEATURES:,}, {ROWS * FEATURES / GB:.1f} GB of int8\n")
    print("| machine | model | fits at once x threads | object store | a fit | peak | to read and bin | a round |")
    print("|---|---|---|---|---|---|---|---|")
    for name, machine in MACHINES.items():
        for baseline, seconds in tree_s:
            print(line(name, machine, baseline, (read_s, bin_s, seconds)))
    return 0


def line(name: str, machine: Machine, baseline: Baseline, rates: tuple[float, float, float]) -> str:
    work = Workload(ROWS, FEATURES, CONFIGS * len(FOLDS), leaves=int(baseline.params["num_leaves"]))
    try:
        plan = plan_resources(machine, work)
    except ResourceShortage as shortage:
        return f"| {name} | {baseline.name} | {shortage} |"
    read_s, bin_s, tree_s = rates
    prepare_s = ROWS * FEATURES * (read_s + bin_s)  # numpy's, in one thread
    trained_rows = CONFIGS * sum(FOLDS) * ROWS
    core_s = trained_rows * FEATURES * SAMPLED_FEATURES * baseline.trees * tree_s
    round_s = core_s / plan.fits_at_once / plan.threads_per_fit**THREADS_GAIN
    gb = [plan.object_store_bytes / GB, plan.fit_bytes / GB, plan.peak_bytes / GB]
    store, fit, peak = (f"{each:.1f} GB" for each in gb)
    shape = f"{plan.fits_at_once} x {plan.threads_per_fit}"
    cells = (name, baseline.name, shape, store, fit, peak, f"{prepare_s / 60:.0f} min", hours(round_s))
    return "| " + " | ".join(cells) + " |"


def hours(seconds: float) -> str:
    return f"{seconds / 3600:.1f} h" if seconds < 48 * 3600 else f"{seconds / 86400:.1f} days"


def measured() -> tuple[float, float, list[tuple[Baseline, float]]]:
    """Seconds a value to read and to bin, and of each baseline a row and used feature of a tree, on one thread."""
    rng = np.random.default_rng(0)
    columns = rng.integers(0, 5, (MEASURED_FEATURES, MEASURED_ROWS), dtype=np.int8)
    table = pa.Table.from_arrays(list(map(pa.array, columns)), names=[f"f{i}" for i in range(MEASURED_FEATURES)])
    values = table.num_rows * table.num_columns
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "features.parquet"
        pq.write_table(table, path, compression="zstd", compression_level=1)
        read_s = fastest(lambda: pq.ParquetFile(path).read(use_threads=False)) / values
    same = {
        "verbosity": -1,
        "num_threads": 1,
        "deterministic": True,
        "force_col_wise": True,
        "feature_pre_filter": False,
    }
    target = rng.normal(size=MEASURED_ROWS).astype(np.float32)
    few = 2 * FEW_ROWS  # what LightGBM bins itself does not grow with the rows
    bin_s = (binning_s(columns) - binning_s(columns[:, :few])) / (values - MEASURED_FEATURES * few)
    dataset = lgb.Dataset(table, target, params=dict(same)).construct()
    found = []
    for baseline in BASELINES:
        # As many rows a leaf as at full size, so that trees get as deep.
        least = max(1, int(10_000 * MEASURED_ROWS / ROWS))
        params = {**same, **baseline.params, "objective": "regression", "min_data_in_leaf": least}

        def grow(params: dict[str, object] = params) -> None:
            booster = lgb.Booster(params, dataset)
            for _ in range(MEASURED_TREES):
                booster.update()

        found.append((baseline, fastest(grow) / (values * MEASURED_TREES)))
    return read_s, bin_s, found


def binning_s(columns: npt.NDArray[np.int8]) -> float:
    """Seconds to look at the values of features (n_features, n_rows), and to bin them into a file."""
    eras = np.linspace(0, columns.shape[1], 101).astype(np.int64)

    def binned() -> None:
        block = FeatureMatrix(tuple(f"f{i}" for i in range(len(columns))), tuple(columns), values_seen(columns, eras))
        with tempfile.TemporaryDirectory() as folder:
            LightGBM().prepare([block], {}, 1, Path(folder) / "bins", missing_as_null=False)

    return fastest(binned)


def fastest(action: Callable[[], object]) -> float:
    """CPU seconds of the faster of two runs: what neighbours do then hardly counts."""
    best = math.inf
    for _ in range(2):
        started = time.process_time()
        action()
        best = min(best, time.process_time() - started)
    return best


if __name__ == "__main__":
    sys.exit(main())
