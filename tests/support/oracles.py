"""Slow and obviously right: the same answers by another road, for tests to compare with."""

import math
import statistics

import numpy as np
import pandas as pd
from numerai_tools.scoring import correlation_contribution, numerai_corr

# numerai-tools refuses rows that overlap by less than 80 %, unless all of them may be dropped.
ANY_OVERLAP = 1.0


def oracle_scores(prediction, target, benchmark, eras) -> dict[str, np.ndarray]:
    """Per-era scores by numerai-tools on pandas, one loop turn an era, in order of first appearance.

    ``eras`` is (n,), the era of each row. Keys "corr", "bmc", "benchmark_corr" as in ``EraScores``.
    """
    frame = pd.DataFrame({"prediction": prediction, "target": target, "era": eras})
    frame["benchmark"] = np.nan if benchmark is None else benchmark
    frame.index = pd.Index([f"n{row:015x}" for row in range(len(frame))], name="id")
    scores: dict[str, list[float]] = {"corr": [], "bmc": [], "benchmark_corr": []}
    for _, era in frame.groupby("era", sort=False):
        scores["corr"].append(oracle_corr(era["prediction"], era["target"]))
        scores["bmc"].append(oracle_contribution(era["prediction"], era["benchmark"], era["target"]))
        scores["benchmark_corr"].append(oracle_corr(era["prediction"], era["benchmark"]))
    return {name: np.array(values, dtype=float) for name, values in scores.items()}


def oracle_corr(prediction: pd.Series, target: pd.Series) -> float:
    """CORR of one era; series of one index."""
    known = prediction.notna() & target.notna()
    # A target that is constant on the known rows (no row and one row among them) has no correlation: there
    # numerai-tools raises, gives NaN or correlates the rounding of the mean, depending on the constant.
    if target[known].nunique() < 2:
        return math.nan
    with np.errstate(all="ignore"):
        return float(numerai_corr(prediction.to_frame(), target, ANY_OVERLAP).iloc[0])


def oracle_contribution(prediction: pd.Series, benchmark: pd.Series, target: pd.Series) -> float:
    """BMC of one era; series of one index."""
    # It has no parameter for the overlap; it ranks and centres after dropping rows, so we may drop them here.
    known = prediction.notna() & benchmark.notna() & target.notna()
    if not known.any():  # divides by zero rows
        return math.nan
    prediction, benchmark, target = prediction[known], benchmark[known], target[known]
    with np.errstate(all="ignore"):
        return float(correlation_contribution(prediction.to_frame(), benchmark, target).iloc[0])


def oracle_summary(per_era) -> dict[str, float]:
    """Official summary of per-era scores, of which at least one is not NaN."""
    scores = [float(score) for score in per_era if not math.isnan(score)]
    mean, std = statistics.fmean(scores), statistics.pstdev(scores)
    total, peak, drawdown = 0.0, -math.inf, 0.0
    for score in scores:
        total += score
        peak = max(peak, total)
        drawdown = max(drawdown, peak - total)
    sharpe = mean / std if std > 0 else math.nan
    return {"mean": mean, "std": std, "sharpe": sharpe, "max_drawdown": drawdown, "n_eras": len(scores)}


def oracle_era_folds(eras, n_splits, embargo, mode) -> list[tuple[list[int], list[int]]]:
    """(train, validation) of the official pipeline's folds, those without a training era included.

    Each era is asked where it belongs: its block is its rank over the block size, the last block taking what is
    left; it trains for a block when its rank is more than ``embargo`` ranks away from all of the block's.
    """
    ordered = sorted(set(eras))
    size = len(ordered) // n_splits
    blocks = [min(rank // size, n_splits - 1) for rank in range(len(ordered))]
    folds = []
    for block in range(n_splits):
        inside = [rank for rank in range(len(ordered)) if blocks[rank] == block]
        far = [rank for rank in range(len(ordered)) if min(abs(rank - other) for other in inside) > embargo]
        early = [rank for rank in far if rank < inside[0]]
        train = early if mode == "expanding" else far
        folds.append(([ordered[rank] for rank in train], [ordered[rank] for rank in inside]))
    return folds
