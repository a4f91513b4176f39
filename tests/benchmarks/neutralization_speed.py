"""How much faster neutralization is than numerai-tools' per-era loop, on equal data.

    python tests/benchmarks/neutralization_speed.py

256 eras of 1,200 rows, one prediction, 400 int8 features in correlated clusters, proportion 1; then what the five
proportions of a round cost together. numerai-tools has one thread of BLAS, where it is fastest (on two of two cores it
took four times as long); ours solves eras side by side on all cores, as a round does, and the ratio on one thread is
told beside it. They take turns, 64 eras at a time, and of each turn the fastest run counts: a neighbour's burst of work
then hits neither alone. Prints one line of JSON; exits with 1 when the ratio is under the limit, that on one thread
under its own, or the predictions differ.
"""

import json
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import psutil
from numerai_tools import scoring as numerai_tools
from threadpoolctl import threadpool_limits

sys.path.insert(0, str(Path(__file__).parents[2]))
from numerai_ray.metrics.neutralization import linear_part, remove_part

N_ERAS, N_ROWS, N_FEATURES = 256, 1_200, 400
CLUSTER, ERAS_A_TURN = 25, 64
CORES = psutil.cpu_count() or 1
SMALLEST_RATIO, SMALLEST_ON_ONE = 10.0, 9.0
LARGEST_DIFFERENCE = 1e-8
REFERENCE_REPEATS, OUR_REPEATS = 2, 4
PROPORTIONS = (0.0, 0.25, 0.5, 0.75, 1.0)


def market() -> tuple[np.ndarray, np.ndarray]:
    """(features (k, n) int8 of five near-uniform bins, prediction (n,) that is partly linear in them)."""
    rng = np.random.default_rng(0)
    n = N_ERAS * N_ROWS
    features = np.empty((N_FEATURES, n), np.int8)
    prediction = rng.normal(size=n)
    for start in range(0, N_FEATURES, CLUSTER):
        factor = rng.normal(size=n).astype(np.float32)
        for feature in features[start : start + CLUSTER]:
            latent = 0.5 * factor + 0.75**0.5 * rng.normal(size=n).astype(np.float32)
            feature[:] = np.digitize(latent, (-0.84, -0.25, 0.25, 0.84))
        prediction += 0.1 * features[start]
    return features, prediction


def reference(prediction: np.ndarray, features: pd.DataFrame) -> np.ndarray:
    """The loop over eras, on a frame whose columns are features; both hold the eras of one turn."""
    frame = pd.DataFrame({"prediction": prediction}, index=features.index)
    parts = []
    for start in range(0, len(frame), N_ROWS):
        era = slice(start, start + N_ROWS)
        parts.append(numerai_tools.neutralize(frame.iloc[era], features.iloc[era])["prediction"].to_numpy())
    return np.concatenate(parts)


def timed(run: Callable[[], np.ndarray], repeats: int) -> tuple[float, np.ndarray]:
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        result = run()
        seconds.append(time.perf_counter() - start)
    return min(seconds), result


def round_of_proportions(prediction: np.ndarray, features: np.ndarray, era_starts: np.ndarray) -> np.ndarray:
    part = linear_part(prediction, features, era_starts, CORES)
    return np.stack([remove_part(prediction, part, proportion) for proportion in PROPORTIONS])


def ours(prediction: np.ndarray, features: np.ndarray, era_starts: np.ndarray, threads: int) -> np.ndarray:
    return remove_part(prediction, linear_part(prediction, features, era_starts, threads), 1.0)


def main() -> int:
    features, prediction = market()
    frame = pd.DataFrame(features.T)  # a view: each column is one feature, as in a frame read from parquet
    starts = np.arange(ERAS_A_TURN + 1) * N_ROWS
    seconds = dict.fromkeys(("reference", "ours", "ours_one_thread", "five_proportions"), 0.0)
    difference = 0.0
    for turn in range(0, N_ERAS, ERAS_A_TURN):
        rows = slice(turn * N_ROWS, (turn + ERAS_A_TURN) * N_ROWS)
        p, x = prediction[rows], features[:, rows]
        runs: dict[str, tuple[Callable[[], np.ndarray], int]] = {
            "reference": (partial(reference, p, frame.iloc[rows]), REFERENCE_REPEATS),
            "ours": (partial(ours, p, x, starts, CORES), OUR_REPEATS),
            "ours_one_thread": (partial(ours, p, x, starts, 1), OUR_REPEATS),
            "five_proportions": (partial(round_of_proportions, p, x, starts), OUR_REPEATS),
        }
        found = {}
        with threadpool_limits(1, user_api="blas"):
            for name, (run, repeats) in runs.items():
                took, found[name] = timed(run, repeats)
                seconds[name] += took
        difference = max(difference, float(np.abs(found["ours"] - found["reference"]).max()))
        if not np.array_equal(found["ours"], found["ours_one_thread"]):
            difference = float("inf")
    ratio = seconds["reference"] / seconds["ours"]
    on_one = seconds["reference"] / seconds["ours_one_thread"]
    passed = ratio >= SMALLEST_RATIO and on_one >= SMALLEST_ON_ONE and difference <= LARGEST_DIFFERENCE
    measured = {
        "eras": N_ERAS,
        "rows_per_era": N_ROWS,
        "features": N_FEATURES,
        "cores": CORES,
        **{f"{name}_s": round(value, 3) for name, value in seconds.items()},
        "ratio": round(ratio, 1),
        "ratio_limit": SMALLEST_RATIO,
        "ratio_one_thread": round(on_one, 1),
        "max_abs_difference": difference,
        "difference_limit": LARGEST_DIFFERENCE,
        "passed": passed,
    }
    print(json.dumps(measured))
    return 0 if passed else 1


if __name__ == "__main__":
    sys.exit(main())
