"""The composition root: opens an experiment, checks its plan on the data, puts the parts of a run together.

Begin with :mod:`numerai_ray.session.opening`. :mod:`numerai_ray.session.experiment` is the ``Experiment`` of the Python
API, :mod:`numerai_ray.session.reading` what reading commands print as JSON. Commands, pages and tools for agents go
through here; nothing here knows how they are spelt.
"""

__all__ = ["experiment", "follow", "opening", "places", "plan_check", "reading", "recheck", "side_by_side", "weekly"]
