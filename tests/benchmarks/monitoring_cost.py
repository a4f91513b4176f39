"""What monitoring costs a round on Ray: the seconds spent in it, in the driver and in every fit, of the round's wall.

Runs one round of five configurations (160 eras x 400 rows x 60 features, 200 trees) with everything on: gauges,
counters, pulses of every fit, a look at the running fits every two seconds. The driver's part is counted as it is
spent. A fit's part is what its pulses take: a call a tree, and a word to Ray a second, both timed here.
Exits 1 when it is more than 1 % of the round.

    python tests/benchmarks/monitoring_cost.py
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import yaml

from numerai_ray.data.files.build import build
from numerai_ray.data.synthetic.files import write_market
from numerai_ray.data.synthetic.market import MarketSpec
from numerai_ray.models.reports import beat, listening
from numerai_ray.runners.ray.monitoring import Monitor, Pulse

LIMIT = 0.01
TREES, CONFIGS, FOLDS = 200, 5, 4
PLAN = {
    "idea": "Measure what monitoring costs a round.",
    "novelty": "Nobody has measured it on this machine.",
    "baseline": "tiny",
    "search_space": {
        "dimensions": {"num_leaves": {"path": "model.params.num_leaves", "values": [7, 15, 63, 4]}},
    },
    "rounds": {"variants": 4},
    "stages": {"scout": {"data": "full"}},
}
BASELINE = {
    "data": {"version": "tiny", "feature_set": "all"},
    "cv": {"n_splits": FOLDS + 1, "embargo_eras": 8},
    "model": {"params": {"n_estimators": TREES, "num_leaves": 31, "learning_rate": 0.05}},
}
# Runs the command line, and says at the end how long monitoring took in the driver.
DRIVER = """
import sys
import time
from numerai_ray.runners.ray import monitoring
spent = []
made = monitoring.Quiet.__init__
def count(self):
    made(self)
    spent.append(self)
monitoring.Quiet.__init__ = count
from numerai_ray.cli.main import run
code = run(sys.argv[1:])
print("SPENT", sum(each.seconds for each in spent))
sys.exit(code)
"""


def main() -> int:
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        write_market(MarketSpec(eras=160, rows=400, features=60, seed=1), root / "data" / "tiny")
        build(root / "data" / "tiny")
        (root / "experiments" / "baselines").mkdir(parents=True)
        (root / "experiments" / "baselines" / "tiny.yaml").write_text(yaml.safe_dump(BASELINE))
        experiment = root / "experiments" / "cost"
        experiment.mkdir()
        (experiment / "experiment.yaml").write_text(yaml.safe_dump(PLAN))
        arguments = ["run", str(experiment), "--data-dir", str(root / "data"), "--rounds", "1"]
        done = subprocess.run(
            [sys.executable, "-c", DRIVER, *arguments],
            stdout=subprocess.PIPE,
            text=True,
            check=True,
            env={**os.environ},
        )
        (line,) = (experiment / "results" / "rounds.jsonl").read_text().splitlines()
        wall, fit_seconds = json.loads(line)["wall_s"], sum(v["fit_seconds"] for v in json.loads(line)["variants"])
    driver = float(next(each for each in done.stdout.splitlines() if each.startswith("SPENT")).split()[1])
    a_tree, a_word = pulse_costs()
    fits = CONFIGS * FOLDS
    in_fits = fits * (TREES * a_tree + 2 * a_word) + fit_seconds * a_word
    print(f"round of {fits} fits: {wall:.1f} s, of which {fit_seconds:.1f} s in fits, side by side")
    print(f"driver's monitoring: {driver * 1e3:.1f} ms ({driver / wall:.3%} of the round)")
    print(f"a tree {a_tree * 1e6:.2f} us, a word {a_word * 1e3:.2f} ms; all fits together {in_fits * 1e3:.1f} ms")
    share = (driver + in_fits) / wall
    print(f"monitoring: {share:.3%} of the round (limit {LIMIT:.0%})")
    return 0 if share <= LIMIT else 1


def pulse_costs() -> tuple[float, float]:
    """Seconds of a call a tree, and of a word to Ray's store (a gauge of the driver costs less)."""
    import ray  # noqa: PLC0415

    ray.init(num_cpus=1, include_dashboard=False, log_to_driver=False, logging_level="error")
    pulse = Pulse("cost/r1/a/fold1")
    count = 100_000
    with pulse.beating(), listening(pulse):
        began = time.perf_counter()
        for done in range(count):
            beat(done, count)
        a_tree = (time.perf_counter() - began) / count
        began = time.perf_counter()
        for done in range(200):
            pulse._tell(done, count)
        a_word = (time.perf_counter() - began) / 200
    Monitor("cost").show("round", 1)
    ray.shutdown()
    return a_tree, a_word


if __name__ == "__main__":
    sys.exit(main())
