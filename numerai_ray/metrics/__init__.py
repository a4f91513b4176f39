"""What predictions are judged by: per-era scores, noise, exposures, neutralization, importances. Pure.

Begin with :mod:`numerai_ray.metrics.scoring`, the judge: small, cited, with golden values.
Nothing here reads a file, a clock or a config, and nothing draws at random without a seed.
"""

__all__ = [
    "drift",
    "era_columns",
    "exposure",
    "importance",
    "neutralization",
    "payout",
    "registry",
    "scoring",
    "selection",
    "sequential",
    "series",
    "shrinkage",
    "significance",
    "standard_error",
    "unlocked_blas",
]
