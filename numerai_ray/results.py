"""What an experiment keeps: its records, its ledger and the names of its files.

:class:`ExperimentPaths` is the sole owner of file names. The ledger (``rounds.jsonl``) is append-only and, with the
fit store, the only memory: whatever was killed, the same command goes on from it.
"""

import json
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from numerai_ray.atomic_files import write_text
from numerai_ray.errors import DataError, EnvironmentFault
from numerai_ray.importance import Importance
from numerai_ray.scoring import EraScores, Summary, last_eras, summarize
from numerai_ray.significance import Evidence, PairedDelta

Role = Literal["base", "variant", "baseline", "benchmark"]


@dataclass(frozen=True)
class Metrics:
    """Summaries of one variant's out-of-fold scores, official definitions (see :mod:`numerai_ray.scoring`)."""

    corr: Summary
    bmc: Summary
    bmc_last: Summary
    avg_corr_with_benchmark: float
    avg_corr_with_benchmark_last: float

    @property
    def primary(self) -> float:
        """``bmc_last_200_eras.mean``, by which rounds are decided; NaN where most eras are 0 for being constant."""
        return math.nan if 2 * self.constant_eras > self.bmc.n_eras else self.bmc_last.mean

    @property
    def constant_eras(self) -> int:
        """Scored eras in which all rows are predicted alike: a BMC of 0 there says nothing, and there is no CORR."""
        return max(0, self.bmc.n_eras - self.corr.n_eras)

    @property
    def tie_break(self) -> float:
        """``bmc.mean``."""
        return self.bmc.mean


def metrics_of(scores: EraScores, last: int) -> Metrics:
    """Summaries over all scored eras, and over the ``last`` ones, as the official pipeline makes them."""
    return Metrics(
        corr=summarize(scores.corr),
        bmc=summarize(scores.bmc),
        bmc_last=summarize(last_eras(scores.bmc, last)),
        avg_corr_with_benchmark=summarize(scores.benchmark_corr).mean,
        avg_corr_with_benchmark_last=summarize(last_eras(scores.benchmark_corr, last)).mean,
    )


@dataclass(frozen=True)
class FoldRecord:
    """One fit as it happened; its seconds are 0 when it was read from the store.

    ``part`` tells the fits of one fold apart (member, target, seed); it is empty where there is one. ``importance``
    is in the order of the fit's features; None where its model tells none.
    """

    fold: int
    key: str
    train_eras: tuple[int, ...]
    validation_eras: tuple[int, ...]
    train_rows: int
    validation_rows: int
    dropped_rows: int
    seconds: float
    stored: bool
    part: str = ""
    importance: Importance | None = None


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


@dataclass(frozen=True)
class Decision:
    """What a round led to. ``winner`` is a variant's id; ``changes`` are relative to the experiment's base."""

    winner: str | None
    promoted: bool
    gain: float | None
    changes: Mapping[str, Any]
    reason: str


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


def next_commands(folder: Path) -> tuple[str, str]:
    """What follows a finished experiment: its winner as a proved pickle, and that pickle at Numerai."""
    pickle = f"{folder.resolve().name}.pkl"
    return f"numerai-ray export {folder} --out {pickle}", f"numerai-ray upload {pickle} --model NAME"


def without_nan(value: Any) -> Any:
    """``value`` with NaN and infinities as None: JSON knows neither."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: without_nan(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [without_nan(item) for item in value]
    return value


def to_json(value: Any, indent: int | None = None) -> str:
    """JSON text of plain values and records; NaN becomes null."""
    plain = asdict(value) if hasattr(value, "__dataclass_fields__") else value
    return json.dumps(without_nan(plain), indent=indent, sort_keys=indent is not None)


def write_json(path: Path, value: Any) -> None:
    """Write a readable JSON file whole or not at all."""
    write_text(path, to_json(value, indent=2) + "\n")


def read_ledger(path: Path) -> list[RoundRecord]:
    """All decided rounds, oldest first; a last line cut short by a crash does not count.

    Raises:
        DataError: a line in the middle is damaged.

    """
    if not path.exists():
        return []
    rounds = []
    lines = path.read_bytes().split(b"\n")
    for number, line in enumerate(lines, start=1):
        if number == len(lines):  # what follows the last newline: nothing, or a line cut short
            break
        try:
            rounds.append(round_from_json(json.loads(line)))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise DataError(
                f"{path}, line {number}: damaged ({error}); restore the file, or remove this line and those after "
                f"it to redo their rounds (stored fits are kept)"
            ) from error
    return rounds


def append_ledger(path: Path, record: RoundRecord) -> None:
    """Add one decided round, durably, after dropping a line that a crash cut short."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("ab+") as handle:
            handle.seek(0)
            kept = handle.read().rfind(b"\n") + 1
            handle.truncate(kept)
            handle.write(to_json(record).encode() + b"\n")
            handle.flush()
            os.fsync(handle.fileno())
    except OSError as error:
        raise EnvironmentFault(f"{path}: cannot be written: {error}; free some space, then run again") from error


def round_from_json(value: Mapping[str, Any]) -> RoundRecord:
    """Inverse of :func:`to_json` for a :class:`RoundRecord`."""
    return RoundRecord(
        **{
            **value,
            "variants": tuple(_variant_from_json(item) for item in value["variants"]),
            "decision": Decision(**value["decision"]),
            "notes": tuple(value["notes"]),
            "edits": tuple(value.get("edits", ())),
        }
    )


def _variant_from_json(value: Mapping[str, Any]) -> VariantRecord:
    return VariantRecord(
        **{
            **value,
            "metrics": value["metrics"] and _metrics_from_json(value["metrics"]),
            "flags": tuple(value["flags"]),
            "data_flags": tuple(value.get("data_flags", ())),
            "evidence": value.get("evidence") and _evidence_from_json(value["evidence"]),
        }
    )


def _evidence_from_json(value: Mapping[str, Any]) -> Evidence:
    def delta(item: Mapping[str, Any]) -> PairedDelta:
        first, second, third = (_number(share) for share in item["thirds"])
        return PairedDelta(**{**{key: _number(each) for key, each in item.items()}, "thirds": (first, second, third)})

    return Evidence(delta(value["to_base"]), None if value["to_best"] is None else delta(value["to_best"]))


def _number(item: Any) -> Any:
    """JSON has no NaN: null is unknown."""
    return math.nan if item is None else item


def _metrics_from_json(value: Mapping[str, Any]) -> Metrics:
    def summary(item: Mapping[str, Any]) -> Summary:
        return Summary(**{key: _number(field_value) for key, field_value in item.items()})

    return Metrics(
        corr=summary(value["corr"]),
        bmc=summary(value["bmc"]),
        bmc_last=summary(value["bmc_last"]),
        avg_corr_with_benchmark=_number(value["avg_corr_with_benchmark"]),
        avg_corr_with_benchmark_last=_number(value["avg_corr_with_benchmark_last"]),
    )


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


def read_json(path: Path) -> dict[str, Any]:
    """A JSON mapping that we wrote; empty when it is missing or damaged."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}


def known_by_fingerprint(history: Sequence[RoundRecord]) -> dict[str, VariantRecord]:
    """Every config that ran well or was stopped as hopeless, by fingerprint, first run first: nothing is run twice."""
    known: dict[str, VariantRecord] = {}
    for record in history:
        for variant in record.variants:
            if variant.metrics is not None or variant.pruned:
                known.setdefault(variant.fingerprint, variant)
    return known
