"""Payout score: what Numerai pays for an era, as a share of the stake and before the payout factor.

    payout = clip(a · CORR + b · MMC, -clip, clip)

Numerai has changed a, b and the label of CORR several times, so they stand in the plan. The defaults are those in force
in November 2026. MMC is the contribution after the meta model, which exists for recent eras only: where there is none,
BMC stands in for it (the same formula after the benchmark), and what was scored so is counted.
"""

import numpy as np

from numerai_ray.metrics.era_columns import FloatArray
from numerai_ray.metrics.registry import PayoutTerms
from numerai_ray.metrics.scoring import EraScores


def payout(scores: EraScores, terms: PayoutTerms) -> FloatArray:
    """Payout score of each era, (n_eras,); NaN where CORR, or MMC and BMC both, are unknown."""
    contribution = np.where(np.isnan(scores.mmc), scores.bmc, scores.mmc)
    paid = scores.corr if scores.paid_corr is None else scores.paid_corr
    found: FloatArray = np.clip(terms.corr * paid + terms.mmc * contribution, -terms.clip, terms.clip)
    return found
