"""Summary: one report over several experiments - what was tried, what pays, what is noise, what to try next."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from numerai_ray.config.search_space import changes_label
from numerai_ray.experiment.standing import counted
from numerai_ray.metrics.significance import e4
from numerai_ray.session.history import PastExperiment, Tried


def summary_text(found: Sequence[PastExperiment], reason: str, problems: Mapping[str, str]) -> str:
    """The report as Markdown; gains are in units of 1e-4 of mean BMC an era."""
    parts = [
        "# Summary of the queue",
        f"{len(found)} experiments, {sum(each.rounds for each in found)} rounds in all. Work ended because {reason}.",
        "## What was tried",
        _table(found),
        "## What pays",
        _listed(_pays(found), "Nothing that is clear of the noise."),
        "## What is noise, or loses",
        _listed(_noise(found), "Nothing yet."),
        "## What to try next",
        _listed(_next(found), "Nothing follows from these results."),
    ]
    if problems:
        told = [f"`{name}`: {' '.join(text.split())}" for name, text in problems.items()]
        parts += ["## What could not go on", _listed(told, "")]
    return "\n\n".join(parts) + "\n"


def _table(found: Sequence[PastExperiment]) -> str:
    head = "| experiment | idea | varied | rounds | state | outcome | gain |\n|---|---|---|---|---|---|---|"
    rows = [
        f"| [{Path(each.experiment).name}]({Path(each.experiment).name}/experiment.md) | {_cell(each.idea)} "
        f"| {_cell(', '.join(dict.fromkeys(tried.dimension for tried in each.tried)))} | {each.rounds} "
        f"| {each.state} | {each.outcome} | {_gain(each.gain)} |"
        for each in found
    ]
    return "\n".join([head, *rows])


def _pays(found: Sequence[PastExperiment]) -> Iterator[str]:
    for each in found:
        if each.outcome == "gain":
            name = Path(each.experiment).name
            cost = "; better at a cost, see its report" if each.kind == "trade-off" else ""
            yield f"{name}: {changes_label(each.changes)} brings {_gain(each.gain)} over {each.against}{cost}"
        elif each.outcome == "open":
            for tried in each.tried:
                if tried.verdict_overall == "clear gain":
                    yield f"{_what(each, tried)}, a clear gain so far; not confirmed yet"


def _noise(found: Sequence[PastExperiment]) -> Iterator[str]:
    for each in found:
        for tried in each.tried:
            if tried.verdict_overall in ("inside the noise", "clear loss", "no difference"):
                yield f"{_what(each, tried)}: {tried.verdict_overall}"


def _next(found: Sequence[PastExperiment]) -> Iterator[str]:
    winners = [each for each in found if each.outcome == "gain"]
    if len(winners) > 1:
        changes = " and ".join(changes_label(each.changes) for each in winners)
        yield f"Put together what pays: {changes}, as the base of a new experiment"
    for each in found:
        name = Path(each.experiment).name
        if each.state in ("stopped", "not started") and each.problem is None:
            yield f"`numerai-ray run {each.experiment}` goes on with {name}, {counted(each.rounds, 'round')} so far"
        elif each.outcome == "inside the noise":
            yield f"{name}: its gain of {_gain(each.gain)} may be luck; several `model.seeds`, or all weeks, would tell"
        elif each.outcome == "no gain":
            yield f"{name}: leave it, unless the idea can be meant in another way"


def _what(each: PastExperiment, tried: Tried) -> str:
    best = "no variant ended well" if tried.best is None else f"best {tried.best}, {_gain(tried.delta)}"
    return f"{Path(each.experiment).name}: {tried.dimension} ({tried.stage}), {best}"


def _listed(lines: Iterator[str] | Sequence[str], none: str) -> str:
    return "\n".join(f"- {line}" for line in lines) or none


def _gain(value: float | None) -> str:
    return "–" if value is None else e4(value)


def _cell(text: str) -> str:
    return " ".join(text.replace("|", "\\|").split())
