"""A driver's memory over hundreds of rounds: variants that train nothing, decided one after the other in this process.

    python tests/benchmarks/driver_memory.py
    python tests/benchmarks/driver_memory.py --rounds 40

The base is one tree of two leaves on 1,500 rows; the variants of every round are other proportions of its
neutralization, so a round is planned, put together, scored, judged and recorded, and fits nothing. Exits 1 where the
resident memory at the end is more than 50 MB above what it was after a tenth of the rounds.
"""

import argparse
import sys
import tempfile
from pathlib import Path

import yaml
from control_plane import Memory
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from numerai_ray.cli.main import run
from numerai_ray.data.files.build import build
from numerai_ray.data.synthetic.files import write_market
from numerai_ray.data.synthetic.market import MarketSpec
from numerai_ray.experiment.paths import ExperimentPaths

ROUNDS, VARIANTS = 500, 4
LIMIT_BYTES = 50e6


def write_experiment(root: Path, rounds: int) -> ExperimentPaths:
    values = [round((step + 1) / (rounds * VARIANTS + 1), 6) for step in range(rounds * VARIANTS)]
    plan = {
        "idea": "What does a driver keep of the rounds that it has decided?",
        "novelty": "Hundreds of rounds that train nothing.",
        "baseline": "nothing",
        "data_version": "tiny",
        "search_space": {"dimensions": {"proportion": {"path": "post.neutralize.proportion", "values": values}}},
        "rounds": {"variants": VARIANTS, "patience": rounds + 1, "margin": 1},
        "stages": {"scout": {"data": "full", "feature_set": "medium"}},
        "budget": {"rounds": rounds},
    }
    baseline = {
        "cv": {"n_splits": 3, "embargo_eras": 5},
        "model": {"params": {"n_estimators": 1, "num_leaves": 2, "min_data_in_leaf": 5, "learning_rate": 0.1}},
        "post": {"neutralize": {"to": "all", "proportion": 0.0}},
    }
    paths = ExperimentPaths(root / "experiments" / "memory")
    for path, value in ((paths.plan, plan), (root / "experiments" / "baselines" / "nothing.yaml", baseline)):
        path.parent.mkdir(parents=True)
        path.write_text(yaml.safe_dump(value))
    return paths


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    rounds: int = parser.parse_args().rounds
    # What draws is loaded once, after some minutes of a run: that is no growth.
    FigureCanvasAgg(Figure()).draw()
    with tempfile.TemporaryDirectory(prefix="numerai-ray-memory-") as folder:
        root = Path(folder)
        write_market(MarketSpec(eras=30, rows=50, features=10, seed=1), root / "data" / "tiny")
        build(root / "data" / "tiny")
        paths = write_experiment(root, rounds)
        memory = Memory(paths)
        memory.start()
        code = run(["run", str(paths.root), "--data-dir", str(root / "data"), "--in-process"])
        memory.stop()
    held = memory.by_round[1:]
    if code or len(held) < rounds:
        print(f"exit code {code} after {len(held)} of {rounds} rounds")
        return 1
    tenth = held[max(1, len(held) // 10) - 1 :]
    shown = ", ".join(f"{each / 1e6:.0f}" for each in tenth[:: max(1, len(tenth) // 10)])
    grown = held[-1] - tenth[0]
    print(f"resident memory (MB), every tenth of {len(held)} rounds: {shown}")
    print(f"grown since the first tenth: {grown / 1e6:.0f} MB (limit {LIMIT_BYTES / 1e6:.0f})")
    return int(grown > LIMIT_BYTES)


if __name__ == "__main__":
    sys.exit(main())
