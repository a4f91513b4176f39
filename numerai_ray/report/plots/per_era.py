"""The distribution of per-era scores: a mean says nothing about the eras that it is made of."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from numerai_ray.config.plan_schema import Stage
from numerai_ray.experiment.records import VariantRecord
from numerai_ray.experiment.standing import primary_of
from numerai_ray.report.plots.drawing import Theme, canvas, shortened
from numerai_ray.report.reading import Reading

Floats = npt.NDArray[np.float64]
MOST_OTHERS = 3


@dataclass(frozen=True, eq=False)
class EraSpread:
    """One configuration's known per-era scores, of any order."""

    label: str
    kind: str
    corr: Floats
    bmc: Floats


@dataclass(frozen=True)
class PerEraInfo:
    """Configurations of one stage, best first; the benchmark has no BMC of its own."""

    stage: Stage
    spreads: tuple[EraSpread, ...]


def per_era_info(reading: Reading) -> PerEraInfo | None:
    """Best, further variants, base, baseline and benchmark of the latest stage; None without per-era scores."""
    stage = reading.latest_stage
    if stage is None:
        return None
    chosen: dict[str, tuple[str, str, VariantRecord]] = {}

    def add(label: str, kind: str, record: VariantRecord | None) -> None:
        if record is not None and record.id not in chosen:
            chosen[record.id] = (label, kind, record)

    best = reading.best(stage)
    add("best", "best", best)
    ran = [v for r in reading.of(stage) for v in r.variants if v.role == "variant" and not math.isnan(primary_of(v))]
    for variant in sorted(ran, key=lambda each: -primary_of(each))[: MOST_OTHERS + 1]:
        add(variant.name, "second", variant)
    add("base", "base", reading.base(stage))
    add("baseline", "baseline", reading.baseline(stage))
    add("benchmark", "benchmark", reading.benchmark(stage))
    spreads = []
    for label, kind, record in chosen.values():
        stored = reading.scores(record)
        if stored is not None:
            bmc = np.empty(0) if kind == "benchmark" else _known(stored.scores.bmc)
            spreads.append(EraSpread(shortened(label, 24), kind, _known(stored.scores.corr), bmc))
    return PerEraInfo(stage, tuple(spreads)) if spreads else None


def _known(scores: Floats) -> Floats:
    return scores[~np.isnan(scores)]


def per_era_caption(info: PerEraInfo) -> str:
    """What the picture does not say by itself."""
    return f"Stage {info.stage}. A dot is an era, the box their middle half, the whiskers 90 %, the diamond the mean."


def draw_per_era(info: PerEraInfo, theme: Theme, ax: Any = None) -> Any:
    figure, axes_grid = canvas((9, 1.3 + 0.62 * len(info.spreads)), (1, 2), ax, sharey=True)
    pair = axes_grid[0]
    for axes, name in zip(pair, ("CORR", "BMC"), strict=True):
        axes.grid(visible=True, axis="x")
        axes.grid(visible=False, axis="y")
        axes.axvline(0, color=theme.text, linewidth=1)
        axes.set_xlabel(f"{name} of an era")
        axes.locator_params(axis="x", nbins=5)
        for place, spread in enumerate(info.spreads):
            values = spread.corr if name == "CORR" else spread.bmc
            if values.size:
                _draw_spread(axes, values, place, theme.kinds[spread.kind], theme)
            elif spread.kind == "benchmark":
                axes.annotate(
                    "0 by definition", (0, place), (8, 0), textcoords="offset points", va="center", fontsize=11
                )
    for axes in pair:  # axes of somebody else do not share theirs
        axes.set_yticks(range(len(info.spreads)), [spread.label for spread in info.spreads])
        axes.set_ylim(len(info.spreads) - 0.4, -0.6)
    pair[1].tick_params(labelleft=False)
    return figure


def _draw_spread(axes: Any, values: Floats, place: int, color: str, theme: Theme) -> None:
    # The same values give the same picture: the dots' heights are drawn from a fixed seed.
    heights = place + np.random.default_rng(place).uniform(-0.32, 0.32, values.size)
    axes.scatter(values, heights, s=5, color=color, alpha=0.35, linewidths=0, zorder=1)
    p5, q1, median, q3, p95 = np.quantile(values, [0.05, 0.25, 0.5, 0.75, 0.95])
    axes.plot([p5, p95], [place, place], color=theme.text, linewidth=1.3, zorder=2)
    box: Any = {"facecolor": theme.background, "edgecolor": color, "linewidth": 2, "zorder": 3}
    axes.barh(place, q3 - q1, 0.42, left=q1, **box)
    axes.plot([median, median], [place - 0.21, place + 0.21], color=color, linewidth=2, zorder=4)
    axes.scatter([values.mean()], [place], marker="D", s=34, color=theme.text, zorder=5)
