"""``experiment.md``: the experiment as a short paper, made of its ledger and its results files alone."""

import math
from collections.abc import Callable, Mapping

from numerai_ray.config.plan_schema import Stage
from numerai_ray.config.search_space import changes_label
from numerai_ray.metrics.significance import e4
from numerai_ray.report.plots.registry import PLOTS, Chapter
from numerai_ray.report.reading import Headline, Reading, shown_delta
from numerai_ray.report.sections.closing import closing_sections
from numerai_ray.report.sections.data import data_section
from numerai_ray.report.sections.diagnostics import diagnostics_section
from numerai_ray.report.sections.method import leaderboard_section, method
from numerai_ray.report.sections.plan import estimate_section, plan_section, sentence
from numerai_ray.report.sections.rounds import round_sections
from numerai_ray.report.sections.since import since_section
from numerai_ray.report.tables import Row, cell, number, primary_of

Picture = Callable[[str, str, str], list[str]]


def report_text(reading: Reading, captions: Mapping[str, str], picture: Picture | None = None) -> str:
    """The whole report.

    Args:
        reading: the experiment.
        captions: the plots that were drawn: name -> caption.
        picture: makes name, title and caption of a plot the lines that show it; Markdown's own unless given.

    """

    def figures(chapter: Chapter) -> list[str]:
        drawn = [plot for plot in PLOTS if plot.chapter == chapter and plot.name in captions]
        show = picture or markdown_picture
        return [line for plot in drawn for line in show(plot.name, plot.title, captions[plot.name])]

    parts = [
        f"# {reading.loaded.name}",
        *_state(reading),
        "## Abstract",
        *abstract(reading),
        *figures("Abstract"),
        "## Plan",
        *plan_section(reading),
        "## Data and folds",
        *data_section(reading),
        "## Method",
        *method(reading),
        *round_sections(reading, figures("Rounds")),
        *since_section(reading, figures("Since the decision")),
        "## Leaderboard",
        *leaderboard_section(reading),
        *figures("Leaderboard"),
        "## Diagnostics",
        *diagnostics_section(reading),
        *figures("Diagnostics"),
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
    question = f"**Question.** {sentence(plan.idea)}"
    if not reading.history:
        return [question, "**Answer.** None yet: no round has been decided."]
    lines = []
    for stage in reading.stages:
        headline = reading.headline(stage)
        if headline is not None:
            counts = " (less than the margin)" if 0 <= headline.gain < settings.margin else ""
            lines.append(
                f"- **{stage.capitalize()}:** {headline.ours} against {headline.theirs}: {headline.shown}{counts}; "
                f"{reading.verdict(headline)}.{_to_baseline(reading, stage)}"
            )
        elif reading.of(stage):
            lines.append(f"- **{stage.capitalize()}:** {_nothing_compared(reading, stage)}")
    answer = f"**Answer{'' if reading.finished else ' so far'}.** {_answer(reading)}"
    lead = f"Stage by stage, differences of the mean BMC over the last {reading.comparison.last} scored eras:"
    return [question, answer, lead, "\n".join(lines)]


def _to_baseline(reading: Reading, stage: Stage) -> str:
    headline = reading.holdout_to_baseline() if stage == "holdout" else None
    return "" if headline is None else f" Against {headline.theirs}: {headline.shown}; {reading.verdict(headline)}."


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
        margin = e4(reading.loaded.plan.rounds.margin, sign=False)
        return f"No change counts as a gain: {tried}, and the experiment's base stands (margin {margin}); {value}."
    latest = next((h for s in reversed(reading.stages) if (h := reading.headline(s)) is not None), None)
    held = "" if latest is None else f"{_held(reading, latest)} "
    return f"{held}The best configuration is the base with {changes_label(changes)}: {tried}; {value}."


def _held(reading: Reading, latest: Headline) -> str:
    """Whether the idea held, by how much and how sure, as the stage that ran last tells."""
    compared = f"in the {latest.stage} run {latest.ours} differs in BMC from {latest.theirs} by {latest.shown}"
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
