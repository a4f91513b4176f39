"""Fits: what they are, what each is known by, trained, stored, put together to out-of-fold predictions, scored.

Begin with :mod:`numerai_ray.training.spec` (a fit, a variant made of fits), :mod:`numerai_ray.training.catalog` (from a
config to its fits) and :mod:`numerai_ray.training.key` (everything that decides a fit, and nothing else).
Nothing here knows rounds, ledgers, Ray, or what a result is used for.
"""

__all__ = [
    "assembly",
    "batches",
    "catalog",
    "diagnostics",
    "fit",
    "fitted_fold",
    "key",
    "later",
    "linear_parts",
    "outcome",
    "post",
    "post_steps",
    "rows",
    "sample",
    "spec",
    "target_transforms",
]
