"""The primary metric round by round, with the best so far."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from numerai_ray.metrics.significance import INTERVAL_PERCENT
from numerai_ray.report.plots.drawing import Theme, canvas, counted_eras, put_legend
from numerai_ray.report.reading import Reading
from numerai_ray.report.tables import Row

# A round's name upright takes as much.
NAME_INCHES = 1.1
MARKERS = {"variant": "o", "base": "s", "baseline": "D", "winner": "o"}


@dataclass(frozen=True)
class Point:
    """One configuration of one round.

    ``x`` is the round's number, ``offset`` where beside it the point is drawn, lest the bars of a round cover each
    other; ``kind`` is ``variant``, ``winner``, ``base`` or ``baseline``; ``bar`` is how far
    the interval of the difference to the base reaches below and above, 0 where it is unknown.
    """

    x: int
    offset: float
    kind: str
    primary: float
    bar: tuple[float, float]
    id: str = ""
    bmc: float = math.nan
    corr: float = math.nan
    delta: float = math.nan


@dataclass(frozen=True)
class RoundsInfo:
    """The primary metric round by round.

    ``ticks`` has each round's name; ``best_so_far`` one (place, primary) a scout round; ``borders`` where a stage
    ends, because values of different stages do not compare; ``failed`` counts trials without a value; ``last`` is
    how many eras the metric counts.
    """

    points: tuple[Point, ...]
    ticks: tuple[tuple[int, str], ...]
    best_so_far: tuple[tuple[float, float], ...]
    borders: tuple[float, ...]
    failed: int
    last: int
    metric: str = "BMC"


def rounds_info(reading: Reading) -> RoundsInfo | None:
    """Every scored configuration by round; None when there is none."""
    points, ticks, best_so_far, borders = [], [], [], []
    failed = 0
    previous = None
    for record in reading.history:
        if previous is not None and record.stage != previous:
            borders.append(record.number - 0.5)
        previous = record.stage
        ticks.append((record.number, "several" if record.kind == "joint" else record.dimension or record.stage))
        rows = [row for row in reading.rows(record) if row.role != "benchmark"]
        known = [row for row in rows if not math.isnan(row.primary)]
        failed += len(rows) - len(known)
        for place, row in enumerate(known):
            offset = 0.6 * ((place + 0.5) / len(known) - 0.5)
            where = (record.number, offset, kind_of(row, record.stage), row.primary, interval_bar(row))
            points.append(Point(*where, row.id, row.bmc_mean, row.corr_mean, row.delta))
            if record.stage == "scout" and row.winner:
                best_so_far.append((record.number + offset, row.primary))
    if not points:
        return None
    last = reading.comparison.last
    return RoundsInfo(
        tuple(points), tuple(ticks), tuple(best_so_far), tuple(borders), failed, last, reading.metric.metric.title
    )


def interval_bar(row: Row) -> tuple[float, float]:
    """How far the interval of a row's difference to the base reaches below and above it."""
    delta = row.evidence.to_base if row.evidence else None
    if delta is None or math.isnan(delta.low):
        return 0.0, 0.0
    return max(delta.mean - delta.low, 0.0), max(delta.high - delta.mean, 0.0)


def kind_of(row: Row, stage: str) -> str:
    """``winner`` or the row's role; the final's only candidate stands where a base stands in other rounds."""
    won = row.winner if row.role == "variant" else row.role == "base" and stage == "final"
    return "winner" if won else row.role


def rounds_caption(info: RoundsInfo) -> str:
    """What the picture does not say by itself."""
    parts = [f"A bar is the {INTERVAL_PERCENT} % interval of the paired difference to the round's base."]
    if info.borders:
        parts.append("Stages are parted by lines: their data differ, so their values do not compare.")
    if info.failed:
        parts.append(f"{info.failed} trial{'s' if info.failed > 1 else ''} without a value not shown.")
    return " ".join(parts)


def draw_rounds(info: RoundsInfo, theme: Theme, ax: Any = None) -> Any:
    figure, grid = canvas((9, 4.2), ax=ax)
    axes = grid[0, 0]
    colors = theme.kinds
    if len(info.best_so_far) > 1:
        best = np.array(info.best_so_far)
        style: Any = {"color": colors["best"], "linewidth": 1.7, "zorder": 2, "drawstyle": "steps-post"}
        axes.plot(best[:, 0], best[:, 1] * 1e4, label="best so far", **style)
    edges = {"variant": theme.text, "base": colors["base"], "baseline": colors["baseline"], "winner": colors["best"]}
    many = len(info.points) > 120
    for kind, edge in edges.items():
        chosen = [point for point in info.points if point.kind == kind]
        if not chosen:
            continue
        xs = [point.x + point.offset for point in chosen]
        ys = [point.primary * 1e4 for point in chosen]
        errors = np.array([point.bar for point in chosen]).T * 1e4
        axes.errorbar(xs, ys, errors, fmt="none", ecolor=edge, elinewidth=0.5 if many else 1.2, alpha=0.6, zorder=1)
        inside = theme.background if kind == "variant" else edge
        look: Any = {"s": 14 if many else 52, "marker": MARKERS[kind], "linewidths": 0.7 if many else 1.3}
        axes.scatter(xs, ys, color=inside, edgecolors=edge, zorder=3, label=kind, **look)
    for border in info.borders:
        axes.axvline(border, color=theme.text, linewidth=0.8, linestyle=(0, (3, 3)), alpha=0.6)
    _name_rounds(axes, info.ticks)
    axes.set_ylabel(f"{info.metric}, mean of {counted_eras(info.last)}\nscored eras (1e-4)")
    put_legend(figure, axes, axes.get_legend_handles_labels(), ax)
    return figure


def _name_rounds(axes: Any, ticks: tuple[tuple[int, str], ...]) -> None:
    """Round numbers and names along x; numbers alone, and not all of them, where names would not fit."""
    positions = [x for x, _ in ticks]
    axes.set_xlim(positions[0] - 0.6, positions[-1] + 0.6)
    axes.set_xlabel("Round")
    if len(ticks) > 16:
        from matplotlib.ticker import MaxNLocator  # noqa: PLC0415

        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        return
    width = axes.get_position().width * axes.figure.get_figwidth()
    crowded = width / len(ticks) < NAME_INCHES
    names = [f"{x} {name}" if crowded else f"{x}\n{name}" for x, name in ticks]
    axes.set_xticks(positions, names, rotation=35 if crowded else 0, ha="right" if crowded else "center")
