"""The rounds of a report: what changed and why, the table, the decision."""

import math
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path
from urllib.parse import quote

from numerai_ray.config.search_space import changes_label
from numerai_ray.experiment.records import REPLICATE, RoundRecord, VariantRecord
from numerai_ray.experiment.standing import counted, p_text, stage_of
from numerai_ray.metrics.significance import INTERVAL_PERCENT, e4
from numerai_ray.report.reading import Reading
from numerai_ray.report.tables import Row, cell, e4_judged, markdown_table

# stage -> title, and what it is for
SECTIONS = {
    "interpret": (
        "Interpretations",
        "Readings of the idea side by side; the best by the primary metric becomes the base.",
    ),
    "confirm": ("Confirm", "The base and the best configuration found, on the confirm stage's data."),
    "scale": ("Scale", "The base and the best configuration found, with the expensive parameters."),
    "final": ("Final", "What survived, on the final stage's data."),
    "holdout": ("Holdout", "The base and the winner on eras that no fit and no decision has seen."),
}

# A longer search has tables of this many scout rounds alone: the latest, and before them those that moved the base.
MOST_ROUNDS, LATEST_ROUNDS = 60, 20

# What a round's title says of its kind.
KINDS = {"focus": " (focus)", "manual": " (by hand)", REPLICATE: " (again, with fresh seeds)"}


def round_sections(reading: Reading, figure: list[str]) -> list[str]:
    """Interpretations, scout rounds, then the stages after them; ``figure`` stands before the scout rounds."""
    parts = []
    if "interpret" in reading.stages:
        parts += _stage_section(reading, "interpret")
    parts += ["## Scout rounds", *figure]
    if not reading.scouts:
        parts.append("None yet.")
    told = _told_in_full(reading.scouts)
    for full, group in groupby(reading.scouts, lambda each: each.number in told):
        if not full:
            parts += _together(reading, list(group))
            continue
        for record in group:
            parts += _scout(reading, record)
    for stage in ("confirm", "scale", "final", "holdout"):
        if stage in reading.stages:
            parts += _stage_section(reading, stage)
    return parts


def _told_in_full(scouts: Sequence[RoundRecord]) -> set[int]:
    """Numbers of the rounds with a table: all of a search of ordinary length; of a long one what a reader looks for."""
    if len(scouts) <= MOST_ROUNDS:
        return {record.number for record in scouts}
    earlier, latest = scouts[:-LATEST_ROUNDS], scouts[-LATEST_ROUNDS:]
    marked = [record for record in earlier if record.decision.promoted or record.edits]
    return {record.number for record in (*marked[LATEST_ROUNDS - MOST_ROUNDS :], *latest)}


def _together(reading: Reading, records: Sequence[RoundRecord]) -> list[str]:
    """Rounds in a row of a long search, in two sentences."""
    first, last = records[0].number, records[-1].number
    rows = [(record.number, row) for record in records for row in reading.rows(record) if row.role == "variant"]
    judged = [(number, row) for number, row in rows if not math.isnan(row.delta)]
    moved = sum(record.decision.promoted for record in records)
    parts = [f"{counted(moved, 'round')} moved the base." if moved else "The base stayed."]
    if judged:
        number, best = max(judged, key=lambda each: each[1].delta)
        to_base = best.evidence.to_base if best.evidence else None
        parts.append(
            f"Of {counted(len(judged), 'variant')} {cell(best.name)} in round {number} did best: "
            f"{e4_judged(best.delta, to_base)}."
        )
    if len(judged) < len(rows):
        parts.append(f"{counted(len(rows) - len(judged), 'variant')} could not be judged.")
    parts.append(f"All are in `numerai-ray leaderboard {reading.paths.root.name}`.")
    title = f"### Rounds {first} to {last}" if last > first else f"### Round {first}"
    return [title, " ".join(parts)]


def _stage_section(reading: Reading, stage: str) -> list[str]:
    title, about = SECTIONS[stage]
    records = reading.of(stage)
    parts = [f"## {title}", about if records else f"Not run yet. {about}"]
    for record in records:
        winner = [f"The winner is {_base(record)}."] if stage == "final" else []
        parts += [*_edits(record), *winner, *_round(reading, record)]
    return parts


def _edits(record: RoundRecord) -> list[str]:
    """What a person changed in the plan before a round: it belongs into the record of how a result was found."""
    if not record.edits:
        return []
    listed = "; ".join(cell(edit, 200) for edit in record.edits)
    return [f"*The plan was changed before round {record.number}: {listed}.*"]


def _scout(reading: Reading, record: RoundRecord) -> list[str]:
    dimension = reading.loaded.space.dimensions.get(record.dimension or "")
    what = "Varies a dimension that the plan no longer has."
    if record.kind == "joint":
        what = "Changes several variables at once, so no single one can be credited with what it finds."
    if dimension is not None:
        coupled = " and with it " + " and ".join(f"`{path}`" for path in dimension.coupled) if dimension.coupled else ""
        # Whoever comes to it again has read why.
        again = any(each.dimension == record.dimension for each in reading.scouts if each.number < record.number)
        why = f": {dimension.why}" if dimension.why and not again else ""
        what = f"Varies `{dimension.path}`{coupled}{why}."
    if record.why:
        what = f"{what} {cell(record.why[:1].upper() + record.why[1:], 300).rstrip('.')}."
    kind = KINDS.get(record.kind, "")
    title = "several dimensions at once" if record.kind == "joint" else record.dimension or "?"
    heading = f"### Round {record.number}: {title}{kind}"
    return [heading, *_edits(record), f"{what} The round's base is {_base(record)}.", *_round(reading, record)]


def _base(record: RoundRecord) -> str:
    if not record.base_changes:
        return "the experiment's base"
    return f"the experiment's base with {changes_label(record.base_changes)}"


def _cost(record: RoundRecord) -> str:
    """``; 3.20 core-hours of 4 nodes (0.41 node-hours), of which fits held 2.90``; "" where it is not known."""
    cost = record.cost
    # What one machine took stands in the ledger.
    if cost.get("nodes", 0) < 2 or not cost.keys() >= {"core_hours", "fit_core_hours", "node_hours"}:
        return ""
    nodes = f"{cost['nodes']:.0f} node{'s' if cost['nodes'] > 1 else ''}"
    # A short round in hours is a row of zeros.
    if cost["core_hours"] < 0.1:
        core_s, fit_s = (3600 * cost[name] for name in ("core_hours", "fit_core_hours"))
        return f"; {core_s:.0f} core-seconds of {nodes}, of which fits held {fit_s:.0f}"
    return (
        f"; {cost['core_hours']:.2f} core-hours of {nodes} ({cost['node_hours']:.2f} node-hours), of which fits held "
        f"{cost['fit_core_hours']:.2f}"
    )


def _round(reading: Reading, record: RoundRecord) -> list[str]:
    rows = [row for row in reading.rows(record) if record.stage != "scout" or _belongs(row)]
    links = {row.id: _link(reading, reading.paths.config(row.id)) for row in rows if row.role != "benchmark"}
    table = markdown_table(
        rows, reading.base_values(record), links, reading.metric.titled(reading.score_config.score.last_eras)
    )
    # The interval stands in the table, where it has its verdict.
    said = record.decision.reason.split("; ")
    kept = [part for part in said if not part.startswith(f"{INTERVAL_PERCENT} % interval")]
    reason = cell("; ".join(kept), 500)
    noise = _noise(record, rows, told=len(kept) < len(said))
    parts = [table, " ".join(part for part in (f"**Decision:** {reason}.", noise) if part), *_in_all(reading, record)]
    failed = _failures(reading, record)
    if failed:
        parts.append("\n".join(failed))
    promised = "" if record.estimated_s is None else f" (estimated {record.estimated_s:.0f} s)"
    took = f"{record.wall_s:.1f} s{promised}{_cost(record)}"
    parts.append(f"*Time: {took}.*")
    return parts


def _belongs(row: Row) -> bool:
    """A benchmark is the same in every scout round, and so is the baseline after its first: the answer has both."""
    return row.role != "benchmark" and (
        row.role != "baseline" or not any(each.startswith("ran in round") for each in row.status)
    )


def _link(reading: Reading, file: Path) -> str:
    return quote(file.relative_to(reading.paths.root).as_posix())


def _failures(reading: Reading, record: RoundRecord) -> list[str]:
    """A line for each message that trials failed with, and their logs."""
    by_error: dict[str, list[VariantRecord]] = {}
    for variant in record.variants:
        if variant.error is not None:
            by_error.setdefault(variant.error, []).append(variant)
    lines = []
    for error, variants in by_error.items():
        names = ", ".join(
            f"`{cell(each.name)}` ([log]({_link(reading, reading.paths.trial_log(each.id))}))" for each in variants
        )
        lines.append(f"- Failed: {names}: {cell(error, 400)}")
    return lines


def _in_all(reading: Reading, record: RoundRecord) -> list[str]:
    """A later stage's comparison over all scored eras, as what the whole search found."""
    headline = None if record.stage in {"scout", "holdout"} else reading.headline(stage_of(record.stage))
    if headline is None or record is not reading.of(record.stage)[-1]:
        return []
    return [f"Over all scored eras against {headline.theirs}: {headline.shown}, {reading.verdict(headline)}."]


def _noise(record: RoundRecord, rows: list[Row], *, told: bool) -> str:
    """What the per-era scores say of the round's best variant; with ``told``, what the decision has not said."""
    compared = [row for row in rows if row.role == "variant" and not math.isnan(row.delta)]
    if not compared:
        return ""
    best = max(compared, key=lambda row: row.delta)
    delta = best.evidence.to_base if best.evidence else None
    what = f"{best.name} differs from {rows[0].name}" if record.stage == "interpret" else "The best variant differs"
    if delta is None or math.isnan(delta.low):
        return f"{what} by {e4(best.delta)}; the interval is unknown."
    if told:
        return ""
    among = f" among {delta.judged}" if delta.judged > 1 else ""
    luck = f" (p = {p_text(delta.p_value)}{among})" if delta.mean > 0 else ""
    return f"{what} by {e4_judged(best.delta, delta)}{luck}."
