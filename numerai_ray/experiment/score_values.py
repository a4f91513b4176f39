"""Scores as they stand in results files: metrics in the official keys, and per-era scores, written and read back.

Whoever only reads an experiment needs this of its files, and nothing that trains.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from numerai_ray.data.eras import era_label
from numerai_ray.metrics.scoring import EraScores, Metrics, Summary


def official_metrics(metrics: Metrics) -> dict[str, dict[str, float]]:
    """``metrics`` of the official results JSON, and after them those that the official pipeline does not know."""

    def block(summary: Summary) -> dict[str, float]:
        return {
            "mean": summary.mean,
            "std": summary.std,
            "sharpe": summary.sharpe,
            "max_drawdown": summary.max_drawdown,
        }

    more = {"mmc": metrics.mmc, **metrics.others}
    return {
        "corr": block(metrics.corr),
        "bmc": block(metrics.bmc) | {"avg_corr_with_benchmark": metrics.avg_corr_with_benchmark},
        "bmc_last_200_eras": block(metrics.bmc_last)
        | {"avg_corr_with_benchmark": metrics.avg_corr_with_benchmark_last},
        **{name: block(summary) for name, summary in more.items() if summary is not None},
    }


def per_era_json(eras: tuple[int, ...], scores: EraScores) -> dict[str, Any]:
    """Per-era scores as plain lists."""
    told = {
        "era": [era_label(era) for era in eras],
        "corr": scores.corr.tolist(),
        "bmc": scores.bmc.tolist(),
        "corr_with_benchmark": scores.benchmark_corr.tolist(),
    }
    told |= {} if np.isnan(scores.mmc).all() else {"mmc": scores.mmc.tolist()}
    return told if scores.paid_corr is None else told | {"paid_corr": scores.paid_corr.tolist()}


def per_era_scores(value: Mapping[str, Any]) -> tuple[tuple[int, ...], EraScores]:
    """Inverse of :func:`per_era_json`; null is NaN again."""
    corr, bmc, benchmark = (np.array(value[name], np.float64) for name in ("corr", "bmc", "corr_with_benchmark"))
    mmc, paid = (np.array(value[name], np.float64) if value.get(name) else None for name in ("mmc", "paid_corr"))
    more = {name: each for name, each in (("mmc", mmc), ("paid_corr", paid)) if each is not None}
    return tuple(int(era) for era in value["era"]), EraScores(corr, bmc, benchmark, **more)
