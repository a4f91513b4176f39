"""Plots of the report, one a file: an info of plain values that tests read, and a thin drawing of it.

Begin with :mod:`numerai_ray.report.plots.registry`, which lists them.
"""

__all__ = [
    "compare",
    "correlation",
    "cumulative",
    "delta",
    "drawing",
    "drift",
    "groups",
    "importances",
    "live",
    "per_era",
    "registry",
    "rounds",
    "since",
    "sweeps",
    "tradeoff",
]
