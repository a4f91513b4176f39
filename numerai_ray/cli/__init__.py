"""The command line: arguments to typed calls; the only place where the parts are put together."""

from numerai_ray.cli.main import main

__all__ = ["main"]
