"""The weekly routine: download, build, recheck, follow, report, one after the other; what fails is told at the end."""

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Literal

from numerai_ray.errors import NumeraiRayError
from numerai_ray.progress.terminal import say
from numerai_ray.session.follow import Followed, LiveApi, data_findings, follow
from numerai_ray.session.opening import Session
from numerai_ray.session.recheck import Rechecked, recheck
from numerai_ray.system.services import masked

State = Literal["done", "skipped", "failed"]


MOST_NAMED = 5  # models in one line


@dataclass(frozen=True)
class Part:
    """A part of the routine: what it did in ``lines``, and what somebody should know of in ``alarms``."""

    name: str
    about: str
    state: State
    lines: tuple[str, ...]
    alarms: tuple[str, ...] = ()
    seconds: float = 0.0


@dataclass(frozen=True)
class Said:
    """What a part's work comes to."""

    lines: Sequence[str]
    alarms: Sequence[str] = ()
    skipped: bool = False


@dataclass(frozen=True)
class WeeklyOrder:
    """What to do: the experiments, models to follow (all of the account without any), and what to leave out.

    ``api`` is None where there is no key: nothing is followed then.
    """

    sessions: Sequence[Session]
    models: Sequence[str]
    uploads: Path
    api: LiveApi | None
    downloads: bool = True
    tell_recheck: Callable[[Rechecked], Sequence[str]] = field(default=lambda _: ())
    tell_follow: Callable[[Followed], Sequence[str]] = field(default=lambda _: ())


def weekly(order: WeeklyOrder) -> list[Part]:
    """Do every part, whatever becomes of the others; only an interrupt ends the routine.

    Returns:
        The parts in the order in which they were done.

    """
    folders, sessions = _versions(order.sessions), order.sessions
    root = next((session.root for session in sessions if isinstance(session.root, Path)), None)
    work: list[tuple[str, str, Callable[[], Said]]] = [
        *(("download", folder.name, partial(_download, order, folder)) for folder in folders),
        *(("build", folder.name, partial(_build, folder)) for folder in folders),
        *(("recheck", each.paths.root.name, partial(_recheck, order, each)) for each in sessions),
        ("follow", "", partial(_follow, order, root)),
        *(("report", each.paths.root.name, partial(_report, each)) for each in sessions),
    ]
    return [_done(*part) for part in work]


def _done(name: str, about: str, work: Callable[[], Said]) -> Part:
    """One part; an error of any kind is its own, and the others go on."""
    began = time.monotonic()
    try:
        said = work()
    except Exception as error:
        logging.getLogger("numerai_ray").debug("%s", name, exc_info=True)
        kind = "" if isinstance(error, NumeraiRayError) else f"{type(error).__name__}: "
        lines, state = (f"{kind}{masked(str(error))}",), "failed"
        return Part(name, about, state, lines, seconds=round(time.monotonic() - began, 3))  # type: ignore[arg-type]
    seconds = round(time.monotonic() - began, 3)
    return Part(name, about, "skipped" if said.skipped else "done", tuple(said.lines), tuple(said.alarms), seconds)


def _versions(sessions: Sequence[Session]) -> list[Path]:
    """Folders of the data versions that the experiments read, each once; data in object storage are kept elsewhere."""
    found: dict[Path, None] = {}
    for session in sessions:
        if isinstance(session.root, Path):
            found |= {
                session.root / session.loaded.config(stage, {}).data.version: None for stage in session.loaded.stages
            }
    return list(found)


def _download(order: WeeklyOrder, folder: Path) -> Said:
    from numerai_ray.data.download.fetch import Step, download, size_text

    if not order.downloads:
        return Said(["not asked for"], skipped=True)
    if (folder / "market_truth.json").exists():
        return Said(["a synthetic market"], skipped=True)

    def tell(step: Step) -> None:
        if step.kind == "retry":
            say(f"{step.file}: {step.note}", err=True)

    files = download(folder.name, (), folder, on_step=tell)
    new = [each for each in files if each.status != "up to date"]
    fetched = [f"{each.path.name}: {size_text(each.size)} ({each.status})" for each in new]
    return Said(fetched or [f"{len(files)} files are up to date"])


def _build(folder: Path) -> Said:
    from numerai_ray.data.files.build import BuildSpec
    from numerai_ray.session.building import build_files, built_line

    if not (folder / "train.parquet").exists():
        return Said(["no train.parquet there: files made elsewhere are used as they are"], skipped=True)
    return Said([built_line(each).removeprefix(f"{folder}/") for each in build_files(folder, BuildSpec())])


def _recheck(order: WeeklyOrder, session: Session) -> Said:
    found = recheck(session)
    name, record = session.paths.root.name, found.record
    pairs = () if record is None else record.implausible
    alarms = [f"{name}: winner − {each.theirs} is worse than promised" for each in pairs]
    losing = [each.theirs for each in (() if record is None else record.pairs) if each.loses and each not in pairs]
    alarms += [f"{name}: winner − {theirs} loses, clear of the noise" for theirs in losing]
    return Said(order.tell_recheck(found), [*alarms, *found.drift] if alarms else [])


def _follow(order: WeeklyOrder, root: Path | None) -> Said:
    if order.api is None:
        return Said(["no API key: set NUMERAI_PUBLIC_ID and NUMERAI_SECRET_KEY to follow models"], skipped=True)
    found = follow(order.api, order.models, order.uploads)
    alarms = []
    for each in found:
        if each.word == "worse than promised":
            alarms += [f"{each.name} is worse than promised", *data_findings(each, root)]
    told = {each.name: list(order.tell_follow(each)) for each in found}
    lines = [line for each in told.values() for line in each]
    silent = [name for name, each in told.items() if not each]
    if silent:
        names = ", ".join(silent[:MOST_NAMED]) + (f" and {len(silent) - MOST_NAMED} more" * (len(silent) > MOST_NAMED))
        lines.append(f"{names}: nothing known was promised; `numerai-ray follow` shows the rounds")
    return Said(lines or ["this account has no model"], alarms)


def _report(session: Session) -> Said:
    from numerai_ray.experiment.ledger import read_ledger
    from numerai_ray.report.writer import write_report

    history = read_ledger(session.paths.ledger)
    if not history:
        return Said(["no round is decided yet"], skipped=True)
    return Said([str(write_report(session.loaded, session.paths, history))])


def weekly_json(parts: Sequence[Part]) -> dict[str, Any]:
    """The summary as plain values."""
    return {
        "parts": [asdict(part) for part in parts],
        "failed": [f"{part.name} {part.about}".strip() for part in parts if part.state == "failed"],
        "alarms": [alarm for part in parts for alarm in part.alarms],
    }
