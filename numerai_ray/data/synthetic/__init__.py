"""A synthetic market in Numerai's exact file layout, of any size, from a seed."""

__all__ = ["era", "files", "layout", "market"]
