"""The plan as a report tells it: idea, base, benchmark, rule, stages and the dimensions that are searched."""

from numerai_ray.config import leaves
from numerai_ray.config.search_space import Dimension, changes_label, value_text
from numerai_ray.metrics.significance import e4
from numerai_ray.report.baseline_section import baseline_lines
from numerai_ray.report.reading import Reading
from numerai_ray.report.tables import UNKNOWN, cell

ABOUT = {
    "interpret": "interpret tries the readings of the idea side by side",
    "scout": "scout searches",
    "confirm": "confirm runs base and winner at a larger scale",
    "scale": "scale runs them with more trees",
    "final": "final runs what survived",
    "holdout": "holdout scores it once on eras that nothing has seen",
}


def plan_section(reading: Reading) -> list[str]:
    """What was asked and by which rules it is searched: facts as a list, dimensions as a table."""
    loaded = reading.loaded
    plan, rounds, score = loaded.plan, loaded.plan.rounds, reading.score_config.score
    clear = " if it is clear of the noise as the round's best (`accept: significant`)"
    rule = (
        f"a round varies one dimension in at most {rounds.variants} variants; a gain counts from "
        f"{e4(rounds.margin, sign=False)} BMC{clear if rounds.accept == 'significant' else ''}; "
        f"the search ends after {rounds.patience} rounds in a row without one, when nothing is left to try, or after "
        f"{_budget(reading)}."
    )
    facts = [
        f"- **Idea:** {sentence(plan.idea)}",
        f"- **Novelty:** {sentence(plan.novelty)}",
        f"- **Baseline:** `{plan.baseline}`; the experiment's base is {_base(reading)}.",
        *baseline_lines(reading),
        f"- **Benchmark:** `{score.benchmark}`, scored on `{score.target}`.",
        f"- **Primary metric:** mean BMC over the last {score.last_eras} scored eras; ties go to the mean over all.",
        f"- **Rule:** {rule}",
        "- **Stages:** " + "; ".join(ABOUT[stage] for stage in reading.stages) + ".",
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


def _budget(reading: Reading) -> str:
    budget = reading.loaded.plan.budget
    hours = "" if budget.hours is None else f" or {budget.hours:g} hours"
    return f"{budget.rounds} rounds{hours}"


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
