"""The command line: arguments to typed calls; the only place where the parts are put together."""

import gc

# Imports make objects by the hundred thousand that stay: to look through them time and again takes a third as long.
gc.set_threshold(50_000)

from numerai_ray.cli.main import main

__all__ = ["main"]
