"""How a round scales: one node of one core against two, measured; 1 to 64 nodes of 16 cores, from the constants.

    python tests/benchmarks/scaling.py [TREES]

Measures, on simulated nodes of this machine: a round of 20 equal-sized fits on one node and on two; what a node's
first worker takes to start; the driver's processor time for a fit; how fast Ray moves an object from node to node.
Fails (exit code 1) where two nodes are less than 1.8 times as fast as one, which needs two idle cores. Then prints the
table of ``cluster/README.md``: two rounds at Numerai's sizes, whose fit times follow from the measured time of a row
and tree (a value is looked at as long here as there: pessimistic by what caches do to a small file).
"""

import sys
import tempfile
import time
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from numerai_ray.config import Config, validate
from numerai_ray.runners.ray.start import RaySettings

# isort: split
import ray
from ray.cluster_utils import Cluster
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from numerai_ray.data.files.build import build
from numerai_ray.data.synthetic.files import write_market
from numerai_ray.data.synthetic.market import MarketSpec
from numerai_ray.runners.ray.runner import TuneRunner
from numerai_ray.system.cluster import ScalingModel
from numerai_ray.training.catalog import Catalog
from numerai_ray.training.spec import VariantPlan
from numerai_ray.training.store.fits import FitStore
from numerai_ray.trees.grower import Settings, TrainingRows
from numerai_ray.trees.growing import grow, warm_up

VARIANTS, FOLDS, COLSAMPLE = 5, 4, 0.1
# Trees of a fit: some seconds of training, as a round has a second or two of its own.
TREES = int(sys.argv[1]) if len(sys.argv) > 1 else 4_000
LEAST_SPEEDUP = 1.8
STORE_BYTES = 400_000_000
MOVED_BYTES = 200_000_000
# Ten gigabits a second, what nodes of clouds have at least; a loopback is faster than any of them.
NETWORK_BYTES_S = 1.25e9
NODES, CORES = (1, 2, 4, 8, 16, 32, 64), 16


@dataclass(frozen=True)
class Size:
    """A round at Numerai's sizes: rows and features of the file, trees of a fit, variants of the round."""

    name: str
    rows: int
    features: int
    trees: int
    variants: int


SIZES = (
    Size("5 variants × 4 folds, downsampled, medium, 2,000 trees", 1_700_000, 780, 2_000, 5),
    Size("64 variants × 4 folds, downsampled, medium, 2,000 trees", 1_700_000, 780, 2_000, 64),
    Size("5 variants × 4 folds, full, all features, 20,000 trees", 6_870_000, 2_748, 20_000, 5),
)


@dataclass(frozen=True)
class Measured:
    """Seconds of a round, of its fits together, of the first worker; the driver's seconds a fit."""

    wall_s: float
    fit_core_s: float
    start_s: float
    control_s: float
    values: int


def main() -> int:
    with tempfile.TemporaryDirectory(prefix="numerai-ray-scaling-") as folder:
        root = Path(folder)
        write_market(MarketSpec(eras=120, rows=400, features=200, seed=1), root / "data" / "tiny")
        build(root / "data" / "tiny")
        one, two = (measure(root, nodes) for nodes in (1, 2))
        link = moved_bytes_s()
    most = ceiling()
    speedup = one.wall_s / two.wall_s
    print(f"{VARIANTS * FOLDS} fits on one node of one core: {one.wall_s:.1f} s, on two: {two.wall_s:.1f} s")
    print(f"speed-up {speedup:.2f} of 2; at least {LEAST_SPEEDUP} wanted")
    print(f"this machine: two processes that only train, beside each other, do {most:.2f} times what one does alone")
    rate = one.fit_core_s / one.values
    print(f"a value of a tree (row x feature looked at): {1e9 * rate:.2f} ns")
    print(f"first worker of a node: {two.start_s:.1f} s; driver: {1e3 * one.control_s:.0f} ms a fit")
    print(f"node to node: {link / 1e9:.2f} GB/s (loopback); the table takes {min(link, NETWORK_BYTES_S) / 1e9:.2f}")
    for size in SIZES:
        print_table(size, model_of(size, rate, two, min(link, NETWORK_BYTES_S)))
    return int(speedup < LEAST_SPEEDUP)


def ceiling() -> float:
    """What two processes of one fit each, without Ray, do together against one alone: two cores share their memory."""
    alone, beside = (min(_seconds_of(count) for _ in range(2)) for count in (1, 2))
    return 2 * alone / beside


def _seconds_of(count: int) -> float:
    """Of the slowest of so many fits at the same time."""
    context = get_context("spawn")
    found, start = context.SimpleQueue(), context.Barrier(count)
    processes = [context.Process(target=_train, args=(found, start)) for _ in range(count)]
    for each in processes:
        each.start()
    seconds = [found.get() for _ in processes]
    for each in processes:
        each.join()
    return float(max(seconds))


def _train(found: Any, start: Any) -> None:
    columns = list(np.random.default_rng(1).integers(0, 5, (200, 48_000)).astype(np.int8))
    rows = TrainingRows(columns, (columns[0] / 4).astype(np.float32), None)
    warm_up()
    start.wait()
    began = time.perf_counter()
    settings = Settings(num_leaves=31, feature_fraction=COLSAMPLE, min_data_in_leaf=20)
    grow(rows, settings, TREES // 2, 1, lambda _done, _total: None)
    found.put(time.perf_counter() - began)


def measure(root: Path, nodes: int) -> Measured:
    """A round on that many nodes of one core, after a small one that starts their workers and prepares the data."""
    head = {"num_cpus": 0, "object_store_memory": STORE_BYTES, "include_dashboard": False}
    cluster = Cluster(initialize_head=True, head_node_args=head)
    for _ in range(nodes):
        cluster.add_node(num_cpus=1, object_store_memory=STORE_BYTES)
    settings = RaySettings(root / f"tune{nodes}", root / "log", address=cluster.address)
    runner = TuneRunner(FitStore(root / f"store{nodes}"), settings)
    catalog = Catalog(root / "data")
    began = time.monotonic()
    runner.run(plans(catalog, f"start{nodes}/r1", 2), lambda _: None)
    started = time.monotonic() - began
    me, timed = psutil.Process(), plans(catalog, f"timed{nodes}/r1", TREES)
    before, began = sum(me.cpu_times()[:2]), time.monotonic()
    outcomes = runner.run(timed, lambda _: None)
    wall, driver = time.monotonic() - began, sum(me.cpu_times()[:2]) - before
    runner.close()
    cluster.shutdown()
    fits = [fit for plan in timed for fit in plan.fits]
    seconds = sum(fold.seconds for outcome in outcomes.values() for fold in outcome.folds)
    values = sum(int(fit.train_rows * TREES * len(fit.features) * COLSAMPLE) for fit in fits)
    return Measured(wall, seconds, started, driver / len(fits), values)


def plans(catalog: Catalog, label: str, trees: int) -> list[VariantPlan]:
    """Five variants whose fits are equally long."""
    made = []
    for number in range(VARIANTS):
        params = {"n_estimators": trees, "num_leaves": 31, "colsample_bytree": COLSAMPLE, "lambda_l2": number / 10}
        values = {
            "data": {"version": "tiny", "file": "full", "feature_set": "all"},
            "cv": {"n_splits": FOLDS + 1, "embargo_eras": 8},
            "model": {"params": params},
            "score": {"target": "target_ender_20"},
        }
        made.append(catalog.plan(f"v{number}", f"{label}/v{number}", validate(Config, values, "scaling")))
    return made


def moved_bytes_s() -> float:
    """How fast an object goes from one node's store to another's, in Ray's chunks."""
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
    nodes = [cluster.add_node(num_cpus=1, object_store_memory=STORE_BYTES) for _ in range(2)]
    ray.init(address=cluster.address, log_to_driver=False)
    first, second = (NodeAffinitySchedulingStrategy(node.node_id, soft=False) for node in nodes)

    @ray.remote(num_cpus=1)
    def make(count: int) -> np.ndarray:
        return np.ones(count, np.uint8)

    @ray.remote(num_cpus=1)
    def take(part: list[ray.ObjectRef]) -> float:
        began = time.monotonic()
        ray.get(part[0])
        return time.monotonic() - began

    warm, whole = (make.options(scheduling_strategy=first).remote(count) for count in (1_000_000, MOVED_BYTES))
    ray.wait([whole], fetch_local=False)
    ray.get(take.options(scheduling_strategy=second).remote([warm]))
    seconds = ray.get(take.options(scheduling_strategy=second).remote([whole]))
    ray.shutdown()
    cluster.shutdown()
    return MOVED_BYTES / float(seconds)


def model_of(size: Size, rate: float, measured: Measured, link: float) -> ScalingModel:
    """Folds of an expanding window train on 1/5 … 4/5 of the rows: the largest on 1.6 times the mean."""
    values = size.rows * size.trees * size.features * COLSAMPLE
    return ScalingModel(
        fits=size.variants * FOLDS,
        fit_core_s=rate * values * 0.5,
        largest_fit_core_s=rate * values * 0.8,
        data_bytes=size.rows * size.features,
        link_bytes_s=link,
        start_s=measured.start_s,
        control_s=measured.control_s,
    )


def print_table(size: Size, model: ScalingModel) -> None:
    """Markdown: nodes, wall time, speed-up, and what the round waits for longest."""
    gb = model.data_bytes / 1e9
    print(f"\n{size.name}: a fit takes {model.fit_core_s / 60:.0f} core-minutes on average, data {gb:.1f} GB\n")
    print(f"| nodes of {CORES} cores | minutes | speed-up | moving data (s) | waits for |\n|---|---|---|---|---|")
    for nodes in NODES:
        spread, limit = model.parts_s(nodes, CORES)["data"], model.limit(nodes, CORES)
        wall, times = model.wall_s(nodes, CORES) / 60, model.speedup(nodes, CORES)
        print(f"| {nodes} | {wall:.1f} | {times:.1f} | {spread:.1f} | {limit} |")


if __name__ == "__main__":
    sys.exit(main())
