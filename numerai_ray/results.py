"""What an experiment keeps: its records, its ledger and the names of its files.

:class:`ExperimentPaths` is the sole owner of file names. The ledger (``rounds.jsonl``) is append-only and, with the
fit store, the only memory: whatever was killed, the same command goes on from it.
"""

import json
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from pydantic import ConfigDict, TypeAdapter, ValidationError, with_config

from numerai_ray.config.plan_schema import ALL_STAGES
from numerai_ray.errors import DataError, EnvironmentFault
from numerai_ray.metrics.scoring import Metrics, Summary
from numerai_ray.metrics.significance import Evidence
from numerai_ray.system.files import open_own
from numerai_ray.system.json_text import parse_json, to_json

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
    """What a round led to. ``winner`` is a variant's id; ``changes`` are relative to the experiment's base."""

    winner: str | None
    promoted: bool
    gain: float | None
    changes: Mapping[str, Any]
    reason: str


@with_config(_STRICT)
@dataclass(frozen=True)
class RoundRecord:
    """One decided round, as the ledger keeps it.

    ``base_changes`` are relative to the experiment's base; ``origin`` holds fingerprints of that base and its data.
    ``kind`` tells scout rounds apart: "" as planned, "focus" (``why`` says what for), "joint" (several variables at
    once) or "manual". ``choice`` is the interpretation that became the base, ``edits`` what changed in the plan since
    the round before, ``importances`` how much each dimension matters in all results so far (Optuna), ``cores`` those
    of the machine, ``estimated_s`` the wall time that the plan's calibration promised,
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


_ROUND = TypeAdapter(RoundRecord)


@dataclass(frozen=True)
class ExperimentPaths:
    """Every file name of an experiment's folder."""

    root: Path

    @property
    def plan(self) -> Path:
        return self.root / "experiment.yaml"

    @property
    def ledger(self) -> Path:
        return self.root / "results" / "rounds.jsonl"

    @property
    def seen_plan(self) -> Path:
        """The plan as the last run read it, to tell what was edited since."""
        return self.root / "results" / "plan.json"

    @property
    def calibration(self) -> Path:
        """How long fits take here, measured by `plan`."""
        return self.root / "results" / "calibration.json"

    @property
    def journal(self) -> Path:
        """Optuna's studies."""
        return self.root / "optuna.journal"

    @property
    def report(self) -> Path:
        return self.root / "experiment.md"

    @property
    def progress(self) -> Path:
        return self.root / "logs" / "progress.json"

    @property
    def driver_log(self) -> Path:
        return self.root / "logs" / "driver.log"

    @property
    def lock(self) -> Path:
        return self.root / ".lock"

    @property
    def identity(self) -> Path:
        """Tells this experiment's fits apart from those of others (see :mod:`numerai_ray.experiment_identity`)."""
        return self.root / ".experiment"

    @property
    def plots(self) -> Path:
        return self.root / "plots"

    @property
    def plot_index(self) -> Path:
        """What was drawn from which data."""
        return self.plots / "plots.json"

    @property
    def html(self) -> Path:
        return self.root / "report.html"

    @property
    def tensorboard(self) -> Path:
        return self.root / "logs" / "tensorboard"

    @property
    def trials(self) -> Path:
        """Ray Tune's own folder."""
        return self.root / "logs" / "tune"

    def config(self, variant: str) -> Path:
        return self.root / "configs" / f"{variant}.yaml"

    def results(self, variant: str) -> Path:
        return self.root / "results" / f"{variant}.json"

    def predictions(self, variant: str) -> Path:
        return self.root / "predictions" / f"{variant}.parquet"

    def plot(self, name: str) -> Path:
        return self.plots / f"{name}.png"

    def trial_log(self, variant: str) -> Path:
        return self.root / "logs" / f"{variant}.log"


def read_ledger(path: Path) -> list[RoundRecord]:
    """All decided rounds, oldest first; a last line cut short by a crash does not count.

    Raises:
        DataError: a line in the middle is damaged, or the file cannot be read.

    """
    if not path.exists():
        return []
    if not path.is_file():
        raise DataError(f"{path}: must be a file, but is none; move it away and restore the file")
    try:
        lines = path.read_bytes().split(b"\n")
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}); check its rights") from error
    rounds = []
    for number, line in enumerate(lines[:-1], start=1):  # after the last newline: nothing, or a line cut short
        try:
            rounds.append(_round(number, line))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise DataError(
                f"{path}, line {number}: damaged ({_why(error)}); restore the file, or remove this line and those "
                f"after it to redo their rounds (stored fits are kept)"
            ) from error
    return rounds


def _round(number: int, line: bytes) -> RoundRecord:
    record = round_from_json(parse_json(line))
    if record.number != number:
        raise ValueError(f"it holds round {record.number}, but must hold round {number}")
    if record.stage not in ALL_STAGES:
        raise ValueError(f"no stage {record.stage!r:.60}")
    return record


def _why(error: Exception) -> str:
    if not isinstance(error, ValidationError):
        return str(error)
    first = error.errors(include_url=False)[0]
    return f"{'.'.join(map(str, first['loc']))}: {first['msg']}, but is {first['input']!r:.60}"


def append_ledger(path: Path, record: RoundRecord) -> None:
    """Add one decided round, durably, after dropping a line that a crash cut short."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open_own(path, "ab+") as handle:
            handle.seek(0)
            kept = handle.read().rfind(b"\n") + 1
            handle.truncate(kept)
            handle.write(to_json(record).encode() + b"\n")
            handle.flush()
            os.fsync(handle.fileno())
    except OSError as error:
        why = error.strerror or str(error)
        raise EnvironmentFault(f"{path}: cannot be written: {why}; free some space, then run again") from error


def round_from_json(value: Any) -> RoundRecord:
    """Inverse of :func:`to_json` for a :class:`RoundRecord`; raises :class:`ValueError` where a type is another."""
    for variant in value["variants"]:
        evidence = variant.get("evidence")
        variant["metrics"] = variant["metrics"] and _with_nan(variant["metrics"])
        if evidence:
            variant["evidence"] = {name: each and _with_nan(each) for name, each in evidence.items()}
    found: RoundRecord = _ROUND.validate_json(json.dumps(value), strict=True)
    return found


def _with_nan(value: Any) -> Any:
    """JSON has no NaN: null is unknown."""
    if isinstance(value, dict):
        return {key: _with_nan(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_with_nan(item) for item in value]
    return math.nan if value is None else value


def official_metrics(metrics: Metrics) -> dict[str, dict[str, float]]:
    """``metrics`` of the official results JSON."""

    def block(summary: Summary) -> dict[str, float]:
        return {
            "mean": summary.mean,
            "std": summary.std,
            "sharpe": summary.sharpe,
            "max_drawdown": summary.max_drawdown,
        }

    return {
        "corr": block(metrics.corr),
        "bmc": block(metrics.bmc) | {"avg_corr_with_benchmark": metrics.avg_corr_with_benchmark},
        "bmc_last_200_eras": block(metrics.bmc_last)
        | {"avg_corr_with_benchmark": metrics.avg_corr_with_benchmark_last},
    }


def chosen_interpretation(history: Sequence[RoundRecord]) -> str:
    """Name of the interpretation that became the base; "" without one."""
    return next((record.choice for record in history if record.choice), "")


def known_by_fingerprint(history: Sequence[RoundRecord]) -> dict[str, VariantRecord]:
    """Every config that ran well or was stopped as hopeless, by fingerprint, first run first: nothing is run twice."""
    known: dict[str, VariantRecord] = {}
    for record in history:
        for variant in record.variants:
            if variant.metrics is not None or variant.pruned:
                known.setdefault(variant.fingerprint, variant)
    return known
