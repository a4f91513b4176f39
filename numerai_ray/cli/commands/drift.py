"""``data info --drift``: the newest eras of a version against the past."""

import math
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from numerai_ray.metrics.drift import FEWEST_BLOCKS, Against
from numerai_ray.progress.bar import bar

if TYPE_CHECKING:
    from numerai_ray.data.files.drift import Drift


def read_drift(version_dir: Path, eras: int, target: str | None) -> "Drift":
    """Drift of one version, with a bar; its findings are kept for ``recheck`` and ``follow``."""
    from numerai_ray.data.files.drift import drift_of, keep_drift

    with bar(f"comparing eras of {version_dir}") as step:
        found = drift_of(version_dir, target, eras, step)
    keep_drift(version_dir, found, target)
    return found


def draw(drift: "Drift", folder: Path) -> Path:
    """The picture of a drift; light."""
    from numerai_ray.report.plots.drawing import LIGHT, write_picture
    from numerai_ray.report.plots.drift import draw_drift, drift_info

    path, info = folder / f"drift-{drift.version}.png", drift_info(drift)
    write_picture(path, lambda theme: draw_drift(info, theme), LIGHT)
    return path


def shown(drift: "Drift") -> Iterator[RenderableType]:
    """A drift for a terminal."""
    newest, labelled = "–".join(drift.newest), "–".join(drift.labelled)
    yield Text(
        f"\ndrift: eras {newest} of {drift.file} ({drift.target}: {labelled}) against {drift.past_blocks} past blocks "
        f"of {drift.eras} eras",
        style="bold",
    )
    yield _groups(drift)
    yield Text(f"\ntargets in their newest {drift.eras} eras", style="bold")
    yield _targets(drift)
    moved = ", ".join(f"{name} {shift:.3f}" for name, shift in drift.moved[:3] if not math.isnan(shift))
    yield Text(f"\nmoved most: {moved}")
    if drift.past_blocks < FEWEST_BLOCKS:
        yield Text(f"{FEWEST_BLOCKS} past blocks are needed to say what is unusual; give --drift-eras a lower number")
    for finding in drift.findings:
        yield Text(f"unusual: {finding}", style="bold")
    if not drift.findings and drift.past_blocks >= FEWEST_BLOCKS:
        yield Text("nothing is unusual")


def _groups(drift: "Drift") -> Table:
    table = Table(box=None, pad_edge=False)
    table.add_column("group", overflow="fold")
    for name in ("features", "constant", "missing", "(past)", "shift", "(past)", "agreement", "(past)"):
        table.add_column(name, justify="right", no_wrap=True)
    for each in drift.groups:
        table.add_row(
            each.group,
            f"{each.features:,}",
            f"{each.constant:,}",
            *_cells(each.missing, ".1%", unusual=each.missing.is_high),
            *_cells(each.shift, ".4f", unusual=each.shift.is_high),
            *_cells(each.agreement, "+.2f", unusual=each.agreement.is_low),
        )
    return table


def _targets(drift: "Drift") -> Table:
    """A line for all targets of which the same is to be said."""
    table = Table(box=None, pad_edge=False)
    for name in ("mean", "(past)", "std", "(past)", "shift", "(past)"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("targets", overflow="fold")
    alike: dict[tuple[str, ...], list[str]] = {}
    for each in drift.targets:
        values = [_number(value) for value in (each.mean, each.past_mean, each.std, each.past_std)]
        line = (*values, *_cells(each.shift, ".4f", unusual=each.shift.is_high))
        alike.setdefault(line, []).append(each.target.removeprefix("target_"))
    for line, names in alike.items():
        table.add_row(*line, ", ".join(names))
    return table


def _number(value: float) -> str:
    return "–" if math.isnan(value) else f"{value:.4f}"


def _cells(value: Against, digits: str, *, unusual: bool) -> tuple[str, str]:
    """The newest, marked where it is beyond all past blocks; their range."""
    if math.isnan(value.newest):
        return "–", ""
    mark = "!" if unusual else ""
    return f"{value.newest:{digits}}{mark}", f"{value.low:{digits}} … {value.high:{digits}}"
