"""Joint rounds as the page draws them: an axis a dimension, a line a configuration, and what it was worth."""

from collections.abc import Sequence
from typing import Any

from numerai_ray.config.plan import LoadedPlan
from numerai_ray.config.ranges import is_number
from numerai_ray.config.search_space import Dimension
from numerai_ray.experiment.records import RoundRecord
from numerai_ray.session.reading import search_so_far

# More lines are a surface; the latest are shown.
MOST_LINES = 600


def joint_lines(loaded: LoadedPlan, history: Sequence[RoundRecord]) -> dict[str, Any] | None:
    """Axes, metrics and lines of all scout configurations; None where no round varied several dimensions."""
    if not any(record.kind == "joint" for record in history):
        return None
    search = search_so_far(loaded, history)
    dimensions = search.joined()
    if not dimensions:
        return None
    scores = search.objectives() if search.metrics else [(each,) for _, each in search.results().values()]
    lines = [
        {"id": trial, "values": [values[name] for name in dimensions], "scores": list(own)}
        for trial, (values, _), own in zip(search.results(), search.scored(list(dimensions)), scores, strict=True)
    ][-MOST_LINES:]
    axes = [
        _axis(name, dimension, [line["values"][at] for line in lines])
        for at, (name, dimension) in enumerate(dimensions.items())
    ]
    return {"axes": axes, "metrics": list(search.metrics) or [loaded.plan.metric], "lines": lines}


def _axis(name: str, dimension: Dimension, seen: Sequence[Any]) -> dict[str, Any]:
    """Its names in order, or where it begins and ends; wide enough for what ran."""
    listed = [*dimension.values, *(each for each in seen if each is not None)]
    span = dimension.span
    numbers = [*listed, *([span.low, span.high] if span is not None else [])]
    if numbers and all(is_number(each) for each in numbers):
        low, high = min(numbers), max(numbers)
        log = low > 0 and (span.scale == "log" if span is not None else high / low >= 20)
        return {"name": name, "low": low, "high": high, "log": log}
    return {"name": name, "names": list(dict.fromkeys(_shown(each) for each in listed))}


def _shown(value: Any) -> str:
    """As the page writes a value that is no number."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)
