"""How numbers of a report come about, and the table of everything that ran."""

import math

from numerai_ray.config.search_space import merged_changes
from numerai_ray.metrics.significance import INTERVAL_PERCENT, LEVEL, PairedDelta, e4, e4_interval
from numerai_ray.report.reading import Reading
from numerai_ray.report.tables import UNKNOWN, Row, appendix_table, cell, change_text, number

# The best of a stage; the appendix and `numerai-ray leaderboard` list the rest.
MOST_ROWS = 3
MOST_FURTHER = 200


def method(reading: Reading) -> list[str]:
    """Training, scores, intervals and decisions, in the words of a paper's methods."""
    rounds, score = reading.loaded.plan.rounds, reading.score_config.score
    overlap = reading.comparison.overlap_eras
    rule = {
        "margin": "; whether that gain is noise is told beside it, and does not decide",
        "pareto": " and loses nothing in CORR or a Sharpe ratio by more than noise does",
        "significant": f" and is clear of the noise as the best of its round (p ≤ {LEVEL:g})",
        "replicated": f" and does so again when both run with fresh seeds (p ≤ {LEVEL:g}, as the best of its round as "
        f"far as the same noise is in both runs)",
    }[rounds.accept]
    training = (
        f"**Training.** A round trains its base and up to {rounds.variants} variants, each differing in one variable. "
        f"Folds are parted by an embargo at least as long as labels overlap; "
        f"predictions are out-of-fold."
    )
    scores = (
        f"**Scores.** Per era against `{score.target}`, as numerai-tools computes them: CORR, and BMC, the "
        f"contribution after `{score.benchmark}`. Unknown labels and benchmarks are left out, never filled."
    )
    intervals = (
        f"**Intervals.** Differences are paired by era; their standard error allows for labels that overlap "
        f"{overlap} eras. Intervals are {INTERVAL_PERCENT} % and of one pair; p-values count all variants of a round, "
        f"and in the answer the whole search over all scored eras (rule {reading.answer.rule})."
    )
    decision = (
        f"**Decision.** The best variant becomes the next base when it beats the round's base by "
        f"{e4(rounds.margin, sign=False)} {score.primary.metric.noun}{rule}. "
        f"What looks like a leak is never promoted by itself."
    )
    return [training, scores, intervals, decision]


def leaderboard_section(reading: Reading) -> list[str]:
    """Every configuration once a stage, best first; stages do not compare with each other."""
    entries = reading.leaderboard
    if not entries:
        return ["Nothing has run yet."]
    primary = reading.metric.titled(reading.score_config.score.last_eras)
    header = (
        f"| Stage | Configuration | Changes to the experiment's base | {primary} "
        f"| Δ to the round's base ({INTERVAL_PERCENT} % interval) | CORR |"
    )
    lines = [header, "|:--|:--|:--|--:|--:|--:|"]
    shown: dict[str, int] = {}
    for entry in entries:
        stage = str(entry["stage"])
        shown[stage] = shown.get(stage, 0) + 1
        if shown[stage] > MOST_ROWS:
            continue
        # A benchmark is no run: it is known by its own name.
        name = cell(entry["name"] if entry["role"] == "benchmark" else entry["id"])
        evidence = entry["evidence"]
        cells = [
            stage,
            f"**{name}**" if entry["winner"] else name,
            cell(change_text(merged_changes(entry["all_changes"]), {}), 160) or UNKNOWN,
            number(entry["primary"], 5),
            e4_interval(entry["delta"], None if evidence is None else PairedDelta(**evidence["to_base"])),
            number(entry["corr_mean"], 4),
        ]
        lines.append("| " + " | ".join(cells) + " |")
    hidden = sum(max(0, count - MOST_ROWS) for count in shown.values())
    more = [f"{hidden} more: `numerai-ray leaderboard {reading.paths.root.name}`."] if hidden else []
    return ["\n".join(lines), *more]


def appendix_section(reading: Reading) -> list[str]:
    """What the tables of six columns leave out, a line for each configuration where it ran first."""
    rows: dict[str, Row] = {}
    for record in reading.history:
        for row in reading.rows(record):
            rows.setdefault(row.id, row)
    if not rows:
        return ["Nothing has run yet."]
    told = {name: row for name, row in rows.items() if row.role != "benchmark"}
    ranked = sorted(told, key=lambda name: (math.isnan(told[name].primary), -told[name].primary))
    best = set(ranked[:MOST_FURTHER])
    shown = [(name, row) for name, row in told.items() if name in best]
    hidden = len(told) - len(shown)
    more = [f"The {len(shown)} best; {hidden} more: `numerai-ray leaderboard {reading.paths.root.name}`."]
    return [appendix_table(shown), *(more if hidden else [])]
