"""From a trained model to plain values that Numerai's container can load."""

from numerai_ray.submission.exporters.registry import EXPORTERS, Exporter, Trained, exporter_for

__all__ = ["EXPORTERS", "Exporter", "Trained", "exporter_for"]
