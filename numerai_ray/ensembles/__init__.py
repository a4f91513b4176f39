"""Ensembles: combinations of stored out-of-fold predictions, searched and judged honestly. Nothing here trains.

Begin with :mod:`numerai_ray.ensembles.statistics` (what any blend scores, from sums over each era) and
:mod:`numerai_ray.ensembles.evaluation` (chosen on earlier eras, reported on later ones). What is chosen becomes a
config's ``ensemble`` section in :mod:`numerai_ray.ensembles.deployment`.
"""

__all__ = [
    "blends",
    "candidates",
    "confirmation",
    "costs",
    "deployment",
    "evaluation",
    "outcome",
    "panel",
    "search",
    "sources",
    "statistics",
]
