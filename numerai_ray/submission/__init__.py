"""From a winner to a submission: refitted, exported to a pickle that stands alone, proved in its container, uploaded.

``export`` makes the files, ``container`` runs them as Numerai does, ``numerai`` sends them. Begin with
:mod:`numerai_ray.submission.export.exporting`. Nothing here runs a round.
"""

__all__ = ["container", "export", "numerai"]
