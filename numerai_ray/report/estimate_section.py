"""Estimate against fact: what `plan` promised of time and memory, and what each round took."""

from collections.abc import Sequence
from dataclasses import dataclass

from numerai_ray.experiment.records import RoundRecord
from numerai_ray.report.reading import Reading
from numerai_ray.report.tables import UNKNOWN

GB = 10**9
# An estimate is good when the fact is within this share of it.
GOAL = 0.25


@dataclass(frozen=True)
class Promise:
    """One quantity of one round (or of all): what was expected and what it was, in one unit."""

    expected: float
    fact: float

    @property
    def off(self) -> float:
        """By how much of the estimate the fact differs: 0.1 is a tenth more."""
        return self.fact / self.expected - 1


@dataclass(frozen=True)
class RoundPromises:
    """A round's time in seconds and peak memory in bytes, each None where either side is unknown."""

    number: int
    stage: str
    seconds: Promise | None
    memory: Promise | None


def promises(history: Sequence[RoundRecord]) -> list[RoundPromises]:
    """Rounds of which time or memory was both estimated and measured."""
    found = [RoundPromises(record.number, record.stage, _seconds(record), _memory(record)) for record in history]
    return [each for each in found if each.seconds is not None or each.memory is not None]


def in_all(found: Sequence[RoundPromises]) -> tuple[Promise | None, Promise | None]:
    """Seconds of all rounds together, and the highest memory of any."""
    seconds = [each.seconds for each in found if each.seconds is not None]
    memory = [each.memory for each in found if each.memory is not None]
    return (
        Promise(sum(each.expected for each in seconds), sum(each.fact for each in seconds)) if seconds else None,
        Promise(max(each.expected for each in memory), max(each.fact for each in memory)) if memory else None,
    )


def estimate_section(reading: Reading) -> list[str]:
    """A line a round, and whether the whole is within the goal; how to get estimates where there are none."""
    found = promises(reading.history)
    if not found:
        return ["Nothing was estimated: `numerai-ray plan` before a run measures this machine."]
    lines = [
        "| Round | Stage | Time expected | Time taken | Off by | Memory expected | Peak memory | Off by |",
        "|--:|:--|--:|--:|--:|--:|--:|--:|",
        *(f"| {r.number} | {r.stage} | {_cells(r.seconds, 1, 's')} | {_cells(r.memory, GB, 'GB')} |" for r in found),
    ]
    seconds, memory = in_all(found)
    said = [
        f"{what} {_verdict(promise)}."
        for what, promise in (("The time of all these rounds", seconds), ("The highest peak of memory", memory))
        if promise is not None
    ]
    return ["\n".join(lines), " ".join(said)]


def _verdict(promise: Promise) -> str:
    within = "within" if abs(promise.off) <= GOAL else "not within"
    return f"is off its estimate by {promise.off:+.0%}, {within} the {GOAL:.0%} aimed at"


def _cells(promise: Promise | None, unit: float, name: str) -> str:
    if promise is None:
        return " | ".join([UNKNOWN] * 3)
    expected, fact = (f"{value / unit:.{1 if unit == 1 else 2}f} {name}" for value in (promise.expected, promise.fact))
    return f"{expected} | {fact} | {promise.off:+.0%}"


def _seconds(record: RoundRecord) -> Promise | None:
    """Of rounds that trained something: one that only shows what is known takes no time worth an estimate."""
    trained = any(v.fits_new and v.id.startswith(f"r{record.number:02d}-") for v in record.variants)
    return Promise(record.estimated_s, record.wall_s) if record.estimated_s and trained else None


def _memory(record: RoundRecord) -> Promise | None:
    planned, peak = record.cost.get("planned_bytes"), record.cost.get("peak_bytes")
    return Promise(planned, peak) if planned and peak else None
