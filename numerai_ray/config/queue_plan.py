"""``queue.yaml``: several experiments that are worked through within one budget."""

from pathlib import Path
from typing import Annotated

from pydantic import Field

from numerai_ray.config.validation import Section, validate
from numerai_ray.config.yaml_files import parse_yaml, read_text


class QueuePlan(Section):
    """Experiments, and where work on them ends at the latest. Each keeps its own plan's budget beside it."""

    experiments: Annotated[list[Annotated[str, Field(min_length=1)]], Field(min_length=1)] = Field(
        description="Folders of experiments, relative to this file's.",
        examples=[["wider-trees", "other-targets"]],
        json_schema_extra={"uniqueItems": True},
    )
    hours: float | None = Field(default=None, gt=0, description="Hours of wall time at most, over all.", examples=[8])
    rounds: int | None = Field(default=None, ge=1, description="Rounds at most, over all.", examples=[20])
    fits: int | None = Field(default=None, ge=1, description="Trained fits at most, over all.", examples=[1000])


def load_queue(path: Path) -> QueuePlan:
    """Read a queue; raises :class:`~numerai_ray.errors.ConfigError` with all its problems."""
    return validate(QueuePlan, parse_yaml(read_text(path), str(path)), str(path))
