"""One round of five configurations, ours against the plain sequential loop, on the same data in the same run.

``python tests/benchmarks/round_speed.py`` makes 320 eras x 1,200 rows x 400 features (kept for the next time), runs
a round with nothing stored, then the plain loop (one process a config, ``plain_loop.py``), then the
round once more from nothing, as a machine's speed drifts within minutes, and again with everything stored; checks that
both ways predict the same; prints ratios of the two rounds' mean, and limits; exits 1 when one is missed.
"""

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean

import numpy as np
import pandas as pd
import psutil
import yaml

SPEED_LIMIT = 6.0
STORED_LIMIT_S = 5.0
PLAIN = Path(__file__).with_name("plain_loop.py")
PARAMS = {
    "n_estimators": 400,
    "learning_rate": 0.01,
    "num_leaves": 31,
    "colsample_bytree": 0.1,
    "min_data_in_leaf": 1000,
    "random_state": 1337,
}
# What makes LightGBM give the same trees for any number of threads; ours sets it, so the plain loop gets it too.
SAME_TREES = {"deterministic": True, "force_col_wise": True}
MOST_APART = 1e-9  # predictions of the two ways
RATES = [0.01, 0.008, 0.012, 0.015, 0.02]
CV = {"n_splits": 5, "mode": "expanding", "embargo": 13}
CLI = [sys.executable, "-c", "from numerai_ray.cli import main; main()"]


@dataclass(frozen=True)
class Used:
    """Wall and CPU seconds of a process and everything it started."""

    wall_s: float
    cpu_s: float


def measured(command: Sequence[str], log: Path) -> Used:
    """Run a command; CPU is summed over its whole process tree, sampled while it runs."""
    started = time.perf_counter()
    seen: dict[int, float] = {}
    with log.open("a") as out:
        process = subprocess.Popen(command, stdout=out, stderr=out)
        done = threading.Event()

        def sample() -> None:
            while not done.wait(0.25):
                try:
                    tree = [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]
                except psutil.Error:
                    continue
                for each in tree:
                    try:
                        times = each.cpu_times()
                        seen[each.pid] = times.user + times.system
                    except psutil.Error:
                        continue

        sampler = threading.Thread(target=sample)
        sampler.start()
        code = process.wait()
        wall = time.perf_counter() - started
        done.set()
        sampler.join()
    if code != 0:
        sys.exit(f"{' '.join(command)} ended with {code}; see {log}")
    return Used(wall, sum(seen.values()))


def standard_options(text: str | None) -> tuple[argparse.Namespace, Path]:
    """The size of the data, the standard one unless the command says another, and the folder that they are kept in."""
    parser = argparse.ArgumentParser(description=text, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-dir", type=Path, default=Path(tempfile.gettempdir()) / "numerai-ray-benchmark")
    parser.add_argument("--eras", type=int, default=320)
    parser.add_argument("--rows", type=int, default=1200)
    parser.add_argument("--features", type=int, default=400)
    options = parser.parse_args()
    return options, options.data_dir / f"{options.eras}x{options.rows}x{options.features}"


def make_data(data_dir: Path, eras: int, rows: int, features: int, log: Path) -> None:
    if (data_dir / "v5.2" / "full_benchmark_models.parquet").exists():
        return
    size = ["--eras", str(eras), "--rows", str(rows), "--features", str(features)]
    measured([*CLI, "data", "synth", "--out", str(data_dir), "--version", "v5.2", *size], log)


def write_experiment(folder: Path) -> None:
    """An experiment whose first round is the five configurations."""
    baseline = {
        "data": {"version": "v5.2", "file": "full", "feature_set": "all"},
        "cv": {"n_splits": 5, "embargo_eras": CV["embargo"], "embargo_unit": "retained"},
        "model": {"params": PARAMS},
    }
    plan = {
        "idea": "measure one round of five configurations",
        "novelty": "none: this is a benchmark of the tool",
        "baseline": "standard",
        "search_space": {"dimensions": {"learning_rate": {"path": "model.params.learning_rate", "values": RATES[1:]}}},
        "stages": {"scout": {"data": "full", "feature_set": "all"}},
    }
    shutil.rmtree(folder, ignore_errors=True)
    (folder.parent / "baselines").mkdir(parents=True, exist_ok=True)
    folder.mkdir(parents=True)
    (folder.parent / "baselines" / "standard.yaml").write_text(yaml.safe_dump(baseline))
    (folder / "experiment.yaml").write_text(yaml.safe_dump(plan))


def plain_config(rate: float) -> dict[str, object]:
    return {
        "data": {
            "data_version": "v5.2",
            "feature_set": "all",
            "target_col": "target_ender_20",
            "full_data_path": "v5.2/full.parquet",
            "benchmark_data_path": "v5.2/full_benchmark_models.parquet",
            "benchmark_model": "v52_lgbm_ender20",
        },
        "model": {"params": {**PARAMS, **SAME_TREES, "learning_rate": rate}},
        "training": {"cv": CV},
    }


def largest_difference(ours: Path, plain: Path) -> float:
    one, other = (pd.read_parquet(path).set_index("id")["prediction"] for path in (ours, plain))
    if set(one.index) != set(other.index):
        sys.exit("the two ways predicted different rows")
    return float(np.max(np.abs(one - other.loc[one.index])))


@dataclass(frozen=True)
class NewRound:
    """A round of which nothing was stored."""

    used: Used
    round_s: float
    fit_seconds: float


def new_round(run: Sequence[str], experiment: Path, data_dir: Path, log: Path) -> NewRound:
    shutil.rmtree(data_dir / "store", ignore_errors=True)
    write_experiment(experiment)
    used = measured(run, log)
    record = json.loads((experiment / "results" / "rounds.jsonl").read_text().splitlines()[0])
    return NewRound(used, record["wall_s"], sum(variant["fit_seconds"] for variant in record["variants"]))


def main() -> int:
    options, data_dir = standard_options(__doc__)
    work = Path(tempfile.mkdtemp(prefix="round-speed-"))
    log = work / "log"
    make_data(data_dir, options.eras, options.rows, options.features, log)
    experiment = work / "experiments" / "standard"
    run = [*CLI, "run", str(experiment), "--data-dir", str(data_dir), "--rounds", "1"]

    rounds = [new_round(run, experiment, data_dir, log)]
    plain: list[Used] = []
    in_lightgbm, difference = 0.0, 0.0
    for position, rate in enumerate(RATES):
        config, out = work / f"{rate}.json", work / f"{rate}.parquet"
        config.write_text(json.dumps(plain_config(rate)))
        plain_log = work / f"plain-{rate}.log"
        plain.append(measured([sys.executable, str(PLAIN), str(config), str(data_dir), str(out)], plain_log))
        in_lightgbm += json.loads(plain_log.read_text().splitlines()[-1])["lightgbm_s"]
        name = "base" if position == 0 else f"learning_rate={rate}"
        found = largest_difference(experiment / "predictions" / f"r01-{name}.parquet", out)
        difference = max(difference, found)

    rounds.append(new_round(run, experiment, data_dir, log))
    write_experiment(experiment)
    stored = measured(run, log)

    ours = Used(mean(each.used.wall_s for each in rounds), mean(each.used.cpu_s for each in rounds))
    round_s, fit_seconds = mean(each.round_s for each in rounds), mean(each.fit_seconds for each in rounds)
    plain_wall, plain_cpu = sum(each.wall_s for each in plain), sum(each.cpu_s for each in plain)
    cores = psutil.cpu_count() or 1
    print(f"data: {options.eras} eras x {options.rows} rows x {options.features} features; {cores} cores")
    print(f"plain loop    wall {plain_wall:7.1f} s   CPU {plain_cpu:7.1f} s   in LightGBM {in_lightgbm:.1f} s of wall")
    print(f"ours          wall {ours.wall_s:7.1f} s   CPU {ours.cpu_s:7.1f} s   round {round_s:.1f} s")
    before, after = (each.used.wall_s for each in rounds)
    print(f"  {before:.1f} s before the plain loop, {after:.1f} s after it")
    share = fit_seconds / (round_s * cores)
    print(f"  of the round's core-seconds in training and prediction: {share:.0%} ({fit_seconds:.1f} s)")
    speed_up = plain_wall / ours.wall_s
    print(f"speed-up      {speed_up:.2f} x wall, {plain_cpu / ours.cpu_s:.2f} x CPU (limit {SPEED_LIMIT} x)")
    pure = in_lightgbm / ours.wall_s
    print(f"LightGBM alone on all cores takes {pure:.2f} x the time of ours")
    print(f"all stored    wall {stored.wall_s:7.1f} s   (limit {STORED_LIMIT_S} s)")
    print(f"largest difference of predictions: {difference:.1e} (limit {MOST_APART:.0e})")
    fast = speed_up >= SPEED_LIMIT and stored.wall_s <= STORED_LIMIT_S
    return 0 if fast and difference <= MOST_APART else 1


if __name__ == "__main__":
    sys.exit(main())
