"""How alike the out-of-fold predictions of variants are: what an ensemble of them could gain."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from numerai_ray.config.plan_schema import Stage
from numerai_ray.data.columns import UNREADABLE
from numerai_ray.metrics.exposure import prediction_correlations
from numerai_ray.report.plots.drawing import Theme, canvas, two_lines
from numerai_ray.report.reading import Reading

Floats = npt.NDArray[np.float64]
# More would not be legible; the best are shown.
MOST_VARIANTS = 12
# The mean over this many eras, evenly spread, is known to a hundredth.
MOST_ERAS = 60


@dataclass(frozen=True, eq=False)
class CorrelationInfo:
    """Mean per-era Spearman correlation of out-of-fold predictions, (k, k), of one stage's best variants."""

    stage: Stage
    names: tuple[str, ...]
    matrix: Floats
    eras: int
    left_out: int


def correlation_info(reading: Reading, start_era: int = 0) -> CorrelationInfo | None:
    """Of the stage that has most variants to compare, the later at a tie; None for fewer than two.

    Predictions of eras before ``start_era`` are left out.
    """
    stages = reading.stages
    chosen = {stage: reading.configurations(stage) for stage in stages}
    stage = max(stages, key=lambda each: (len(chosen[each]), stages.index(each)))
    records = chosen[stage][:MOST_VARIANTS]
    tables = {v.id: t for v in records if (t := _predictions(reading.paths.predictions(v.id))) is not None}
    first = next(iter(tables.values()), None)
    # Only rows that are the same stocks in the same order compare.
    same = [v for v in records if v.id in tables and first is not None and tables[v.id]["id"].equals(first["id"])]
    if len(same) < 2 or first is None:
        return None
    starts = _era_starts(first["era"])
    spans = list(zip(starts, [*starts[1:], len(first)], strict=True))
    spans = [span for span in spans if int(first["era"][span[0]].as_py()) >= start_era]
    if not spans:
        return None
    picked = [spans[i] for i in np.unique(np.linspace(0, len(spans) - 1, MOST_ERAS).round().astype(int))]
    rows = np.concatenate([np.arange(start, stop) for start, stop in picked])
    lengths = [stop - start for start, stop in picked]
    found = prediction_correlations(
        [tables[v.id]["prediction"].to_numpy()[rows] for v in same], np.cumsum([0, *lengths])
    )
    eras = int(found.n_eras.max())
    if eras == 0:
        return None
    names = tuple(v.id for v in same)
    return CorrelationInfo(stage, names, found.mean, eras, len(chosen[stage]) - len(same))


def _predictions(path: Path) -> pa.Table | None:
    # As with scores: a file that the user removed costs its numbers, not the report.
    try:
        names = pq.read_schema(path).names
        return pq.read_table(path, columns=[names[0], names[1], "prediction"]).rename_columns(
            ["id", "era", "prediction"]
        )
    except (KeyError, IndexError, *UNREADABLE):
        return None


def _era_starts(eras: pa.ChunkedArray) -> list[int]:
    codes = eras.combine_chunks().dictionary_encode().indices.to_numpy()
    return [0, *(np.flatnonzero(np.diff(codes)) + 1).tolist()]


def correlation_caption(info: CorrelationInfo) -> str:
    """What the picture does not say by itself."""
    more = f"; {info.left_out} more {'is' if info.left_out == 1 else 'are'} not shown" if info.left_out else ""
    return (
        f"Spearman correlation of out-of-fold predictions, an era at a time, mean over {info.eras} evenly spread eras; "
        f"stage {info.stage}, best first{more}. Low numbers are what an ensemble gains from."
    )


def draw_correlation(info: CorrelationInfo, theme: Theme, ax: Any = None) -> Any:
    return draw_matrix(info.names, info.matrix, "Spearman correlation", theme, ax)


def draw_matrix(names: Sequence[str], matrix: Floats, label: str, theme: Theme, ax: Any = None) -> Any:
    """Correlations (k, k) of k things with names, each value in its cell; ``label`` says what they are."""
    count = len(names)
    figure, grid = canvas((3.6 + 0.52 * max(count, 5), 0.9 + 0.46 * max(count, 5)), ax=ax)
    axes = grid[0, 0]
    axes.grid(visible=False)
    low = float(min(np.nanmin(matrix), 0.95))
    image = axes.imshow(matrix, cmap=theme.ramp, vmin=low, vmax=1.0, aspect="auto")
    # The word that every target begins with tells none of them apart; what follows it does.
    shown = [two_lines(name.replace("=target_", "="), 26) for name in names]
    # Rows have names and numbers, columns the same numbers: names twice would be half of the picture.
    axes.set_xticks(range(count), [str(place + 1) for place in range(count)], fontsize=10.5)
    axes.set_yticks(range(count), [f"{name}  {place + 1}" for place, name in enumerate(shown)], fontsize=10.5)
    axes.xaxis.tick_top()
    axes.tick_params(length=0)
    for row in range(count):
        for column in range(count):
            value = float(matrix[row, column])
            dark = (value - low) / (1 - low) < 0.55 if low < 1 else False
            text = "–" if math.isnan(value) else f"{value:.2f}".replace("0.", ".", 1)
            axes.text(column, row, text, ha="center", va="center", fontsize=10, color="#ffffff" if dark else "#000000")
    bar = figure.colorbar(image, ax=axes, pad=0.02)
    bar.set_label(label, color=theme.text)
    bar.outline.set_visible(False)
    return figure
