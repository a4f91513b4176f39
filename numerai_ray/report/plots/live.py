"""A deployed model's rounds: each week's score, the running mean with its interval, what the experiment promised."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

import numpy as np

from numerai_ray.metrics.sequential import Live, Promise
from numerai_ray.metrics.significance import Series
from numerai_ray.report.plots.drawing import Theme, new_figure
from numerai_ray.report.plots.since import SincePanel, draw_running


@dataclass(frozen=True, eq=False)
class LiveInfo:
    """``panels`` by score; their ``eras`` are numbers of calendar weeks, the first one that of 1 January of year 1."""

    model: str
    panels: Mapping[str, SincePanel]


def live_info(model: str, scores: Mapping[str, tuple[Promise, Series, Live]]) -> LiveInfo | None:
    """What there is to draw of a model: promise, weekly values and judgement by score; None without resolved rounds."""
    panels = {
        name: SincePanel(
            f"{model}, {name.upper()}: {live.word}",
            live.eras,
            np.asarray(weeks.values, np.float64),
            live.mean,
            live.low,
            live.high,
            promise.mean,
            promise.standard_error,
        )
        for name, (promise, weeks, live) in scores.items()
        if live.eras
    }
    return LiveInfo(model, panels) if panels else None


def draw_live(info: LiveInfo, theme: Theme) -> Any:
    figure = new_figure(9, 0.9 + 2.7 * len(info.panels))
    rows = np.atleast_1d(figure.subplots(len(info.panels), 1, sharex=True))
    for axes, (name, panel) in zip(rows, info.panels.items(), strict=True):
        draw_running(axes, panel, theme)
        axes.set_title(panel.title, loc="left", fontsize=10.5, color=theme.text)
        axes.set_ylabel(f"{name.upper()}, 1e-4")
    rows[-1].set_xlabel("Week in which the rounds opened (its Monday)")
    rows[-1].xaxis.get_major_locator().set_params(integer=True, nbins=6)
    rows[-1].xaxis.set_major_formatter(lambda value, _: monday(round(value)).isoformat())
    return figure


def monday(week: int) -> date:
    """The first day of a numbered week."""
    return date(1, 1, 1) + timedelta(days=7 * week)
