"""The plan as a report tells it: idea, base, benchmark, rule, stages and the dimensions that are searched."""

from collections.abc import Sequence
from dataclasses import dataclass

from numerai_ray.config import ScoreConfig, leaves
from numerai_ray.config.search_space import Dimension, changes_label, value_text
from numerai_ray.experiment.records import RoundRecord
from numerai_ray.experiment.standing import counted
from numerai_ray.metrics.significance import e4
from numerai_ray.report.reading import Reading
from numerai_ray.report.sections.data import baseline_lines
from numerai_ray.report.tables import UNKNOWN, cell

ABOUT = {
    "interpret": "interpret tries the readings of the idea side by side",
    "scout": "scout searches",
    "confirm": "confirm runs base and winner on its own data",
    "scale": "scale runs them with more trees",
    "final": "final runs what survived",
    "holdout": "holdout scores it once on eras that nothing has seen",
}


def plan_section(reading: Reading) -> list[str]:
    """What was asked and by which rules it is searched: facts as a list, dimensions as a table."""
    loaded = reading.loaded
    plan, rounds, score = loaded.plan, loaded.plan.rounds, reading.score_config.score
    also = {
        "significant": " if it is clear of the noise as the round's best (`accept: significant`)",
        "pareto": " if it costs nothing in CORR or Sharpe (`accept: pareto`)",
        "replicated": " if fresh seeds show it again (`accept: replicated`)",
    }
    rule = (
        f"a round varies one dimension in at most {rounds.variants} variants; a gain counts from "
        f"{e4(rounds.margin, sign=False)} {score.primary.metric.noun}{also.get(rounds.accept, '')}; "
        f"the search ends after {counted(rounds.patience, 'round')} in a row without one, "
        f"when nothing is left to try, or after {_budget(reading)}."
    )
    facts = [
        f"- **Idea:** {sentence(plan.idea)}",
        f"- **Novelty:** {sentence(plan.novelty)}",
        f"- **Baseline:** `{plan.baseline}`; the experiment's base is {_base(reading)}.",
        *baseline_lines(reading),
        f"- **Benchmark:** `{score.benchmark}`, scored on `{score.target}`.",
        f"- **Primary metric:** {_primary(score)}.",
        f"- **Rule:** {rule}",
        "- **Stages:** " + "; ".join([*(ABOUT[stage] for stage in reading.stages), *_blended(reading)]) + ".",
    ]
    if plan.interpretations:
        listed = (f"{name} ({changes_label(leaves(changes))})" for name, changes in plan.interpretations.items())
        facts.insert(2, "- **Interpretations:** the idea can be read as " + "; ".join(listed) + ".")
    if plan.holdout_eras is not None:
        facts.append(f"- **Holdout:** the last {plan.holdout_eras} weeks are kept out of every fit and decision.")
    dimensions = ["| Dimension | Varies | Values | Why |", "|:--|:--|:--|:--|"]
    for name, dimension in loaded.space.dimensions.items():
        coupled = "".join(f"; `{path}` moves with it" for path in dimension.coupled)
        values = cell("; ".join(_values(dimension)), 200)
        why = cell(dimension.why, 200) or UNKNOWN
        optional = "" if dimension.required else " (optional)"
        dimensions.append(f"| {name}{optional} | `{dimension.path}`{coupled} | {values} | {why} |")
    return ["\n".join(facts), "\n".join(dimensions)]


def _blended(reading: Reading) -> list[str]:
    return ["ensemble blends its variants"] if reading.loaded.plan.stages.ensemble is not None else []


def _budget(reading: Reading) -> str:
    budget = reading.loaded.plan.budget
    hours = "" if budget.hours is None else f" or {budget.hours:g} hour{'' if budget.hours == 1 else 's'}"
    return f"{counted(budget.rounds, 'round')}{hours}"


def _primary(score: ScoreConfig) -> str:
    """What decides, and how a payout is made where it does."""
    primary, recent = score.primary, f"the last {score.last_eras} scored eras"
    first, second = (recent, "all") if primary.recent else ("all scored eras", f"that over {recent}")
    told = f"mean {primary.metric.noun} over {first}; ties go to the mean over {second}"
    if not primary.recent:
        told = f"mean {primary.metric.noun} over {first}; ties go to {second}"
    if primary.series != "payout":
        return told
    paid, label = primary.terms, score.paid_target or score.target
    return f"{told}; it is clip({paid.corr:g} · CORR + {paid.mmc:g} · MMC, ±{paid.clip:g}), CORR on `{label}`"


def _base(reading: Reading) -> str:
    """How the experiment's base differs from the baseline, the chosen interpretation counted."""
    loaded = reading.loaded
    ours, theirs = leaves(loaded.base_values()), leaves(loaded.baseline_values)
    changed = [f"`{path}` = {value_text(value)}" for path, value in ours.items() if theirs.get(path) != value]
    if not changed:
        return "the baseline itself"
    chosen = f" (the interpretation {loaded.interpretation})" if loaded.interpretation else ""
    return f"the baseline with {', '.join(changed)}{chosen}"


def _values(dimension: Dimension) -> list[str]:
    """Listed values, and the range beside them or instead of them."""
    listed = [", ".join(map(value_text, dimension.values))] if dimension.values else []
    span = dimension.range
    if span is None:
        return listed
    kind = ", ".join(word for word in ("log" if span.scale == "log" else "", "whole" if span.integer else "") if word)
    return [*listed, f"{span.low:g} to {span.high:g}" + (f" ({kind})" if kind else "")]


def sentence(text: str) -> str:
    """What a user wrote, as one line that ends like a sentence."""
    line = " ".join(text.split()).replace("<", "&lt;")
    return line if line.endswith((".", "?", "!")) else f"{line}."


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
    """Time of all rounds and the highest memory against what was expected; nothing where nothing was estimated."""
    found = promises(reading.history)
    seconds, memory = in_all(found)
    lines = [
        f"| {what} | {_shown(promise.expected, *unit)} | {_shown(promise.fact, *unit)} | {promise.off:+.0%} |"
        for what, promise, unit in (
            (f"Time of {counted(sum(each.seconds is not None for each in found), 'round')}", seconds, (1, 0, "s")),
            ("Highest memory", memory, (GB, 2, "GB")),
        )
        if promise is not None
    ]
    if not lines:
        return []
    table = "\n".join(["| | Expected | Was | Off by |", "|:--|--:|--:|--:|", *lines])
    return ["## Estimate against fact", table, f"An estimate is good within {GOAL:.0%}."]


def _shown(value: float, unit: float, digits: int, name: str) -> str:
    return f"{value / unit:.{digits}f} {name}"


def _seconds(record: RoundRecord) -> Promise | None:
    """Of rounds that trained something: one that only shows what is known takes no time worth an estimate."""
    trained = any(v.fits_new and v.id.startswith(f"r{record.number:02d}-") for v in record.variants)
    return Promise(record.estimated_s, record.wall_s) if record.estimated_s and trained else None


def _memory(record: RoundRecord) -> Promise | None:
    planned, peak = record.cost.get("planned_bytes"), record.cost.get("peak_bytes")
    return Promise(planned, peak) if planned and peak else None
