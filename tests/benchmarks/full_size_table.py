"""Memory and time of Numerai's data at full size, all features: on paper, from rates measured here.

``python tests/benchmarks/full_size_table.py`` measures on this machine, one thread each, the seconds it takes to read
a value from parquet, to grow the trees of two models a row and used feature, and to predict a row by a tree; takes the
memory from ``resource_plan``, as a round does; and prints docs/data.md's table: what a round of five configurations
takes on 32 GB with 8 cores, 64 GB with 16 and 256 GB with 64, and what limits how many fits run at once.
A fit on t threads is taken to be t ** .7 times as fast (1.6 on 2; ``tree_speed.py``).
"""

import math
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from numerai_ray.data.features import values_seen
from numerai_ray.errors import ResourceShortage
from numerai_ray.system.resources import GB, THREADS_GAIN, FitSize, Machine, ResourcePlan, Workload, plan_resources
from numerai_ray.trees.grower import Grower, Settings, TrainingRows
from numerai_ray.trees.growing import grow, warm_up

FOLDS = (0.2, 0.4, 0.6, 0.8)  # of the rows that four of five expanding folds train on
CONFIGS = 5
HEAD = (
    *("machine", "model", "fits at once x threads", "limited by"),
    *("object store", "a fit", "peak", "to read", "a round"),
)
# Of the memory, what the system leaves; /dev/shm has half of it where nothing else is said.
MACHINES = {
    "32 GB, 8 cores": Machine(8, 29 * GB, 16 * GB),
    "32 GB, 8 cores, /dev/shm of 28 GB": Machine(8, 29 * GB, 28 * GB),
    "64 GB, 16 cores": Machine(16, 60 * GB, 32 * GB),
    "256 GB, 64 cores": Machine(64, 250 * GB, 128 * GB),
}


@dataclass(frozen=True)
class Data:
    """Train and validation rows with labels, and features."""

    name: str
    rows: int
    features: int


DATA = (Data("v5.2", 2_746_268 + 4_120_000, 2748), Data("v5.3", 2_746_268 + 4_120_000, 3555))


@dataclass(frozen=True)
class Baseline:
    """A model whose time is told: its trees, and what of a tree's work is measured with."""

    name: str
    trees: int
    params: dict[str, Any]


BASELINES = (
    Baseline("small (2,000 trees, 31 leaves)", 2_000, {"num_leaves": 31, "max_depth": 5}),
    Baseline("deep (30,000 trees, 1,024 leaves)", 30_000, {"num_leaves": 1024, "max_depth": 10}),
)
SAMPLED_FEATURES = 0.1  # colsample_bytree of both
MEASURED_ROWS, MEASURED_FEATURES, MEASURED_TREES = 200_000, 275, 4


@dataclass(frozen=True)
class Rates:
    """Seconds of one thread: a row and used feature of a tree that is grown, and a row of one that predicts."""

    grow_s: float
    predict_s: float


def main() -> int:
    read_s = reading_s()
    rates = {baseline.name: growing(baseline) for baseline in BASELINES}
    print(f"one thread here: {1e9 * read_s:.2f} ns to read a value")
    for name, rate in rates.items():
        print(f"{name}: {1e9 * rate.grow_s:.2f} ns a row and used feature of a tree, ", end="")
        print(f"{1e9 * rate.predict_s:.1f} ns a row and tree to predict")
    for data in DATA:
        size = data.rows * data.features / GB
        print(f"\n{data.name} full, all features: {data.rows:,} x {data.features:,}, {size:.1f} GB of int8\n")
        print(f"| {' | '.join(HEAD)} |\n|{'---|' * len(HEAD)}")
        for name, machine in MACHINES.items():
            for baseline in BASELINES:
                print(line(name, machine, data, baseline, (read_s, rates[baseline.name])))
    return 0


def line(name: str, machine: Machine, data: Data, baseline: Baseline, rates: tuple[float, Rates]) -> str:
    read_s, rate = rates
    trained = int(max(FOLDS) * data.rows)
    drawn = math.ceil(SAMPLED_FEATURES * data.features)
    size = FitSize(
        "five_values", trained, data.rows - trained, trained, data.features, drawn, baseline.params["num_leaves"]
    )
    work = Workload(data.rows, data.features, CONFIGS * len(FOLDS), size.memory_bytes)
    try:
        plan = plan_resources(machine, work)
    except ResourceShortage as shortage:
        return f"| {name} | {baseline.name} | none | {str(shortage).split(';')[0]} | | | | | |"
    grown_s = sum(FOLDS) * data.rows * drawn * rate.grow_s
    predicted_s = len(FOLDS) / (len(FOLDS) + 1) * data.rows * rate.predict_s
    core_s = CONFIGS * baseline.trees * (grown_s + predicted_s)
    round_s = core_s / plan.fits_at_once / plan.threads_per_fit**THREADS_GAIN
    gb = (plan.object_store_bytes / GB, plan.fit_bytes / GB, plan.peak_bytes / GB)
    store, fit, peak = (f"{each:.1f} GB" for each in gb)
    shape = f"{plan.fits_at_once} x {plan.threads_per_fit}"
    read = f"{data.rows * data.features * read_s / 60:.1f} min"
    cells = (name, baseline.name, shape, limit(machine, work, plan), store, fit, peak, read, hours(round_s))
    return "| " + " | ".join(cells) + " |"


def limit(machine: Machine, work: Workload, plan: ResourcePlan) -> str:
    """What keeps one more fit from running at once."""
    if plan.fits_at_once == machine.cores:
        return "cores"
    return "fits" if plan.fits_at_once == work.fits else "memory"


def hours(seconds: float) -> str:
    return f"{seconds / 3600:.1f} h" if seconds < 48 * 3600 else f"{seconds / 86400:.1f} days"


def random_columns() -> npt.NDArray[np.int8]:
    return np.random.default_rng(0).integers(0, 5, (MEASURED_FEATURES, MEASURED_ROWS), dtype=np.int8)


def reading_s() -> float:
    """Seconds to read a value from parquet, and to see which values there are."""
    columns = random_columns()
    eras = np.linspace(0, MEASURED_ROWS, 101).astype(np.int64)
    table = pa.Table.from_arrays(list(map(pa.array, columns)), names=[f"f{i}" for i in range(MEASURED_FEATURES)])
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "features.parquet"
        pq.write_table(table, path, compression="zstd", compression_level=1)

        def read() -> None:
            found = pq.ParquetFile(path).read(use_threads=False)
            values_seen(np.stack([column.to_numpy() for column in found.columns]), eras)

        return fastest(read) / columns.size


def growing(baseline: Baseline) -> Rates:
    """As many rows a leaf at least as at full size, so that trees get as deep; on one thread."""
    columns = list(random_columns())
    target = np.random.default_rng(1).normal(size=MEASURED_ROWS).astype(np.float32)
    least = max(20, int(10_000 * MEASURED_ROWS / DATA[0].rows))
    settings, training = Settings(**baseline.params, min_data_in_leaf=least), TrainingRows(columns, target)
    warm_up()
    grower = Grower(training, settings)

    def grow_some() -> None:
        for _ in range(MEASURED_TREES):
            grower.grow()

    grow_s = fastest(grow_some) / (len(columns) * MEASURED_ROWS * MEASURED_TREES)
    grower.close()
    forest = grow(training, settings, MEASURED_TREES)
    predict_s = fastest(lambda: forest.predict(columns, [(0, MEASURED_ROWS)])) / (MEASURED_ROWS * MEASURED_TREES)
    return Rates(grow_s, predict_s)


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
