"""Chapters of the report, as lines of Markdown made of a :class:`~numerai_ray.report.reading.Reading`."""

__all__ = ["closing", "data", "diagnostics", "ensemble", "method", "plan", "rounds", "since"]
