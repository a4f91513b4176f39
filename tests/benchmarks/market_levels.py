"""What `data synth` promises: the levels of real data for a known model, and constant memory whatever the size.

``python tests/benchmarks/market_levels.py`` makes 240 eras x 1,000 rows x 400 features, trains the 2,000-tree baseline
(`small_lgbm_ender20`, leaves scaled to the rows) on the feature set medium, and checks its scores against those on real
data: corr_mean .015-.030, correlation with the benchmark .40-.75. Then it makes 60 and 240 eras x 6,000 rows x 500
features and compares peak memory: at most 15 % more. Exits 1 when something is missed.
"""

import json
import shutil
import sys
import tempfile
from pathlib import Path

import yaml
from memory_use import MB, watched

CORR, ALIKE, FLAT = (0.015, 0.030), (0.40, 0.75), 1.15
CLI = [sys.executable, "-c", "from numerai_ray.cli import main; main()"]
MAKE = """
import sys
from pathlib import Path
from numerai_ray.data.synthetic.files import MarketSpec, write_market
write_market(MarketSpec(eras=int(sys.argv[2]), rows=6000, features=500), Path(sys.argv[1]))
"""
CONFIG = {
    "data": {"version": "v5.2", "file": "full", "feature_set": "medium", "target": "target_ender_20"},
    "cv": {"n_splits": 5, "embargo_eras": 16},
    "model": {
        "params": {
            "n_estimators": 2000,
            "learning_rate": 0.01,
            "max_depth": 5,
            "num_leaves": 31,
            "colsample_bytree": 0.1,
            "min_data_in_leaf": 300,
            "random_state": 1337,
        }
    },
    "score": {"target": "target_ender_20", "benchmark": "v52_lgbm_ender20"},
}


def main() -> int:
    work = Path(tempfile.mkdtemp(prefix="market-levels-"))
    try:
        good = levels(work)
        return 0 if constant_memory(work) and good else 1
    finally:
        shutil.rmtree(work)


def levels(work: Path) -> bool:
    log, config = work / "log", work / "small_lgbm.yaml"
    size = ["--eras", "240", "--rows", "1000", "--features", "400", "--seed", "3"]
    watched([*CLI, "data", "synth", "--out", str(work / "data"), *size], log)
    config.write_text(yaml.safe_dump(CONFIG))
    where = ["--output-dir", str(work / "out"), "--data-dir", str(work / "data")]
    watched([*CLI, "train", "--config", str(config), *where, "--in-process"], log)
    metrics = json.loads((work / "out" / "results" / "small_lgbm.json").read_text())["metrics"]
    corr, alike = metrics["corr"]["mean"], metrics["bmc"]["avg_corr_with_benchmark"]
    print(f"2,000 trees on medium: corr_mean {corr:.4f} (limits {CORR}), bmc {metrics['bmc']['mean']:.4f}")
    print(f"  correlation with the benchmark {alike:.2f} (limits {ALIKE})")
    return bool(CORR[0] <= corr <= CORR[1] and ALIKE[0] <= alike <= ALIKE[1])


def constant_memory(work: Path) -> bool:
    peaks = []
    for eras in (60, 240):
        folder = work / f"{eras}"
        peaks.append(watched([sys.executable, "-c", MAKE, str(folder), str(eras)], work / "log").peak_bytes)
        shutil.rmtree(folder)
    print(f"peak memory of 60 eras {peaks[0] / MB:.0f} MB, of 240 eras {peaks[1] / MB:.0f} MB (limit {FLAT} x)")
    return peaks[1] <= FLAT * peaks[0]


if __name__ == "__main__":
    sys.exit(main())
