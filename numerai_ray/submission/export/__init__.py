"""From a variant to the files of a submission: chosen, refitted on every era, packed, described."""

__all__ = ["assembly", "card", "choice", "exporters", "exporting", "packing", "refit"]
