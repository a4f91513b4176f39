"""Queue: several experiments worked through within one budget and on one Ray, the most promising first.

Every idea gets one round, in the order given. From then on the next round is always that of the idea whose rounds so
far brought the clearest and largest gain over their base; an idea that has left scouting is taken to its end. What a
ledger holds is never run again, so the same command goes on after any interruption.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path

from numerai_ray.config.queue_plan import QueuePlan, load_queue
from numerai_ray.errors import ExperimentBusy, FitError, NumeraiRayError, RequestError
from numerai_ray.experiment.decision import is_finished
from numerai_ray.experiment.ledger import read_ledger
from numerai_ray.experiment.paths import ExperimentPaths
from numerai_ray.experiment.records import RoundRecord
from numerai_ray.session.history import PastExperiment, past_experiment
from numerai_ray.session.opening import Session, catalog_of, prepare_data
from numerai_ray.session.running import HowFar, run_rounds

HOUR_S = 3600.0
SCOUTING = {"interpret", "scout"}
# Told before each step: the experiment, and how many rounds it has.
OnStep = Callable[[Session, int], object]


@dataclass(frozen=True)
class Limits:
    """Where work on all of them ends; None is no limit. A round that is under way is finished."""

    hours: float | None = None
    rounds: int | None = None
    fits: int | None = None


@dataclass(frozen=True)
class QueueEnd:
    """What came of a queue: each experiment as it stands, why work ended, and what could not be run."""

    experiments: tuple[PastExperiment, ...]
    reason: str
    problems: dict[str, str]

    @property
    def failed(self) -> bool:
        return bool(self.problems)


@dataclass
class _Spent:
    began: float = field(default_factory=time.monotonic)
    rounds: int = 0
    fits: int = 0

    def over(self, limits: Limits) -> str:
        """Why nothing more may begin; "" while something may."""
        hours = (time.monotonic() - self.began) / HOUR_S
        if limits.hours is not None and hours >= limits.hours:
            return f"the {limits.hours:g} hours are over"
        if limits.rounds is not None and self.rounds >= limits.rounds:
            return f"the {limits.rounds} rounds are used up"
        if limits.fits is not None and self.fits >= limits.fits:
            return f"the {limits.fits} fits are used up"
        return ""

    def left_s(self, limits: Limits) -> float:
        if limits.hours is None:
            return float("inf")
        return limits.hours * HOUR_S - (time.monotonic() - self.began)


def queued(exps: Sequence[Path], given: Limits) -> tuple[list[Path], Limits]:
    """Folders and limits of what was asked for: folders, or one queue file, whose limits the given ones go before.

    Raises:
        RequestError: the same experiment twice, or a file among folders.

    """
    files = [each for each in exps if each.suffix in {".yaml", ".yml"}]
    if files and len(exps) > 1:
        raise RequestError(f"{files[0]}: a queue file stands alone; write the other experiments into it")
    folders = list(exps)
    if files:
        plan: QueuePlan = load_queue(files[0])
        folders = [files[0].parent / each for each in plan.experiments]
        given = Limits(given.hours or plan.hours, given.rounds or plan.rounds, given.fits or plan.fits)
    places = [each.resolve() for each in folders]
    twice = next((each for each in folders if places.count(each.resolve()) > 1), None)
    if twice is not None:
        raise RequestError(f"{twice}: stands in the queue twice; name it once")
    return folders, given


def run_queue(
    sessions: Sequence[Session], limits: Limits, on_step: OnStep, *, accept_suspect: bool = False
) -> QueueEnd:
    """Work through experiments until all are finished or a limit is reached.

    A fault of one experiment ends that one and is told; the others go on.

    Raises:
        RequestError: a plan will not do; nothing was trained.

    """
    _check_all(sessions)
    spent, problems, late = _Spent(), dict[str, str](), ""
    aside: set[str] = set()
    with _one_ray(sessions):
        while True:
            left = [each for each in sessions if _name(each) not in aside and not _finished(each)]
            reason = spent.over(limits)
            if reason or not left:
                reason = reason or late or f"{'nothing else' if problems else 'nothing'} is left to run"
                break
            session = max(left, key=lambda each: _standing(each).promise())  # the first of equals, as they were given
            before = read_ledger(session.paths.ledger)
            if (longest := max((each.wall_s for each in before[-2:]), default=0.0)) > spent.left_s(limits):
                late = (
                    f"the next round would take about {longest:.0f} s, and less is left of the {limits.hours:g} hours"
                )
                aside.add(_name(session))
                continue
            on_step(session, len(before))
            problem = _step(session, before, spent, limits, accept_suspect=accept_suspect)
            if problem:
                problems[_name(session)] = problem
                aside.add(_name(session))
    return QueueEnd(tuple(_standing(each) for each in sessions), reason, problems)


def _step(
    session: Session, before: Sequence[RoundRecord], spent: _Spent, limits: Limits, *, accept_suspect: bool
) -> str:
    """One round more, or to the end where scouting is over; says why an experiment cannot go on."""
    one = not before or before[-1].stage in SCOUTING or limits.rounds is not None or limits.fits is not None
    try:
        stop, after = run_rounds(session, HowFar(1 if one else None, accept_suspect=accept_suspect))
    except (FitError, RequestError, ExperimentBusy) as error:
        return str(error)
    new = after[len(before) :]
    spent.rounds += len(new)
    spent.fits += sum(variant.fits_new for record in new for variant in record.variants)
    if not new and not is_finished(after):
        return "no further round came of it" if stop is None else stop.reason
    return ""


def _check_all(sessions: Sequence[Session]) -> None:
    """Refuse before anything is trained what the third experiment would be refused for after hours."""
    from numerai_ray.session.plan_check import check_plan

    problems = []
    for session in sessions:
        if _finished(session):
            continue
        try:
            prepare_data(session.loaded, session.root)
            catalog = catalog_of(session.loaded, session.root, session.paths, session.address)
            check_plan(session.loaded, catalog, str(session.paths.plan))
        except NumeraiRayError as error:
            problems.append(str(error))
    if problems:
        raise RequestError("\n".join(problems))


@contextmanager
def _one_ray(sessions: Sequence[Session]) -> Iterator[None]:
    """Keep the Ray that the first round starts for all that follow."""
    first = sessions[0]
    kept: AbstractContextManager[None]
    if first.in_process or first.address is not None:
        kept = nullcontext()
    else:
        from numerai_ray.runners.ray.start import kept_running

        kept = kept_running()
    with kept:
        yield


def _standing(session: Session) -> PastExperiment:
    return past_experiment(session.paths.root)


def _finished(session: Session) -> bool:
    return is_finished(read_ledger(session.paths.ledger))


def _name(session: Session) -> str:
    return str(session.paths.root)


def common_folder(folders: Sequence[Path]) -> Path:
    """Where the summary of several experiments is written: the folder that holds the first."""
    return ExperimentPaths(folders[0]).root.parent
