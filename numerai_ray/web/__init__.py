"""The dashboard: one page that shows experiments while they run and afterwards; it reads folders and never writes.

:mod:`numerai_ray.web.server` puts it together and says which library serves it and why.
:mod:`numerai_ray.web.sources` finds experiments (folders, ``s3://``, ``gs://``), :mod:`numerai_ray.web.values` makes
what the page asks for, most of it by the functions of :mod:`numerai_ray.session.reading` that the commands' ``--json``
use as well, :mod:`numerai_ray.web.live` tells open pages what changed, :mod:`numerai_ray.web.guard` decides which
requests are answered. ``static/`` is the page: plain JavaScript, no framework, no build step.
"""

from numerai_ray.web.guard import Access
from numerai_ray.web.server import serve
from numerai_ray.web.sources import Sources

__all__ = ["Access", "Sources", "serve"]
