"""Values for the page's script: figures and leaderboard as JSON knows them, short and without NaN."""

import math
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Any

import numpy as np

from numerai_ray.report.plots.cumulative import CumulativeInfo, Line
from numerai_ray.report.reading import Reading
from numerai_ray.report.tables import COLUMNS, flat

# What a picture of a thousand pixels can show.
DIGITS = 6
# The page's leaderboard has no use for these.
LEFT_OUT = ("name", "verdict_overall")


def page_value(value: Any) -> Any:
    """``value`` as JSON knows it: dataclasses as objects, arrays as lists, unknown numbers as null."""
    if isinstance(value, CumulativeInfo):
        return {"window": page_value(value.window), "series": [_series(*each) for each in value.lines.items()]}
    if is_dataclass(value):
        return {each.name: page_value(getattr(value, each.name)) for each in fields(value)}
    if isinstance(value, np.ndarray | np.generic):
        return page_value(value.tolist())
    if isinstance(value, Mapping):
        return {str(key): page_value(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [page_value(each) for each in value]
    if isinstance(value, float):
        return float(f"{value:.{DIGITS}g}") if math.isfinite(value) else None
    return value


def _series(kind: str, line: Line) -> dict[str, Any]:
    """A line's scores era by era: the page sums and smooths them itself."""
    return {
        "name": line.label,
        "kind": kind,
        "scores": {"era": list(line.eras), "corr": _per_era(line.corr), "bmc": _per_era(line.bmc)},
    }


def _per_era(sums: np.ndarray[Any, np.dtype[np.float64]]) -> list[float | None]:
    known = ~np.isnan(sums)
    scores = np.full(len(sums), np.nan)
    scores[known] = np.diff(sums[known], prepend=0.0)
    found: list[float | None] = page_value(scores)
    return found


def leaderboard_data(reading: Reading) -> dict[str, Any] | None:
    """Every row, a list each, with the names of the columns once; None where nothing ran."""
    if not reading.leaderboard:
        return None
    columns = [name for name in COLUMNS if name not in LEFT_OUT]
    return {
        "metric": reading.metric.titled(reading.comparison.last),
        "columns": columns,
        "rows": [[page_value(row.get(name)) for name in columns] for row in map(flat, reading.leaderboard)],
    }
