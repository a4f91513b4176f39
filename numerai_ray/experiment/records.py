"""Records: what a round leaves in the ledger, and how a notebook shows a round."""

import html
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from pydantic import ConfigDict, with_config

from numerai_ray.config.search_space import changes_label
from numerai_ray.metrics.scoring import Metrics
from numerai_ray.metrics.significance import INTERVAL_PERCENT, Evidence, e4_interval, verdict

# A ledger's lines are read as strictly as a user's config.
_STRICT = ConfigDict(extra="forbid", strict=True)
Role = Literal["base", "variant", "baseline", "benchmark"]


@with_config(_STRICT)
@dataclass(frozen=True)
class VariantRecord:
    """One line of a round's table. ``metrics`` is None and ``error`` set when the trial failed.

    ``pruned`` says why it was stopped early, and it has no metrics then either. ``evidence`` compares per-era scores
    within the round; None for the base, failed trials and older ledgers. Of the ``flags``, ``data_flags`` are those
    that its data brought; they stay with it in later rounds.
    """

    id: str
    name: str
    role: Role
    fingerprint: str
    changes: Mapping[str, Any]
    metrics: Metrics | None
    error: str | None = None
    pruned: str | None = None
    flags: tuple[str, ...] = ()
    data_flags: tuple[str, ...] = ()
    fits_new: int = 0
    fits_stored: int = 0
    fit_seconds: float = 0.0
    evidence: Evidence | None = None


@with_config(_STRICT)
@dataclass(frozen=True)
class Decision:
    """What a round led to. ``winner`` is a variant's id; ``changes`` are relative to the experiment's base.

    ``rule`` names the plan's `accept` and the version of the rule behind it, as ``margin/2``; "" is version 1.
    ``again`` is the id of the best variant where it has to be run again before it may become the base.
    """

    winner: str | None
    promoted: bool
    gain: float | None
    changes: Mapping[str, Any]
    reason: str
    rule: str = ""
    again: str = ""


@with_config(_STRICT)
@dataclass(frozen=True)
class RoundRecord:
    """One decided round, as the ledger keeps it.

    ``base_changes`` are relative to the experiment's base; ``origin`` holds fingerprints of that base and its data.
    ``kind`` tells scout rounds apart: "" as planned, "focus" (``why`` says what for), "joint" (several variables at
    once), "manual" or "replicate". ``choice`` is the interpretation that became the base, ``edits`` what changed in
    the plan since the round before, ``importances`` how much each dimension matters in all results so far (Optuna),
    ``cores`` those of the machine, ``estimated_s`` the wall time that the plan's calibration promised,
    ``cost`` core-hours and node-hours of whatever machines took part (`cluster_plan.RoundCost`).
    """

    number: int
    stage: str
    dimension: str | None
    base_changes: Mapping[str, Any]
    variants: tuple[VariantRecord, ...]
    decision: Decision
    origin: Mapping[str, str]
    started: str = ""
    wall_s: float = 0.0
    notes: tuple[str, ...] = field(default=())
    kind: str = ""
    why: str = ""
    choice: str = ""
    edits: tuple[str, ...] = ()
    importances: Mapping[str, float] = field(default_factory=dict)
    cores: int = 0
    estimated_s: float | None = None
    cost: Mapping[str, float] = field(default_factory=dict)

    def find(self, role: Role) -> VariantRecord | None:
        """The first variant in this role."""
        return next((variant for variant in self.variants if variant.role == role), None)

    def _repr_html_(self) -> str:
        """What varied, what was decided and why, and a line a configuration; what users wrote is escaped."""
        varied = "".join(f", {each}" for each in (self.kind, self.dimension) if each)
        base = self.find("base")
        rows = [
            (
                "★" if each.id == self.decision.winner else "",
                each.name,
                each.role,
                *_score_cells(each, None if each.role in ("base", "benchmark") else base),
                "; ".join(_status(each)),
            )
            for each in sorted(self.variants, key=_rank)
        ]
        metric = None if base is None or base.metrics is None else base.metrics.metric
        decides = "primary" if metric is None else f"{metric.metric.title}, {'last' if metric.recent else 'all'} eras"
        head = (
            "",
            "configuration",
            "role",
            decides,
            f"to the base ({INTERVAL_PERCENT} %)",
            "verdict",
            *SHOWN,
            "status",
        )
        lines = "".join(_line(row, "td") for row in rows)
        return (
            f"<p><b>round {self.number}</b> ({html.escape(self.stage + varied)}), "
            f"around {html.escape(changes_label(self.base_changes))}<br>{html.escape(self.decision.reason)}</p>"
            f'<table border="1" class="dataframe"><thead>{_line(head, "th")}</thead><tbody>{lines}</tbody></table>'
        )


# The kind of a scout round that runs the best of the round before again, with fresh seeds.
REPLICATE = "replicate"
# The name under which all model parameters are varied at once.
JOINT = "joint"

# Beside what decides, means over all scored eras, and their digits.
SHOWN = {"BMC": ("bmc", 5), "CORR": ("corr", 4)}
_ORDER = ("base", "variant", "baseline", "benchmark")


def _rank(variant: VariantRecord) -> tuple[int, float]:
    value = math.nan if variant.metrics is None else variant.metrics.primary
    return _ORDER.index(variant.role), math.inf if math.isnan(value) else -value


def _score_cells(variant: VariantRecord, base: VariantRecord | None) -> Iterator[str]:
    """What decides, its difference to ``base`` with the verdict on that, and :data:`SHOWN`."""
    metrics = variant.metrics
    yield "–" if metrics is None else _number(metrics.primary, 5)
    if metrics is None or base is None or base.metrics is None:
        yield from ("", "")
    else:
        delta = None if variant.evidence is None else variant.evidence.to_base
        yield e4_interval(metrics.primary - base.metrics.primary, delta)
        yield verdict(delta)
    for name, digits in SHOWN.values():
        yield "–" if metrics is None else _number(metrics.mean(name), digits)


def _status(variant: VariantRecord) -> Iterator[str]:
    if variant.error is not None:
        yield f"failed: {variant.error}"
    if variant.pruned is not None:
        yield variant.pruned
    yield from variant.flags


def _number(value: float, digits: int) -> str:
    return "–" if math.isnan(value) else f"{value:.{digits}f}"


def _line(cells: tuple[str, ...], tag: str) -> str:
    return f"<tr>{''.join(f'<{tag}>{html.escape(each)}</{tag}>' for each in cells)}</tr>"
