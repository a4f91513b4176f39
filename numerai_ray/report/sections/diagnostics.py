"""What kind of models a stage tried: what they lean on, what is left without it, and what they learned from."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from numerai_ray.config.plan_schema import Stage
from numerai_ray.experiment.records import VariantRecord
from numerai_ray.experiment.standing import primary_of
from numerai_ray.report.reading import Reading
from numerai_ray.report.tables import UNKNOWN, cell, number

# The best of a stage: every results file has its own.
MOST_ROWS = 3
NAMED = 2
NONE_TOLD = "its fits tell none"
STACKED = (
    "A fold's weights are learned from the out-of-fold predictions of the folds before it, an embargo apart; where "
    "those have too few eras, or earn no member a weight, all members weigh alike."
)


@dataclass(frozen=True)
class DiagnosticsRow:
    """One variant; numbers are NaN where unknown, ``features`` and ``groups`` are what it learned most from.

    ``silent`` is true where none of its fits tells.
    """

    id: str
    exposure_max: float
    exposure_mean: float
    exposed_to: str
    corr: float
    neutral_corr: float
    nearest: str
    features: tuple[str, ...]
    groups: tuple[str, ...]
    silent: bool = False


def diagnostics_section(reading: Reading) -> list[str]:
    """Tables of the stage that ran last, and what they mean."""
    parts = []
    # The stage that ran last: every results file has its own.
    told = [stage for stage in reading.stages if _told(reading, stage)]
    for stage in told[-1:]:
        rows, count = diagnostics_rows(reading, stage), len(_told(reading, stage))
        if rows:
            parts += [f"### Diagnostics of {stage}", _table(rows), *_more(count - len(rows))]
        stacked = stacked_variants(reading, stage)
        if stacked:
            parts += [f"### Stack weights of {stage}", _stack_table(stacked), STACKED]
    if not parts:
        return ["Nothing was looked at yet."]
    return [_about(reading), *parts]


def _more(count: int) -> list[str]:
    """Where those are that have no row."""
    if count <= 0:
        return []
    return [f"The {MOST_ROWS} best of {MOST_ROWS + count}; the others stand in their `results/<id>.json`."]


def diagnostics_rows(reading: Reading, stage: Stage) -> list[DiagnosticsRow]:
    """The stage's configurations that were looked at, each once, best first."""
    return [_row(trial, value) for trial, value in _told(reading, stage)][:MOST_ROWS]


def stacked_variants(reading: Reading, stage: Stage) -> list[tuple[str, list[Mapping[str, Any]]]]:
    """The stage's configurations that stack their members, best first, and what each fold weighed them with."""
    return [(trial, value["stack"]) for trial, value in _told(reading, stage) if value.get("stack")][:MOST_ROWS]


def _told(reading: Reading, stage: Stage) -> list[tuple[str, Mapping[str, Any]]]:
    """What the stage's results files tell, a configuration once, best first."""
    found: dict[str, VariantRecord] = {}
    for record in reading.of(stage):
        for variant in record.variants:
            if variant.role != "benchmark" and not math.isnan(primary_of(variant)):
                found.setdefault(variant.id, variant)
    ordered = sorted(found.values(), key=lambda variant: -primary_of(variant))
    told = [(each.id, stored.diagnostics) for each in ordered if (stored := reading.scores(each)) is not None]
    return [(trial, value) for trial, value in told if value]


def _row(trial: str, value: Mapping[str, Any]) -> DiagnosticsRow:
    exposure, importance = value.get("feature_exposure") or {}, value.get("importance") or {}
    neutral = value.get("feature_neutral_corr") or {}
    alike = {name: each for name, each in (value.get("correlation_with") or {}).items() if each is not None}
    nearest = max(alike, key=lambda name: alike[name], default=None)
    shares, groups = importance.get("per_feature") or {}, importance.get("by_group") or {}
    largest = sorted(groups, key=lambda name: -groups[name])
    return DiagnosticsRow(
        id=trial,
        exposure_max=_number(exposure.get("max")),
        exposure_mean=_number(exposure.get("mean")),
        exposed_to=next(iter(exposure.get("top") or []), ""),
        corr=_number(neutral.get("corr_mean_same_eras")),
        neutral_corr=_number(neutral.get("mean")),
        nearest="" if nearest is None else f"{nearest} {alike[nearest]:.3f}",
        features=tuple(f"{name} {shares[name]:.1%}" for name in (importance.get("top") or [])[:NAMED]),
        groups=tuple(f"{name} {groups[name]:.0%}" for name in largest[:NAMED] if groups[name] > 0),
        silent=not importance.get("fits") and bool(importance.get("silent_fits")),
    )


def _table(rows: list[DiagnosticsRow]) -> str:
    header = "| Configuration | Exposure max | Most exposed to | Left of CORR | Most alike | Learned most from |"
    lines = [header, "|:--|--:|:--|--:|:--|:--|"]
    for row in rows:
        left = row.neutral_corr / row.corr if row.corr > 0 else math.nan
        cells = [
            cell(row.id),
            number(row.exposure_max, 3),
            _feature(row.exposed_to),
            UNKNOWN if math.isnan(left) else f"{left:.0%}",
            cell(row.nearest) or UNKNOWN,
            ", ".join(map(_feature, row.features)) or (NONE_TOLD if row.silent else UNKNOWN),
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _stack_table(stacked: list[tuple[str, list[Mapping[str, Any]]]]) -> str:
    """A line a member, a column a fold; then how many eras each fold learned from."""
    folds = sorted({each["fold"] for _, told in stacked for each in told})
    lines = [
        f"| Configuration | Member | {' | '.join(f'Fold {fold}' for fold in folds)} |",
        f"|:--|:--|{'--:|' * len(folds)}",
    ]
    for trial, told in stacked:
        by_fold = {each["fold"]: each for each in told}
        for member in next(iter(by_fold.values()))["weights"]:
            weights = [number(by_fold[fold]["weights"][member], 3) if fold in by_fold else UNKNOWN for fold in folds]
            lines.append(f"| {cell(trial)} | {cell(member)} | {' | '.join(weights)} |")
        eras = [_learned(by_fold.get(fold)) for fold in folds]
        lines.append(f"| {cell(trial)} | *learned from* | {' | '.join(eras)} |")
    return "\n".join(lines)


def _learned(fold: Mapping[str, Any] | None) -> str:
    if fold is None:
        return UNKNOWN
    return f"{fold['fit_eras']} eras" + ("" if fold["learned"] else ": all alike")


def _about(reading: Reading) -> str:
    latest = next(value for stage in reversed(reading.stages) if (value := _first(reading, stage)) is not None)
    eras, neutral = latest.get("eras") or {}, latest.get("feature_neutral_corr") or {}
    looked = f"{eras.get('looked_at')} of {eras.get('of')} predicted eras" if eras else "the predicted eras"
    to = f"`{neutral['neutral_to']}` ({neutral['features']} features)" if neutral.get("neutral_to") else "nothing"
    return (
        f"Nothing here decides a round. Exposure is the largest correlation of an era's ranked predictions with a "
        f"feature, mean over {looked}. Left of CORR is the share that stays when predictions are made neutral to {to}. "
        f"Most alike is the round's variant with the highest Spearman correlation. "
        f"All of it stands in `results/<id>.json` under `diagnostics`."
    )


def _first(reading: Reading, stage: Stage) -> Mapping[str, Any] | None:
    for record in reading.of(stage):
        for variant in record.variants:
            stored = reading.scores(variant) if variant.role != "benchmark" else None
            if stored is not None and stored.diagnostics:
                return stored.diagnostics
    return None


def _feature(name: str) -> str:
    """Every feature's name begins alike."""
    return cell(name.removeprefix("feature_"), 60) or UNKNOWN


def _number(value: Any) -> float:
    return float(value) if isinstance(value, int | float) else math.nan
