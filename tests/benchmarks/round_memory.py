"""Memory of a round at two fits at once, against two plain processes side by side; and how soon the first tree grows.

``python tests/benchmarks/round_memory.py`` takes 320 eras x 1,200 rows x 400 features; with ``--large`` 400 eras x
2,200 rows x 2,400 features (2.1 GB of int8, about as many rows a feature as Numerai's downsampled file has; no plain
processes, which would need 15 GB). In one run:

* an experiment of one tree a fit, kernels not compiled yet: the seconds from the command to the first finished fold;
  and the median of three later ones, which find the kernels in the cache;
* Ray alone: started and idle, with a worker a core, as this program starts it;
* a round of two configurations of 30 trees: peak of the whole process tree (PSS), Ray included;
* two plain processes at once (``plain_loop.py``): pandas, LightGBM, numerai-tools.

What the round holds for its data is its peak less Ray alone. Prints ratios and limits; exits 1 when one is missed.
"""

import argparse
import json
import os
import shutil
import sys
import tempfile
from pathlib import Path
from statistics import median

import random_market
import yaml
from memory_use import MB, Watched, side_by_side, watched
from seconds_around_fits import as_installed

PLAIN_LIMIT = 1 / 8
MATRIX_LIMIT = 1.35
COMPILED_LIMIT_S, CACHED_LIMIT_S = 14.0, 7.0
PLAIN = Path(__file__).with_name("plain_loop.py")
CLI = [sys.executable, "-c", "from numerai_ray.cli import main; main()"]
RATES = (0.05, 0.1)
PARAMS = {"n_estimators": 30, "num_leaves": 31, "colsample_bytree": 0.1, "min_data_in_leaf": 1000, "random_state": 7}
IDLE_RAY = """
import time, ray
ray.init(address="local", num_cpus=2, include_dashboard=True, dashboard_host="127.0.0.1", log_to_driver=False,
         object_store_memory=500_000_000)
wait = ray.remote(lambda: time.sleep(2))
ray.get([wait.remote() for _ in range(2)])
"""


def write_experiment(folder: Path, rates: tuple[float, ...], trees: int) -> None:
    baseline = {
        "data": {"version": "v5.2", "file": "full", "feature_set": "all"},
        "cv": {"n_splits": 5, "embargo_eras": 13, "embargo_unit": "retained"},
        "model": {"params": {**PARAMS, "n_estimators": trees, "learning_rate": rates[0]}},
    }
    dimension = {"path": "model.params.learning_rate", "values": list(rates[1:])}
    plan = {
        "idea": "measure one round",
        "novelty": "none: this is a benchmark of the tool",
        "baseline": "standard",
        "search_space": {"dimensions": {"learning_rate": dimension}},
        "stages": {"scout": {"data": "full", "feature_set": "all"}},
    }
    (folder.parent / "baselines").mkdir(parents=True, exist_ok=True)
    folder.mkdir(parents=True)
    (folder.parent / "baselines" / "standard.yaml").write_text(yaml.safe_dump(baseline))
    (folder / "experiment.yaml").write_text(yaml.safe_dump(plan))


def run_round(folder: Path, data_dir: Path, rates: tuple[float, ...], log: Path) -> Watched:
    write_experiment(folder, rates, 30)
    return watched(round_command(folder, data_dir), log)


def round_command(folder: Path, data_dir: Path) -> list[str]:
    return [*CLI, "run", str(folder), "--data-dir", str(data_dir), "--rounds", "1", "--json"]


def first_fold_s(folder: Path, data_dir: Path, rates: tuple[float, ...], log: Path) -> float:
    """Seconds until the first event that tells of a finished fold, of one tree."""
    write_experiment(folder, rates, 1)
    for seconds, line in watched(round_command(folder, data_dir), log, memory=False).lines:
        event = json.loads(line) if line.startswith("{") else {}
        if any(each.get("folds_done") for each in [event, *event.get("trials", ())] if isinstance(each, dict)):
            return seconds
    sys.exit("no fold was told of")


def plain_command(work: Path, data_dir: Path, rate: float) -> list[str]:
    config = {
        "data": {
            "data_version": "v5.2",
            "feature_set": "all",
            "target_col": "target_ender_20",
            "full_data_path": "v5.2/full.parquet",
            "benchmark_data_path": "v5.2/full_benchmark_models.parquet",
            "benchmark_model": random_market.BENCHMARK,
        },
        "model": {"params": {**PARAMS, "learning_rate": rate}},
        "training": {"cv": {"n_splits": 5, "mode": "expanding", "embargo": 13}},
    }
    path = work / f"{rate}.json"
    path.write_text(json.dumps(config))
    return [sys.executable, str(PLAIN), str(path), str(data_dir), str(work / f"{rate}.parquet")]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--large", action="store_true", help="2 GB of int8, without the plain processes")
    parser.add_argument("--eras", type=int)
    parser.add_argument("--rows", type=int)
    parser.add_argument("--features", type=int)
    parser.add_argument("--data-dir", type=Path, help="keep the data there for the next time")
    options = parser.parse_args()
    usual = (400, 2200, 2400) if options.large else (320, 1200, 400)
    size = (options.eras or usual[0], options.rows or usual[1], options.features or usual[2])
    as_installed()
    work = Path(tempfile.mkdtemp(prefix="round-memory-"))
    try:
        data_dir = options.data_dir or work / "data"
        return measure(work, data_dir, size, large=options.large)
    finally:
        shutil.rmtree(work)


def make_data(data_dir: Path, size: tuple[int, int, int], log: Path) -> None:
    """The built files, and nothing that an earlier run has stored."""
    version = data_dir / "v5.2"
    if not (version / "full_benchmark_models.parquet").exists():
        random_market.write(version, *size)
        watched([*CLI, "data", "build", "--data-dir", str(data_dir), "--version", "v5.2"], log)
        for part in ("train", "validation"):
            (version / f"{part}.parquet").unlink()
    shutil.rmtree(data_dir / "store", ignore_errors=True)


def measure(work: Path, data_dir: Path, size: tuple[int, int, int], *, large: bool) -> int:
    log = work / "log"
    int8 = (size[0] - 2) * size[1] * size[2]
    make_data(data_dir, size, log)
    experiments = work / "experiments"
    (work / "cache").mkdir()
    os.environ["XDG_CACHE_HOME"] = str(work / "cache")  # where compiled kernels are kept, of all that follows
    compiled_s = first_fold_s(experiments / "quick", data_dir, RATES, log)
    # Half of it is Ray's own start, which takes four seconds one time and seven another.
    later = [first_fold_s(experiments / f"again-{n}", data_dir, (n + 0.2, n + 0.3), log) for n in range(3)]
    cached_s = median(later)
    ray = watched([sys.executable, "-c", IDLE_RAY], log)
    # One tree a fit is another fit than 30: none of these is stored.
    ours = run_round(experiments / "round", data_dir, RATES, log)
    held = ours.peak_bytes - ray.peak_bytes

    print(f"{size[0]} eras x {size[1]:,} rows x {size[2]} features: {int8 / MB:,.0f} MB of int8")
    print(f"Ray alone              peak {ray.peak_bytes / MB:7,.0f} MB")
    print(f"a round, 2 fits        peak {ours.peak_bytes / MB:7,.0f} MB, of which not Ray {held / MB:,.0f} MB")
    print(f"first tree after {compiled_s:.1f} s with kernels to compile (limit {COMPILED_LIMIT_S:.0f} s)", end="")
    print(f", in later experiments after {cached_s:.1f} s (median of {[round(each, 1) for each in later]}; ", end="")
    print(f"limit {CACHED_LIMIT_S:.0f} s)")
    good = large or (compiled_s <= COMPILED_LIMIT_S and cached_s <= CACHED_LIMIT_S)
    if large:
        most = MATRIX_LIMIT * int8
        print(f"  {held / int8:.2f} x the int8 matrix and Ray (limit {MATRIX_LIMIT} x)")
        return 0 if held <= most else 1
    plain = side_by_side([plain_command(work, data_dir, rate) for rate in RATES], log)[0].peak_bytes
    print(f"two plain processes    peak {plain / MB:7,.0f} MB")
    print(f"  not Ray / plain {held / plain:.2f} (limit {PLAIN_LIMIT}); with Ray {ours.peak_bytes / plain:.2f}")
    return 0 if good and held <= PLAIN_LIMIT * plain else 1


if __name__ == "__main__":
    sys.exit(main())
