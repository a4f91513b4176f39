"""Trade-off between what pays: CORR against BMC or MMC of all variants of a stage, and their Pareto front."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from numerai_ray.config.plan_schema import Stage
from numerai_ray.experiment.decision import is_suspect
from numerai_ray.experiment.records import VariantRecord
from numerai_ray.metrics.registry import METRICS
from numerai_ray.metrics.scoring import Metrics
from numerai_ray.report.plots.drawing import Theme, canvas, two_lines
from numerai_ray.report.reading import Reading

Contribution = Literal["bmc", "mmc"]
# More names would not fit beside the picture.
MOST_NAMED = 8
LOOKS = {"variant": ("o", "second"), "base": ("s", "base"), "baseline": ("D", "baseline"), "best": ("o", "best")}


@dataclass(frozen=True)
class TradeoffPoint:
    """One configuration: means over all scored eras of CORR and of the contribution.

    ``front``: no other has more of both. ``kind`` is ``best`` (the winner), ``base``, ``baseline`` or ``variant``.
    """

    label: str
    kind: str
    corr: float
    contribution: float
    front: bool


@dataclass(frozen=True)
class TradeoffInfo:
    """Configurations of one stage, in the order of falling CORR; ``suspects`` and ``unknown`` count those left out."""

    stage: Stage
    metric: Contribution
    points: tuple[TradeoffPoint, ...]
    eras: int
    suspects: int
    unknown: int


def tradeoff_info(reading: Reading, metric: Contribution | None = None) -> TradeoffInfo | None:
    """Of the stage that has most variants to compare, the later at a tie; None for fewer than two.

    Args:
        reading: the experiment.
        metric: what CORR is drawn against; without one MMC where the plan decides by it, and BMC anywhere else.

    """
    wanted: Contribution = metric or ("mmc" if reading.metric.series == "mmc" else "bmc")
    ran = {stage: reading.configurations(stage) for stage in reading.stages}
    stage = max(ran, key=lambda each: (len(ran[each]), reading.stages.index(each)))
    known = [each for each in ran[stage] if not math.isnan(_means(each, wanted)[1])]
    # A leak is far off, and no choice; where everything is suspect, the user has seen that and goes on.
    honest = [each for each in known if not is_suspect(each)] or known
    if len(honest) < 2:
        return None
    kinds = _kinds(reading, stage)
    means = sorted(((*_means(each, wanted), each) for each in honest), key=lambda each: (-each[0], -each[1]))
    front = front_of([(corr, contribution) for corr, contribution, _ in means])
    points = [
        TradeoffPoint(each.id, kinds.get(each.id, "variant"), corr, contribution, place in front)
        for place, (corr, contribution, each) in enumerate(means)
    ]
    first = honest[0].metrics
    eras = 0 if first is None else _summary(first, wanted)[1]
    return TradeoffInfo(stage, wanted, tuple(points), eras, len(known) - len(honest), len(ran[stage]) - len(known))


def front_of(points: Sequence[tuple[float, float]]) -> set[int]:
    """Places of the points that no other has as much of both of; of equal points the first.

    >>> sorted(front_of([(3, 1), (2, 2), (2, 1), (1, 3)]))
    [0, 1, 3]
    """
    found: set[int] = set()
    highest = -math.inf
    for place in sorted(range(len(points)), key=lambda each: (-points[each][0], -points[each][1], each)):
        if points[place][1] > highest:
            found.add(place)
            highest = points[place][1]
    return found


def tradeoff_caption(info: TradeoffInfo) -> str:
    """What the picture does not say by itself."""
    title = METRICS[info.metric].title
    left_out = [
        f"{count} {what} {'is' if count == 1 else 'are'} not shown"
        for count, what in ((info.suspects, "suspected of a leak"), (info.unknown, f"without {title}"))
        if count
    ]
    rest = "".join(f"; {each}" for each in left_out)
    front = "The line is the front: nothing tried has more of both than what lies on it"
    if sum(point.front for point in info.points) == 1:
        front = "The front is one point: nothing tried has more of either"
    return (
        f"A point is a configuration of stage {info.stage}: means over all scored eras, {title} over {info.eras} of "
        f"them. {front}{rest}. Neighbours may differ by noise alone; the leaderboard's intervals tell."
    )


def draw_tradeoff(info: TradeoffInfo, theme: Theme, ax: Any = None) -> Any:
    figure, grid = canvas((9, 4.6), ax=ax)
    axes = grid[0, 0]
    front = [point for point in info.points if point.front]
    if len(front) > 1:
        line = {"color": theme.kinds["best"], "linewidth": 1.4, "zorder": 1, "drawstyle": "steps-post"}
        axes.plot([each.corr for each in front], [each.contribution * 1e4 for each in front], label="front", **line)
    for kind, (marker, color) in LOOKS.items():
        own = [point for point in info.points if point.kind == kind]
        if own:
            fill = theme.background if kind == "variant" else theme.kinds[color]
            look = {"marker": marker, "s": 46, "color": fill, "edgecolors": theme.kinds[color], "linewidths": 1.3}
            across, up = [each.corr for each in own], [each.contribution * 1e4 for each in own]
            axes.scatter(across, up, label=kind, zorder=3, **look)
    named = front if len(front) <= MOST_NAMED else []
    for number, point in enumerate(named, start=1):
        place = (point.corr, point.contribution * 1e4)
        axes.annotate(
            str(number), place, (5, 4), textcoords="offset points", fontsize=10.5, fontweight="bold", color=theme.text
        )
    if ax is None:
        axes.grid(visible=True, axis="x")
    axes.margins(0.1)
    axes.locator_params(axis="x", nbins=6)
    axes.set_xlabel("CORR, mean of all scored eras")
    axes.set_ylabel(f"{METRICS[info.metric].title}, mean of all\nscored eras (1e-4)")
    _key(figure, axes, [point.label for point in named], ax)
    return figure


def _key(figure: Any, axes: Any, names: Sequence[str], ax: Any) -> None:
    """What marks mean, and which configurations the numbers on the front are."""
    from matplotlib.lines import Line2D  # noqa: PLC0415

    handles, labels = axes.get_legend_handles_labels()
    look = {"linestyle": "none", "markersize": 8, "markeredgewidth": 0, "color": axes.yaxis.label.get_color()}
    handles = [*handles, *(Line2D([], [], marker=f"${number}$", **look) for number in range(1, len(names) + 1))]
    shown = [*labels, *(two_lines(name.replace("=target_", "="), 26) for name in names)]
    if ax is None:
        figure.legend(handles, shown, loc="outside right upper", frameon=False, fontsize=10)
    else:
        axes.legend(handles, shown, frameon=False, fontsize=8)


def _kinds(reading: Reading, stage: Stage) -> dict[str, str]:
    """What a configuration is beside a variant, by id; the winner is that before it is the base."""
    found = {}
    for kind, record in (
        ("baseline", reading.baseline(stage)),
        ("base", reading.base(stage)),
        ("best", reading.best(stage)),
    ):
        if record is not None:
            found[record.id] = kind
    return found


def _means(variant: VariantRecord, metric: Contribution) -> tuple[float, float]:
    """Mean CORR and mean contribution; NaN where one is unknown."""
    if variant.metrics is None:
        return math.nan, math.nan
    corr, contribution = variant.metrics.corr.mean, _summary(variant.metrics, metric)[0]
    return (corr, contribution) if not math.isnan(corr) else (math.nan, math.nan)


def _summary(metrics: Metrics, metric: Contribution) -> tuple[float, int]:
    """Mean and number of eras; NaN and 0 where no era has what it is measured after."""
    found = metrics.bmc if metric == "bmc" else metrics.mmc
    return (math.nan, 0) if found is None else (found.mean, found.n_eras)
