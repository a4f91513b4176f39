"""Numerai's files as arrays: eras, features, targets, benchmarks, ids; and whether they are what a config needs.

Begin with :mod:`numerai_ray.data.dataset` (a file as era-sorted arrays) and :mod:`numerai_ray.data.eras` (folds).
``files`` builds and inspects a data version, ``download`` fetches one, ``synthetic`` makes one. Nothing here trains or
scores.
"""

__all__ = ["columns", "dataset", "era_slabs", "eras", "features", "folds", "leaks", "needs"]
