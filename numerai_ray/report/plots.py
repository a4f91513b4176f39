"""The report's plots: first what is shown, as plain values, then a thin drawing of it.

matplotlib is imported when something is drawn: it costs half a second, and most commands draw nothing.
"""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from numerai_ray.atomic_files import whole_file
from numerai_ray.eras import era_label
from numerai_ray.evidence import StoredScores
from numerai_ray.experiment_plan import Stage
from numerai_ray.report.reading import Reading
from numerai_ray.report.tables import Row
from numerai_ray.results import VariantRecord
from numerai_ray.significance import INTERVAL_PERCENT

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Line:
    """Cumulative scores of one prediction; all arrays are (n_eras,), NaN where the era has no score."""

    label: str
    eras: tuple[int, ...]
    corr: Floats
    bmc: Floats


@dataclass(frozen=True, eq=False)
class CumulativeInfo:
    """Lines of one stage by kind (``best``, ``base``, ``baseline``, ``benchmark``).

    ``window`` is the first and last era that the primary metric counts, None when no era has a BMC.
    """

    stage: Stage
    best: str
    lines: dict[str, Line]
    window: tuple[int, int] | None
    uncovered_eras: int


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


@dataclass(frozen=True)
class RoundsInfo:
    """The primary metric round by round.

    ``ticks`` has each round's name; ``best_so_far`` one (place, primary) a scout round; ``borders`` where a stage
    ends, because values of different stages do not compare; ``failed`` counts trials without a value.
    """

    points: tuple[Point, ...]
    ticks: tuple[tuple[int, str], ...]
    best_so_far: tuple[tuple[float, float], ...]
    borders: tuple[float, ...]
    failed: int


@dataclass(frozen=True)
class Theme:
    """Colours of one variant of every plot; lines are Okabe and Ito's, told apart by the colour-blind."""

    name: str
    background: str
    text: str
    grid: str
    band: str
    kinds: dict[str, str]


LIGHT = Theme(
    "light",
    background="#ffffff",
    text="#1f2328",
    grid="#d8dee4",
    band="#eef1f4",
    kinds={"best": "#0072B2", "base": "#D55E00", "baseline": "#007A59", "benchmark": "#57606a"},
)
DARK = Theme(
    "dark",
    background="#0d1117",
    text="#e6edf3",
    grid="#30363d",
    band="#1a212b",
    kinds={"best": "#56B4E9", "base": "#E69F00", "baseline": "#2CC295", "benchmark": "#9aa4af"},
)
DASHES = {"best": "-", "base": "-", "baseline": (0, (5, 2)), "benchmark": (0, (1.5, 1.5))}


def write_plots(reading: Reading) -> dict[str, str]:
    """Draw what there is to draw, light and dark; name -> caption of what was drawn.

    Raises:
        EnvironmentFault: the folder cannot be written.

    """
    captions = {}
    cumulative, rounds = cumulative_info(reading), rounds_info(reading)
    if cumulative is not None:
        last = reading.comparison.last
        _write(reading, "cumulative", lambda theme: _draw_cumulative(cumulative, last, theme))
        captions["cumulative"] = cumulative_caption(cumulative, last)
    if rounds is not None:
        _write(reading, "rounds", lambda theme: _draw_rounds(rounds, reading.comparison.last, theme))
        captions["rounds"] = rounds_caption(rounds)
    return captions


def cumulative_info(reading: Reading) -> CumulativeInfo | None:
    """Lines of the latest stage that ran; None when no per-era score is there."""
    stage = reading.latest_stage
    if stage is None:
        return None
    base, baseline, decided = reading.base(stage), reading.baseline(stage), reading.best(stage)
    # Without a decision (no era has the benchmark) the base's CORR is still worth a look.
    best = decided or base
    if best is None:
        return None
    chosen: dict[str, VariantRecord] = {"best": best}
    for kind, record in (("base", base), ("baseline", baseline)):
        if record is not None and record.id not in {held.id for held in chosen.values()}:
            chosen[kind] = record
    benchmark = reading.benchmark(stage)
    if benchmark is not None:
        chosen["benchmark"] = benchmark
    labels = dict.fromkeys(chosen, "") | {"benchmark": "benchmark"}
    names = {"base": base, "baseline": baseline}
    for kind, record in chosen.items():
        same = [name for name, other in names.items() if other is not None and other.id == record.id]
        labels[kind] = " = ".join(dict.fromkeys([*([kind] if decided or kind != "best" else []), *same]))
    lines = {
        kind: _line(labels[kind], stored)
        for kind, record in chosen.items()
        if (stored := reading.scores(record)) is not None
    }
    if "best" not in lines:
        return None
    scored = lines["best"]
    counted = [era for era, value in zip(scored.eras, scored.bmc.tolist(), strict=True) if not math.isnan(value)]
    window = counted[-reading.comparison.last :]
    with_corr = int(np.count_nonzero(~np.isnan(scored.corr)))
    changes = reading.of(stage)[-1].base_changes if stage == "final" else reading.of(stage)[-1].decision.changes
    return CumulativeInfo(
        stage=stage,
        best=reading.label(changes) if decided else "not known",
        lines=lines,
        window=(window[0], window[-1]) if window else None,
        uncovered_eras=with_corr - len(counted),
    )


def rounds_info(reading: Reading) -> RoundsInfo | None:
    """Every scored configuration by round; None when there is none."""
    points, ticks, best_so_far, borders = [], [], [], []
    failed = 0
    previous = None
    for record in reading.history:
        if previous is not None and record.stage != previous:
            borders.append(record.number - 0.5)
        previous = record.stage
        ticks.append((record.number, record.dimension or record.stage))
        rows = [row for row in reading.rows(record) if row.role != "benchmark"]
        known = [row for row in rows if not math.isnan(row.primary)]
        failed += len(rows) - len(known)
        for place, row in enumerate(known):
            offset = 0.6 * ((place + 0.5) / len(known) - 0.5)
            points.append(Point(record.number, offset, _kind(row, record.stage), row.primary, _bar(row)))
            if record.stage == "scout" and row.winner:
                best_so_far.append((record.number + offset, row.primary))
    if not points:
        return None
    return RoundsInfo(tuple(points), tuple(ticks), tuple(best_so_far), tuple(borders), failed)


def _bar(row: Row) -> tuple[float, float]:
    delta = row.evidence.to_base if row.evidence else None
    if delta is None or math.isnan(delta.low):
        return 0.0, 0.0
    return max(delta.mean - delta.low, 0.0), max(delta.high - delta.mean, 0.0)


def _kind(row: Row, stage: str) -> str:
    # The final's only candidate stands where a base stands in other rounds.
    won = row.winner if row.role == "variant" else row.role == "base" and stage == "final"
    return "winner" if won else row.role


def cumulative_caption(info: CumulativeInfo, last: int) -> str:
    """What the picture does not say by itself."""
    parts = [f"Stage {info.stage}; best is {info.best}.", "The benchmark's own BMC is 0 by definition."]
    if info.window is None:
        parts.append("No era has a benchmark, so there is no BMC.")
    else:
        first, final = (era_label(era) for era in info.window)
        parts.append(
            f"The band marks the eras of the primary metric (at most the last {last} scored): {first}–{final}."
        )
        if info.uncovered_eras:
            eras = "era" if info.uncovered_eras == 1 else "eras"
            parts.append(f"{info.uncovered_eras} {eras} with CORR but without a benchmark are left out of BMC.")
    for line in info.lines.values():
        constant = int(np.count_nonzero(np.isnan(line.corr) & ~np.isnan(line.bmc)))
        if constant:
            parts.append(f"{line.label} predicts a constant in {constant} eras, which have no CORR.")
    return " ".join(parts)


def rounds_caption(info: RoundsInfo) -> str:
    """What the picture does not say by itself."""
    parts = [f"A bar is the {INTERVAL_PERCENT} % interval of the paired difference to the round's base."]
    if info.borders:
        parts.append("Stages are parted by lines: their data differ, so their values do not compare.")
    if info.failed:
        parts.append(f"{info.failed} trial{'s' if info.failed > 1 else ''} without a value not shown.")
    return " ".join(parts)


def _line(label: str, stored: StoredScores) -> Line:
    return Line(label, stored.eras, _cumulative(stored.scores.corr), _cumulative(stored.scores.bmc))


def _cumulative(scores: Floats) -> Floats:
    """Running sum over the scored eras; NaN stays NaN, so a line starts late or has a gap."""
    return np.where(np.isnan(scores), np.nan, np.nancumsum(scores))


# --- drawing ---------------------------------------------------------------------------------------------------


def _write(reading: Reading, name: str, draw: Callable[[Theme], Any]) -> None:
    for theme in (LIGHT, DARK):
        with _style(theme), whole_file(reading.paths.plot(f"{name}-{theme.name}")) as partial:
            # No software version in the file: the same history gives the same bytes.
            draw(theme).savefig(partial, format="png", dpi=150, metadata={"Software": None})


@contextmanager
def _style(theme: Theme) -> Iterator[None]:
    import matplotlib as mpl  # noqa: PLC0415

    settings: Any = {
        "font.size": 12,
        "font.family": "DejaVu Sans",
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.axisbelow": True,
        "axes.grid": True,
        "axes.grid.axis": "y",
        "axes.facecolor": theme.background,
        "figure.facecolor": theme.background,
        "savefig.facecolor": theme.background,
        "grid.color": theme.grid,
        "axes.edgecolor": theme.grid,
        **dict.fromkeys(("text.color", "axes.labelcolor", "xtick.color", "ytick.color"), theme.text),
    }
    with mpl.rc_context(settings):
        yield


def _figure(width: float, height: float) -> Any:
    # Figures of their own, not pyplot's: no global state, no window system.
    from matplotlib.backends.backend_agg import FigureCanvasAgg  # noqa: PLC0415
    from matplotlib.figure import Figure  # noqa: PLC0415

    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def _draw_cumulative(info: CumulativeInfo, last: int, theme: Theme) -> Any:
    figure = _figure(9, 6.4)
    upper, lower = figure.subplots(2, 1, sharex=True)
    figure.get_layout_engine().set(w_pad=0.12, h_pad=0.06)
    # The best is a broad line below the others, so that one which runs with it shows on it.
    for kind, line in info.lines.items():
        style = {"color": theme.kinds[kind], "linestyle": DASHES[kind], "linewidth": 3.2 if kind == "best" else 1.5}
        upper.plot(line.eras, line.corr, **style)
        # The benchmark's BMC is rounding noise around 0: the zero line is the truth.
        lower.plot(line.eras, line.bmc * 0 if kind == "benchmark" else line.bmc, **style)
    for axes, name, kind in ((upper, "CORR", "corr"), (lower, "BMC", "bmc")):
        axes.set_ylabel(f"Cumulative {name}\n(sum over eras)")
        axes.margins(x=0)
        _end_labels(axes, info, kind, theme)
        if info.window is not None:
            axes.axvspan(*info.window, color=theme.band, zorder=0, linewidth=0)
    if info.window is not None:
        # Above the axes, where no line can run through it.
        lower.set_title(f"band: last {last} scored eras", loc="right", fontsize=10.5, color=theme.text, pad=4)
    else:
        lower.text(0.5, 0.5, "no era has a benchmark", transform=lower.transAxes, ha="center", va="bottom")
    upper.set_title(f"Stage {info.stage}", loc="left", fontsize=12, color=theme.text)
    lower.set_xlabel("Era")
    figure.align_ylabels()
    lower.xaxis.set_major_formatter(lambda value, _: era_label(round(value)))
    return figure


def _end_labels(axes: Any, info: CumulativeInfo, kind: str, theme: Theme) -> None:
    """A label at the end of each line, moved apart where lines end close together."""
    ends = {}
    for name, line in info.lines.items():
        values = line.corr if kind == "corr" else line.bmc * (0 if name == "benchmark" else 1)
        known = values[~np.isnan(values)]
        if known.size:
            ends[name] = float(known[-1])
    low, high = axes.get_ylim()
    heights = spread({name: (value - low) / (high - low) for name, value in ends.items()}, 0.085)
    for name, height in heights.items():
        axes.text(
            1.015,
            height,
            info.lines[name].label,
            transform=axes.transAxes,
            color=theme.kinds[name],
            va="center",
            fontweight="bold" if name == "best" else "normal",
        )


def spread(heights: dict[str, float], gap: float) -> dict[str, float]:
    """``heights`` (axes fractions) moved apart to at least ``gap``, as little as a sweep up and one down need."""
    names = sorted(heights, key=lambda name: heights[name])
    placed = [heights[name] for name in names]
    for above in range(1, len(placed)):
        placed[above] = max(placed[above], placed[above - 1] + gap)
    over = max(0.0, placed[-1] - 1.0) if placed else 0.0
    for below in range(len(placed) - 1, -1, -1):
        ceiling = placed[below] - over if below == len(placed) - 1 else placed[below + 1] - gap
        placed[below] = min(placed[below], ceiling)
    return dict(zip(names, placed, strict=True))


def _draw_rounds(info: RoundsInfo, last: int, theme: Theme) -> Any:
    figure = _figure(9, 4.2)
    axes = figure.subplots()
    colors = theme.kinds
    if len(info.best_so_far) > 1:
        best = np.array(info.best_so_far)
        axes.plot(
            best[:, 0],
            best[:, 1] * 1e4,
            color=colors["best"],
            linewidth=1.7,
            label="best so far",
            zorder=2,
            drawstyle="steps-post",
        )
    edges = {"variant": theme.text, "base": colors["base"], "baseline": colors["baseline"], "winner": colors["best"]}
    markers = {"variant": "o", "base": "s", "baseline": "D", "winner": "o"}
    for kind, edge in edges.items():
        chosen = [point for point in info.points if point.kind == kind]
        if not chosen:
            continue
        xs = [point.x + point.offset for point in chosen]
        ys = [point.primary * 1e4 for point in chosen]
        errors = np.array([point.bar for point in chosen]).T * 1e4
        axes.errorbar(xs, ys, errors, fmt="none", ecolor=edge, elinewidth=1.2, alpha=0.6, zorder=1)
        inside = theme.background if kind == "variant" else edge
        axes.scatter(
            xs, ys, s=52, marker=markers[kind], color=inside, edgecolors=edge, linewidths=1.3, zorder=3, label=kind
        )
    for border in info.borders:
        axes.axvline(border, color=theme.text, linewidth=0.8, linestyle=(0, (3, 3)), alpha=0.6)
    positions = [x for x, _ in info.ticks]
    crowded = len(info.ticks) > 6
    names = [f"{x} {name}" if crowded else f"{x}\n{name}" for x, name in info.ticks]
    axes.set_xticks(positions, names, rotation=35 if crowded else 0, ha="right" if crowded else "center")
    axes.set_xlim(positions[0] - 0.6, positions[-1] + 0.6)
    axes.set_xlabel("Round")
    axes.set_ylabel(f"BMC, mean of last {last}\nscored eras (1e-4)")
    figure.legend(*axes.get_legend_handles_labels(), loc="outside upper center", ncols=5, frameon=False)
    return figure
