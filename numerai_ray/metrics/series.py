"""Series: per-era scores of the metrics that scoring itself makes, and the ratio that is made of any."""

import numpy as np

from numerai_ray.metrics.era_columns import FloatArray
from numerai_ray.metrics.registry import PayoutTerms
from numerai_ray.metrics.scoring import EraScores


def bmc(scores: EraScores, terms: PayoutTerms) -> FloatArray:
    del terms
    return scores.bmc


def mmc(scores: EraScores, terms: PayoutTerms) -> FloatArray:
    del terms
    return scores.mmc


def corr(scores: EraScores, terms: PayoutTerms) -> FloatArray:
    del terms
    return scores.corr


def corr_with_benchmark(scores: EraScores, terms: PayoutTerms) -> FloatArray:
    del terms
    return scores.benchmark_corr


def sharpe_values(per_era: FloatArray) -> FloatArray:
    """Scores whose mean is the Sharpe ratio of (n_eras,) scores, NaN where those are.

    To each era the ratio itself and its influence on it are given (the delta method: Lo 2002; Ledoit and Wolf 2008),
    so that the difference of two ratios has a standard error as the difference of two means has.
    """
    known = per_era[~np.isnan(per_era)]
    std = known.std() if len(known) else 0.0
    if not std > 0:
        return np.full(len(per_era), np.nan)
    mean = known.mean()
    standardized = (per_era - mean) / std
    found: FloatArray = mean / std + standardized - mean / (2 * std) * (standardized**2 - 1)
    return found
