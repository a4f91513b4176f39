"""Rounds on Ray: the only folder that imports it. A trial a variant, a task a fit, datasets shared in the object store.

Begin with :mod:`numerai_ray.runners.ray.runner`. ``start`` comes before ``ray`` wherever both are imported: Ray reads
its environment when it is imported. ``needs`` imports no Ray.
"""

__all__ = [
    "fit_tasks",
    "fold_tasks",
    "jobs",
    "monitoring",
    "needs",
    "placement",
    "runner",
    "shared_data",
    "start",
    "tune",
    "watch",
]
