"""The answer at the head of a report: :class:`~numerai_ray.experiment.answer.Answer` as Markdown, and its stages."""

import math
from dataclasses import asdict
from typing import Any

from numerai_ray.config.plan_schema import Stage
from numerai_ray.experiment.answer import Answer
from numerai_ray.experiment.answer_table import TABLE_HEADER, table_cells
from numerai_ray.experiment.standing import counted
from numerai_ray.metrics.significance import INTERVAL_PERCENT, e4
from numerai_ray.report.reading import Reading
from numerai_ray.report.sections.front import front_section
from numerai_ray.report.tables import UNKNOWN, Row, cell, e4_judged


def answer_block(answer: Answer) -> dict[str, Any]:
    """What the answer shows, in texts: Markdown, ``report.html`` and the dashboard's page lay it out, each its way."""
    lead, _, rest = answer.verdict.partition(": ")
    known = not math.isnan(answer.gain)
    facts = [
        (f"Gain ({INTERVAL_PERCENT} % interval)", f"{e4(answer.gain)} [{e4(answer.low)}, {e4(answer.high)}]")
        if known
        else ("Gain", UNKNOWN),
        ("To expect", UNKNOWN if math.isnan(answer.expected) else e4(answer.expected)),
        ("Winner", answer.winner or UNKNOWN),
        ("Tried", f"{counted(answer.variants, 'variant')} in {counted(answer.rounds, 'round')}"),
    ]
    return {
        "kind": answer.kind,
        "lead": lead,
        "rest": rest,
        "facts": facts,
        "notes": [*answer.costs, *answer.checks, *answer.blended, *(f"Note: {flag}" for flag in answer.notes)],
        "header": list(TABLE_HEADER),
        "rows": [list(table_cells(row)) for row in answer.table],
        "next": [asdict(step) for step in answer.next],
    }


def answer_section(reading: Reading) -> list[str]:
    """Verdict, costs and doubts; then the table, the stages and what to do next."""
    answer = reading.answer
    block = answer_block(answer)
    parts = [f"**{block['lead']}:** {cell(block['rest'], 600)}"]
    parts += [_bullets(block["notes"])] if block["notes"] else []
    parts += _state(reading)
    if not math.isnan(answer.expected):
        parts.append(
            f"The gain to expect is {e4(answer.expected)}: the found one, shrunk by what "
            f"{counted(answer.variants, 'variant')} gained."
        )
    if block["rows"]:
        rows = [f"| {' | '.join(map(cell, row))} |" for row in block["rows"]]
        parts.append("\n".join([f"| {' | '.join(block['header'])} |", "|:--|--:|--:|--:|--:|", *rows]))
    parts += front_section(reading)
    stages = [line for stage in reading.stages if reading.of(stage) for line in _stage(reading, stage)]
    if stages:
        parts.append("\n".join(["| Stage | Difference | Verdict | Compared |", "|:--|--:|:--|:--|", *stages]))
    steps = [f"`{step['command']}`" + (f": {step['why']}." if step["why"] else "") for step in block["next"]]
    return [*parts, f"**Next.** {steps[0]}" if len(steps) == 1 else "**Next.**\n\n" + _bullets(steps)]


def _stage(reading: Reading, stage: Stage) -> list[str]:
    """The stage's comparison, and on the kept eras also that with the baseline."""
    headline = reading.headline(stage)
    if headline is None:
        return [f"| {stage} | – | – | {_nothing_compared(reading, stage)} |"]
    also = reading.holdout_to_baseline() if stage == "holdout" else None
    return [
        f"| {stage} | {each.shown_short} | {reading.verdict(each)} | {cell(each.ours)} against {each.theirs} |"
        for each in (headline, also)
        if each is not None
    ]


def _nothing_compared(reading: Reading, stage: Stage) -> str:
    if stage == "scout":
        rows = [row for r in reading.judging for row in reading.rows(r) if row.role == "variant"]
        rows = [row for row in rows if not math.isnan(row.delta)]
        if not rows:
            return "the base stands; no variant could be judged"
        highest = max(rows, key=lambda row: row.delta)
        return f"the base stands; the best variant, {cell(highest.name)}, differs from it by {row_delta(highest)}"
    if stage == "interpret":
        return cell(reading.of(stage)[-1].decision.reason, 400)
    if stage != "final":
        return "nothing to compare with the base"
    best, baseline = reading.best(stage), reading.baseline(stage)
    if best is not None and baseline is not None and best.id == baseline.id:
        return "the final configuration is the baseline itself"
    return "there is no baseline result to compare with"


def row_delta(row: Row) -> str:
    """``+2.1e-4 [-0.9e-4, +5.1e-4], inside the noise``."""
    return e4_judged(row.delta, row.evidence.to_base if row.evidence else None)


def _bullets(lines: list[str]) -> str:
    return "\n".join(f"- {cell(line, 400)}" for line in lines)


def _state(reading: Reading) -> list[str]:
    if reading.finished:
        return []
    if not reading.history:
        where = "no round has been decided"
    else:
        last = reading.history[-1]
        where = f"{len(reading.history)} round{'s' * (len(reading.history) > 1)} decided, the last in {last.stage}"
    return [f"> **Not finished:** {where}. What is said here may still change."]
