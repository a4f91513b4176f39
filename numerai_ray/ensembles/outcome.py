"""Outcome: an ensemble's folder, and all that was found about it as plain values."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import TypeAdapter

from numerai_ray.config import Config
from numerai_ray.data.eras import era_label
from numerai_ray.ensembles.blends import Blend
from numerai_ray.ensembles.candidates import Gathered
from numerai_ray.ensembles.confirmation import Confirmed, Judgement
from numerai_ray.ensembles.costs import Cost, cost_of, is_costed, whole_cost
from numerai_ray.ensembles.deployment import deployable
from numerai_ray.ensembles.evaluation import RULE, Choice, Evaluation
from numerai_ray.ensembles.panel import Panel
from numerai_ray.ensembles.search import parts_of
from numerai_ray.ensembles.statistics import EraStatistics
from numerai_ray.errors import RequestError
from numerai_ray.experiment.paths import EnsemblePaths
from numerai_ray.experiment.results import read_results
from numerai_ray.experiment.score_values import official_metrics, per_era_json
from numerai_ray.metrics.scoring import EraScores, summarize
from numerai_ray.metrics.significance import PairedDelta, verdict
from numerai_ray.system.files import whole_file
from numerai_ray.training.outcome import metrics_by

Json = dict[str, Any]
_DELTA = TypeAdapter(PairedDelta)


@dataclass(frozen=True, eq=False)
class Found:
    """A search that is done: everything that its report is made of.

    ``config`` is that of the members that can be trained, None where there are none; ``asked`` what was asked for;
    ``refused`` is what would have been chosen if the ``container`` took more.
    """

    gathered: Gathered
    stats: EraStatistics
    evaluation: Evaluation
    confirmed: Confirmed
    judgement: Judgement
    config: Config | None
    embargo_eras: int
    folder: Path
    asked: Mapping[str, Any]
    container: Cost
    refused: Blend | None

    @property
    def ground(self) -> Config:
        """What says of data and score; the same for all candidates."""
        return self.gathered.candidates[self.evaluation.delivered.blend.members[0]].config


def is_ensemble(folder: Path) -> bool:
    """Whether the folder is one that ``ensemble`` wrote; its page comes last."""
    paths = EnsemblePaths(folder)
    return paths.recipe.is_file() or (paths.html.is_file() and paths.own_results.is_file())


def read_outcome(paths: EnsemblePaths) -> Json:
    """The results of an ensemble.

    Raises:
        RequestError: there are none, or they are damaged.

    """
    try:
        value = read_results(paths.own_results)
        _ = value["ensemble"]["members"], value["ensemble"]["blocks"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        rule = "make it again with `numerai-ray ensemble … --out`"
        raise RequestError(f"{paths.own_results}: is missing or damaged ({error}); {rule}") from None
    return value


def results_of(found: Found, panel: Panel, name: str) -> Json:
    """The results file: official metrics of the later eras, each block by what was chosen before it, and the rest."""
    reported = found.evaluation.reported
    later = _part(found.confirmed.ensemble, reported)
    return {
        "metrics": official_metrics(metrics_by(found.ground.score, later)),
        "cv": {},
        "fingerprint": found.config.fingerprint() if found.config else "",
        "config": found.config.to_json() if found.config else {},
        "per_era": per_era_json(panel.eras[reported], later),
        "ensemble": outcome_json(found, panel, name),
    }


def outcome_json(found: Found, panel: Panel, name: str) -> Json:
    """What `numerai-ray ensemble --json` answers."""
    gathered, judgement, confirmed = found.gathered, found.judgement, found.confirmed
    delivered, score = found.evaluation.delivered, found.ground.score
    singles = [gathered.candidates[each].name for each in delivered.single.members]
    return {
        "name": name,
        "folder": str(found.folder),
        "asked": dict(found.asked),
        "rule": f"ensemble/{RULE}",
        "data": {"version": found.ground.data.version, "target": score.target, "benchmark": score.benchmark},
        "eras": _span(panel.eras) | {"embargo": found.embargo_eras, "without_score": panel.left_out_eras},
        "rows": panel.n_rows,
        "candidates": len(gathered.candidates),
        "experiments": sorted({each.folder.resolve().name for each in gathered.candidates}),
        "left_out": [asdict(each) for each in gathered.left_out],
        "members": members_json(found),
        "without_model": without_model(found),
        "parts": parts_json(found),
        "library_parts": library_parts_json(found),
        "container": container_json(found),
        "post": asdict(delivered.blend.post),
        "strategy": str(delivered.strategy),
        "single": singles[0],
        "verdict": verdict(judgement.to_single),
        "gain": asdict(judgement.to_single),
        "gain_over_single_with_post": asdict(judgement.to_single_post),
        "gain_over_equal": asdict(judgement.to_equal),
        "gain_last_block": asdict(judgement.last_block),
        "gain_where_chosen": asdict(judgement.chosen),
        "mean_gain_where_chosen": judgement.gain_chosen,
        "mean_gain_later": judgement.gain_later,
        "survives": judgement.survives,
        "blocks": [_block(found, panel, choice) for choice in found.evaluation.choices],
        "strategies": [
            {"strategy": str(each), "bmc": value}
            for each, value in sorted(found.evaluation.strategies.items(), key=lambda item: -item[1])
        ],
        "correlation": correlation_json(found.stats, delivered.blend),
        "approximation": {"largest_in_an_era": confirmed.off_by_era, "largest_mean": confirmed.off_by_mean},
        "per_era": {
            "era": [era_label(era) for era in panel.eras],
            "delivered": confirmed.delivered.bmc.tolist(),
            "delivered_corr": confirmed.delivered.corr.tolist(),
            "chosen_before": confirmed.ensemble.bmc.tolist(),
            "chosen_before_corr": confirmed.ensemble.corr.tolist(),
            "single": confirmed.single.bmc.tolist(),
            "single_corr": confirmed.single.corr.tolist(),
            "equal": confirmed.equal.bmc.tolist(),
            "equal_corr": confirmed.equal.corr.tolist(),
        },
    }


def members_json(found: Found) -> list[Json]:
    """Members by weight: their own BMC, and what leaving each out costs, where chosen and in the last block."""
    delivered = found.evaluation.delivered
    chosen, last = (found.stats.of(each) for each in (delivered.block.chosen, delivered.block.reported))
    rows = []
    for member, weight in sorted(zip(delivered.blend.members, delivered.blend.weights, strict=True), key=_by_weight):
        candidate = found.gathered.candidates[member]
        rows.append(
            {
                "name": candidate.name,
                "experiment": str(candidate.folder),
                "variant": candidate.variant,
                "stage": candidate.stage,
                "model": "predictions alone" if candidate.foreign else candidate.config.model.type,
                "feature_set": [] if candidate.foreign else list(candidate.config.data.feature_sets),
                "targets": [] if candidate.foreign else list(candidate.config.data.targets),
                "weight": weight,
                "bmc_where_chosen": float(chosen.gain[:, member].mean()),
                "bmc_last_block": float(last.gain[:, member].mean()),
                "loss_where_chosen": _loss(chosen, delivered.blend, member),
                "loss_last_block": _loss(last, delivered.blend, member),
            }
        )
    return rows


def parts_json(found: Found) -> list[Json]:
    """What is offered where the whole does not fit: the best of fewer and fewer members, by the eras of choice.

    Foreign members go first: a part is what can be exported.
    """
    delivered = found.evaluation.delivered
    chosen, whole = found.stats.of(delivered.block.chosen), deployable(delivered.blend, found.gathered.candidates)
    parts = [] if whole is None else parts_of(chosen, whole)
    if whole is not None and whole != delivered.blend:
        parts = [whole, *parts]
    return [_part_json(found, chosen, part) for part in parts]


def library_parts_json(found: Found) -> list[Json]:
    """The same without models of the user's own, where there are some and others beside them.

    What these take is known when they run in the container alone; where that is too much, one of them may be all of it.
    """
    blend, candidates = found.evaluation.delivered.blend, found.gathered.candidates
    whole = deployable(blend, candidates)
    told = [member for member in blend.members if not candidates[member].foreign]
    kept = [member for member in told if is_costed(candidates[member].config)]
    if whole is None or not kept or kept == told:
        return []
    chosen, library = found.stats.of(found.evaluation.delivered.block.chosen), whole.only(kept)
    return [_part_json(found, chosen, part) for part in [library, *parts_of(chosen, library)]]


def _part_json(found: Found, chosen: EraStatistics, part: Blend) -> Json:
    names = [found.gathered.candidates[member].name for member in part.members]
    return {"members": names, "bmc_where_chosen": chosen.mean(part)}


def container_json(found: Found) -> Json:
    """What the container has, what the delivered blend is estimated to take of it, and what was refused."""
    candidates = found.gathered.candidates

    def cost(blend: Blend) -> Json:
        return asdict(whole_cost(cost_of(candidates[m].config) for m in blend.members if not candidates[m].foreign))

    refused = None
    if found.refused is not None:
        chosen = found.stats.of(found.evaluation.delivered.block.chosen)
        names = [candidates[member].name for member in found.refused.members]
        refused = {"members": names, **cost(found.refused), "bmc_where_chosen": chosen.mean(found.refused)}
    return {
        "limit": asdict(found.container),
        "estimate": cost(found.evaluation.delivered.blend),
        "refused": refused,
    }


def without_model(found: Found) -> list[str]:
    """Members that cannot be trained: of predictions of others there is nothing else."""
    candidates = found.gathered.candidates
    return [candidates[m].name for m in found.evaluation.delivered.blend.members if candidates[m].foreign]


def correlation_json(stats: EraStatistics, blend: Blend) -> Json:
    """Correlation of the members' and the benchmark's gaussianized ranks, mean over all eras, in the blend's order."""
    members = [member for member, _ in sorted(zip(blend.members, blend.weights, strict=True), key=_by_weight)]
    matrix = stats.products[:, members][:, :, members].mean(axis=0, dtype=np.float64)
    return {"matrix": matrix.tolist(), "benchmark": stats.benchmark[:, members].mean(axis=0).tolist()}


def predictions_table(found: Found, panel: Panel) -> pa.Table:
    """One row an id of the common eras: id, era, target, prediction, and whether its era had a part in the choice."""
    data, score = found.ground.data, found.ground.score
    sizes = np.diff(panel.era_starts)
    chosen = np.arange(len(panel.eras)) < found.evaluation.delivered.block.chosen.stop
    return pa.table(
        {
            data.id_col: panel.ids,
            data.era_col: pa.array(np.repeat([era_label(era) for era in panel.eras], sizes)),
            score.target: panel.target.astype(np.float32),
            "prediction": found.confirmed.prediction,
            "chosen_on": np.repeat(chosen, sizes),
        }
    )


def write_predictions(path: Path, found: Found, panel: Panel) -> None:
    """The delivered blend's predictions, whole or not at all."""
    with whole_file(path) as partial:
        pq.write_table(predictions_table(found, panel), partial, compression="zstd", compression_level=1)


def delta_of(value: Json) -> PairedDelta:
    """A difference of the results file as it was; null is NaN again."""
    known = {key: float("nan") if each is None else each for key, each in value.items()}
    thirds = [float("nan") if each is None else each for each in value["thirds"]]
    return _DELTA.validate_python({**known, "thirds": thirds})


def _by_weight(pair: tuple[int, float]) -> tuple[float, int]:
    return -pair[1], pair[0]


def _loss(stats: EraStatistics, blend: Blend, member: int) -> float | None:
    """Mean BMC that the blend loses without a member; None for the only one."""
    return stats.mean(blend) - stats.mean(blend.without(member)) if len(blend.members) > 1 else None


def _block(found: Found, panel: Panel, choice: Choice) -> Json:
    confirmed, candidates, reported = found.confirmed, found.gathered.candidates, choice.block.reported
    return {
        "chosen": _span(panel.eras[choice.block.chosen]),
        "reported": _span(panel.eras[reported]),
        "strategy": str(choice.strategy),
        "weights": {
            candidates[m].name: weight for m, weight in zip(choice.blend.members, choice.blend.weights, strict=True)
        },
        "single": candidates[choice.single.members[0]].name,
        "bmc": summarize(confirmed.ensemble.bmc[reported]).mean,
        "bmc_single": summarize(confirmed.single.bmc[reported]).mean,
        "bmc_equal": summarize(confirmed.equal.bmc[reported]).mean,
        "corr": summarize(confirmed.ensemble.corr[reported]).mean,
        "corr_single": summarize(confirmed.single.corr[reported]).mean,
        "corr_with_benchmark": summarize(confirmed.ensemble.benchmark_corr[reported]).mean,
    }


def _span(eras: Sequence[int]) -> Json:
    return {"first": era_label(eras[0]), "last": era_label(eras[-1]), "count": len(eras)}


def _part(scores: EraScores, where: slice) -> EraScores:
    return scores.at(where)
