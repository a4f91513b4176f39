"""Drift of a data version: its blocks of eras in time, and its groups of features against the past's range."""

from dataclasses import dataclass
from typing import Any

from numerai_ray.data.files.drift import Drift, GroupDrift
from numerai_ray.report.plots.drawing import Theme, era_axis, new_figure, shortened

MOST_GROUPS = 16


@dataclass(frozen=True, eq=False)
class DriftInfo:
    """``blocks`` as in :class:`~numerai_ray.data.files.drift.Drift`; ``groups`` all features first."""

    title: str
    blocks: tuple[tuple[int, float, float, float], ...]
    groups: tuple[GroupDrift, ...]


def drift_info(drift: Drift) -> DriftInfo:
    """What is drawn of a drift."""
    newest = "–".join(drift.newest)
    title = f"{drift.version}, {drift.file}: eras {newest} against {drift.past_blocks} past blocks"
    return DriftInfo(title, drift.blocks, drift.groups[:MOST_GROUPS])


def draw_drift(info: DriftInfo, theme: Theme) -> Any:
    figure = new_figure(9, 3.6 + 0.3 * max(4, len(info.groups)))
    above, below = figure.subfigures(2, 1, height_ratios=[2.6, 1.0 + 0.3 * max(4, len(info.groups))])
    figure.suptitle(info.title, fontsize=10.5, x=0.01, ha="left", color=theme.text)
    names = ("agreement of what\npays with the past", "shift of values", "missing share")
    past, newest = theme.kinds["benchmark"], theme.kinds["base"]
    for axes, name, column in zip(above.subplots(1, 3), names, (3, 2, 1), strict=True):
        points = [(block[0], block[column]) for block in info.blocks]
        axes.plot(*zip(*points, strict=True), color=past, linewidth=1.2, marker="o", markersize=3)
        axes.scatter([points[-1][0]], [points[-1][1]], s=46, color=newest, zorder=3)
        axes.set_title(name, loc="left", fontsize=10.5)
        axes.locator_params(axis="both", nbins=4)
        axes.margins(y=0.15)
        era_axis(axes, "Era")
    left, right = below.subplots(1, 2, sharey=True)
    for axes, kind, name in ((left, "agreement", "agreement"), (right, "shift", "shift")):
        for row, group in enumerate(info.groups):
            value = getattr(group, kind)
            unusual = value.is_low if kind == "agreement" else value.is_high
            axes.plot([value.low, value.high], [row, row], color=past, linewidth=5, alpha=0.45, solid_capstyle="butt")
            axes.plot([value.middle], [row], color=past, marker="|", markersize=9)
            color = newest if unusual else theme.kinds["best"]
            axes.scatter([value.newest], [row], s=34, color=color, marker="D" if unusual else "o", zorder=3)
        axes.set_title(f"{name}: past blocks' range, and the newest", loc="left", fontsize=10.5)
        axes.grid(visible=True, axis="x")
        axes.grid(visible=False, axis="y")
        axes.locator_params(axis="x", nbins=5)
    left.set_yticks(range(len(info.groups)), [shortened(f"{each.group} ({each.features})", 22) for each in info.groups])
    left.invert_yaxis()
    return figure
