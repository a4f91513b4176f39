"""Several predictions on one pair of axes: experiments' winners, or Numerai's benchmark columns."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from numerai_ray.data.eras import era_label
from numerai_ray.report.plots.cumulative import Line
from numerai_ray.report.plots.drawing import SERIES_DASHES, Theme, canvas, end_labels, era_axis

# More lines than colours would be told apart by dashes alone.
MOST_LINES = 8


@dataclass(frozen=True, eq=False)
class CompareInfo:
    """Lines in the order given, at most :data:`MOST_LINES`; ``against`` is the benchmark that BMC is beyond."""

    title: str
    lines: tuple[Line, ...]
    against: str
    left_out: int


def compare_info(title: str, lines: Sequence[Line], against: str) -> CompareInfo | None:
    """The lines that have an era; None for none."""
    known = [line for line in lines if line.eras]
    if not known:
        return None
    return CompareInfo(title, tuple(known[:MOST_LINES]), against, max(0, len(known) - MOST_LINES))


def _first_known(line: Line) -> int:
    """The first era with a score; benchmarks begin later than the data."""
    known = np.flatnonzero(~np.isnan(line.corr))
    return line.eras[int(known[0]) if known.size else 0]


def draw_compare(info: CompareInfo, theme: Theme, ax: Any = None) -> Any:
    figure, axes_grid = canvas((10, 6.6), (2, 1), ax, sharex=True)
    upper, lower = axes_grid[:, 0]
    if ax is None:
        figure.get_layout_engine().set(w_pad=0.12, h_pad=0.06)
    first = era_label(min(_first_known(line) for line in info.lines))
    for axes, name in ((upper, "CORR"), (lower, "BMC")):
        ends: dict[str, float] = {}
        for place, line in enumerate(info.lines):
            values = line.corr if name == "CORR" else line.bmc
            dashes = SERIES_DASHES[place % len(SERIES_DASHES)]
            axes.plot(line.eras, values, color=theme.series[place], linestyle=dashes, linewidth=1.8)
            known = values[~np.isnan(values)]
            if known.size:
                ends[line.label] = float(known[-1])
        beyond = f"\nbeyond {info.against}" if name == "BMC" else ""
        axes.set_ylabel(f"Cumulative {name}{beyond}\n(sum over eras)")
        axes.margins(x=0)
        colors = {line.label: theme.series[place] for place, line in enumerate(info.lines)}
        end_labels(axes, ends, {line.label: line.label for line in info.lines}, colors)
    more = f"; {info.left_out} more not shown" if info.left_out else ""
    upper.set_title(f"{info.title}, from era {first}{more}", loc="left", fontsize=12, color=theme.text)
    figure.align_ylabels()
    for axes in (lower,) if ax is None else (upper, lower):
        era_axis(axes)
    return figure
