"""``numerai-ray data info``: what is under the data root, and what is wrong with it."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.columns import Columns
from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from numerai_ray.cli.commands.drift import draw, read_drift, shown
from numerai_ray.cli.options import DataDirOption, JsonOption, within
from numerai_ray.errors import RequestError, nearest
from numerai_ray.progress.bar import bar
from numerai_ray.progress.live_view import wide_console
from numerai_ray.progress.terminal import Console, say
from numerai_ray.session.places import data_root

if TYPE_CHECKING:
    from numerai_ray.data.files.info import BenchmarkInfo, TargetInfo, VersionInfo

_NEXT_STEP = "download one with `numerai-ray data download`, or make one with `numerai-ray data synth`"


def register(app: typer.Typer) -> None:
    """Add the command to ``numerai-ray data``."""
    app.command(
        epilog="Examples: numerai-ray data info --version v5.3 --deep --json · numerai-ray data info --drift --plot ."
    )(info)


def info(
    version: Annotated[
        str | None, typer.Option("--version", help="Only this data version: the folder's name. Without it: all.")
    ] = None,
    data_dir: DataDirOption = None,
    deep: Annotated[bool, typer.Option("--deep", help="Read every value of every feature as well: minutes.")] = False,
    *,
    drift: Annotated[
        bool, typer.Option("--drift", help="Compare the newest eras with the past: minutes on full data.")
    ] = False,
    drift_eras: Annotated[
        int, typer.Option("--drift-eras", callback=within(2, 400), help="Eras of a block that is compared.")
    ] = 20,
    target: Annotated[
        str | None, typer.Option("--target", metavar="NAME", help="What --drift correlates features with.")
    ] = None,
    plot: Annotated[Path | None, typer.Option("--plot", metavar="DIR", help="Draw the drift into this folder.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Versions and files under the data root: eras, feature sets, targets, benchmarks, and problems found.

    Every file is read to its end, but for the features, which only --deep reads.
    """
    from numerai_ray.data.files.drift import drift_json
    from numerai_ray.data.files.info import as_json as answer
    from numerai_ray.data.files.info import versions_in

    root = data_root(data_dir)
    there = versions_in(root)
    if version is not None and version not in there:
        hint = nearest(version, there) or f"; {_NEXT_STEP}"
        raise RequestError(f"--version: {root} holds no data version {version!r}{hint}")
    found = [_read(root / name, deep=deep) for name in ([version] if version else there)]
    drifts = [read_drift(root / each.version, drift_eras, target) for each in found] if drift else []
    plots = [draw(each, plot) for each in drifts] if plot is not None else []
    if as_json:
        value = answer(root, found, deep=deep)
        for told, compared in zip(value["versions"], drifts, strict=False):
            told["drift"] = drift_json(compared)
        say(json.dumps(value, indent=2))
        return
    if not found:
        say(f"{root}: holds no data version; {_NEXT_STEP}")
    console = Console()
    for position, each in enumerate(found):
        if position:
            console.print()
        console.print(Group(*_shown(each, deep=deep)), highlight=False)
        if drifts:
            wide_console().print(Group(*shown(drifts[position])), highlight=False)
    for path in plots:
        say(str(path))


def _read(version_dir: Path, *, deep: bool) -> "VersionInfo":
    from numerai_ray.data.files.info import dataset_info

    with bar(f"reading {version_dir}") as step:
        return dataset_info(version_dir, deep=deep, on_values=step)


def _shown(info: "VersionInfo", *, deep: bool) -> Iterator[RenderableType]:
    made = ", a synthetic market" if info.synthetic else ""
    size = sum(file.bytes for file in info.files)
    yield Text(f"{info.version}: {len(info.files)} files, {_size(size)}{made} ({info.path})", style="bold")
    yield _section(None, _files(info))
    if info.feature_sets:
        sets = [f"{name} {count:,}" for name, count in info.feature_sets.items()]
        yield _section("feature sets", Columns(sets, padding=(0, 3, 0, 0)))
    sources = " and ".join(info.labels_from)
    if info.targets:
        yield _section(f"targets (share of the labelled rows of {sources})", _targets(info.targets))
    if info.benchmarks:
        yield _section(f"benchmarks (share of the labelled rows of {sources})", _benchmarks(info.benchmarks))
    unread = "" if deep else "; values of features were not read, --deep does that"
    if info.problems:
        yield _section(f"{len(info.problems)} problem{'s'[: len(info.problems) > 1]}{unread}", _problems(info))
    else:
        yield _section(f"no problems{unread}", None)


def _section(title: str | None, body: RenderableType | None) -> RenderableType:
    parts = [] if title is None else [Text(f"\n{title}", style="bold")]
    return Group(*parts, *([] if body is None else [Padding(body, (0, 0, 0, 2))]))


def _table(*columns: str, left: Sequence[str]) -> Table:
    table = Table(box=None, pad_edge=False, show_edge=False)
    for name in columns:
        table.add_column(name, justify="left" if name in left else "right", overflow="fold")
    return table


def _files(info: "VersionInfo") -> Table:
    table = _table("file", "size", "rows", "eras", "", "features", left=("file", "eras"))
    for file in info.files:
        eras, count = (
            ("", "") if file.eras is None else (_span(file.eras.first, file.eras.last), f"{file.eras.count:,}")
        )
        features = f"{file.features:,}" if file.features else ""
        table.add_row(
            file.file, _size(file.bytes), "" if file.rows is None else f"{file.rows:,}", eras, count, features
        )
    return table


def _targets(targets: "Sequence[TargetInfo]") -> Table:
    missing = [", ".join(_span(first, last) for first, last in target.missing_eras) or "–" for target in targets]
    names = [target.target.removeprefix("target_") for target in targets]
    return _alike("eras without", "targets", [_percent(target.coverage) for target in targets], missing, names)


def _benchmarks(benchmarks: "Sequence[BenchmarkInfo]") -> Table:
    spans = [_span(each.first_era, each.last_era) if each.first_era and each.last_era else "–" for each in benchmarks]
    names = [each.benchmark for each in benchmarks]
    return _alike("eras", "benchmarks", [_percent(each.coverage) for each in benchmarks], spans, names)


def _alike(eras: str, kind: str, known: Sequence[str], spans: Sequence[str], names: Sequence[str]) -> Table:
    """A line for all columns that are known alike."""
    alike: dict[tuple[str, str], list[str]] = {}
    for share, span, name in zip(known, spans, names, strict=True):
        alike.setdefault((share, span), []).append(name)
    table = _table("known", eras, "", kind, left=(eras, kind))
    for (share, span), group in alike.items():
        table.add_row(share, span, str(len(group)), ", ".join(group))
    return table


def _problems(info: "VersionInfo") -> Table:
    table = _table("file", "problem", left=("file", "problem"))
    table.show_header = False
    for problem in info.problems:
        table.add_row(problem.file, problem.message)
    return table


def _span(first: str, last: str) -> str:
    return first if first == last else f"{first}–{last}"


def _percent(share: float | None) -> str:
    """Rounded down: what is not complete never looks complete."""
    return "–" if share is None else f"{int(share * 1000) / 10:.1f} %"


def _size(size: int) -> str:
    value = float(size)
    for unit in ("B", "kB", "MB"):
        if value < 1000:
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1000
    return f"{value:.1f} GB"
