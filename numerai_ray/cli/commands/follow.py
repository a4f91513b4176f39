"""``follow``: models at Numerai, round by round, against what their experiments promised."""

import json
import math
import os
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from numerai_ray.cli.commands.upload import ViaOption, connect, watch
from numerai_ray.cli.options import DataDirOption, JsonOption, within
from numerai_ray.errors import RequestError
from numerai_ray.metrics.significance import INTERVAL_PERCENT
from numerai_ray.progress.live_view import wide_console
from numerai_ray.progress.round_state import number
from numerai_ray.progress.terminal import say
from numerai_ray.session.places import existing_folder
from numerai_ray.system.json_text import without_nan
from numerai_ray.system.storage import DATA_ROOT_VARIABLE, place

if TYPE_CHECKING:
    from numerai_ray.session.follow import Followed, FollowedScore

UploadsOption = Annotated[
    Path,
    typer.Option("--uploads", metavar="DIR", help="Where pickles were uploaded from: their records are below it."),
]
SHOWN_SCORES = ("corr", "mmc", "bmc")


def register(app: typer.Typer) -> None:
    """Add the command to the program."""
    app.command(
        epilog="Examples: numerai-ray follow · numerai-ray follow my_model --rounds 40 --plot plots · "
        "numerai-ray follow --check"
    )(follow)


def follow(
    models: Annotated[
        list[str] | None, typer.Argument(metavar="[MODEL…]", help="Names or ids of models; else all of the account.")
    ] = None,
    *,
    uploads: UploadsOption = Path(),
    rounds: Annotated[
        int, typer.Option("--rounds", callback=within(0), help="Newest rounds to list of each named model.")
    ] = 10,
    plot: Annotated[
        Path | None, typer.Option("--plot", metavar="DIR", help="Draw each model with a promise into this folder.")
    ] = None,
    data_dir: DataDirOption = None,
    check: Annotated[bool, typer.Option("--check", help="Only check the API key, and say what it may do.")] = False,
    via: ViaOption = "numerapi",
    as_json: JsonOption = False,
) -> None:
    """Live rounds of your models: CORR, MMC, BMC, payout, stake at risk; and whether they do as promised.

    The API key comes from NUMERAI_PUBLIC_ID and NUMERAI_SECRET_KEY; one that may only read is enough.
    """
    if check:
        _check(via, as_json=as_json)
        return
    if via != "numerapi":
        raise RequestError(f"--via: {via} goes with --check alone; rounds are asked for with numerapi")
    from numerai_ray.data.download.numerai_api import NumeraiApi
    from numerai_ray.session.follow import data_findings
    from numerai_ray.session.follow import follow as look

    existing_folder(uploads, "--uploads")
    found = look(NumeraiApi(on_retry=watch().retry), models or [], uploads)
    plots = [] if plot is None else draw_plots(found, plot)
    root = place(data_dir or os.environ.get(DATA_ROOT_VARIABLE) or "data")
    fallen = [each for each in found if each.word == "worse than promised"]
    drift = {each.model_id: data_findings(each, root if isinstance(root, Path) else None) for each in fallen}
    if as_json:
        listed = [{**model_json(each), "drift": list(drift.get(each.model_id, ()))} for each in found]
        value = {"models": listed, "plots": [str(path) for path in plots]}
        say(json.dumps(without_nan(value), indent=2))
        return
    if not found:
        say("this account has no model of the Classic tournament; `numerai-ray upload model.pkl --new NAME` makes one")
        return
    wide_console().print(_table(found))
    for each in found:
        for line in (*model_lines(each), *drift.get(each.model_id, ())):
            say(line)
        if models and rounds and each.rounds:
            wide_console().print(_rounds(each, rounds))
    for path in plots:
        say(str(path))


def draw_plots(found: "list[Followed]", folder: Path) -> list[Path]:
    """A picture a model that has a promise and resolved rounds; light, as for a notebook or a mail."""
    from numerai_ray.report.plots.drawing import LIGHT, write_picture
    from numerai_ray.report.plots.live import draw_live, live_info

    paths = []
    for each in found:
        info = live_info(each.name, {name: (s.promise, s.weeks, s.live) for name, s in each.scores.items()})
        if info is not None:
            path = folder / f"follow-{each.name}.png"
            write_picture(path, lambda theme, info=info: draw_live(info, theme), LIGHT)  # type: ignore[misc]
            paths.append(path)
    return paths


def model_json(each: "Followed") -> dict[str, Any]:
    """A model as plain values."""
    rounds = [
        {**asdict(one), "opened": _day(one.opened), "resolves": _day(one.resolves), "week": one.week}
        for one in each.rounds
    ]
    return {
        "model": each.name,
        "id": each.model_id,
        "word": each.word,
        "uploaded": None if each.upload is None else each.upload.uploaded,
        "pickle": None if each.upload is None else each.upload.pickle,
        "experiment": None if each.upload is None else each.upload.experiment,
        "resolved": len(each.resolved),
        "in_progress": len(each.in_progress),
        "mean": {score: each.mean(score) for score in SHOWN_SCORES},
        "paid": each.paid,
        "pending": each.pending,
        "at_risk": each.at_risk,
        "scores": {name: _score_json(score) for name, score in each.scores.items()},
        "rounds": rounds,
        "note": each.note,
    }


def model_lines(each: "Followed") -> list[str]:
    """What a model's scores come to, a line each."""
    lines = [f"{each.name}, {name.upper()}: {_sentence(score)}" for name, score in each.scores.items()]
    return [*lines, *([f"{each.name}: {each.note}"] if each.note else [])]


def _sentence(score: "FollowedScore") -> str:
    promise, live = score.promise, score.live
    promised = f"promised {number(promise.mean)} ± {number(promise.standard_error)}"
    if not live.eras:
        return f"{promised}; no round has resolved since the upload: {live.word}"
    low, high = float(live.low[-1]), float(live.high[-1])
    interval = f"{number(low)} to {number(high)}" if math.isfinite(low) else "not to be told yet"
    told = (
        f"{promised}; live {number(float(live.mean[-1]))}, {INTERVAL_PERCENT} % interval {interval} at any time, over "
        f"{len(live.eras)} week{'s'[: len(live.eras) > 1]} of resolved rounds: {live.word}"
    )
    if live.word != "too early":
        return told
    if score.needed is None:
        return f"{told} (the promise is too unsure for live rounds ever to refute it)"
    return f"{told} (if it fell to nothing, {score.needed} weeks would tell in four cases of five)"


def _score_json(score: "FollowedScore") -> dict[str, Any]:
    promise, live = score.promise, score.live
    there = bool(live.eras)
    return {
        "promise": {"mean": promise.mean, "standard_error": promise.standard_error, "eras": promise.eras},
        "round_interval": list(score.expected),
        "weeks": len(live.eras),
        "weeks_needed": score.needed,
        "word": live.word,
        "mean": float(live.mean[-1]) if there else None,
        "interval": [float(live.low[-1]), float(live.high[-1])] if there else None,
        "against": float(live.against[-1]) if there else None,
        "favour": float(live.favour[-1]) if there else None,
    }


def _table(found: "list[Followed]") -> Table:
    screen = Table(box=None, pad_edge=False)
    screen.add_column("model", overflow="fold")
    for name in ("resolved", "in progress", "CORR", "MMC", "BMC", "paid NMR", "pending", "at risk"):
        screen.add_column(name, justify="right", no_wrap=True)
    screen.add_column("word")
    for each in found:
        scores = [number(each.mean(score)) for score in SHOWN_SCORES]
        amounts = [number(each.paid, 2), number(each.pending, 2), number(each.at_risk, 2)]
        counts = [str(len(each.resolved)), str(len(each.in_progress))]
        screen.add_row(each.name, *counts, *scores, *amounts, each.word)
    return screen


def _rounds(each: "Followed", count: int) -> Table:
    """The newest rounds; a score outside of what nine of ten rounds show is marked."""
    screen = Table(box=None, pad_edge=False)
    for name in ("round", "opened", "state"):
        screen.add_column(name, no_wrap=True)
    for name in ("CORR", "MMC", "BMC", "payout", "at risk"):
        screen.add_column(name, justify="right", no_wrap=True)
    for one in each.rounds[-count:]:
        scores = [_marked(each, score, getattr(one, score)) for score in SHOWN_SCORES]
        state = "resolved" if one.resolved else f"until {_day(one.resolves) or '?'}"
        amounts = [number(one.payout, 3), number(one.at_risk, 2)]
        screen.add_row(str(one.number), _day(one.opened) or "–", state, *scores, *amounts)
    return screen


def _marked(each: "Followed", score: str, value: float) -> str:
    own = each.scores.get(score)
    outside = own is not None and not math.isnan(value) and not own.expected[0] <= value <= own.expected[1]
    return f"{number(value)}{'!' if outside else ' ' if each.scores else ''}"


def _day(value: Any) -> str | None:
    return None if value is None else str(value.isoformat())


def _check(via: str, *, as_json: bool) -> None:
    """Whether the key is taken, and what it may do; nothing is changed at Numerai."""
    from numerai_ray.data.download.numerai_api import NumeraiApi
    from numerai_ray.submission.numerai.mcp import McpNumerai

    name, scopes = "", tuple[str, ...]()
    if via == "mcp":
        numerai = connect(via)
        if isinstance(numerai, McpNumerai):
            numerai.check()
    else:
        connect(via)
        name, scopes = NumeraiApi(on_retry=watch().retry).key_scopes()
    if as_json:
        say(json.dumps({"valid": True, "via": via, "account": name, "scopes": list(scopes)}, indent=2))
        return
    may = f"it may {', '.join(scopes)}" if scopes else "Numerai does not say what it may do"
    say(f"the API key is taken{f' (account {name})' if name else ''}; {may}")
