"""``numerai-ray store``: what is kept of trained fits, whether it is whole, and what may go."""

import json
import time
from collections import defaultdict
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Annotated, get_args

import typer
from rich.progress import Progress

from numerai_ray.cli.options import DataDirOption, JsonOption, within
from numerai_ray.progress.terminal import Console, say
from numerai_ray.session.places import data_place

if TYPE_CHECKING:
    from numerai_ray.training.store.care import StoreFiles
    from numerai_ray.training.store.cut import StoreFile

app = typer.Typer(help="See, check and tidy up the store of trained fits.", no_args_is_help=True)


SOME_DAMAGED = 3
AGES = {"of today": 1, "of this week": 7, "of this month": 31, "older": float("inf")}
UNITS = ("B", "kB", "MB", "GB", "TB")


def register(program: typer.Typer) -> None:
    """Add the commands to the program."""
    program.add_typer(app, name="store")


@app.command(epilog="Example: numerai-ray store info --data-dir data --json")
def info(data_dir: DataDirOption = None, *, as_json: JsonOption = False) -> None:
    """How many fits, models and looks at predictions there are, how large and how old."""
    files = _open(data_dir)
    store = files.store
    kinds: dict[str, Tally] = defaultdict(Tally)
    by_age: dict[str, Tally] = {name: Tally() for name in AGES}
    for file in files:
        kinds[file.kind].add(file)
        if file.kind == "fit":
            by_age[_age(file)].add(file)
    fits = kinds["fit"]
    value = {
        "store": str(store.root),
        "fits": fits.files,
        "bytes": fits.bytes,
        "oldest_days": _days(fits.oldest_s) if fits.files else None,
        "newest_days": _days(fits.newest_s) if fits.files else None,
        "by_age": {name: {"fits": each.files, "bytes": each.bytes} for name, each in by_age.items() if each.files},
        "models": kinds["model"].files,
        "model_bytes": kinds["model"].bytes,
        "looks": kinds["look"].files,
        "look_bytes": kinds["look"].bytes,
        "damaged": kinds["damaged"].files,
        "partial": kinds["partial"].files,
        "removable_bytes": kinds["damaged"].bytes + kinds["partial"].bytes,
    }
    if as_json:
        say(json.dumps(value, indent=2))
        return
    say(f"{store.root}: {fits.files:,} fits, {_size(fits.bytes)}")
    for age, group in by_age.items():
        if group.files:
            say(f"  {age:<18} {group.files:>6,} fits  {_size(group.bytes):>9}")
    for kind, told in (("model", "trained models"), ("look", "looks at predictions")):
        if kinds[kind].files:
            say(f"  {kinds[kind].files:,} {told}  {_size(kinds[kind].bytes)}")
    if kinds["damaged"].files or kinds["partial"].files:
        say(
            f"  {kinds['damaged'].files} damaged and {kinds['partial'].files} unfinished files; "
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
    from numerai_ray.training.store.care import Limits, Reason, removals, remove

    files = _open(data_dir)
    store = files.store
    going = removals(files, Limits(older_than, None if keep_gb is None else keep_gb * 10**9, not models))
    reasons: dict[str, Tally] = defaultdict(Tally)
    for each in going:
        if delete:
            remove(store, [each])
        reasons[each.reason].add(each.file)
    told = {reason: reasons[reason] for reason in get_args(Reason) if reason in reasons}
    if as_json:
        shown = {reason: {"files": group.files, "bytes": group.bytes} for reason, group in told.items()}
        total = sum(group.bytes for group in told.values())
        say(json.dumps({"store": str(store.root), "deleted": delete, "bytes": total, "why": shown}, indent=2))
        return
    for reason, group in told.items():
        say(f"{reason}: {group.files:,} files, {_size(group.bytes)}")
    if not told:
        say(f"{store.root}: nothing to remove")
    elif not delete:
        say("nothing was removed; add --delete to remove them")


@app.command(epilog="Example: numerai-ray store verify --data-dir data")
def verify(data_dir: DataDirOption = None, *, as_json: JsonOption = False) -> None:
    """Read every entry to its last byte; what is damaged is set aside, and made again when it is asked for.

    Exit code 3 when something was damaged, or could not be read and may be either.
    """
    from numerai_ray.training.store.care import check_store
    from numerai_ray.training.store.cut import ENTRIES

    files = _open(data_dir)
    store = files.store
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


@dataclass
class Tally:
    """Files of a kind, or of an age: how many, how large, how old."""

    files: int = 0
    bytes: int = 0
    oldest_s: float = 0.0
    newest_s: float = float("inf")

    def add(self, file: "StoreFile") -> None:
        self.files += 1
        self.bytes += file.size_bytes
        self.oldest_s, self.newest_s = max(self.oldest_s, file.age_s), min(self.newest_s, file.age_s)


def _open(data_dir: str | None) -> "StoreFiles":
    from numerai_ray.training.store.care import StoreFiles
    from numerai_ray.training.store.fits import FitStore

    return StoreFiles(FitStore.below(data_place(data_dir)), time.time())


def _age(fit: "StoreFile") -> str:
    """How long ago it was written."""
    return next(name for name, days in AGES.items() if fit.age_s / 86_400 < days)


def _days(seconds: float) -> float:
    return round(seconds / 86_400, 2)


def _size(size_bytes: float) -> str:
    unit = 0
    while size_bytes >= 1000 and unit < len(UNITS) - 1:
        size_bytes, unit = size_bytes / 1000, unit + 1
    return f"{size_bytes:.{1 if unit else 0}f} {UNITS[unit]}"
