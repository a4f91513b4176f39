"""What is told of time and memory, by `plan` and while a run goes on, against what the run then takes.

``python tests/benchmarks/plan_accuracy.py [SHAPE ...]`` plans and runs each shape in a fresh folder, with nothing
stored: the quickstart; two LightGBM rounds of many trees on a middle-sized market; a ladder of lengths; a round of
CatBoost with two seeds each; a round of neural networks; a round of neutralization. Prints estimate, fact and their
ratio of the time of the whole command and of the peak memory, and the rounds one by one, with the time left that was
told once a quarter of a round was over. Exits 1 when the time or memory of a shape misses the limit, or the time left
of a round after the first its own. All of it takes about six minutes; it means something on a quiet machine only.
"""

import argparse
import json
import math
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import psutil
import yaml

LIMIT = 0.25
# Time left is told of a round under way, and may be off by this factor, or by seconds that nobody waits for.
LEFT_FACTOR, LEFT_SLACK_S = 2.0, 3.0
GB = 10**9
CLI = [sys.executable, "-c", "from numerai_ray.cli import main; main()"]
QUICKSTART = Path(__file__).parents[2] / "experiments"
SMALL = {"eras": 240, "rows": 600, "features": 120, "seed": 3}
MIDDLE = {"eras": 240, "rows": 800, "features": 240, "seed": 3}
LIGHTGBM = {"learning_rate": 0.02, "num_leaves": 31, "colsample_bytree": 0.1, "min_data_in_leaf": 500}


@dataclass(frozen=True)
class Shape:
    """A market, a baseline's model and post-processing, and the dimensions: one round each."""

    market: dict[str, int]
    model: dict[str, Any]
    dimensions: dict[str, tuple[str, list[Any]]]
    post: dict[str, Any] | None = None


SHAPES = {
    "quickstart": None,
    "many trees": Shape(
        MIDDLE,
        {"params": {**LIGHTGBM, "n_estimators": 250}},
        {
            "num_leaves": ("model.params.num_leaves", [15, 63]),
            "learning_rate": ("model.params.learning_rate", [0.01, 0.04]),
        },
    ),
    "ladder": Shape(
        MIDDLE,
        {"params": {**LIGHTGBM, "n_estimators": 150}},
        {"n_estimators": ("model.params.n_estimators", [75, 300, 600])},
    ),
    "catboost": Shape(
        SMALL,
        {"type": "catboost", "seeds": [1, 2], "params": {"iterations": 40, "learning_rate": 0.05, "depth": 5}},
        {"depth": ("model.params.depth", [4, 6])},
    ),
    "mlp": Shape(
        SMALL,
        {"type": "mlp", "params": {"hidden": [128, 64], "epochs": 4, "batch_size": 4096}},
        {"hidden": ("model.params.hidden", [[64], [256, 128]]), "epochs": ("model.params.epochs", [2, 8])},
    ),
    "neutralization": Shape(
        MIDDLE,
        {"params": {**LIGHTGBM, "n_estimators": 150}},
        {"neutralization": ("post.neutralize.proportion", [0.25, 0.5, 0.75, 1.0])},
        {"neutralize": {"to": "all", "proportion": 0.0}},
    ),
}


@dataclass(frozen=True)
class Told:
    """The time left of a round, as `status` had it at some time of the clock; None while it is not known."""

    round: int | None  # None between rounds
    at: float
    left_s: float | None


@dataclass(frozen=True)
class Measured:
    """A shape's estimates and facts: seconds of the whole run, bytes at the peak, and the rounds' records."""

    expected_s: float
    fact_s: float
    plan_s: float
    expected_bytes: int
    peak_bytes: int
    rounds: list[dict[str, Any]]
    told: list[Told]


def write_experiment(folder: Path, shape: Shape | None) -> Path:
    """The shape's experiment in ``folder``; its market is made by the plan's command."""
    if shape is None:
        shutil.copytree(QUICKSTART, folder, ignore=shutil.ignore_patterns("results", "predictions", "logs"))
        return folder / "quickstart"
    baseline = {"data": {"version": "market", "file": "full", "feature_set": "all"}, "model": shape.model}
    baseline |= {"cv": {"n_splits": 5, "embargo_eras": 13}} | ({"post": shape.post} if shape.post else {})
    plan = {
        "idea": "measure how well the time is told",
        "novelty": "none: this is a benchmark of the tool",
        "baseline": "standard",
        "data_version": "market",
        "market": shape.market,
        "search_space": {
            "dimensions": {name: {"path": path, "values": values} for name, (path, values) in shape.dimensions.items()}
        },
        "rounds": {"patience": 9},
        "stages": {"scout": {"data": "full", "feature_set": "all"}, "final": {"data": "full", "feature_set": "all"}},
        "budget": {"rounds": len(shape.dimensions)},
    }
    for name, text in (("baselines/standard.yaml", baseline), ("measured/experiment.yaml", plan)):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(yaml.safe_dump(text, sort_keys=False))
    return folder / "measured"


def measure(shape: Shape | None, work: Path) -> Measured:
    """Plan the shape, and run it."""
    experiment, data = write_experiment(work / "experiments", shape), ["--data-dir", str(work / "data")]
    if shape is None:  # as many rounds as the plan tells of: each dimension once
        plan = yaml.safe_load((experiment / "experiment.yaml").read_text())
        plan["rounds"]["patience"], plan["budget"]["rounds"] = 9, len(plan["search_space"]["dimensions"])
        (experiment / "experiment.yaml").write_text(yaml.safe_dump(plan, sort_keys=False))
    first = time.perf_counter()
    told = json.loads(_out([*CLI, "plan", str(experiment), *data, "--json"]))
    began = time.perf_counter()
    told_left = _run([*CLI, "run", str(experiment), *data], experiment / "logs" / "progress.json")
    fact_s = time.perf_counter() - began
    records = [json.loads(line) for line in (experiment / "results" / "rounds.jsonl").read_text().splitlines()]
    peak = max(record["cost"].get("peak_bytes", 0) for record in records)
    return Measured(told["seconds"], fact_s, began - first, told["memory_bytes"], peak, records, told_left)


def _run(command: list[str], progress: Path) -> list[Told]:
    """Run it, and read meanwhile what it tells of the round under way."""
    found: list[Told] = []
    with tempfile.TemporaryFile("w+") as said:
        with subprocess.Popen(command, stdout=said, stderr=said) as process:
            while process.poll() is None:
                time.sleep(0.1)
                if progress.exists() and (not found or progress.stat().st_mtime > found[-1].at):
                    at, running = progress.stat().st_mtime, json.loads(progress.read_text())["running"] or {}
                    found.append(Told(running.get("round"), at, running.get("seconds_left")))
        if process.returncode:
            said.seek(0)
            sys.exit(f"{' '.join(command[3:])} ended with {process.returncode}:\n{said.read()[-2000:]}")
    return found


def left_of(number: int, told: list[Told]) -> list[tuple[float, float]]:
    """Of a round, once a quarter of it was over: pairs of the seconds left that were told, and that were."""
    mine = [each for each in told if each.round == number]
    after = [each.at for each in told if mine and each.at > mine[-1].at]
    if not after:
        return []
    quarter = mine[0].at + (after[0] - mine[0].at) / 4
    return [(each.left_s, after[0] - each.at) for each in mine if each.left_s is not None and each.at >= quarter]


def far_off(pair: tuple[float, float]) -> bool:
    told, fact = pair
    return abs(told - fact) > LEFT_SLACK_S and not 1 / LEFT_FACTOR <= told / fact <= LEFT_FACTOR


def _out(command: list[str]) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        sys.exit(f"{' '.join(command[3:])} ended with {done.returncode}:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
    return done.stdout


def tell(name: str, found: Measured) -> bool:
    """Print what was found; whether both are within the limit."""
    time_off, memory_off = found.fact_s / found.expected_s - 1, found.peak_bytes / found.expected_bytes - 1
    print(
        f"{name:<15} time {found.expected_s:6.1f} s expected, {found.fact_s:6.1f} s taken ({time_off:+.0%})   "
        f"memory {found.expected_bytes / GB:.2f} GB expected, {found.peak_bytes / GB:.2f} GB peak "
        f"({memory_off:+.0%})   "
        f"plan took {found.plan_s:.0f} s"
    )
    missed = 0
    for record in found.rounds:
        fits = sum(variant["fits_new"] for variant in record["variants"])
        busy = sum(variant["fit_seconds"] for variant in record["variants"])
        print(
            f"    {record['stage']:<8} {record['dimension'] or '':<15} {record['estimated_s'] or 0:6.1f} s expected, "
            f"{record['wall_s']:6.1f} s taken; {fits} fits of {busy:.1f} s in all"
            + (f"; Ray's start {start_s:.1f} s" if (start_s := record["cost"].get("start_s")) else "")
        )
        pairs = left_of(record["number"], found.told)
        if pairs:
            told_s, left_s = max(pairs, key=lambda pair: abs(math.log(max(pair[0], 0.1) / pair[1])))
            off = sum(map(far_off, pairs))
            if record["number"] > 1:
                missed += off
            print(
                f"{'':<29}time left was told {len(pairs)} times, {off} far off; "
                f"at worst {told_s:.1f} s for {left_s:.1f} s"
            )
    return max(abs(time_off), abs(memory_off)) <= LIMIT and not missed


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("shapes", nargs="*", metavar="SHAPE", help=f"some of: {', '.join(SHAPES)}; all by default")
    parser.add_argument("--keep", type=Path, help="keep the experiments in this folder")
    options = parser.parse_args()
    unknown = [name for name in options.shapes if name not in SHAPES]
    if unknown:
        parser.error(f"no such shape: {', '.join(unknown)}")
    print(
        f"{psutil.cpu_count()} cores; limit: within {LIMIT:.0%}, time left within a factor of {LEFT_FACTOR:g}",
        flush=True,
    )
    good = []
    for name in options.shapes or SHAPES:
        if name == "mlp" and find_spec("torch") is None:
            print("mlp             left out: PyTorch is not installed", flush=True)
            continue
        with tempfile.TemporaryDirectory(prefix="plan-accuracy-") as folder:
            good.append(tell(name, measure(SHAPES[name], Path(folder))))
            sys.stdout.flush()
            if options.keep:
                shutil.copytree(Path(folder) / "experiments", options.keep / name, dirs_exist_ok=True)
    print(f"{sum(good)} of {len(good)} shapes within the limit")
    return 0 if all(good) else 1


if __name__ == "__main__":
    sys.exit(main())
