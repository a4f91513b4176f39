"""Building: markets and data files in the making, with a bar where there is a terminal."""

from pathlib import Path

from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from numerai_ray.data.files.build import BuildSpec, BuiltFile, build
from numerai_ray.data.synthetic.files import write_market
from numerai_ray.data.synthetic.market import MarketSpec
from numerai_ray.progress.terminal import Console


def _progress() -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f} %"),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        transient=True,
        disable=not Console(stderr=True).is_terminal,
    )


def make_market(spec: MarketSpec, version_dir: Path) -> None:
    """Write a synthetic market, showing progress."""
    with _progress() as progress:
        task = progress.add_task(f"making a synthetic market in {version_dir}", total=spec.eras)
        write_market(spec, version_dir, lambda done, total: progress.update(task, completed=done, total=total))


def build_files(version_dir: Path, spec: BuildSpec) -> tuple[BuiltFile, ...]:
    """Build full and downsampled files, showing progress."""
    with _progress() as progress:
        task = progress.add_task(f"building full and downsampled files in {version_dir}", total=None)
        return build(version_dir, spec, lambda done, total: progress.update(task, completed=done, total=total))


def built_line(file: BuiltFile) -> str:
    """What a built file holds, and whether it was there."""
    return f"{file.path}: {file.rows:,} rows, {file.eras:,} eras{'' if file.fresh else ' (up to date)'}"
