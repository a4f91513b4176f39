"""The primary metric against the swept value, a panel a round."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from numerai_ray.config.search_space import value_text
from numerai_ray.experiment.records import RoundRecord
from numerai_ray.metrics.significance import INTERVAL_PERCENT
from numerai_ray.report.plots.drawing import Theme, canvas, counted_eras, put_legend, shortened
from numerai_ray.report.plots.rounds import interval_bar, kind_of
from numerai_ray.report.reading import Reading

# More panels than these would be too small to read; the newest rounds are shown.
MOST_PANELS = 12
COLUMNS = 3
# Values whose largest is this many times the smallest are spread by their logarithm.
LOG_RATIO = 6


@dataclass(frozen=True)
class Swept:
    """One configuration of a panel: its value of the dimension, where it is drawn, its metric and interval."""

    value: str
    x: float
    primary: float
    bar: tuple[float, float]
    kind: str


@dataclass(frozen=True)
class Panel:
    """One scout round: base and variants ordered by value; ``scale`` is ``linear``, ``log`` or ``names``."""

    number: int
    dimension: str
    path: str
    scale: str
    points: tuple[Swept, ...]
    failed: int


@dataclass(frozen=True)
class SweepsInfo:
    """The panels shown, of ``rounds`` scout rounds; ``last`` is how many eras the metric counts."""

    panels: tuple[Panel, ...]
    rounds: int
    last: int
    metric: str = "BMC"


def sweeps_info(reading: Reading) -> SweepsInfo | None:
    """A panel for each of the latest scout rounds in which a variant was scored; None when there is none."""
    panels = [panel for record in reading.scouts if (panel := _panel(reading, record)) is not None]
    if not panels:
        return None
    return SweepsInfo(tuple(panels[-MOST_PANELS:]), len(panels), reading.comparison.last, reading.metric.metric.title)


def _panel(reading: Reading, record: RoundRecord) -> Panel | None:
    dimension = reading.loaded.space.dimensions.get(record.dimension or "")
    if dimension is None or record.dimension is None:
        return None
    base = reading.base_values(record).get(dimension.path)
    rows = [row for row in reading.rows(record) if row.role in {"base", "variant"}]
    known = [(row.changes.get(dimension.path, base), row) for row in rows if not math.isnan(row.primary)]
    if len(known) < 2:
        return None
    scale, places = _places([value for value, _ in known])
    points = [
        Swept(shown_value(value), x, row.primary, interval_bar(row), kind_of(row, record.stage))
        for (value, row), x in zip(known, places, strict=True)
    ]
    ordered = tuple(sorted(points, key=lambda point: point.x))
    return Panel(record.number, record.dimension, dimension.path, scale, ordered, len(rows) - len(known))


def _places(values: Sequence[Any]) -> tuple[str, list[float]]:
    """Where values stand along x: numbers by size or logarithm, anything else in the order given."""
    numeric = all(isinstance(value, int | float) and not isinstance(value, bool) for value in values)
    if numeric and len(set(values)) == len(values):
        low, high = min(values), max(values)
        if low > 0 and high / low >= LOG_RATIO:
            return "log", [math.log(value) for value in values]
        return "linear", [float(value) for value in values]
    return "names", [float(place) for place in range(len(values))]


def shown_value(value: Any) -> str:
    """A value as short as it can be told: ``63``, ``0.0123``, ``ender_60``, ``small 0.5``."""
    if isinstance(value, float):
        return f"{value:.3g}"
    if isinstance(value, Mapping):
        # What its keys mean is told by the plan; the values are what tells one from another.
        return " ".join(map(shown_value, value.values()))
    return value_text(value).removeprefix("target_")


def sweeps_caption(info: SweepsInfo) -> str:
    """What the picture does not say by itself."""
    bar = f"a bar is the {INTERVAL_PERCENT} % interval of the paired difference to the round's base"
    parts = [f"A panel a scout round; {bar}, whose value is the dashed line."]
    if info.rounds > len(info.panels):
        parts.append(f"The latest {len(info.panels)} of {info.rounds} rounds.")
    failed = sum(panel.failed for panel in info.panels)
    if failed:
        parts.append(f"{failed} trial{'s' if failed > 1 else ''} without a value not shown.")
    return " ".join(parts)


def draw_sweeps(info: SweepsInfo, theme: Theme, ax: Any = None) -> Any:
    columns = min(COLUMNS, len(info.panels))
    rows = math.ceil(len(info.panels) / columns)
    size = (9 if columns > 1 else 6, 0.9 + 2.75 * rows)
    figure, grid = canvas(size, (rows, columns), ax, sharey=True)
    for axes, panel in zip(grid.flat, info.panels, strict=False):
        _draw_panel(axes, panel, theme)
    for unused in grid.flat[len(info.panels) :]:
        unused.set_visible(False)
    for axes in grid[:, 0]:
        axes.set_ylabel(f"{info.metric}, mean of\n{counted_eras(info.last)} scored eras (1e-4)")
    handles: dict[str, Any] = {}
    for axes in grid.flat[: len(info.panels)]:
        for handle, label in zip(*axes.get_legend_handles_labels(), strict=True):
            handles.setdefault(label, handle)
    put_legend(figure, grid.flat[0], (list(handles.values()), list(handles)), ax)
    return figure


def _draw_panel(axes: Any, panel: Panel, theme: Theme) -> None:
    looks = {
        "base": ("s", theme.kinds["base"], theme.kinds["base"]),
        "variant": ("o", theme.background, theme.text),
        "winner": ("o", theme.kinds["best"], theme.kinds["best"]),
    }
    for kind, (marker, inside, edge) in looks.items():
        chosen = [point for point in panel.points if point.kind == kind]
        if not chosen:
            continue
        xs, ys = [point.x for point in chosen], [point.primary * 1e4 for point in chosen]
        errors = np.array([point.bar for point in chosen]).T * 1e4
        axes.errorbar(xs, ys, errors, fmt="none", ecolor=edge, elinewidth=1.3, alpha=0.7, zorder=2)
        axes.scatter(xs, ys, s=55, marker=marker, color=inside, edgecolors=edge, linewidths=1.4, zorder=3, label=kind)
    ordered = [point.primary * 1e4 for point in panel.points]
    if panel.scale != "names":
        axes.plot([point.x for point in panel.points], ordered, color=theme.text, linewidth=0.9, alpha=0.45, zorder=1)
    level = next((point.primary * 1e4 for point in panel.points if point.kind == "base"), None)
    if level is not None:
        axes.axhline(level, color=theme.kinds["base"], linewidth=1, linestyle=(0, (5, 2)), zorder=1)
    names = [shortened(point.value, 14) for point in panel.points]
    turned = sum(map(len, names)) > 20
    places = [point.x for point in panel.points]
    axes.set_xticks(
        places,
        names,
        rotation=35 if turned else 0,
        ha="right" if turned else "center",
        rotation_mode="anchor" if turned else None,
        fontsize=10.5,
    )
    # Names stand a place apart each, and want room at both ends.
    margin = 0.5 if panel.scale == "names" else 0.12 * ((max(places) - min(places)) or 1.0)
    axes.set_xlim(min(places) - margin, max(places) + margin)
    axes.set_title(f"{panel.number} · {shortened(panel.dimension, 22)}", fontsize=11.5, loc="left")
