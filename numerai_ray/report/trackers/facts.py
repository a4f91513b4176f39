"""What a tracker is told of one variant, under names that are the same in all of them."""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from numerai_ray.config import leaves, parse_yaml, read_text
from numerai_ray.errors import RequestError
from numerai_ray.experiment.paths import ExperimentPaths
from numerai_ray.experiment.records import RoundRecord, VariantRecord
from numerai_ray.experiment.scores import ScoreReader
from numerai_ray.metrics.registry import METRICS


def new_variants(history: Sequence[RoundRecord]) -> Iterator[tuple[RoundRecord, VariantRecord]]:
    """Every variant that was scored, once, in the round in which it ran."""
    seen: set[str] = set()
    for record in history:
        for variant in record.variants:
            if variant.metrics is not None and variant.id not in seen:
                seen.add(variant.id)
                yield record, variant


def metric_values(variant: VariantRecord) -> dict[str, float]:
    """Known metrics by name."""
    metrics = variant.metrics
    if metrics is None:
        return {}
    values = {
        metrics.metric.name.replace(".", "_"): metrics.primary,
        **{f"{name}_mean": metrics.mean(name) for name in METRICS},
        "bmc_sharpe": metrics.bmc.sharpe,
        "bmc_max_drawdown": metrics.bmc.max_drawdown,
        "corr_sharpe": metrics.corr.sharpe,
        "avg_corr_with_benchmark": metrics.avg_corr_with_benchmark,
        "fit_seconds": variant.fit_seconds,
    }
    delta = None if variant.evidence is None else variant.evidence.to_base
    if delta is not None:
        values |= {"delta_to_base": delta.mean, "delta_low": delta.low, "delta_high": delta.high}
    return {name: value for name, value in values.items() if math.isfinite(value)}


def parameters(paths: ExperimentPaths, variant: VariantRecord) -> dict[str, Any]:
    """The complete configuration by dotted path; the changes alone where its file is gone."""
    file = paths.config(variant.id)
    try:
        found: Mapping[str, Any] = leaves(parse_yaml(read_text(file), str(file)))
    except RequestError:
        found = variant.changes
    return dict(found)


def cumulative(reader: ScoreReader, variant: VariantRecord) -> dict[str, list[tuple[int, float]]]:
    """Running sums over scored eras: name -> (era, sum)."""
    stored = reader.read(variant.id)
    if stored is None:
        return {}
    found = {}
    for name, scores in (("cumulative_corr", stored.scores.corr), ("cumulative_bmc", stored.scores.bmc)):
        known = ~np.isnan(scores)
        eras = np.array(stored.eras)[known].tolist()
        found[name] = list(zip(eras, np.cumsum(scores[known]).tolist(), strict=True))
    return found


def by_round(history: Sequence[RoundRecord]) -> dict[str, list[tuple[int, float]]]:
    """Curves over an experiment's rounds: name -> (round, value).

    ``primary`` is that of each round's winner, ``best_so_far`` the highest of any so far in the same stage, whose data
    are the same; ``gain`` is the decision's.
    """
    found: dict[str, list[tuple[int, float]]] = {}
    best: dict[str, float] = {}
    for record in history:
        winner = next((each for each in record.variants if each.id == record.decision.winner), None)
        if winner is None or winner.metrics is None or not math.isfinite(winner.metrics.primary):
            continue
        primary = winner.metrics.primary
        best[record.stage] = max(best.get(record.stage, primary), primary)
        values = {"primary": primary, "best_so_far": best[record.stage], "gain": record.decision.gain}
        for name, value in values.items():
            if value is not None and math.isfinite(value):
                found.setdefault(f"{record.stage}/{name}", []).append((record.number, value))
    return found
