"""How much faster our scoring is than numerai-tools' per-era loop, on one thread and equal data.

    python tests/benchmarks/scoring_speed.py

256 eras of 1,200 rows, CORR + BMC + benchmark CORR of one prediction. Prints one line of JSON; exits with 1
when the ratio of the medians is under the limit or the scores differ.
"""

import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"  # read when NumPy is imported, so set before it
os.environ["OPENBLAS_NUM_THREADS"] = "1"

import numpy as np
import pandas as pd
from numerai_tools.scoring import correlation_contribution, numerai_corr

sys.path.insert(0, str(Path(__file__).parents[2]))
from numerai_ray.metrics.scoring import EraScores, score_eras

N_ERAS, N_ROWS = 256, 1_200
SMALLEST_RATIO = 30.0
LARGEST_DIFFERENCE = 1e-12
REFERENCE_REPEATS, OUR_REPEATS = 3, 9
BINS = np.array([0, 0.25, 0.5, 0.75, 1])
BIN_SHARES = np.array([0.05, 0.2, 0.5, 0.2, 0.05])


def market() -> pd.DataFrame:
    rng = np.random.default_rng(0)
    n = N_ERAS * N_ROWS
    target = rng.choice(BINS, n, p=BIN_SHARES)
    benchmark = 0.05 * target + rng.normal(size=n)
    prediction = 0.5 * benchmark + 0.05 * target + rng.normal(size=n)
    columns = {"era": np.repeat(np.arange(N_ERAS), N_ROWS), "prediction": prediction, "target": target}
    index = pd.Index([f"n{row:015x}" for row in range(n)], name="id")
    return pd.DataFrame({**columns, "benchmark": benchmark}, index=index)


def reference(frame: pd.DataFrame) -> EraScores:
    corr, bmc, benchmark_corr = [], [], []
    for _, era in frame.groupby("era"):
        prediction = era[["prediction"]]
        corr.append(numerai_corr(prediction, era["target"]).iloc[0])
        bmc.append(correlation_contribution(prediction, era["benchmark"], era["target"]).iloc[0])
        benchmark_corr.append(numerai_corr(prediction, era["benchmark"]).iloc[0])
    return EraScores(np.array(corr), np.array(bmc), np.array(benchmark_corr))


def timed(score: Callable[[], EraScores], repeats: int) -> tuple[float, EraScores]:
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        scores = score()
        seconds.append(time.perf_counter() - start)
    return float(np.median(seconds)), scores


def main() -> int:
    frame = market()
    prediction, target, benchmark = (frame[name].to_numpy() for name in ("prediction", "target", "benchmark"))
    era_starts = np.arange(N_ERAS + 1) * N_ROWS
    reference_s, theirs = timed(lambda: reference(frame), REFERENCE_REPEATS)
    ours_s, ours = timed(lambda: score_eras(prediction, target, benchmark, era_starts), OUR_REPEATS)
    pairs = [(ours.corr, theirs.corr), (ours.bmc, theirs.bmc), (ours.benchmark_corr, theirs.benchmark_corr)]
    difference = max(float(np.abs(a - b).max()) for a, b in pairs)
    ratio = reference_s / ours_s
    passed = ratio >= SMALLEST_RATIO and difference <= LARGEST_DIFFERENCE
    measured = {
        "eras": N_ERAS,
        "rows_per_era": N_ROWS,
        "reference_s": round(reference_s, 4),
        "ours_s": round(ours_s, 4),
        "ratio": round(ratio, 1),
        "ratio_limit": SMALLEST_RATIO,
        "max_abs_difference": difference,
        "difference_limit": LARGEST_DIFFERENCE,
        "passed": passed,
    }
    print(json.dumps(measured))
    return 0 if passed else 1


if __name__ == "__main__":
    sys.exit(main())
