"""The report's plots: which there are, and drawing those whose data changed.

One plot a file: first an info, plain values that tests read, then a thin drawing of it.
"""

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, fields, is_dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import TypeAdapter, ValidationError

from numerai_ray.experiment.paths import ExperimentPaths
from numerai_ray.report.plots.correlation import correlation_caption, correlation_info, draw_correlation
from numerai_ray.report.plots.cumulative import cumulative_caption, cumulative_info, draw_cumulative
from numerai_ray.report.plots.delta import delta_caption, delta_info, draw_delta
from numerai_ray.report.plots.drawing import DRAWING_VERSION, THEMES, write_pictures
from numerai_ray.report.plots.groups import draw_groups, groups_caption, groups_info
from numerai_ray.report.plots.importances import draw_importances, importances_caption, importances_info
from numerai_ray.report.plots.per_era import draw_per_era, per_era_caption, per_era_info
from numerai_ray.report.plots.rounds import draw_rounds, rounds_caption, rounds_info
from numerai_ray.report.plots.since import draw_since, since_caption, since_info
from numerai_ray.report.plots.sweeps import draw_sweeps, sweeps_caption, sweeps_info
from numerai_ray.report.plots.tradeoff import draw_tradeoff, tradeoff_caption, tradeoff_info
from numerai_ray.report.reading import Reading
from numerai_ray.system.files import write_text
from numerai_ray.system.json_text import read_json

Chapter = Literal["Answer", "Rounds", "Since the decision", "Leaderboard", "Diagnostics"]


@dataclass(frozen=True)
class Plot:
    """One plot: ``info`` gathers what it shows (None: nothing to show), ``draw`` makes a figure of that.

    ``chapter`` is the report's in which it stands, after the text, in the order of :data:`PLOTS`.
    """

    name: str
    chapter: Chapter
    title: str
    info: Callable[[Reading], Any]
    caption: Callable[[Any], str]
    draw: Callable[[Any, Any], Any]


PLOTS = (
    Plot("cumulative", "Answer", "Cumulative scores per era", cumulative_info, cumulative_caption, draw_cumulative),
    Plot("delta", "Answer", "Gain over what each stage is compared with", delta_info, delta_caption, draw_delta),
    Plot("rounds", "Rounds", "The primary metric round by round", rounds_info, rounds_caption, draw_rounds),
    Plot("sweeps", "Rounds", "The primary metric against the swept value", sweeps_info, sweeps_caption, draw_sweeps),
    Plot("since", "Since the decision", "The winner on eras after the decision", since_info, since_caption, draw_since),
    Plot(
        "importances",
        "Rounds",
        "How much each dimension matters",
        importances_info,
        importances_caption,
        draw_importances,
    ),
    Plot(
        "tradeoff",
        "Leaderboard",
        "CORR against the contribution, and their front",
        tradeoff_info,
        tradeoff_caption,
        draw_tradeoff,
    ),
    Plot("per-era", "Leaderboard", "Distribution of per-era scores", per_era_info, per_era_caption, draw_per_era),
    Plot(
        "correlation",
        "Leaderboard",
        "Correlation of variants' predictions",
        correlation_info,
        correlation_caption,
        draw_correlation,
    ),
    Plot(
        "groups",
        "Diagnostics",
        "What models learn from and lean on, by group of features",
        groups_info,
        groups_caption,
        draw_groups,
    ),
)


@dataclass(frozen=True)
class Drawn:
    """A plot on the disk: what is said under it, marks of its data and files, after how many rounds it was drawn."""

    title: str
    caption: str
    mark: str
    rounds: int
    pictures: str


_DRAWN = TypeAdapter(Drawn)


def gathered(reading: Reading) -> dict[str, Any]:
    """What there is to draw: a plot's name -> its info."""
    found = ((plot.name, plot.info(reading)) for plot in PLOTS)
    return {name: info for name, info in found if info is not None}


def said(infos: Mapping[str, Any]) -> dict[str, str]:
    """What is said under the plots of what was gathered: name -> caption."""
    return {plot.name: plot.caption(infos[plot.name]) for plot in PLOTS if plot.name in infos}


def write_plots(reading: Reading, infos: Mapping[str, Any]) -> dict[str, Drawn]:
    """Draw what was gathered and was not drawn from the same data, light and dark; name -> what was drawn.

    Raises:
        EnvironmentFault: the folder cannot be written.

    """
    before = drawn_plots(reading.paths)
    drawn: dict[str, Drawn] = {}
    for plot in PLOTS:
        if plot.name not in infos:
            continue
        info = infos[plot.name]
        mark = _mark(info)
        files = {theme: reading.paths.plot(f"{plot.name}-{theme.name}") for theme in THEMES}
        held = before.get(plot.name)
        if held is None or held.mark != mark or held.pictures != _pictures(files.values()):
            write_pictures(files, _drawing(plot, info))
        pictures = _pictures(files.values())
        drawn[plot.name] = Drawn(plot.title, plot.caption(info), mark, len(reading.history), pictures)
    if drawn:
        write_text(reading.paths.plot_index, json.dumps({k: asdict(v) for k, v in drawn.items()}, indent=2) + "\n")
    return drawn


def drawn_plots(paths: ExperimentPaths) -> dict[str, Drawn]:
    """What is on the disk, as its index tells; a damaged index, or picture, costs a new drawing."""
    found, value = {}, read_json(paths.plot_index)
    for plot in PLOTS:
        with suppress(ValidationError):
            found[plot.name] = _DRAWN.validate_python(value.get(plot.name))
    return found


def captions(drawn: Mapping[str, Drawn], rounds: int) -> dict[str, str]:
    """Name -> caption; a picture that is older than the text says so."""
    return {
        name: each.caption if each.rounds == rounds else f"{each.caption} Drawn after round {each.rounds}."
        for name, each in drawn.items()
    }


def _pictures(files: Iterable[Path]) -> str:
    """A mark of the files' bytes; "" where one is lacking."""
    total = hashlib.sha256()
    for file in files:
        if not file.is_file():
            return ""
        total.update(file.read_bytes())
    return total.hexdigest()[:16]


def _drawing(plot: Plot, info: Any) -> Callable[[Any], Any]:
    return lambda theme: plot.draw(info, theme)


def _mark(info: Any) -> str:
    """16 hex digits of what a picture shows: of values alone, so that it survives a move of modules."""
    return hashlib.sha256(json.dumps([DRAWING_VERSION, _plain(info)]).encode()).hexdigest()[:16]


def _plain(value: Any) -> Any:
    """``value`` as JSON knows it; an array as its bytes' digest."""
    if isinstance(value, np.ndarray):
        return [value.dtype.str, value.shape, hashlib.sha256(value.tobytes()).hexdigest()]
    if is_dataclass(value):
        return {field.name: _plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, Mapping):
        return [[_plain(key), _plain(each)] for key, each in value.items()]
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    return value.item() if isinstance(value, np.generic) else value
