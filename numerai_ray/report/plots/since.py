"""The winner's gain on eras after the decision: each era, the running mean with its interval, what was promised."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from numerai_ray.metrics.significance import INTERVAL_PERCENT
from numerai_ray.report.plots.drawing import Theme, canvas, era_axis
from numerai_ray.report.reading import Reading

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class SincePanel:
    """One comparison: ``values`` (n,) of each era, running ``mean``, ``low`` and ``high`` (n,), promise ± its error."""

    title: str
    eras: tuple[int, ...]
    values: Floats
    mean: Floats
    low: Floats
    high: Floats
    promise: float
    error: float


@dataclass(frozen=True, eq=False)
class SinceInfo:
    """A panel for each configuration that the winner is compared with."""

    panels: tuple[SincePanel, ...]


def since_info(reading: Reading) -> SinceInfo | None:
    """What was rechecked of the newest decision; None where there is nothing, or no promise to hold it against."""
    record = reading.live
    panels = []
    for pair in record.pairs if record is not None else ():
        if pair.promise is None or pair.live is None or not pair.live.eras:
            continue
        live, values = pair.live, pair.values
        panels.append(
            SincePanel(
                f"winner − {pair.theirs}: {live.word}",
                live.eras,
                values[~np.isnan(values)],
                live.mean,
                live.low,
                live.high,
                pair.promise.mean,
                pair.promise.standard_error,
            )
        )
    return SinceInfo(tuple(panels)) if panels else None


def since_caption(info: SinceInfo) -> str:
    """What the picture does not say by itself."""
    count = len(info.panels[0].eras)
    return (
        f"A dot is the difference in BMC of one of {count} eras after the decision; the line is their running mean, "
        f"the shade its {INTERVAL_PERCENT} % interval, which holds at every era together; dashed, what was promised, "
        f"give or take its standard error (dotted). Units of 1e-4."
    )


def draw_since(info: SinceInfo, theme: Theme, ax: Any = None) -> Any:
    figure, grid = canvas((9, 0.9 + 2.7 * len(info.panels)), (len(info.panels), 1), ax, sharex=True)
    for axes, panel in zip(grid[:, 0], info.panels, strict=True):
        draw_running(axes, panel, theme)
        axes.set_title(panel.title, loc="left", fontsize=10.5, color=theme.text)
        axes.set_ylabel("BMC, 1e-4")
    era_axis(grid[-1, 0])
    grid[-1, 0].xaxis.get_major_locator().set_params(integer=True)
    return figure


def draw_running(axes: Any, panel: SincePanel, theme: Theme) -> None:
    """Values, running mean, interval and promise on one pair of axes, in units of 1e-4."""
    live, base = theme.kinds["best"], theme.kinds["base"]
    at = np.array(panel.eras)
    known = np.isfinite(panel.low)
    axes.axhline(0, color=theme.text, linewidth=1)
    axes.fill_between(at, panel.low * 1e4, panel.high * 1e4, where=known, color=live, alpha=0.18, linewidth=0)
    axes.scatter(at, panel.values * 1e4, s=12, color=live, alpha=0.55, linewidths=0)
    axes.plot(at, panel.mean * 1e4, color=live, linewidth=2)
    axes.axhline(panel.promise * 1e4, color=base, linewidth=1.6, linestyle=(0, (5, 2)))
    for edge in (panel.promise - panel.error, panel.promise + panel.error):
        axes.axhline(edge * 1e4, color=base, linewidth=1, linestyle=(0, (1, 2)))
    # The first intervals are as wide as the world; what matters is where things stand now.
    shown = np.concatenate([panel.values, [0.0, panel.promise - panel.error, panel.promise + panel.error]])
    if known.any():
        shown = np.append(shown, [panel.low[known][-1], panel.high[known][-1]])
    room = 0.06 * (shown.max() - shown.min() or 1e-4)
    axes.set_ylim((shown.min() - room) * 1e4, (shown.max() + room) * 1e4)
