"""Records: what a round leaves in the ledger."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from pydantic import ConfigDict, with_config

from numerai_ray.metrics.scoring import Metrics
from numerai_ray.metrics.significance import Evidence

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


# The kind of a scout round that runs the best of the round before again, with fresh seeds.
REPLICATE = "replicate"
# The name under which all model parameters are varied at once.
JOINT = "joint"
