"""Building: synthetic markets and data files, made with a bar where there is a terminal."""

from pathlib import Path

from numerai_ray.data.files.build import BuildSpec, BuiltFile, build
from numerai_ray.data.synthetic.files import write_market
from numerai_ray.data.synthetic.market import MarketSpec
from numerai_ray.progress.bar import bar


def make_market(spec: MarketSpec, version_dir: Path) -> None:
    """Write a synthetic market, showing progress."""
    with bar(f"making a synthetic market in {version_dir}") as step:
        write_market(spec, version_dir, step)


def build_files(version_dir: Path, spec: BuildSpec) -> tuple[BuiltFile, ...]:
    """Build full and downsampled files, showing progress."""
    with bar(f"building full and downsampled files in {version_dir}") as step:
        return build(version_dir, spec, step)


def built_line(file: BuiltFile) -> str:
    """What a built file holds, and whether it was there."""
    return f"{file.path}: {file.rows:,} rows, {file.eras:,} eras{'' if file.fresh else ' (up to date)'}"
