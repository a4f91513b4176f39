"""Runners: execute the variants of a round. Equal plans give equal outcomes, whatever the runner.

Begin with :mod:`numerai_ray.runners.base`, the contract; :mod:`numerai_ray.runners.in_process` is the plain way, one
fit at a time, and the reference for ``ray``, the only folder that imports Ray. Nothing here decides a round.
"""

__all__ = ["base", "in_process", "pruning"]
