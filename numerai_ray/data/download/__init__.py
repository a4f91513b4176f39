"""Files of a data version from Numerai: fetched, resumed, checked. The only place that knows the numerapi client."""

__all__ = ["check", "fetch", "numerai_api"]
