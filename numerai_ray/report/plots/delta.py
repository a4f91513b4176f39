"""What each stage gained over what it is compared with, era by era, with the band of its interval."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from numerai_ray.experiment.standing import Headline
from numerai_ray.metrics.significance import INTERVAL_PERCENT, e4, verdict
from numerai_ray.report.plots.drawing import Theme, canvas, era_axis, shortened
from numerai_ray.report.reading import Reading

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class DeltaLine:
    """One stage's cumulative difference of the primary metric over the eras that it counts; arrays are (n_eras,).

    The band ends where the interval of the mean ends, times the eras; on the way it is as wide as noise of the same
    size in every era makes it, which grows with the square root of the eras.
    """

    stage: str
    title: str
    eras: tuple[int, ...]
    total: Floats
    low: Floats
    high: Floats


@dataclass(frozen=True)
class DeltaInfo:
    """One line a stage that compared anything, in the stages' order; ``metric`` is the title of the primary one."""

    lines: tuple[DeltaLine, ...]
    metric: str = "BMC"


def delta_info(reading: Reading) -> DeltaInfo | None:
    """Differences of the stages' headlines; None where none has per-era scores."""
    headlines = [headline for stage in reading.stages if (headline := reading.headline(stage)) is not None]
    lines = [line for headline in headlines if (line := _line(reading, headline)) is not None]
    return DeltaInfo(tuple(lines), reading.metric.metric.title) if lines else None


def _line(reading: Reading, headline: Headline) -> DeltaLine | None:
    pair = reading.pair(headline.stage)
    if pair is None or headline.paired is None:
        return None
    ours, theirs = (reading.scores(each) for each in pair)
    if ours is None or theirs is None:
        return None
    base = dict(zip(theirs.eras, np.asarray(theirs.judged.values).tolist(), strict=True))
    own = zip(ours.eras, np.asarray(ours.judged.values).tolist(), strict=True)
    both = [(era, value - base.get(era, math.nan)) for era, value in own]
    counted = [(era, delta) for era, delta in both if not math.isnan(delta)][-reading.overall.last :]
    eras = tuple(era for era, _ in counted)
    total = np.cumsum([delta for _, delta in counted])
    paired, count = headline.paired, np.arange(1, len(counted) + 1)
    reach = np.sqrt(count * len(counted))
    return DeltaLine(
        headline.stage,
        f"{_short(headline.ours)} minus {_short(headline.theirs)}, {e4(headline.difference)} an era: {verdict(paired)}",
        eras,
        total,
        total - reach * (paired.mean - paired.low),
        total + reach * (paired.high - paired.mean),
    )


def _short(name: str) -> str:
    """``best`` for the best configuration: the picture's caption and the text have the whole words."""
    return {"the best configuration": "best", "the experiment's base": "base", "the baseline": "baseline"}.get(
        name, name
    )


def delta_caption(info: DeltaInfo) -> str:
    """What the picture does not say by itself."""
    stages = ", ".join(line.stage for line in info.lines)
    return (
        f"Stages: {stages}. The band is the {INTERVAL_PERCENT} % interval; at the last era it is that of the mean "
        f"difference, times the number of eras. The verdict allows for the whole search."
    )


def draw_delta(info: DeltaInfo, theme: Theme, ax: Any = None) -> Any:
    count = len(info.lines)
    figure, axes_grid = canvas((9, 0.9 + 2.5 * count), (count, 1), ax)
    for axes, line in zip(axes_grid[:, 0], info.lines, strict=True):
        color = theme.kinds["best"]
        axes.fill_between(line.eras, line.low, line.high, color=color, alpha=0.22, linewidth=0)
        axes.plot(line.eras, line.total, color=color, linewidth=2)
        axes.axhline(0, color=theme.kinds["base"], linewidth=1.3, linestyle=(0, (5, 2)))
        axes.set_title(f"{line.stage}: {shortened(line.title, 78)}", loc="left", fontsize=11.5, color=theme.text)
        axes.margins(x=0.01)
        era_axis(axes, "Era (a week each)" if line is info.lines[-1] else "")
        axes.set_ylabel(f"Cumulative {info.metric} gain\n(sum over eras)")
    figure.align_ylabels()
    return figure
