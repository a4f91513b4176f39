"""``numerai-ray data``: make and build the files that experiments read."""

import json
from pathlib import Path
from typing import Annotated

import typer

from numerai_ray.cli.commands import download, info
from numerai_ray.cli.options import DataDirOption, JsonOption, within
from numerai_ray.config.official import NEWEST_VERSION
from numerai_ray.data.files.build import BuildSpec
from numerai_ray.data.synthetic.layout import layout_of
from numerai_ray.data.synthetic.market import MarketSpec
from numerai_ray.errors import RequestError, nearest
from numerai_ray.progress.terminal import say
from numerai_ray.session.building import build_files, built_line, make_market
from numerai_ray.session.places import data_root, writable_folder
from numerai_ray.session.versions import newest_known, newest_present

app = typer.Typer(help="Download, make, build and inspect data files.", no_args_is_help=True)
download.register(app)
info.register(app)


def register(program: typer.Typer) -> None:
    """Add the commands to the program."""
    program.add_typer(app, name="data")


@app.command(epilog="Example: numerai-ray data synth --out data --version v5.3 --eras 320 --rows 1200 --features 400")
def synth(
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Data root to write to.")],
    version: Annotated[
        str | None,
        typer.Option("--version", help="Data version: the folder's name. Else the newest there, else at Numerai."),
    ] = None,
    eras: Annotated[int, typer.Option("--eras", callback=within(40, 5000), help="Eras, from 40 to 5000.")] = 320,
    rows: Annotated[
        int, typer.Option("--rows", callback=within(50, 20_000), help="Mean rows an era, from 50 to 20000.")
    ] = 1200,
    features: Annotated[
        int, typer.Option("--features", callback=within(10, 5000), help="Features, from 10 to 5000.")
    ] = 400,
    seed: Annotated[int, typer.Option("--seed", callback=within(0, 2**32), help="Same seed, same market.")] = 0,
    *,
    as_json: JsonOption = False,
) -> None:
    """Make a synthetic market in Numerai's exact file layout, and build its full and downsampled files.

    The layout is that of the version: v5.2 or v5.3, for other names the nearest before it, or the newest.
    """
    root = writable_folder(out, "--out")
    if version is None:
        version, note = newest_known(root)
        if note is not None:
            say(f"note: {note}", err=True)
    version_dir = _version_dir(root, version)
    spec = MarketSpec(eras=eras, rows=rows, features=features, seed=seed, layout=layout_of(version).version)
    make_market(spec, version_dir)
    _build(version_dir, BuildSpec(), as_json=as_json)


@app.command("build", epilog="Example: numerai-ray data build --data-dir data")
def build_command(
    data_dir: DataDirOption = None,
    version: Annotated[
        str | None, typer.Option("--version", help="Data version: the folder's name. Else the newest one there.")
    ] = None,
    step: Annotated[
        int, typer.Option("--step", callback=within(1), help="Keep every n-th era in the downsampled file.")
    ] = 4,
    offset: Annotated[int, typer.Option("--offset", callback=within(0), help="First era kept, below the step.")] = 0,
    *,
    as_json: JsonOption = False,
) -> None:
    """Build full.parquet, downsampled_full.parquet and their benchmark files; skip what is up to date."""
    if offset >= step:
        raise RequestError(f"--offset must be below --step, but got {offset=} {step=}")
    root = data_root(data_dir)
    version = newest_present(root) or NEWEST_VERSION if version is None else version
    version_dir = _version_dir(root, version)
    if not version_dir.is_dir():
        there = [folder.name for folder in root.iterdir() if folder.is_dir()]
        hint = nearest(version, there) or "; download a version there, or make one with `numerai-ray data synth`"
        raise RequestError(f"--version: {root} holds no folder {version!r}{hint}")
    _build(version_dir, BuildSpec(step, offset), as_json=as_json)


def _build(version_dir: Path, spec: BuildSpec, *, as_json: bool) -> None:
    built = build_files(version_dir, spec)
    if as_json:
        files = [{**vars(file), "path": str(file.path)} for file in built]
        say(json.dumps({"version": version_dir.name, "folder": str(version_dir), "files": files}, indent=2))
        return
    for file in built:
        say(built_line(file))


def _version_dir(root: Path, version: str) -> Path:
    if not version or Path(version).name != version or version in (".", ".."):
        raise RequestError(f"--version must be a folder's name such as v5.2, but is {version!r}")
    return root / version
