"""What an experiment calls itself in the fit store."""

import re
from contextlib import suppress
from uuid import uuid4

from numerai_ray.results import ExperimentPaths
from numerai_ray.system.files import write_text


def experiment_identity(paths: ExperimentPaths) -> str:
    """Made once, and carried along when the experiment's folder moves or is renamed."""
    with suppress(OSError, ValueError):
        kept = paths.identity.read_text(encoding="utf-8").strip() if paths.identity.is_file() else ""
        if re.fullmatch("[0-9a-f]{32}", kept):
            return kept
    made = uuid4().hex
    write_text(paths.identity, f"{made}\n")
    return made
