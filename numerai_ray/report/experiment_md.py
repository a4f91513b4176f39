"""``experiment.md``: the experiment as a short paper, made of its ledger and its results files alone."""

import math
from collections.abc import Callable, Mapping
from itertools import pairwise

from numerai_ray.config import leaves
from numerai_ray.eras import era_label, least_honest_gap
from numerai_ray.evidence import StoredScores
from numerai_ray.experiment_plan import Stage
from numerai_ray.report.baseline_section import baseline_lines
from numerai_ray.report.closing_sections import closing_sections
from numerai_ray.report.diagnostics_section import diagnostics_section
from numerai_ray.report.estimate_section import estimate_section
from numerai_ray.report.method_section import leaderboard_section, method
from numerai_ray.report.reading import Headline, Reading, shown_delta
from numerai_ray.report.round_sections import round_sections
from numerai_ray.report.tables import UNKNOWN, Row, cell, number, primary_of, value_text

ABOUT = {
    "interpret": "interpret tries the readings of the idea side by side",
    "scout": "scout searches",
    "confirm": "confirm runs base and winner at a larger scale",
    "scale": "scale runs them with more trees",
    "final": "final runs what survived",
    "holdout": "holdout scores it once on eras that nothing has seen",
}
Picture = Callable[[str, str, str], list[str]]


def report_text(reading: Reading, captions: Mapping[str, str], picture: Picture | None = None) -> str:
    """The whole report.

    Args:
        reading: the experiment.
        captions: the plots that were drawn: name -> caption.
        picture: makes name, title and caption of a plot the lines that show it; Markdown's own unless given.

    """

    def figure(name: str, title: str) -> list[str]:
        return (picture or markdown_picture)(name, title, captions[name]) if name in captions else []

    parts = [
        f"# {reading.loaded.name}",
        *_state(reading),
        "## Abstract",
        *abstract(reading),
        *figure("cumulative", "Cumulative scores per era"),
        *figure("delta", "Gain over what each stage is compared with"),
        "## Plan",
        *_plan(reading),
        "## Data and folds",
        *_data(reading),
        "## Method",
        *method(reading),
        *round_sections(
            reading,
            [
                *figure("rounds", "The primary metric round by round"),
                *figure("sweeps", "The primary metric against the swept value"),
                *figure("importances", "How much each dimension matters"),
            ],
        ),
        "## Leaderboard",
        *leaderboard_section(reading),
        *figure("per-era", "Distribution of per-era scores"),
        *figure("correlation", "Correlation of variants' predictions"),
        "## Diagnostics",
        *diagnostics_section(reading),
        *figure("groups", "What models learn from and lean on, by group of features"),
        "## Estimate against fact",
        *estimate_section(reading),
        *closing_sections(reading),
    ]
    return "\n\n".join(part.strip("\n") for part in parts) + "\n"


def markdown_picture(name: str, title: str, caption: str) -> list[str]:
    """A picture in the reader's theme, and what it shows."""
    light, dark = (f"plots/{name}-{theme}.png" for theme in ("light", "dark"))
    picture = (
        f'<picture>\n  <source media="(prefers-color-scheme: dark)" srcset="{dark}">\n'
        f'  <img alt="{title}" src="{light}">\n</picture>'
    )
    return [picture, f"*{title}. {caption}*"]


def abstract(reading: Reading) -> list[str]:
    """Question, answer so far, by how much, how sure."""
    plan, settings = reading.loaded.plan, reading.loaded.plan.rounds
    question = f"**Question.** {_sentence(plan.idea)}"
    if not reading.history:
        return [question, "**Answer.** None yet: no round has been decided."]
    lines = []
    for stage in reading.stages:
        headline = reading.headline(stage)
        if headline is not None:
            counts = " (less than the margin)" if 0 <= headline.gain < settings.margin else ""
            lines.append(
                f"- **{stage.capitalize()}:** {headline.ours} against {headline.theirs}: {headline.shown}{counts}; "
                f"{reading.verdict(headline)}."
            )
        elif reading.of(stage):
            lines.append(f"- **{stage.capitalize()}:** {_nothing_compared(reading, stage)}")
    return [question, f"**Answer{'' if reading.finished else ' so far'}.** {_answer(reading)}", "\n".join(lines)]


def _answer(reading: Reading) -> str:
    stage = reading.latest_stage
    best = reading.best(stage) if stage else None
    if stage is None or best is None:
        return "No configuration has been scored yet."
    last = reading.comparison.last
    value = f"its mean BMC over the last {last} scored eras is {number(primary_of(best), 5)} ({stage} run)"
    changes = reading.best_changes
    rounds = f"{len(reading.scouts)} scout round{'' if len(reading.scouts) == 1 else 's'}"
    tried = f"{rounds} judged {reading.looks} variant{'' if reading.looks == 1 else 's'}"
    if not changes:
        margin = f"{reading.loaded.plan.rounds.margin:g}"
        return f"No change counts as a gain: {tried}, and the experiment's base stands (margin {margin}); {value}."
    latest = next((h for s in reversed(reading.stages) if (h := reading.headline(s)) is not None), None)
    held = "" if latest is None else f"{_held(reading, latest)} "
    return f"{held}The best configuration is the base with {reading.label(changes)}: {tried}; {value}."


def _held(reading: Reading, latest: Headline) -> str:
    """Whether the idea held, by how much and how sure, as the stage that ran last tells."""
    compared = f"in the {latest.stage} run {latest.ours} differs from {latest.theirs} by {latest.shown}"
    if not reading.above_noise(latest):
        return f"**Not settled:** {compared}{_luck(reading, latest)}."
    if 0 <= latest.gain < reading.loaded.plan.rounds.margin:
        return f"**Too small to count:** {compared}, clear of the noise and less than the margin."
    return f"**{'Supported' if latest.gain > 0 else 'Not supported'}:** {compared}, clear of the noise."


def _luck(reading: Reading, latest: Headline) -> str:
    """Why a difference settles nothing; an interval clear of 0 is of the pair alone, not of the best of many."""
    if latest.paired is None or not reading.has_interval(latest):
        return ""
    chosen = latest.gain > 0 and latest.paired.low > 0
    return f", which the best of {reading.looks} variants may reach by luck" if chosen else ", inside the noise"


def _nothing_compared(reading: Reading, stage: Stage) -> str:
    if stage == "scout":
        rows = [row for r in reading.scouts for row in reading.rows(r) if row.role == "variant"]
        rows = [row for row in rows if not math.isnan(row.delta)]
        if not rows:
            return "the base stands; no variant could be judged."
        highest = max(rows, key=lambda row: row.delta)
        return f"the base stands; the best variant, {cell(highest.name)}, differs from it by {row_delta(highest)}."
    if stage == "interpret":
        return _one_line(reading.of(stage)[-1].decision.reason)
    if stage != "final":
        return "nothing to compare with the base."
    best, baseline = reading.best(stage), reading.baseline(stage)
    if best is not None and baseline is not None and best.id == baseline.id:
        return "the final configuration is the baseline itself, so there is no difference to report."
    return "there is no baseline result to compare with."


def _one_line(text: str) -> str:
    return f"{cell(text, 400)}."


def row_delta(row: Row) -> str:
    """``+2.1e-4 [-0.9e-4, +5.1e-4] (90 % interval)``."""
    return shown_delta(row.delta, row.evidence.to_base if row.evidence else None)


def _state(reading: Reading) -> list[str]:
    if reading.finished:
        return []
    if not reading.history:
        where = "no round has been decided"
    else:
        last = reading.history[-1]
        where = f"{len(reading.history)} round{'s' * (len(reading.history) > 1)} decided, the last in {last.stage}"
    go_on = f"`numerai-ray run {reading.paths.root.name}`"
    return [f"> **Not finished:** {where}. What follows may still change; {go_on} goes on."]


def _plan(reading: Reading) -> list[str]:
    loaded = reading.loaded
    plan, rounds, score = loaded.plan, loaded.plan.rounds, reading.score_config.score
    base = leaves(plan.base)
    changed = ", ".join(f"`{path}` = {value}" for path, value in base.items())
    clear = " if it is clear of the noise as the round's best (`accept: significant`)"
    rule = (
        f"a round varies one dimension in at most {rounds.variants} variants; a gain counts from {rounds.margin:g}"
        f"{clear if rounds.accept == 'significant' else ''}; "
        f"the search ends after {rounds.patience} rounds in a row without one, when nothing is left to try, or after "
        f"{_budget(reading)}."
    )
    facts = [
        f"- **Idea:** {_sentence(plan.idea)}",
        f"- **Novelty:** {_sentence(plan.novelty)}",
        f"- **Baseline:** `{plan.baseline}`; the experiment's base is "
        + (f"the baseline with {changed}." if base else "the baseline itself."),
        *baseline_lines(reading),
        f"- **Benchmark:** `{score.benchmark}`, scored on `{score.target}`.",
        f"- **Primary metric:** mean BMC over the last {score.last_eras} scored eras; ties go to the mean over all.",
        f"- **Rule:** {rule}",
        "- **Stages:** " + "; ".join(ABOUT[stage] for stage in reading.stages) + ".",
    ]
    if plan.interpretations:
        listed = (f"{name} ({reading.label(leaves(changes))})" for name, changes in plan.interpretations.items())
        facts.insert(2, "- **Interpretations:** the idea can be read as " + "; ".join(listed) + ".")
    if plan.holdout_eras is not None:
        facts.append(f"- **Holdout:** the last {plan.holdout_eras} weeks are kept out of every fit and decision.")
    dimensions = ["| Dimension | Varies | Values | Why |", "|:--|:--|:--|:--|"]
    for name, dimension in loaded.space.dimensions.items():
        coupled = "".join(f"; `{path}` moves with it" for path in dimension.coupled)
        values = cell(", ".join(map(value_text, dimension.values)))
        why = cell(dimension.why, 200) or UNKNOWN
        optional = "" if dimension.required else " (optional)"
        dimensions.append(f"| {name}{optional} | `{dimension.path}`{coupled} | {values} | {why} |")
    return ["\n".join(facts), "\n".join(dimensions)]


def _budget(reading: Reading) -> str:
    budget = reading.loaded.plan.budget
    hours = "" if budget.hours is None else f" or {budget.hours:g} hours"
    return f"{budget.rounds} rounds{hours}"


def _data(reading: Reading) -> list[str]:
    """One column a stage; what only a run can tell is unknown before it."""
    stages = reading.stages
    facts = [stage_facts(reading, stage) for stage in stages]
    lines = ["| | " + " | ".join(stages) + " |", "|:--|" + ":--|" * len(stages)]
    lines += [f"| {key} | " + " | ".join(cell(each[key], 200) for each in facts) + " |" for key in facts[0]]
    parts = ["\n".join(lines)]
    market = reading.loaded.plan.market
    if market is not None:
        parts.append(
            f"Where the data version is missing, this plan makes it: a **synthetic market** of {market.eras} eras, "
            f"about {market.rows} rows an era and {market.features} features (seed {market.seed}). Results on it show "
            f"how the method works and say nothing about Numerai's data."
        )
    notes = list(dict.fromkeys(note for record in reading.history for note in record.notes))
    if notes:
        parts.append("Notes of the runs:\n\n" + "\n".join(f"- {cell(note, 400)}" for note in notes))
    return parts


def stage_facts(reading: Reading, stage: Stage) -> dict[str, str]:
    """What a stage was run on, as text by the name of the fact."""
    config = reading.loaded.config(stage, {})
    variants = [variant for record in reading.of(stage) for variant in record.variants if variant.role != "benchmark"]
    stored = next((found for variant in variants if (found := reading.scores(variant)) is not None), None)
    last = config.score.last_eras
    return {
        "Data": f"{config.data.version}, {config.data.file}, feature set {' + '.join(config.data.feature_sets)}",
        "Trained on": _trained_on(reading, stage),
        "Folds": f"{config.cv.n_splits} {config.cv.mode}" + _folds(stored),
        "Embargo": f"{config.cv.embargo_eras} {_unit(config.cv.embargo_unit)}"
        + _gap(stored, least_honest_gap((*config.data.targets, config.score.target))),
        "Not predicted": _untrained(stored),
        "Eras with CORR": _span([] if stored is None else _known(stored, "corr"), count=True),
        "Eras with BMC": _span([] if stored is None else _known(stored, "bmc"), count=True),
        "CORR but no benchmark": _uncovered(stored),
        f"Last {last} scored eras": _window(stored, last),
    }


def _unit(unit: str) -> str:
    return "weeks" if unit == "weeks" else "retained eras"


def _trained_on(reading: Reading, stage: Stage) -> str:
    """The targets of the experiment's base and, where they are others, of what the stage ended with."""
    base = _targets(reading.loaded.config(stage, {}).data.targets)
    records = reading.of(stage)
    best = _targets(reading.loaded.config(stage, records[-1].decision.changes).data.targets) if records else base
    return base if best == base else f"base {base}, best {best}"


def _targets(weights: Mapping[str, float]) -> str:
    return ", ".join(weights if len(weights) == 1 else (f"{name} × {weight:g}" for name, weight in weights.items()))


def _folds(stored: StoredScores | None) -> str:
    used = None if stored is None else stored.cv.get("folds_used")
    return "" if used is None else f", {used} trained"


def _gap(stored: StoredScores | None, needed: int) -> str:
    gap = None if stored is None else stored.cv.get("smallest_gap_eras")
    return "" if gap is None else f"; smallest gap {gap} eras, the base's labels need {needed}"


def _untrained(stored: StoredScores | None) -> str:
    if stored is None:
        return UNKNOWN
    blocks = stored.cv.get("untrained_eras") or []
    return ", ".join(f"{first}–{last}" for first, last in blocks) + (" (nothing to train on)" if blocks else "none")


def _known(stored: StoredScores, which: str) -> list[int]:
    scores = {"corr": stored.scores.corr, "bmc": stored.scores.bmc}[which]
    return [era for era, score in zip(stored.eras, scores.tolist(), strict=True) if not math.isnan(score)]


def _uncovered(stored: StoredScores | None) -> str:
    if stored is None:
        return UNKNOWN
    with_bmc = set(_known(stored, "bmc"))
    return _span([era for era in _known(stored, "corr") if era not in with_bmc], count=True, none="none")


def _window(stored: StoredScores | None, last: int) -> str:
    if stored is None:
        return UNKNOWN
    eras = _known(stored, "bmc")[-last:]
    if not eras:
        return "none"
    weeks = eras[-1] - eras[0] + 1
    short = "" if len(eras) == last else f"only {len(eras)}: "
    steps = [after - before for before, after in pairwise(eras)]
    step = max(set(steps), key=steps.count) if steps else 1
    every = f", every {step}{ {2: 'nd', 3: 'rd'}.get(step, 'th') } era" if step > 1 else ""
    return f"{short}{_span(eras, count=False)}{every}: a span of {weeks} weeks"


def _span(eras: list[int], *, count: bool, none: str = UNKNOWN) -> str:
    if not eras:
        return none
    span = f"{era_label(eras[0])}–{era_label(eras[-1])}"
    return f"{len(eras)} ({span})" if count else span


def _sentence(text: str) -> str:
    line = " ".join(text.split()).replace("<", "&lt;")
    return line if line.endswith((".", "?", "!")) else f"{line}."
