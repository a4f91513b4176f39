"""``ensemble``: combinations of what experiments trained, searched on earlier eras and judged on later ones."""

from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from numerai_ray.cli.commands.submission import steps
from numerai_ray.cli.options import DataDirOption, JsonOption, positive, within
from numerai_ray.progress.live_view import wide_console
from numerai_ray.progress.round_state import number
from numerai_ray.progress.terminal import say
from numerai_ray.session.places import data_place, writable_folder
from numerai_ray.system.json_text import to_json


def register(app: typer.Typer) -> None:
    """Add the command to the program."""
    app.command(
        epilog="Examples: numerai-ray ensemble experiments --out all · "
        "numerai-ray ensemble experiments/a experiments/b --out ab --members 5 --json"
    )(ensemble)


def ensemble(
    exps: Annotated[
        list[Path], typer.Argument(metavar="EXP…", help="Folders of experiments, or a folder that holds some.")
    ],
    out: Annotated[str, typer.Option("--out", metavar="NAME", help="Its folder: ensembles/NAME, or a path.")],
    data_dir: DataDirOption = None,
    *,
    members: Annotated[
        int, typer.Option("--members", callback=within(1, 100), help="How many models it may have at most.")
    ] = 8,
    feature_sets: Annotated[
        int | None,
        typer.Option("--feature-sets", callback=within(1), help="How many distinct feature sets they may read."),
    ] = None,
    blocks: Annotated[
        int, typer.Option("--blocks", callback=within(1, 50), help="In how many blocks of later eras it is reported.")
    ] = 4,
    memory_gb: Annotated[
        float, typer.Option("--memory-gb", callback=positive, help="Memory of the container that it has to run in.")
    ] = 4.0,
    minutes: Annotated[
        float, typer.Option("--minutes", callback=positive, help="Time of that container, on one core.")
    ] = 10.0,
    as_json: JsonOption = False,
) -> None:
    """The best blend of what experiments predicted, chosen on earlier eras, reported on later ones; trains nothing."""
    from numerai_ray.ensembles.costs import Cost
    from numerai_ray.session.ensemble import SearchOrder, ensemble_folder, search_ensemble

    root = data_place(data_dir)
    folder = writable_folder(ensemble_folder(out), "--out")
    with steps() as on_step:
        container = Cost(memory_gb * 1e9, minutes * 60)
        order = SearchOrder(exps, folder, root, members, feature_sets, blocks, container=container)
        found = search_ensemble(order, on_step)
    if as_json:
        recipe = found.paths.recipe
        files = {"recipe": recipe if recipe.is_file() else None, "report": found.paths.report, "page": found.paths.html}
        told = {name: None if path is None else str(path) for name, path in files.items()}
        say(to_json({**found.value, "files": told}, indent=2))
        return
    _show(found.value)
    say("\n".join(str(path) for path in (found.paths.report, found.paths.recipe) if path.is_file()))
    parts, alone = found.value["parts"], found.value["without_model"]
    if alone:
        say(f"note: of {', '.join(alone)} there are predictions alone: the rest can be trained and exported")
    if not alone or parts:
        part = f" --variant best-{len(parts[0]['members'])}" if alone else ""
        say(f"next: numerai-ray export {folder} --out {found.name}.pkl{part}")


def _show(value: dict) -> None:  # type: ignore[type-arg]
    """Members, then the verdict, then what is luck in it."""
    from numerai_ray.ensembles.costs import Cost
    from numerai_ray.ensembles.outcome import delta_of
    from numerai_ray.metrics.significance import delta_text, e4

    table = Table(box=None, pad_edge=False)
    table.add_column("member", overflow="fold")
    for head in ("weight", "bmc", "bmc last block", "lost without"):
        table.add_column(head, justify="right", no_wrap=True)
    for each in value["members"]:
        loss = each["loss_last_block"]
        scores = (number(each["bmc_where_chosen"], 5), number(each["bmc_last_block"], 5))
        table.add_row(each["name"], f"{each['weight']:.4f}", *scores, "–" if loss is None else e4(loss))
    wide_console().print(table)
    gain, equal = delta_of(value["gain"]), delta_of(value["gain_over_equal"])
    eras, left = value["eras"], len(value["left_out"])
    say(
        f"{value['candidates']} candidates ({left} left out), {eras['count']} eras {eras['first']}–{eras['last']}; "
        f"mixture {_post(value)}"
    )
    say(f"against the best single model: {e4(gain.mean)} ({delta_text(gain)})")
    say(f"against equal weights of all: {e4(equal.mean)} ({delta_text(equal)})")
    chosen, later = value["mean_gain_where_chosen"], value["mean_gain_later"]
    of = value["container"]
    if of["refused"] is not None:
        wanted = Cost(of["refused"]["memory_bytes"], of["refused"]["seconds"])
        refused = f"{len(of['refused']['members'])} members ({wanted})"
        say(f"too much for the container: {refused}; this is the best that fits ({Cost(**of['estimate'])})")
    say(f"where it was chosen it gains {e4(chosen)}, later {e4(later)}: believe the latter")


def _post(value: dict) -> str:  # type: ignore[type-arg]
    from numerai_ray.ensembles.blends import Post

    return str(Post(**value["post"]))
