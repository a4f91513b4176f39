"""Cumulative CORR and BMC of the best configurations against base, baseline and benchmark."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from numerai_ray.config.plan_schema import Stage
from numerai_ray.config.search_space import changes_label
from numerai_ray.data.eras import era_label
from numerai_ray.experiment.records import VariantRecord
from numerai_ray.experiment.scores import StoredScores
from numerai_ray.experiment.standing import primary_of
from numerai_ray.report.plots.drawing import DASHES, Theme, canvas, end_labels, era_axis, shortened
from numerai_ray.report.reading import Reading

Floats = npt.NDArray[np.float64]
RUNNERS_UP = ("second", "third")


@dataclass(frozen=True, eq=False)
class Line:
    """Cumulative scores of one prediction; all arrays are (n_eras,), NaN where the era has no score."""

    label: str
    eras: tuple[int, ...]
    corr: Floats
    bmc: Floats


@dataclass(frozen=True, eq=False)
class CumulativeInfo:
    """Lines of one stage by kind (``best``, ``base``, ``baseline``, ``benchmark``, ``second``, ``third``).

    ``window`` is the first and last era that the primary metric counts, None when no era has a BMC; ``last`` is how
    many it counts. ``start_era`` is where the sums begin when not at the first era.
    """

    stage: Stage
    best: str
    lines: dict[str, Line]
    window: tuple[int, int] | None
    last: int
    uncovered_eras: int
    start_era: int | None = None


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
    chosen = _chosen(reading, stage, best)
    labels = {kind: record.name for kind, record in chosen.items()} | {"benchmark": "benchmark"}
    names = {"base": base, "baseline": baseline}
    for kind in ("best", "base", "baseline"):
        if kind in chosen:
            same = [name for name, other in names.items() if other is not None and other.id == chosen[kind].id]
            labels[kind] = " = ".join(dict.fromkeys([*([kind] if decided or kind != "best" else []), *same]))
    lines = {
        kind: cumulative_line(shortened(labels[kind], 24), stored, reading.start_era)
        for kind, record in chosen.items()
        if (stored := reading.scores(record)) is not None
    }
    scored = reading.scores(best)
    if "best" not in lines or scored is None or not lines["best"].eras:
        return None
    counted = [era for era, value in zip(scored.eras, scored.scores.bmc.tolist(), strict=True) if not math.isnan(value)]
    window = counted[-reading.comparison.last :]
    with_corr = int(np.count_nonzero(~np.isnan(scored.scores.corr)))
    changes = reading.of(stage)[-1].base_changes if stage == "final" else reading.of(stage)[-1].decision.changes
    return CumulativeInfo(
        stage=stage,
        best=changes_label(changes) if decided else "not known",
        lines=lines,
        window=(window[0], window[-1]) if window else None,
        last=reading.comparison.last,
        uncovered_eras=with_corr - len(counted),
        start_era=reading.start_era,
    )


def cumulative_line(label: str, stored: StoredScores, start_era: int | None) -> Line:
    """Running sums over the scored eras from ``start_era`` on."""
    keep = np.array(stored.eras) >= (start_era or 0)
    eras = tuple(era for era, kept in zip(stored.eras, keep.tolist(), strict=True) if kept)
    return Line(label, eras, _cumulative(stored.scores.corr[keep]), _cumulative(stored.scores.bmc[keep]))


def cumulative_caption(info: CumulativeInfo) -> str:
    """What the picture does not say by itself."""
    parts = [f"Stage {info.stage}; best is {info.best}.", "The benchmark's own BMC is 0 by definition."]
    if info.start_era is not None:
        parts.append(f"Sums begin at era {era_label(info.start_era)}.")
    if info.window is None:
        parts.append("No era has a benchmark, so there is no BMC.")
    else:
        first, final = (era_label(era) for era in info.window)
        parts.append(
            f"The band marks the primary metric's eras (the last {info.last} scored at most): {first}–{final}."
        )
        if info.uncovered_eras:
            eras = "era" if info.uncovered_eras == 1 else "eras"
            parts.append(f"{info.uncovered_eras} {eras} with CORR but without a benchmark are left out of BMC.")
    for line in info.lines.values():
        constant = int(np.count_nonzero(np.isnan(line.corr) & ~np.isnan(line.bmc)))
        if constant:
            parts.append(f"{line.label} predicts a constant in {constant} eras, which have no CORR.")
    return " ".join(parts)


def draw_cumulative(info: CumulativeInfo, theme: Theme, ax: Any = None) -> Any:
    figure, axes_grid = canvas((9, 6.4), (2, 1), ax, sharex=True)
    upper, lower = axes_grid[:, 0]
    if ax is None:
        figure.get_layout_engine().set(w_pad=0.12, h_pad=0.06)
    # The best is a broad line below the others, so that one which runs with it shows on it.
    for kind, line in info.lines.items():
        style = {"color": theme.kinds[kind], "linestyle": DASHES[kind], "linewidth": 3.2 if kind == "best" else 1.5}
        upper.plot(line.eras, line.corr, **style)
        lower.plot(line.eras, _shown_bmc(kind, line), **style)
    first = min(line.eras[0] for line in info.lines.values() if line.eras)
    for axes, name in ((upper, "CORR"), (lower, "BMC")):
        axes.set_ylabel(f"Cumulative {name}\n(sum over eras)")
        axes.margins(x=0)
        ends = _ends({k: _shown_bmc(k, v) if axes is lower else v.corr for k, v in info.lines.items()})
        end_labels(axes, ends, {k: v.label for k, v in info.lines.items()}, theme.kinds)
        if info.window is not None and info.window[1] >= first:
            axes.axvspan(max(info.window[0], first), info.window[1], color=theme.band, zorder=0, linewidth=0)
    if info.window is not None:
        # Above the axes, where no line can run through it.
        lower.set_title(f"band: last {info.last} scored eras", loc="right", fontsize=10.5, color=theme.text, pad=4)
    else:
        lower.text(0.5, 0.5, "no era has a benchmark", transform=lower.transAxes, ha="center", va="bottom")
    # As in every picture, the word that each target begins with tells none of them apart.
    title = f"Stage {info.stage}; best: {info.best.replace('=target_', '=')}"
    upper.set_title(shortened(title, 88), loc="left", fontsize=10.5, color=theme.text)
    figure.align_ylabels()
    for axes in (lower,) if ax is None else (upper, lower):
        era_axis(axes)
    return figure


def _chosen(reading: Reading, stage: Stage, best: VariantRecord) -> dict[str, VariantRecord]:
    """The records that get a line, each once, by kind."""
    chosen: dict[str, VariantRecord] = {"best": best}

    def add(kind: str, record: VariantRecord | None) -> None:
        if record is not None and record.id not in {held.id for held in chosen.values()}:
            chosen[kind] = record

    add("base", reading.base(stage))
    add("baseline", reading.baseline(stage))
    add("benchmark", reading.benchmark(stage))
    ran = [v for r in reading.of(stage) for v in r.variants if v.role == "variant" and not math.isnan(primary_of(v))]
    others = {v.id: v for v in sorted(ran, key=lambda v: -primary_of(v)) if v.id not in {c.id for c in chosen.values()}}
    for kind, record in zip(RUNNERS_UP, others.values(), strict=False):
        add(kind, record)
    return chosen


def _shown_bmc(kind: str, line: Line) -> Floats:
    """The benchmark's BMC is rounding noise around 0: the zero line is the truth."""
    return line.bmc * 0 if kind == "benchmark" else line.bmc


def _ends(values: dict[str, Floats]) -> dict[str, float]:
    known = {kind: each[~np.isnan(each)] for kind, each in values.items()}
    return {kind: float(each[-1]) for kind, each in known.items() if each.size}


def _cumulative(scores: Floats) -> Floats:
    """Running sum over the scored eras; NaN stays NaN, so a line starts late or has a gap."""
    return np.where(np.isnan(scores), np.nan, np.nancumsum(scores))
