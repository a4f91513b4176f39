"""A round's table: data first, Markdown second. Every table of a report has the same columns."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from numerai_ray.config.search_space import value_text
from numerai_ray.experiment.records import Role, RoundRecord, VariantRecord
from numerai_ray.experiment.scores import ScoreReader, with_evidence
from numerai_ray.experiment.standing import primary_of
from numerai_ray.metrics.significance import (
    INTERVAL_PERCENT,
    Comparison,
    Evidence,
    PairedDelta,
    Verdict,
    e4_interval,
    verdict,
)

UNKNOWN = "–"
# Flags that begin with their name and then say the same of every configuration.
NAMED_DOUBTS = ("drift", "trade-off")
# A spread of scores below this is rounding: the benchmark's own BMC is 0 in every era.
ROUNDING = 1e-12


# Of a leaderboard's row without nesting, as commands print it.
COLUMNS = [
    "id",
    "stage",
    "round",
    "name",
    "role",
    "winner",
    "primary",
    "delta",
    "delta_low",
    "delta_high",
    "p_value",
    "verdict",
    "verdict_overall",
    "bmc_mean",
    "bmc_sharpe",
    "bmc_max_drawdown",
    "corr_mean",
    "corr_sharpe",
    "corr_with_benchmark",
    "fits_new",
    "fits_stored",
    "fit_seconds",
    "changes",
    "status",
]


@dataclass(frozen=True)
class Row:
    """One line of a table; metrics are NaN where unknown.

    ``delta`` is primary minus the base's; ``evidence`` says how sure it is, and compares with the round's best. Fit
    counts and ``fit_seconds`` are of this round alone.
    """

    id: str
    name: str
    role: Role
    changes: Mapping[str, Any]
    winner: bool
    primary: float
    bmc_mean: float
    bmc_sharpe: float
    corr_mean: float
    corr_sharpe: float
    corr_with_benchmark: float
    bmc_max_drawdown: float
    delta: float
    evidence: Evidence | None
    fits_new: int
    fits_stored: int
    fit_seconds: float
    status: tuple[str, ...]


def round_rows(
    record: RoundRecord,
    reader: ScoreReader | None = None,
    comparison: Comparison | None = None,
    baseline_fingerprint: str = "",
    ran_before: Mapping[str, int] | None = None,
) -> list[Row]:
    """Rows of a round: base, variants from best to worst (failed last), baseline, benchmark.

    Args:
        record: the round.
        reader: where per-era scores come from when the ledger has no evidence (those of older versions have none).
        comparison: how differences are measured.
        baseline_fingerprint: a row with this config is marked as being the baseline.
        ran_before: variant id -> number of the earlier round in which it ran.

    """
    ran_before = ran_before or {}
    base = record.find("base")
    order = {"base": 0, "variant": 1, "baseline": 2, "benchmark": 3}

    def rank(variant: VariantRecord) -> tuple[int, bool, float, str]:
        value = primary_of(variant)
        return order[variant.role], math.isnan(value), -value if math.isfinite(value) else 0.0, variant.name

    evidence = {variant.id: variant.evidence for variant in judged(record, reader, comparison or Comparison())}
    rows = []
    for variant in sorted(record.variants, key=rank):
        notes = [] if variant.fingerprint != baseline_fingerprint or variant.role == "baseline" else ["= baseline"]
        if record.kind == "joint" and variant.role == "variant":
            notes.append("several at once")
        rows.append(
            _row(
                record, variant, base, evidence.get(variant.id), (*notes, *_status(variant, ran_before.get(variant.id)))
            )
        )
    return rows


def judged(record: RoundRecord, reader: ScoreReader | None, comparison: Comparison) -> list[VariantRecord]:
    """The round's variants and baseline with the evidence of the ledger, or else of the results files."""
    base = record.find("base")
    compared = {role: [each for each in record.variants if each.role == role] for role in ("variant", "baseline")}
    known = any(each.evidence is not None for group in compared.values() for each in group)
    if known or base is None or reader is None:
        return [each for group in compared.values() for each in group]
    return [each for group in compared.values() for each in with_evidence(base, group, reader, comparison)]


def rounds_ran(history: Sequence[RoundRecord]) -> list[dict[str, int]]:
    """For each round: variant id -> number of the earlier round in which it ran."""
    first: dict[str, int] = {}
    found = []
    for record in history:
        found.append({v.id: first[v.id] for v in record.variants if v.id in first})
        for variant in record.variants:
            first.setdefault(variant.id, record.number)
    return found


def leaderboard(
    history: Sequence[RoundRecord], reader: ScoreReader | None = None, comparison: Comparison | None = None
) -> list[dict[str, Any]]:
    """Every configuration that ran, each once a stage, as plain values: latest stage first, best first in it.

    Keys are those of :class:`Row`, with ``round``, ``stage`` and ``all_changes`` (relative to the experiment's
    base). Stages do not compare with each other: they differ in data. NaN is unknown.
    """
    first: dict[tuple[str, str], dict[str, Any]] = {}
    stages: list[str] = []
    for record, before in zip(history, rounds_ran(history), strict=True):
        if record.stage not in stages:
            stages.append(record.stage)
        for row in round_rows(record, reader, comparison, ran_before=before):
            own = {} if row.role in {"baseline", "benchmark"} else {**record.base_changes, **row.changes}
            entry = {"round": record.number, "stage": record.stage, **asdict(row), "all_changes": own}
            # A configuration that comes back as a base is listed where it ran, under the name it had there.
            first.setdefault((record.stage, row.id), entry)
    champions = {record.stage: record.decision.winner for record in history}
    for (stage, variant), entry in first.items():
        entry["winner"] = champions[stage] == variant

    def rank(entry: Mapping[str, Any]) -> tuple[int, bool, float, str]:
        value = entry["primary"]
        return -stages.index(entry["stage"]), math.isnan(value), 0.0 if math.isnan(value) else -value, entry["id"]

    return sorted(first.values(), key=rank)


def flat(entry: Mapping[str, Any], overall: Verdict | None = None) -> dict[str, Any]:
    """A row of the leaderboard without nesting; a loss has no p-value of a gain."""
    evidence = entry["evidence"]
    delta = None if evidence is None else PairedDelta(**evidence["to_base"])
    sure: dict[str, Any] = {} if delta is None else {"delta_low": delta.low, "delta_high": delta.high}
    if delta is not None and delta.mean > 0:
        sure["p_value"] = delta.p_value
    sure |= {"verdict": verdict(delta), "verdict_overall": overall or "unknown"}
    status = "; ".join(entry["status"])
    return {**entry, **sure, "changes": dict(entry["all_changes"]), "status": status}


def markdown_table(rows: Sequence[Row], base: Mapping[str, Any], links: Mapping[str, str], primary: str) -> str:
    """Rows as a Markdown table of at most six columns; :func:`appendix_table` has the others.

    Args:
        rows: see :func:`round_rows`.
        base: the base's value by dotted path, shown beside the new one.
        links: row id -> file that its name links to.
        primary: the primary metric as a column is titled.

    """
    header = [
        "Configuration",
        "Changes",
        primary,
        f"Δ to base ({INTERVAL_PERCENT} % interval)",
        "CORR",
        "Status",
    ]
    cells = [_cells(row, base, links) for row in rows]
    # A status that nobody has is no column.
    kept = 6 if any(each[-1] != UNKNOWN for each in cells) else 5
    ways = (":--", ":--", "--:", "--:", "--:", ":--")
    lines = [f"| {' | '.join(header[:kept])} |", f"|{'|'.join(ways[:kept])}|"]
    lines += ["| " + " | ".join(each[:kept]) + " |" for each in cells]
    return "\n".join(lines)


def appendix_table(rows: Sequence[tuple[str, Row]]) -> str:
    """What the tables of rounds leave out, a configuration once; ``rows`` have the name of the stage beside them."""
    header = ("Configuration", "BMC", "BMC Sharpe", "BMC max drawdown", "CORR Sharpe", "CORR with benchmark")
    more = ("Eras improved", "Fits new/stored")
    lines = ["| " + " | ".join((*header, *more)) + " |", "|:--|" + "--:|" * 7]
    for name, row in rows:
        to_base = row.evidence.to_base if row.evidence else None
        cells = [
            cell(name),
            number(row.bmc_mean, 5),
            number(row.bmc_sharpe, 2),
            number(row.bmc_max_drawdown, 3),
            number(row.corr_sharpe, 2),
            number(row.corr_with_benchmark, 3),
            UNKNOWN if to_base is None else f"{100 * to_base.share_improved:.0f}%",
            f"{row.fits_new}/{row.fits_stored}" if row.fits_new + row.fits_stored else UNKNOWN,
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def number(value: float, digits: int, *, sign: bool = False) -> str:
    """``value`` with ``digits`` decimals, ``–`` when unknown, never a negative zero."""
    if not math.isfinite(value):
        return UNKNOWN
    text = f"{value:+.{digits}f}" if sign else f"{value:.{digits}f}"
    return text if float(text) != 0 else f"{0:.{digits}f}"


def e4_judged(value: float, delta: PairedDelta | None) -> str:
    """:func:`e4_interval` with its verdict: ``…, inside the noise``."""
    return e4_interval(value, delta) if delta is None else f"{e4_interval(value, delta)}, {verdict(delta)}"


def e4_clear(value: float, delta: PairedDelta | None) -> str:
    """:func:`e4_interval`, with its verdict where that is a clear one: in a table most differences are noise."""
    judged = verdict(delta)
    return f"{e4_interval(value, delta)}, {judged}" if judged.startswith("clear") else e4_interval(value, delta)


def change_text(changes: Mapping[str, Any], base: Mapping[str, Any]) -> str:
    """``num_leaves 31 → 63``, one a path."""
    shown = []
    for path, value in changes.items():
        old = f"{value_text(base[path])} → " if path in base else ""
        shown.append(f"{path.rsplit('.', 1)[-1]} {old}{value_text(value)}")
    return ", ".join(shown)


def cell(text: str, limit: int = 110) -> str:
    """Text that cannot break a table: one line, no bars, cut at ``limit``."""
    line = " ".join(text.split())
    line = line if len(line) <= limit else f"{line[: limit - 1]}…"
    return line.replace("|", "\\|").replace("<", "&lt;")


def _row(
    record: RoundRecord,
    variant: VariantRecord,
    base: VariantRecord | None,
    evidence: Evidence | None,
    status: tuple[str, ...],
) -> Row:
    metrics = variant.metrics
    compared = variant.role in {"variant", "baseline"}
    own = variant.id.startswith(f"r{record.number:02d}-")
    bmc_known = metrics is not None and metrics.bmc.std > ROUNDING
    return Row(
        id=variant.id,
        name=variant.name,
        role=variant.role,
        changes=variant.changes,
        winner=variant.id == record.decision.winner,
        primary=primary_of(variant),
        bmc_mean=metrics.bmc.mean if metrics else math.nan,
        bmc_sharpe=metrics.bmc.sharpe if metrics and bmc_known else math.nan,
        corr_mean=metrics.corr.mean if metrics else math.nan,
        corr_sharpe=metrics.corr.sharpe if metrics else math.nan,
        corr_with_benchmark=metrics.avg_corr_with_benchmark if metrics else math.nan,
        bmc_max_drawdown=metrics.bmc.max_drawdown if metrics else math.nan,
        delta=primary_of(variant) - primary_of(base) if compared else math.nan,
        evidence=evidence,
        # A configuration known from an earlier round cost this one nothing.
        fits_new=variant.fits_new if own else 0,
        fits_stored=variant.fits_stored if own else variant.fits_new + variant.fits_stored,
        fit_seconds=variant.fit_seconds if own else 0.0,
        status=status,
    )


def _status(variant: VariantRecord, before: int | None) -> tuple[str, ...]:
    found = [f"failed: {variant.error}"] if variant.error is not None else []
    found += [variant.pruned] if variant.pruned is not None else []
    if variant.metrics is not None and math.isnan(variant.metrics.bmc_last.mean):
        found.append("no scored era has the benchmark")
    elif variant.metrics is not None and math.isnan(variant.metrics.primary) and not variant.metrics.constant_eras:
        found.append(f"no scored era has {variant.metrics.metric.metric.title}")
    # BMC of a constant prediction is 0 and CORR is undefined: such a row must not pass for a modest model.
    if variant.metrics is not None and (constant := variant.metrics.constant_eras):
        judged = "not judged: " if math.isnan(variant.metrics.primary) else ""
        found.append(f"{judged}constant predictions in {constant} eras: BMC 0, no CORR there")
    if before is not None and variant.role != "benchmark":
        found.append(f"ran in round {before}")
    return (*found, *variant.flags)


def _doubt(status: str) -> str:
    """What doubts have in common is told once, among the threats; a table has their names."""
    name = status.split(":", 1)[0]
    return name if name in NAMED_DOUBTS else status


def _cells(row: Row, base: Mapping[str, Any], links: Mapping[str, str]) -> list[str]:
    linked = f"[{cell(row.name)}]({links[row.id]})" if row.id in links else cell(row.name)
    # A base that stays is kept, not a winner; the final's only candidate is called winner already.
    # Of several readings the first stands where a base does.
    standing = {"winner": "", "base": " (kept)"}.get(row.name, " (chosen)")
    won = standing if row.role == "base" else " (winner)"
    name = f"**{linked}**{won}" if row.winner else linked
    kept = row.role in {"baseline", "benchmark"}
    changes = {"baseline": "the baseline as it is", "benchmark": "official predictions"}.get(row.role, "")
    to_base = row.evidence.to_base if row.evidence else None
    return [
        name,
        cell(change_text(row.changes, base), 240) if row.changes and not kept else changes or UNKNOWN,
        number(row.primary, 5),
        e4_clear(row.delta, to_base),
        number(row.corr_mean, 4),
        cell("; ".join(map(_doubt, row.status)), 240) or UNKNOWN,
    ]
