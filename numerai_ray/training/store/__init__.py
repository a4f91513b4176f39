"""The fit store: what was trained, kept under a key of everything that decides it; shared by experiments and users.

Begin with :mod:`numerai_ray.training.store.fits`. An entry is whole or absent, checked when it is read, and never
changed; what is damaged counts as missing.
"""

__all__ = ["care", "diagnostics", "entry", "fits", "models"]
