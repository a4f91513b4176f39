"""``numerai-ray store``: what is kept of trained fits, whether it is whole, and what may go."""

import json
import time
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any, get_args

import typer
from rich.progress import Progress

from numerai_ray.cli.options import DataDirOption, JsonOption, within
from numerai_ray.progress.terminal import Console, say
from numerai_ray.session.places import data_place

if TYPE_CHECKING:
    from numerai_ray.training.store.care import StoreFile
    from numerai_ray.training.store.fits import FitStore

app = typer.Typer(help="See, check and tidy up the store of trained fits.", no_args_is_help=True)


SOME_DAMAGED = 3
UNITS = ("B", "kB", "MB", "GB", "TB")


def register(program: typer.Typer) -> None:
    """Add the commands to the program."""
    program.add_typer(app, name="store")


@app.command(epilog="Example: numerai-ray store info --data-dir data --json")
def info(data_dir: DataDirOption = None, *, as_json: JsonOption = False) -> None:
    """How many fits, models and looks at predictions there are, how large and how old."""
    from numerai_ray.training.store.care import Kind

    store, files = _open(data_dir)
    kinds = {kind: [file for file in files if file.kind == kind] for kind in get_args(Kind)}
    ages = [file.age_s for file in kinds["fit"]]
    value = {
        "store": str(store.root),
        "fits": len(kinds["fit"]),
        "bytes": _bytes(kinds["fit"]),
        "oldest_days": _days(max(ages)) if ages else None,
        "newest_days": _days(min(ages)) if ages else None,
        "by_age": _by_age(kinds["fit"]),
        "models": len(kinds["model"]),
        "model_bytes": _bytes(kinds["model"]),
        "looks": len(kinds["look"]),
        "look_bytes": _bytes(kinds["look"]),
        "damaged": len(kinds["damaged"]),
        "partial": len(kinds["partial"]),
        "removable_bytes": _bytes([*kinds["damaged"], *kinds["partial"]]),
    }
    if as_json:
        say(json.dumps(value, indent=2))
        return
    say(f"{value['store']}: {value['fits']:,} fits, {_size(_bytes(kinds['fit']))}")
    for age, group in _by_age(kinds["fit"]).items():
        say(f"  {age:<18} {group['fits']:>6,} fits  {_size(group['bytes']):>9}")
    if kinds["model"]:
        say(f"  {len(kinds['model']):,} trained models  {_size(_bytes(kinds['model']))}")
    if kinds["look"]:
        say(f"  {len(kinds['look']):,} looks at predictions  {_size(_bytes(kinds['look']))}")
    if kinds["damaged"] or kinds["partial"]:
        say(
            f"  {len(kinds['damaged'])} damaged and {len(kinds['partial'])} unfinished files; "
            f"`numerai-ray store gc --delete` removes them"
        )


@app.command(epilog="Example: numerai-ray store gc --older-than 90 --delete · numerai-ray store gc --models --delete")
def gc(
    data_dir: DataDirOption = None,
    older_than: Annotated[
        int | None, typer.Option("--older-than", metavar="DAYS", callback=within(0), help="Fits written so long ago.")
    ] = None,
    keep_gb: Annotated[
        int | None,
        typer.Option(
            "--keep-gb", metavar="GB", callback=within(0), help="Keep up to this: fits before models, newest."
        ),
    ] = None,
    *,
    models: Annotated[bool, typer.Option("--models", help="Every trained model; their fits stay.")] = False,
    delete: Annotated[bool, typer.Option("--delete", help="Remove them; without it they are only named.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Name what may go, or remove it: damaged and unfinished files, and entries beyond the limits given.

    No report and no decided round needs a fit or a model: one that is asked for again is trained again.
    """
    from numerai_ray.training.store.care import Limits, removals, remove

    store, files = _open(data_dir)
    going = removals(files, Limits(older_than, None if keep_gb is None else keep_gb * 10**9, not models))
    if delete:
        remove(store, going)
    reasons = {reason: [each.file for each in going if each.reason == reason] for reason in _in_order(going)}
    if as_json:
        shown = {reason: {"files": len(group), "bytes": _bytes(group)} for reason, group in reasons.items()}
        total = _bytes([each.file for each in going])
        say(json.dumps({"store": str(store.root), "deleted": delete, "bytes": total, "why": shown}, indent=2))
        return
    for reason, group in reasons.items():
        say(f"{reason}: {len(group):,} files, {_size(_bytes(group))}")
    if not going:
        say(f"{store.root}: nothing to remove")
    elif not delete:
        say("nothing was removed; add --delete to remove them")


@app.command(epilog="Example: numerai-ray store verify --data-dir data")
def verify(data_dir: DataDirOption = None, *, as_json: JsonOption = False) -> None:
    """Read every entry to its last byte; what is damaged is set aside, and made again when it is asked for.

    Exit code 3 when something was damaged, or could not be read and may be either.
    """
    from numerai_ray.training.store.care import ENTRIES, check_store

    store, files = _open(data_dir)
    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task("checking", total=sum(file.kind in ENTRIES for file in files))
        found = check_store(store, files, lambda: progress.advance(task))
    if as_json:
        value = {"store": str(store.root), **asdict(found)}
        say(json.dumps(value, indent=2))
    else:
        by = "".join(f"\n  {name}: {count:,}" for name, count in found.models.items())
        say(f"{store.root}: {found.whole:,} whole, {len(found.damaged):,} damaged and set aside{by}")
        for key in found.damaged:
            say(f"  damaged: {key}")
        for why in found.unread:
            say(f"  not read: {why}")
    if found.damaged or found.unread:
        raise typer.Exit(SOME_DAMAGED)


def _open(data_dir: str | None) -> tuple["FitStore", list["StoreFile"]]:
    from numerai_ray.training.store.care import store_files
    from numerai_ray.training.store.fits import FitStore

    store = FitStore.below(data_place(data_dir))
    return store, store_files(store, time.time())


def _by_age(fits: list["StoreFile"]) -> dict[str, dict[str, int]]:
    """Fits and bytes by how long ago they were written."""
    from numerai_ray.training.store.care import DAY_S

    limits = {"of today": 1, "of this week": 7, "of this month": 31, "older": float("inf")}
    found: dict[str, dict[str, int]] = {}
    low = 0.0
    for name, days in limits.items():
        group = [file for file in fits if low <= file.age_s / DAY_S < days]
        if group:
            found[name] = {"fits": len(group), "bytes": _bytes(group)}
        low = days
    return found


def _in_order(going: list[Any]) -> list[Any]:
    return list(dict.fromkeys(each.reason for each in going))


def _bytes(files: list["StoreFile"]) -> int:
    return sum(file.size_bytes for file in files)


def _days(seconds: float) -> float:
    return round(seconds / 86_400, 2)


def _size(size_bytes: float) -> str:
    unit = 0
    while size_bytes >= 1000 and unit < len(UNITS) - 1:
        size_bytes, unit = size_bytes / 1000, unit + 1
    return f"{size_bytes:.{1 if unit else 0}f} {UNITS[unit]}"
