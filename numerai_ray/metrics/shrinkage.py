"""Shrinkage: the gain to expect of what was found, where a search reports the largest of many (empirical Bayes).

Gains of an experiment's variants are taken as drawn from a normal distribution around 0 whose variance is learned from
all of them (maximum likelihood; Efron and Morris 1973). The mean of a gain's posterior is the gain times
var / (var + se²): it needs no correction for having been chosen, as every variant is pulled alike.
"""

import math
from collections.abc import Sequence

import numpy as np


def spread_of_gains(gains: Sequence[float], errors: Sequence[float]) -> float:
    """Variance of true gains behind ``gains`` with standard ``errors``; NaN without any, 0 where noise says all."""
    pairs = [(g, e) for g, e in zip(gains, errors, strict=True) if math.isfinite(g) and e > 0]
    if not pairs:
        return math.nan
    squares, noise = np.array([g * g for g, _ in pairs]), np.array([e * e for _, e in pairs])

    def slope(variance: float) -> float:
        """Twice the derivative of the likelihood."""
        whole = noise + variance
        return float((squares / whole**2 - 1 / whole).sum())

    low, high = 0.0, float(squares.max())
    if slope(0.0) <= 0:
        return 0.0
    for _ in range(80):
        middle = (low + high) / 2
        low, high = (middle, high) if slope(middle) > 0 else (low, middle)
    return high


def expected_gain(gain: float, error: float, variance: float, steps: int = 1) -> float:
    """Mean of the posterior of a ``gain`` with a standard ``error`` that is the sum of ``steps`` true gains."""
    prior = steps * variance
    if math.isnan(gain) or math.isnan(error) or math.isnan(prior):
        return math.nan
    return gain * prior / (prior + error * error) if prior > 0 else 0.0
