"""The ``diagnostics`` section of a results file: what kind of model the variant is. Nothing is decided by it."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow.parquet as pq

from numerai_ray.config import Config
from numerai_ray.data.columns import UNREADABLE
from numerai_ray.data.dataset import Columns
from numerai_ray.data.eras import era_label
from numerai_ray.experiment.paths import ExperimentPaths
from numerai_ray.metrics.exposure import prediction_correlations
from numerai_ray.metrics.importance import by_group, mean_importance
from numerai_ray.metrics.scoring import summarize
from numerai_ray.training.diagnostics import Diagnosis, diagnosed_eras
from numerai_ray.training.outcome import VariantOutcome

Alike = Mapping[str, float]
Floats = npt.NDArray[np.float64]
# How many features are named as those that count most.
TOP = 10


def diagnostics_json(outcome: VariantOutcome, alike: Alike) -> dict[str, Any]:
    """Plain values; NaN is unknown. Importances are there without a look at the predictions, which may have failed.

    Args:
        outcome: of a trial that succeeded.
        alike: mean per-era Spearman correlation with other variants, by their id.

    """
    found: dict[str, Any] = {"importance": _importance(outcome), "correlation_with": dict(alike)}
    if outcome.weights:
        found["stack"] = [asdict(each) for each in outcome.weights]
    if outcome.diagnosis is not None:
        found |= _looked(outcome, outcome.diagnosis)
    return found


def _looked(outcome: VariantOutcome, look: Diagnosis) -> dict[str, Any]:
    needs = outcome.plan.diagnosed
    exposure = dict(zip(needs.features, look.exposure.tolist(), strict=True))
    neutral = summarize(look.neutral_corr)
    known = ~np.isnan(look.neutral_corr)
    churned, turned = (each[~np.isnan(each)] for each in (look.churn, look.turnover))
    return {
        "eras": {
            "looked_at": len(look.eras),
            "of": len(outcome.eras),
            "first": era_label(look.eras[0]),
            "last": era_label(look.eras[-1]),
        },
        "feature_exposure": {
            "features": len(needs.features),
            "max": summarize(look.strongest).mean,
            "mean": summarize(look.mean).mean,
            "top": _top({name: abs(value) for name, value in exposure.items()}),
            "per_feature": exposure,
            "by_group": _exposure_by_group(exposure, needs.groups),
        },
        "feature_neutral_corr": {
            "neutral_to": needs.neutral_set,
            "features": len(needs.neutral_to),
            "mean": neutral.mean,
            "std": neutral.std,
            "sharpe": neutral.sharpe,
            "max_drawdown": neutral.max_drawdown,
            "n_eras": neutral.n_eras,
            "corr_mean_same_eras": summarize(look.corr[known]).mean,
        },
        "churn": {
            "mean": float(churned.mean()) if len(churned) else float("nan"),
            "n_eras": len(churned),
            "turnover": float(turned.mean()) if len(turned) else float("nan"),
            "common_ids": float(look.common[~np.isnan(look.churn)].mean()) if len(churned) else 0.0,
        },
        "per_era": {
            "era": [era_label(era) for era in look.eras],
            "exposure_max": look.strongest.tolist(),
            "exposure_mean": look.mean.tolist(),
            "strongest": [None if at < 0 else needs.features[at] for at in look.feature.tolist()],
            "feature_neutral_corr": look.neutral_corr.tolist(),
            "corr": look.corr.tolist(),
            "churn": look.churn.tolist(),
            "turnover": look.turnover.tolist(),
        },
    }


def _importance(outcome: VariantOutcome) -> dict[str, Any]:
    """Mean over fits, each as much as it counts for in the variant's predictions; ``silent_fits`` tell none."""
    specs = {spec.key: spec for spec in outcome.plan.fits}
    counts = _counts(outcome)
    told = []
    for each in outcome.folds:
        if each.importance is not None:
            spec = specs[each.key]
            told.append((spec.features, each.importance, counts[each.fold, spec.asked.member, spec.target]))
    shares = mean_importance(told)
    return {
        "kinds": sorted({importance.kind for _, importance, _ in told}),
        "fits": len(told),
        "silent_fits": len(outcome.folds) - len(told),
        "unused_features": sum(share == 0 for share in shares.values()),
        "top": _top(shares),
        "per_feature": shares,
        "by_group": by_group(shares, outcome.plan.diagnosed.groups),
    }


def _counts(outcome: VariantOutcome) -> dict[tuple[int, str, str], float]:
    """How much a fit counts for in its fold's predictions, by fold, member and target; seeds share alike."""
    found: dict[tuple[int, str, str], float] = {}
    stacked = {each.fold: each.weights for each in outcome.weights}
    for fold in outcome.plan.folds.trainable:
        shares = _shares(outcome.plan.config, stacked.get(fold.index))
        found |= {(fold.index, path, target): share for (path, target), share in shares.items()}
    return found


def _shares(config: Config, stacked: Mapping[str, float] | None = None) -> dict[tuple[str, str], float]:
    """By path of what is trained and target; of a stack within an ensemble all members count alike."""
    found: dict[tuple[str, str], float] = {}
    members = config.members()
    weights = stacked or (config.ensemble.weights if config.ensemble else {}) or dict.fromkeys(members, 1.0)
    total = sum(map(abs, weights.values()))
    for name, member in members.items():
        own = abs(weights[name]) / total
        if name and member.ensemble is not None:
            found |= {(f"{name}/{path}", each): own * part for (path, each), part in _shares(member).items()}
            continue
        targets = member.data.targets
        for target, weight in targets.items():
            found[name, target] = own * weight / sum(targets.values()) / max(1, len(member.model.seeds or ()))
    return found


def _top(values: Mapping[str, float]) -> list[str]:
    known = [name for name, value in values.items() if value > 0]
    return sorted(known, key=lambda name: -values[name])[:TOP]


def _exposure_by_group(exposure: Mapping[str, float], groups: Mapping[str, Sequence[str]]) -> dict[str, float]:
    """Mean absolute value of the group's features' mean exposures."""
    found = {}
    for group, members in groups.items():
        sizes = [abs(exposure[name]) for name in members if not np.isnan(exposure.get(name, np.nan))]
        if sizes:
            found[group] = float(np.mean(sizes))
    return found


def correlations_of_round(
    outcomes: Mapping[str, VariantOutcome], known: Sequence[str], paths: ExperimentPaths, columns: Columns | None
) -> dict[str, dict[str, float]]:
    """How alike the predictions of a round's variants are: id -> other id -> mean per-era Spearman correlation.

    Only variants that predict the same rows compare; the others have no entry.

    Args:
        outcomes: those that succeeded in this round.
        known: ids of variants that ran in earlier rounds; they are read from their files, which may be gone.
        paths: where those are.
        columns: those of the rows predicted; None where there is no outcome.

    """
    first = next(iter(outcomes.values()), None)
    if first is None or columns is None:
        return {}
    mark = first.plan.index.fingerprint
    same = {
        trial: each.prediction
        for trial, each in outcomes.items()
        if each.plan.index.fingerprint == mark and np.array_equal(each.rows, first.rows)
    }
    if known:
        ids = columns.ids[first.rows]
        earlier = {trial: _stored(paths, trial, first.plan.config.data.id_col, ids) for trial in known}
        same |= {trial: prediction for trial, prediction in earlier.items() if prediction is not None}
    picked = np.isin(first.eras, sorted(diagnosed_eras(first.plan)))
    sizes = np.diff(first.plan.index.starts_of(first.eras))
    rows = np.repeat(picked, sizes)
    found = prediction_correlations(
        [each[rows] for each in same.values()], np.append(0, np.cumsum(sizes[picked]))
    ).mean.tolist()
    return {
        trial: {other: value for other, value in zip(same, line, strict=True) if other != trial}
        for trial, line in zip(same, found, strict=True)
    }


def _stored(paths: ExperimentPaths, trial: str, id_col: str, ids: npt.NDArray[np.bytes_]) -> Floats | None:
    try:
        table = pq.read_table(paths.predictions(trial), columns=[id_col, "prediction"])
    except (KeyError, *UNREADABLE):
        return None
    theirs = np.asarray(table.column(0).to_numpy(), np.bytes_)
    return np.asarray(table.column(1).to_numpy(), np.float64) if np.array_equal(theirs, ids) else None
