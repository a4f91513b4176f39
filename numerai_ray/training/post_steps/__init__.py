"""Post steps: what is done to combined predictions after a fit, era by era; one class a file.

Begin with :mod:`numerai_ray.training.post_steps.base`, what a step is and what it is given. The registry has them in
the order in which they are done. Steps cost no training: the fit is what is stored.
"""

__all__ = ["base", "registry"]
