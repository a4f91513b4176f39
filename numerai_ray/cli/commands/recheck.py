"""``recheck``: base, winner and baseline of an experiment on eras that came after its last decision."""

import json
from typing import TYPE_CHECKING, Any

import typer
from rich.table import Table

from numerai_ray.cli.options import AddressOption, DataDirOption, ExperimentArgument, InProcessOption, JsonOption
from numerai_ray.data.eras import era_label
from numerai_ray.experiment.ledger import read_ledger
from numerai_ray.metrics.significance import e4
from numerai_ray.progress.live_view import wide_console
from numerai_ray.progress.terminal import Console, say
from numerai_ray.session.opening import Session, prepare_data
from numerai_ray.session.places import data_place, open_experiment
from numerai_ray.system.json_text import without_nan

if TYPE_CHECKING:
    from numerai_ray.session.recheck import Rechecked


def register(app: typer.Typer) -> None:
    """Add the command to the program."""
    app.command(
        epilog="Examples: numerai-ray recheck experiments/quickstart · numerai-ray recheck EXP --json --data-dir /data"
    )(recheck)


def recheck(
    exp: ExperimentArgument,
    data_dir: DataDirOption = None,
    address: AddressOption = None,
    *,
    in_process: InProcessOption = False,
    as_json: JsonOption = False,
) -> None:
    """Score base, winner and baseline on eras that came after the last decision: a holdout nobody could peek at.

    Run it whenever new eras have their labels; each is scored once, and the report's record grows.
    """
    from numerai_ray.report.writer import write_report
    from numerai_ray.session.recheck import recheck as look

    paths, loaded = open_experiment(exp)
    root = data_place(data_dir)
    session = Session(paths, loaded, root, Console(stderr=True), address, in_process=in_process, as_json=as_json)
    prepare_data(loaded, root)
    found = look(session)
    if found.added is not None:
        write_report(loaded, paths, read_ledger(paths.ledger))
    if as_json:
        say(json.dumps(without_nan(recheck_json(str(exp), found)), indent=2))
        return
    for line in recheck_lines(found):
        say(line)
    if found.record is not None:
        wide_console().print(_table(found))
        say(f"{paths.report}")


def recheck_json(exp: str, found: "Rechecked") -> dict[str, Any]:
    """What ``recheck --json`` tells."""
    from numerai_ray.report.sections.since import pair_json

    record, added = found.record, found.added
    return {
        "experiment": exp,
        "stage": found.stage,
        "last_era": found.last_era,
        "eras_added": [] if added is None else list(added.eras),
        "eras_waiting": found.waiting_eras,
        "fits": {
            "trained": 0 if added is None else sum(each.fits_new for each in added.variants),
            "stored": 0 if added is None else sum(each.fits_stored for each in added.variants),
            "models_kept": 0 if added is None else sum(each.models_kept for each in added.variants),
        },
        "eras": [] if record is None else list(record.eras),
        "scores": {}
        if record is None
        else {role: {"corr": each.corr.tolist(), "bmc": each.bmc.tolist()} for role, each in record.scores.items()},
        "drift": list(found.drift),
        "pairs": [] if record is None else [pair_json(pair) for pair in record.pairs],
    }


def recheck_lines(found: "Rechecked") -> list[str]:
    """What was done, and what it comes to."""
    from numerai_ray.report.sections.since import pair_sentence

    lines = []
    after = f"after era {era_label(found.last_era)}, the last that the search saw"
    if found.added is None:
        lines.append(f"no new era to score {after}")
    else:
        count, variants = len(found.added.eras), found.added.variants
        fits = sum(each.fits_new for each in variants)
        kept = sum(each.fits_stored + each.models_kept for each in variants)
        span = "–".join(dict.fromkeys([era_label(found.added.eras[0]), era_label(found.added.eras[-1])]))
        fitted = f"{fits} fits trained, {kept} read from the store"
        lines.append(f"{count} new era{'s'[: count > 1]} scored ({span}) {after}; {fitted}")
    if found.waiting_eras:
        wait = "eras wait for their" if found.waiting_eras > 1 else "era waits for its"
        lines.append(f"{found.waiting_eras} later {wait} labels or benchmark")
    if found.record is not None:
        lines += [pair_sentence(pair) for pair in found.record.pairs]
        if not found.record.pairs:
            lines.append(
                "winner, base and baseline are one configuration, so there is no gain to hold against anything"
            )
    return [*lines, *found.drift]


def _table(found: "Rechecked") -> Table:
    """The newest eras, a line each."""
    screen = Table(box=None, pad_edge=False)
    record = found.record
    if record is None:
        return screen
    screen.add_column("era")
    for role in record.scores:
        screen.add_column(f"BMC {role}", justify="right", no_wrap=True)
    for pair in record.pairs:
        screen.add_column(f"winner − {pair.theirs}", justify="right", no_wrap=True)
    for place in range(max(0, len(record.eras) - 10), len(record.eras)):
        values = [e4(float(each.bmc[place])) for each in record.scores.values()]
        values += [e4(float(pair.values[place])) for pair in record.pairs]
        screen.add_row(era_label(record.eras[place]), *values)
    return screen
