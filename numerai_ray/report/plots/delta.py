"""What each stage gained over what it is compared with, era by era, with the band of its interval."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from numerai_ray.errors import RequestError
from numerai_ray.experiment.paths import FOREIGN
from numerai_ray.experiment.records import RoundRecord, VariantRecord
from numerai_ray.experiment.scores import deltas_of, difference
from numerai_ray.experiment.standing import Headline, stage_of
from numerai_ray.metrics.significance import INTERVAL_PERCENT, PairedDelta, e4, verdict
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


def variants_delta_info(reading: Reading, wanted: Sequence[str]) -> DeltaInfo | None:
    """Differences of single variants to the base of their round, as the round judged them; a line each.

    What was itself a base is held against the experiment's, in its stage.

    Raises:
        RequestError: one of them is what the others are compared with.

    """
    lines = []
    for name in wanted:
        record, variant = _ran(reading, name)
        base = record.find("base") if variant.role != "base" else reading.base(stage_of(record.stage))
        if base is None or base.id == name:
            raise RequestError(f"delta: {name} is what the others are held against; name variants of a round")
        judged = next((row.evidence for row in reading.rows(record) if row.id == name), None)
        paired = difference(variant, base, reading.reader, reading.comparison) if judged is None else judged.to_base
        if paired is not None:
            title = f"{variant.name} minus {base.name}, {e4(paired.mean)} an era: {verdict(paired)}"
            where = f"round {record.number} ({record.stage})"
            lines.append(_summed(reading, (variant, base), paired, (where, title), reading.comparison.last))
    return DeltaInfo(tuple(lines), reading.metric.metric.title) if lines else None


def _ran(reading: Reading, name: str) -> tuple[RoundRecord, VariantRecord]:
    """The first round in which a variant ran, and its record there; as a base it stands in later ones too.

    Predictions of others ran in none, and stand in the latest.
    """
    found = [(record, each) for record in reading.history for each in record.variants if each.id == name]
    return found[-1 if name.startswith(FOREIGN) else 0]


def _line(reading: Reading, headline: Headline) -> DeltaLine | None:
    pair = reading.pair(headline.stage)
    if pair is None or headline.paired is None:
        return None
    gain = f"{e4(headline.difference)} an era: {verdict(headline.paired)}"
    title = f"{_short(headline.ours)} minus {_short(headline.theirs)}, {gain}"
    return _summed(reading, pair, headline.paired, (headline.stage, title), reading.overall.last)


def _summed(
    reading: Reading,
    pair: tuple[VariantRecord, VariantRecord],
    paired: PairedDelta,
    names: tuple[str, str],
    last: int,
) -> DeltaLine:
    """The line of a pair's differences over its ``last`` eras, with the band that ends at the interval."""
    eras, deltas = deltas_of(*pair, reading.reader)
    eras, total = eras[-last:], np.cumsum(deltas[-last:])
    count = np.arange(1, len(eras) + 1)
    reach = np.sqrt(count * len(eras))
    low, high = total - reach * (paired.mean - paired.low), total + reach * (paired.high - paired.mean)
    return DeltaLine(*names, tuple(eras.tolist()), total, low, high)


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
