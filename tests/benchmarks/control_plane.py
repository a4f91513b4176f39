"""What everything but training costs: 2,048 fits of one tree over four simulated nodes, in rounds of 64 variants.

    python tests/benchmarks/control_plane.py

Fits are next to nothing (one tree of two leaves on 1,800 rows), so the wall time of a round is scheduling, storing,
scoring, showing and recording. Fails (exit code 1) under 50 fits a second, where the driver's memory grows by more
than a quarter after its second round, or where ledger, results or predictions are not whole. One more round tells
where the time goes: a profile would slow down those that are timed.
"""

import cProfile
import json
import pstats
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import psutil
import pyarrow.parquet as pq
import yaml
from ray.cluster_utils import Cluster

from numerai_ray.cli.main import run
from numerai_ray.data.files.build import build
from numerai_ray.data.synthetic.files import write_market
from numerai_ray.data.synthetic.market import MarketSpec
from numerai_ray.experiment.ledger import read_ledger
from numerai_ray.experiment.paths import ExperimentPaths

VARIANTS, FOLDS, ROUNDS, NODES = 64, 4, 8, 4
LEAST_FITS_A_SECOND = 50
MOST_GROWTH = 1.25
STORE_BYTES = 120_000_000


def main() -> int:
    with tempfile.TemporaryDirectory(prefix="numerai-ray-control-") as folder:
        root = Path(folder)
        write_market(MarketSpec(eras=60, rows=50, features=10, seed=1), root / "data" / "tiny")
        build(root / "data" / "tiny")
        paths = write_experiment(root)
        head = {"num_cpus": 1, "object_store_memory": STORE_BYTES, "include_dashboard": False}
        cluster = Cluster(initialize_head=True, head_node_args=head)
        for _ in range(NODES - 1):
            cluster.add_node(num_cpus=1, object_store_memory=STORE_BYTES)
        memory = Memory(paths)
        memory.start()
        profile = cProfile.Profile()
        command = ["run", str(paths.root), "--data-dir", str(root / "data"), "--address", cluster.address]
        code = run([*command, "--rounds", str(ROUNDS)])
        memory.stop()
        failed = code or judge(paths, memory)
        profile.runcall(run, [*command, "--rounds", "1"])
        cluster.shutdown()
        where_the_time_goes(profile)
        return failed


def write_experiment(root: Path) -> ExperimentPaths:
    """Nine dimensions of 63 values each: one tree whose learning rate, say, has no effect on the order of stocks."""
    names = ["learning_rate", "lambda_l2", "lambda_l1", "min_gain_to_split", "cat_smooth", "cat_l2", "path_smooth",
             "max_delta_step", "feature_fraction"]  # fmt: skip
    dimensions = {
        name: {"path": f"model.params.{name}", "values": [round(0.001 * step, 6) for step in range(2, VARIANTS + 1)]}
        for name in names
    }
    plan = {
        "idea": "What is there to wait for when nothing is trained?",
        "novelty": "Sixty-four variants a round, each a tree of two leaves.",
        "baseline": "nothing",
        "data_version": "tiny",
        "search_space": {"dimensions": dimensions},
        "rounds": {"variants": VARIANTS - 1, "patience": ROUNDS + 2, "margin": 1},
        "stages": {"scout": {"data": "full", "feature_set": "medium"}},
        "budget": {"rounds": ROUNDS + 1},
    }
    params = {"n_estimators": 1, "num_leaves": 2, "min_data_in_leaf": 5, "learning_rate": 0.001}
    cv = {"n_splits": FOLDS + 1, "embargo_eras": 5}
    paths = ExperimentPaths(root / "experiments" / "control")
    for path, value in (
        (paths.plan, plan),
        (root / "experiments" / "baselines" / "nothing.yaml", {"cv": cv, "model": {"params": params}}),
    ):
        path.parent.mkdir(parents=True)
        path.write_text(yaml.safe_dump(value))
    return paths


class Memory(threading.Thread):
    """The driver's resident memory when each round has been decided."""

    def __init__(self, paths: ExperimentPaths):
        super().__init__(daemon=True)
        self.paths, self.by_round = paths, [0]
        self._done = threading.Event()

    def run(self) -> None:
        me = psutil.Process()
        while not self._done.wait(0.2):
            rounds = self.paths.ledger.read_bytes().count(b"\n") if self.paths.ledger.exists() else 0
            while len(self.by_round) <= rounds:
                self.by_round.append(me.memory_info().rss)

    def stop(self) -> None:
        time.sleep(0.5)
        self._done.set()
        self.join()


def judge(paths: ExperimentPaths, memory: Memory) -> int:
    history = read_ledger(paths.ledger)
    fits = [sum(variant.fits_new for variant in record.variants) for record in history]
    rates = [count / record.wall_s for count, record in zip(fits, history, strict=True)]
    overall = sum(fits) / sum(record.wall_s for record in history)
    growth = memory.by_round[-1] / memory.by_round[min(2, len(memory.by_round) - 1)]
    print(f"{sum(fits)} fits in {len(history)} rounds on {NODES} nodes of one core (simulated on this machine)")
    print(f"fits a second: {overall:.1f} overall, by round {', '.join(f'{rate:.1f}' for rate in rates)}")
    print(f"driver memory (MB) by round: {', '.join(str(each // 2**20) for each in memory.by_round[1:])}")
    print(f"core-hours recorded: {sum(record.cost['core_hours'] for record in history):.4f}")
    whole = intact(paths, len(history))
    print(
        f"ledger, {len(history) * (VARIANTS - 1)} results and predictions, report: {'whole' if whole else 'NOT WHOLE'}"
    )
    late = overall < LEAST_FITS_A_SECOND
    print(f"limit: at least {LEAST_FITS_A_SECOND} fits a second, memory growth {growth:.2f} of at most {MOST_GROWTH}")
    return int(late or growth > MOST_GROWTH or not whole or sum(fits) < 2000)


def intact(paths: ExperimentPaths, rounds: int) -> bool:
    found = [json.loads(path.read_text()) for path in (paths.root / "results").glob("r*.json")]
    tables = [pq.read_metadata(path).num_rows for path in (paths.root / "predictions").glob("r*.parquet")]
    enough = len(found) == len(tables) >= rounds * (VARIANTS - 1)
    return enough and len(set(tables)) == 1 and paths.report.exists() and "## " in paths.report.read_text()


def where_the_time_goes(profile: cProfile.Profile) -> None:
    """The driver's wall time by our own functions, largest first: cumulative, so the inner are in the outer."""
    stats: Any = pstats.Stats(profile)
    rows = sorted(
        ((cumulative, calls, f"{Path(file).name}:{name}")
         for (file, _, name), (_, calls, _, cumulative, _) in stats.stats.items() if "numerai_ray" in file),
        reverse=True,
    )  # fmt: skip
    print("where the driver's wall time goes in one more round (s, calls, function):")
    for cumulative, calls, name in rows[:22]:
        print(f"  {cumulative:7.2f} {calls:7d}  {name}")


if __name__ == "__main__":
    sys.exit(main())
