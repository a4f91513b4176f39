"""Payout score: what Numerai pays for an era, as a share of the stake and before the payout factor.

    payout = clip(a · CORR + b · MMC, -clip, clip)

Numerai has changed a, b and the label of CORR several times, so they stand in the plan. The defaults are those in force
in November 2026. MMC is the contribution after the meta model, which exists for recent eras only: where there is none,
BMC stands in for it (the same formula after the benchmark), and what was scored so is counted.
"""

from dataclasses import dataclass

import numpy as np

from numerai_ray.metrics.era_columns import FloatArray
from numerai_ray.metrics.scoring import EraScores


@dataclass(frozen=True)
class PayoutTerms:
    """Weight of CORR, weight of MMC, and the largest payout of an era, up or down."""

    corr: float = 0.5
    mmc: float = 2.0
    clip: float = 0.25


def payout(scores: EraScores, terms: PayoutTerms) -> FloatArray:
    """Payout score of each era, (n_eras,); NaN where CORR, or MMC and BMC both, are unknown."""
    contribution = np.where(np.isnan(scores.mmc), scores.bmc, scores.mmc)
    found: FloatArray = np.clip(terms.corr * scores.corr + terms.mmc * contribution, -terms.clip, terms.clip)
    return found
