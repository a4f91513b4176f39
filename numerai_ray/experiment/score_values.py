"""Scores as they stand in results files: metrics in the official keys, and per-era scores, written and read back.

Whoever only reads an experiment needs this of its files, and nothing that trains.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from numerai_ray.data.eras import era_label
from numerai_ray.metrics.scoring import EraScores, Metrics, Summary


def official_metrics(metrics: Metrics) -> dict[str, dict[str, float]]:
    """``metrics`` of the official results JSON."""

    def block(summary: Summary) -> dict[str, float]:
        return {
            "mean": summary.mean,
            "std": summary.std,
            "sharpe": summary.sharpe,
            "max_drawdown": summary.max_drawdown,
        }

    return {
        "corr": block(metrics.corr),
        "bmc": block(metrics.bmc) | {"avg_corr_with_benchmark": metrics.avg_corr_with_benchmark},
        "bmc_last_200_eras": block(metrics.bmc_last)
        | {"avg_corr_with_benchmark": metrics.avg_corr_with_benchmark_last},
    }


def per_era_json(eras: tuple[int, ...], scores: EraScores) -> dict[str, Any]:
    """Per-era scores as plain lists."""
    told = {
        "era": [era_label(era) for era in eras],
        "corr": scores.corr.tolist(),
        "bmc": scores.bmc.tolist(),
        "corr_with_benchmark": scores.benchmark_corr.tolist(),
    }
    return told if np.isnan(scores.mmc).all() else told | {"mmc": scores.mmc.tolist()}


def per_era_scores(value: Mapping[str, Any]) -> tuple[tuple[int, ...], EraScores]:
    """Inverse of :func:`per_era_json`; null is NaN again."""
    names = [*("corr", "bmc", "corr_with_benchmark"), *(("mmc",) if value.get("mmc") else ())]
    columns = [np.array(value[name], np.float64) for name in names]
    return tuple(int(era) for era in value["era"]), EraScores(*columns)
