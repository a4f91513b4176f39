"""Files of a data version: built from Numerai's own, read from front to back, and what is wrong with them."""

__all__ = ["build", "era_writer", "info", "problems", "scan"]
