"""Results become reports: tables, plots, ``experiment.md`` and ``report.html``; and other programs' views of them.

Begin with :mod:`numerai_ray.report.reading` (a history as the report reads it) and :mod:`numerai_ray.report.writer`.
A chapter is a module of ``sections``, a plot one of ``plots``. Nothing here trains, decides or changes a result.
"""

__all__ = ["html", "markdown", "reading", "tables", "writer"]
