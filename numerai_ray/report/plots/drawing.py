"""Drawing: a figure in the themes of the report as PNGs, and what plots share: axes of eras, labels, dashes, names."""

import io
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from numerai_ray.data.eras import era_label
from numerai_ray.errors import RequestError
from numerai_ray.metrics.significance import ALL_ERAS
from numerai_ray.report.colours import DARK, LIGHT, THEMES, Theme
from numerai_ray.system.files import whole_file

# Plots import the palette from here, beside what draws with it.
__all__ = [
    "DARK",
    "DASHES",
    "DRAWING_VERSION",
    "LIGHT",
    "SERIES_DASHES",
    "THEMES",
    "Theme",
    "canvas",
    "draw_figure",
    "end_labels",
    "era_axis",
    "new_figure",
    "put_legend",
    "say_start",
    "shortened",
    "spread",
    "two_lines",
    "write_picture",
    "write_pictures",
]

# Bumped when a drawing changes: pictures of older versions are then drawn again.
DRAWING_VERSION = 3
DOTS_PER_INCH = 150
NOTEBOOK_DOTS = 100
# Lines on one colour are small however little is squeezed.
QUICK = {"compress_level": 3}
# matplotlib's settings are the process's own, so one thread draws at a time.
_one_at_a_time = threading.Lock()


# Told apart without colour too.
DASHES: Mapping[str, Any] = {
    "best": "-",
    "base": "-",
    "baseline": (0, (5, 2)),
    "benchmark": (0, (1.5, 1.5)),
    "second": (0, (7, 1.5, 1.5, 1.5)),
    "third": (0, (3, 1.2)),
}
SERIES_DASHES: tuple[Any, ...] = ("-", (0, (5, 2)), (0, (7, 1.5, 1.5, 1.5)), (0, (1.5, 1.5)))


def write_picture(path: Path, draw: Callable[[Theme], Any], theme: Theme) -> None:
    """Draw into a PNG, whole or not at all; the same values give the same bytes.

    Raises:
        EnvironmentFault: the folder cannot be written.

    """
    write_pictures({theme: path}, draw)


def write_pictures(paths: Mapping[Theme, Path], draw: Callable[[Theme], Any]) -> None:
    """Draw one figure in several themes; finding room for its labels is half of the work and done once.

    Raises:
        EnvironmentFault: the folder cannot be written.

    """
    places: list[Any] = []
    for theme, path in paths.items():
        with _one_at_a_time, _style(theme), whole_file(path) as partial:
            figure = draw(theme)
            # Room is found here and not while saving, which would draw everything once more to try it.
            if not places:
                figure.get_layout_engine().execute(figure)
                places = [axes.get_position() for axes in figure.axes]
            figure.set_layout_engine(None)
            for axes, place in zip(figure.axes, places, strict=True):
                axes.set_position(place)
            figure.savefig(partial, format="png", dpi=DOTS_PER_INCH, metadata={"Software": None}, pil_kwargs=QUICK)


def draw_figure(draw: Callable[[Theme], Any], theme: Theme) -> Any:
    """A figure in a theme, for whoever shows it: a notebook, a script."""
    with _one_at_a_time, _style(theme):
        return draw(theme)


def new_figure(width: float, height: float) -> Any:
    """A figure of its own, not pyplot's: no global state, no window system. Inches."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg  # noqa: PLC0415

    figure = _figure_type()(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


@lru_cache(maxsize=1)
def _figure_type() -> Any:
    """Matplotlib's figure, shown by a notebook also where pyplot was never imported."""
    from matplotlib.figure import Figure  # noqa: PLC0415

    class Picture(Figure):
        def _repr_png_(self) -> bytes:
            png = io.BytesIO()
            self.savefig(png, format="png", dpi=NOTEBOOK_DOTS)
            return png.getvalue()

    return Picture


def counted_eras(last: int) -> str:
    """``last 200``, or ``all`` where the primary metric counts every era."""
    return "all" if last == ALL_ERAS else f"last {last}"


def canvas(size: tuple[float, float], grid: tuple[int, int] = (1, 1), ax: Any = None, **shared: Any) -> tuple[Any, Any]:
    """A figure and its axes, (rows, columns): a new one of ``size`` inches, or the caller's own ``ax``.

    Raises:
        RequestError: ``ax`` holds another number of axes.

    """
    if ax is None:
        figure = new_figure(*size)
        return figure, figure.subplots(*grid, squeeze=False, **shared)
    axes = np.ravel(np.asarray(ax, object))
    wanted = grid[0] * grid[1]
    if len(axes) != wanted:
        rule = f"must be {wanted} axes, as an array or list" if wanted > 1 else "must be one axes"
        raise RequestError(f"ax: {rule}, because this picture has so many panels, but holds {len(axes)}")
    return axes[0].figure, axes.reshape(grid)


def say_start(axes: Any, start_era: int) -> None:
    """From which era on scores are counted, where eras are not what stands along x."""
    named = axes.get_xlabel()
    axes.set_xlabel(f"{named}{'; ' if named else ''}eras from {era_label(start_era)} on")


def put_legend(figure: Any, axes: Any, named: tuple[Sequence[Any], Sequence[str]], ax: Any) -> None:
    """Above all panels of a figure of ours; within the caller's axes, whose figure may have its own layout."""
    if ax is None:
        figure.legend(*named, loc="outside upper center", ncols=5, frameon=False)
    else:
        axes.legend(*named, frameon=False, fontsize=9)


def era_axis(axes: Any, title: str = "Era (a week each)") -> None:
    """Eras along x, as Numerai writes them."""
    axes.set_xlabel(title)
    axes.xaxis.set_major_formatter(lambda value, _: era_label(round(value)) if value >= 0 else "")


def end_labels(axes: Any, ends: Mapping[str, float], labels: Mapping[str, str], colors: Mapping[str, str]) -> None:
    """A label at the end of each line, moved apart where lines end close together."""
    low, high = axes.get_ylim()
    heights = spread({name: (value - low) / (high - low) for name, value in ends.items()}, 0.085)
    for name, height in heights.items():
        axes.text(
            1.015,
            height,
            labels[name],
            transform=axes.transAxes,
            color=colors[name],
            va="center",
            fontweight="bold" if name == "best" else "normal",
        )


def spread(heights: Mapping[str, float], gap: float) -> dict[str, float]:
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


def shortened(text: str, limit: int) -> str:
    """``text`` cut at ``limit`` characters."""
    return text if len(text) <= limit else f"{text[: limit - 1]}…"


def two_lines(text: str, width: int) -> str:
    """``text`` on two lines of ``width`` characters where it is longer, broken after one of ``=+-`` and then cut."""
    if len(text) <= width:
        return text
    breaks = [place + 1 for place in range(width) if text[place] in "=+-"]
    first = breaks[-1] if breaks and breaks[-1] > width // 3 else width
    return f"{text[:first]}\n{shortened(text[first:], width)}"


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
