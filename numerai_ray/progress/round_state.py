"""The running round as numbers: what every view of `run` and `status` shows, worked out once."""

import math
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

from pydantic import BaseModel, ValidationError

from numerai_ray.experiment.records import JOINT, REPLICATE, RoundRecord, VariantRecord
from numerai_ray.metrics.registry import MEAN
from numerai_ray.metrics.significance import INTERVAL_PERCENT, PairedDelta, e4
from numerai_ray.rounds.start import FitWork, RoundStart
from numerai_ray.runners.base import Progress
from numerai_ray.system.json_text import read_json
from numerai_ray.system.machine import Usage, usage

# Running fits are asked for this often: rarely enough to cost nothing, often enough to look alive.
LOOK_S = 2.0
# Of a round's work, or of a fit's steps: less says nothing of the pace, which is still that of reading and starting.
LEAST_KNOWN = 0.05
# Of a round's work: as much the pace of the rounds before counts, so that the first fits alone do not decide.
WEIGHT_BEFORE = 0.1


class Fit(Protocol):
    """A fit that runs right now, see :class:`numerai_ray.runners.ray.monitoring.RunningFit`."""

    @property
    def name(self) -> str: ...
    @property
    def done(self) -> int: ...
    @property
    def total(self) -> int: ...
    @property
    def per_second(self) -> float: ...
    @property
    def node(self) -> str: ...
    @property
    def unit(self) -> str: ...


@dataclass(frozen=True)
class Snapshot:
    """One look at the machine and the fits on it; ``usage`` is of the driver's machine."""

    fits: Sequence[Fit] = ()
    usage: Usage | None = None

    @property
    def trees_per_second(self) -> float:
        """Of all running fits together; what a network counts is no tree."""
        return sum(fit.per_second for fit in self.fits if fit.unit == "trees")


@dataclass(frozen=True)
class Pace:
    """What earlier rounds showed: seconds of a unit of work, None before one has trained; and those after the last fit.

    The latter (scoring, diagnostics, statistics) were of so many predicted ``rows``.
    """

    work_s: float | None = None
    after_s: float = 0.0
    rows: int = 0

    def after(self, rows: int) -> float:
        """Seconds after the last fit of a round that predicts so many rows: half of them go with the rows."""
        return self.after_s * (1 + rows / self.rows) / 2 if self.rows else 0.0


class RoundState:
    """The running round: folds and fits done, metrics so far, time left; ``before`` is the pace of earlier rounds."""

    def __init__(self, start: RoundStart, before: Pace | None = None):
        self.start = start
        self.before = before or Pace()
        self.began = time.monotonic()  # of the first fit: until it is seen or told of, Ray starts and data is read
        self.progress: dict[str, Progress] = {
            trial: Progress(trial, 0, start.folds[trial], math.nan) for trial in start.trials
        }
        self._done: dict[str, bool] = {}  # fits by key, and whether they were stored
        self._tasks = {each.task for fits in start.fits.values() for each in fits.values()}
        self._training = False
        self._told = self.began

    def tell(self, progress: Progress) -> None:
        """Note a trial's progress."""
        self.progress[progress.trial] = progress
        self._done |= progress.fits
        self._told = time.monotonic()
        self._training = self._training or not all(progress.fits.values())

    def look(self, snapshot: Snapshot) -> None:
        """Note what runs."""
        if self._training:
            return
        now, fits = time.monotonic(), self._running(snapshot)
        if fits:
            took = max(fit.done / fit.per_second if fit.per_second else 0.0 for fit in fits)
            self._training, self.began = True, max(self.began, now - took)
        elif snapshot.usage is not None:  # somebody looked, and nothing ran yet
            self.began = now

    def seconds_left(self, snapshot: Snapshot | None = None) -> float | None:
        """Of this round, from the work done so far, what runs right now included; None while too little is known.

        Work is the fits' cost, not their number: the largest folds are trained first. The pace of the rounds before
        counts as much as :data:`WEIGHT_BEFORE` of the round.
        """
        left = self._work(key for key in self._asked if key not in self._done)
        tasks = {each.task: each.cost for each in left.values()}
        fits = self._running(snapshot) if snapshot else []
        running = sum(tasks.get(fit.name, 0.0) * min(1.0, fit.done / fit.total) for fit in fits if fit.total)
        done = self._trained() + running
        todo = sum(each.cost for each in left.values()) - running
        after_s = self.before.after(self.start.rows)
        if todo <= 0:
            return max(0.0, after_s - self.since_told_s()) if done > 0 else None
        known = 0.0 if self.before.work_s is None else WEIGHT_BEFORE * (done + todo)
        if done + known < LEAST_KNOWN * (done + todo):
            return None
        passed_s = time.monotonic() - self.began if self._training else 0.0
        work_s = (passed_s + known * (self.before.work_s or 0.0)) / (done + known)
        # Where fewer wait than there is room for, the longest of those that run decides.
        far = [fit for fit in fits if fit.per_second and fit.done >= LEAST_KNOWN * fit.total]
        longest_s = max(((fit.total - fit.done) / fit.per_second for fit in far), default=0.0)
        return max(todo * work_s, longest_s) + after_s

    def pace(self) -> Pace:
        """What this round, just decided, shows to the next."""
        if not self.start.rows:
            return self.before
        done = self._trained()
        work_s = (self._told - self.began) / done if done > 0 else self.before.work_s
        return Pace(work_s, self.since_told_s(), self.start.rows)

    def since_told_s(self) -> float:
        """Seconds since a fit was told of."""
        return time.monotonic() - self._told

    def title(self) -> str:
        """``round 3, scout: varying num_leaves``."""
        return round_title(self.start.number, self.start.stage, self.start.dimension)

    def trials(self) -> dict[str, int]:
        """Trials by state."""
        states = ["failed" if each.error else "pruned" if each.pruned else _going(each) for each in self.all]
        return {state: states.count(state) for state in ("running", "done", "failed", "pruned")}

    def fits(self, running: int = 0) -> dict[str, int]:
        """Fits by state, each once, whoever asks for it; those of trials that are over wait no longer."""
        stored = sum(self._done.values())
        waiting = sum(key not in self._done for key in self._asked)
        states = {"waiting": max(0, waiting - running), "running": running}
        return states | {"trained": len(self._done) - stored, "stored": stored}

    @property
    def all(self) -> list[Progress]:
        """Every trial's last word."""
        return list(self.progress.values())  # a copy: another thread tells

    def _running(self, snapshot: Snapshot) -> list[Fit]:
        """Fits of this round: a look may be older than it."""
        return [fit for fit in snapshot.fits if fit.name in self._tasks]

    def _trained(self) -> float:
        """Work that is done; what was stored took no time."""
        return sum(each.cost for each in self._work(key for key, stored in self._done.items() if not stored).values())

    @property
    def _asked(self) -> set[str]:
        """Keys of the fits that trials ask for which are not over."""
        going = [each.trial for each in self.all if not each.error and not each.pruned]
        return {key for trial in going for key in self.start.fits.get(trial, ())}

    def _work(self, keys: Iterable[str]) -> dict[str, FitWork]:
        """The trainings that these fits are, by family."""
        known = {key: work for fits in self.start.fits.values() for key, work in fits.items()}
        found: dict[str, FitWork] = {}
        for work in (known[key] for key in keys if key in known):
            if work.family not in found or found[work.family].cost < work.cost:
                found[work.family] = work
        return found


class Best:
    """The best configuration so far, by primary metric, in the stage that ran last; a holdout decides nothing."""

    def __init__(self, history: Sequence[RoundRecord] = ()) -> None:
        self.record: VariantRecord | None = None
        for record in history:
            self.decided(record)

    def decided(self, record: RoundRecord) -> None:
        if record.stage == "holdout":
            return
        winner = next((v for v in record.variants if v.id == record.decision.winner), None)
        self.record = winner or self.record

    @property
    def primary(self) -> float:
        return math.nan if self.record is None or self.record.metrics is None else self.record.metrics.primary

    @property
    def delta(self) -> PairedDelta | None:
        """The difference to its round's base, None where it is that base or nothing is known."""
        evidence = None if self.record is None else self.record.evidence
        return None if evidence is None else evidence.to_base

    def text(self) -> str:
        """``r02-num_leaves=63 0.00440 (+7.0e-4 to its base, 90 % interval -0.2e-4 to +14.1e-4)``."""
        if self.record is None or self.record.metrics is None:
            return "none yet"
        shown = f"{self.record.id} {number(self.primary)}"
        delta = self.delta
        if delta is None or math.isnan(delta.low):
            return shown
        interval = f"{INTERVAL_PERCENT} % interval {e4(delta.low)} to {e4(delta.high)}"
        return f"{shown} ({e4(delta.mean)} to its base, {interval})"

    def value(self) -> dict[str, Any] | None:
        """As JSON."""
        if self.record is None:
            return None
        delta = self.delta
        interval = [None, None] if delta is None else [delta.low, delta.high]
        return {"variant": self.record.id, "primary": self.primary, "interval_to_base": interval}


class Budget:
    """How long the experiment may still take: the budget's rounds, each as long as those so far."""

    def __init__(self, rounds: int, history: Sequence[RoundRecord] = ()):
        self.rounds = rounds
        self.walls: list[float] = []
        for record in history:
            self.decided(record)

    def decided(self, record: RoundRecord) -> None:
        if record.stage == "scout" and record.kind == REPLICATE and self.walls:
            self.walls[-1] += record.wall_s  # the second half of its round
        elif record.stage == "scout":
            self.walls.append(record.wall_s)

    def seconds_left(self) -> float | None:
        """At most, after the running round; None before the first round has told how long one takes."""
        if not self.walls:
            return None
        return max(0, self.rounds - len(self.walls) - 1) * sum(self.walls) / len(self.walls)


class Observer(threading.Thread):
    """Looks at the running fits and the machine every :data:`LOOK_S` while a round runs, and tells who listens."""

    def __init__(self, fits: Callable[[], Sequence[Fit]], listener: Callable[[Snapshot], None]):
        super().__init__(name="observer", daemon=True)
        self.snapshot = Snapshot()
        self._fits = fits
        self._listener = listener
        self._over = threading.Event()

    def run(self) -> None:
        while not self._over.wait(LOOK_S):
            try:
                self.snapshot = Snapshot(self._fits(), usage())
                self._listener(self.snapshot)
            except Exception:  # what is only shown must not end a run
                self.snapshot = Snapshot()

    def stop(self) -> None:
        self._over.set()
        if self.is_alive():
            self.join()


def round_title(number: int, stage: str, dimension: str | None) -> str:
    """``round 3, scout: varying num_leaves``."""
    return f"round {number}, {stage}" + (f": varying {varied(dimension)}" if dimension else "")


def varied(dimension: str) -> str:
    """A round's dimension in words; a joint round has many."""
    return "several at once" if dimension == JOINT else dimension


class _Trial(BaseModel):
    variant: str
    folds_done: int
    folds: int
    primary: float | None
    error: str | None
    pruned: str | None = None


class _Fit(BaseModel):
    name: str
    trees: int
    trees_in_all: int
    trees_per_second: float | None
    unit: str = "trees"


class _Usage(BaseModel):
    cores_busy: float
    cores: float
    memory_used_bytes: float
    memory_bytes: float


class _Running(BaseModel):
    """What is read out of a running round's JSON; the rest may be anything."""

    round: int
    stage: str
    dimension: str | None = None
    seconds_left: float | None = None
    trials: list[_Trial]
    fits: list[_Fit] | None = None
    machine: _Usage | None = None


def running_of(progress: Path) -> dict[str, Any] | None:
    """The running round in a file of :func:`progress_json`; None where there is none, or it is damaged."""
    found: Any = read_json(progress).get("running")
    with suppress(ValidationError):
        _Running.model_validate(found, strict=True)
        return dict(found)
    return None


def progress_json(state: RoundState, snapshot: Snapshot) -> dict[str, Any]:
    """The running round as ``status --json`` and the event stream tell it."""
    machine = snapshot.usage
    state.look(snapshot)
    return {
        "round": state.start.number,
        "stage": state.start.stage,
        "dimension": state.start.dimension,
        "metric": state.start.metric.removesuffix(MEAN),
        "seconds_left": state.seconds_left(snapshot),
        "trials": [{"variant": state.start.trials[each.trial], **progress_record(each)} for each in state.all],
        "fits": [
            {
                "name": fit.name,
                "trees": fit.done,
                "trees_in_all": fit.total,
                "trees_per_second": round(fit.per_second, 1),
                "unit": fit.unit,
                "node": fit.node,
            }
            for fit in snapshot.fits
        ],
        "machine": None if machine is None else asdict(machine),
    }


def progress_record(progress: Progress) -> dict[str, Any]:
    """A trial's progress as JSON; its fits are counted, not listed."""
    return {name: value for name, value in vars(progress).items() if name != "fits"}


def _going(progress: Progress) -> str:
    return "done" if progress.folds_done == progress.folds else "running"


def counted(count: int, what: str) -> str:
    """``1 fold``, ``4 folds``."""
    return f"{count} {what}{'' if count == 1 else 's'}"


def number(value: float | None, digits: int = 5) -> str:
    """A metric for people; unknown is a dash."""
    return "–" if value is None or not math.isfinite(value) else f"{value:.{digits}f}"


def duration(seconds: float) -> str:
    """``2 min 05 s``."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes:02d} min"
    return f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"


def gigabytes(count: float) -> str:
    """``3.1 GB``."""
    return f"{count / 1e9:.1f} GB"


def usage_text(machine: Mapping[str, Any] | None) -> str:
    """``1.9 of 2 cores, 3.1 GB of 24.0 GB``; empty where nothing is known."""
    if not machine:
        return ""
    cores = f"{machine['cores_busy']:.1f} of {machine['cores']} cores"
    return f"{cores}, {gigabytes(machine['memory_used_bytes'])} of {gigabytes(machine['memory_bytes'])}"
