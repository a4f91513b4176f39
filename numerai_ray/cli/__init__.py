"""The command line: arguments to typed calls; the only place where the parts are put together."""

import os
import sys

from numerai_ray import WINDOWS_ADVICE

if os.name == "nt":  # before what is below it, which Windows does not have
    sys.stderr.write(f"error: {WINDOWS_ADVICE}\n")
    raise SystemExit(2)

from numerai_ray.cli.main import main

__all__ = ["main"]
