"""Side by side: any variants of any experiments, compared on the eras that all of them were scored on."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from numerai_ray.config import leaves, parse_yaml, read_text
from numerai_ray.errors import DataError, NumeraiRayError, RequestError
from numerai_ray.experiment.paths import ExperimentPaths
from numerai_ray.experiment.scores import ScoreReader, StoredScores
from numerai_ray.experiment.variant_files import AGAIN
from numerai_ray.metrics.scoring import Metrics, metrics_of
from numerai_ray.metrics.significance import Comparison, paired_delta, verdict
from numerai_ray.system.json_text import without_nan

# What two configs must share for their scores to compare: dotted path -> what it is called.
GROUNDS = {
    "score.target": "target that is scored",
    "score.benchmark": "benchmark",
    "score.metric": "metric that decides",
    "data.version": "data version",
    "data.file": "data file",
}


@dataclass(frozen=True)
class Chosen:
    """A variant: ``label`` is how its experiment is called, ``variant`` its id there."""

    label: str
    paths: ExperimentPaths
    variant: str


def side_by_side(chosen: Sequence[Chosen], comparison: Comparison | None = None) -> dict[str, Any]:
    """Metrics of each on the common eras, and its difference to the first with interval and verdict.

    Args:
        chosen: at least one variant; the first is what the others are held against.
        comparison: window and overlap; the usual ones where it is None.

    Returns:
        ``eras`` (how many, and the first and last), ``rows`` in the order asked for, and ``notes`` on what makes the
        rows differ in more than the variant.

    Raises:
        RequestError: nothing was chosen, or there is no common era.
        DataError: per-era scores of one are missing or damaged.

    """
    if not chosen:
        raise RequestError("choose at least one variant to compare")
    how = comparison or Comparison()
    stored = [_scores(each) for each in chosen]
    # An era counts where every one of them has a BMC.
    known = [{e for e, v in zip(s.eras, np.asarray(s.judged.values), strict=True) if np.isfinite(v)} for s in stored]
    common = sorted(set.intersection(*known))
    if not common:
        raise RequestError("the variants have no scored era in common; choose others")
    rows = []
    for each, scores in zip(chosen, stored, strict=True):
        delta = None if scores is stored[0] else paired_delta(scores.judged, stored[0].judged, how)
        rows.append(
            {
                "experiment": each.label,
                "id": each.variant,
                "metric": scores.primary.titled(how.last),
                **_numbers(_on(scores, common, how)),
                "to_first": None if delta is None else asdict(delta),
                "verdict": verdict(delta),
            }
        )
    eras = {"count": len(common), "first": common[0], "last": common[-1]}
    return dict(without_nan({"eras": eras, "last": how.last, "rows": rows, "notes": _notes(chosen)}))


def config_differences(one: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, list[Any]]:
    """Dotted path -> the value in each, wherever two complete configs differ; None where one has no such key."""
    first, second = leaves(one), leaves(other)
    keys = sorted(first.keys() | second.keys())
    return {key: [first.get(key), second.get(key)] for key in keys if first.get(key) != second.get(key)}


def _scores(chosen: Chosen) -> StoredScores:
    found = ScoreReader(chosen.paths).read(chosen.variant)
    if found is None:
        path = chosen.paths.results(chosen.variant)
        raise DataError(f"{path}: missing or damaged; {AGAIN.format(chosen.paths.root)}")
    return found


def _on(stored: StoredScores, eras: Sequence[int], how: Comparison) -> Metrics:
    keep = np.isin(np.array(stored.eras), eras)
    scores = stored.scores
    return metrics_of(scores.at(keep), how.last, stored.primary)


def _numbers(metrics: Metrics) -> dict[str, float]:
    return {
        "primary": metrics.primary,
        "bmc_mean": metrics.bmc.mean,
        "bmc_sharpe": metrics.bmc.sharpe,
        "bmc_max_drawdown": metrics.bmc.max_drawdown,
        "corr_mean": metrics.corr.mean,
        "corr_sharpe": metrics.corr.sharpe,
        "corr_with_benchmark": metrics.avg_corr_with_benchmark,
    }


def _notes(chosen: Sequence[Chosen]) -> list[str]:
    """What the variants do not share although a comparison takes it for granted."""
    found: dict[str, set[str]] = {}
    for each in chosen:
        try:
            path = each.paths.config(each.variant)
            config = parse_yaml(read_text(path), str(path))
        except NumeraiRayError:  # a benchmark has no config, and one that is lost costs the note alone
            continue
        for ground in GROUNDS:
            section, key = ground.split(".")
            value = config.get(section)
            if isinstance(value, Mapping) and key in value:
                found.setdefault(ground, set()).add(str(value[key]))
    return [
        f"they differ in the {GROUNDS[ground]} ({', '.join(sorted(values))}), so differences have other causes too"
        for ground, values in found.items()
        if len(values) > 1
    ]
