"""Certainty foretold: the smallest gain that each stage of a plan can tell from noise, and how to make it smaller."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from numerai_ray.config.plan import LoadedPlan
from numerai_ray.config.plan_schema import Stage
from numerai_ray.data.eras import least_honest_gap
from numerai_ray.experiment.records import RoundRecord
from numerai_ray.experiment.scores import ScoreReader
from numerai_ray.metrics.power import Spread, foretold_error, smallest_gain, with_seeds
from numerai_ray.metrics.selection import ALONE, Search
from numerai_ray.metrics.significance import e4
from numerai_ray.metrics.standard_error import correlation_by_model, spread_of
from numerai_ray.training.catalog import Catalog
from numerai_ray.training.spec import VariantPlan

# Every how many eras the downsampled file keeps one.
KEPT_ERAS = 4
# Fewer common eras say too little of a spread.
FEWEST_ERAS = 40


@dataclass(frozen=True)
class StageCertainty:
    """One stage: eras that its comparison counts, its foretold standard error, and the gain seen in 80 % of cases."""

    stage: Stage
    eras: int
    standard_error: float
    smallest_gain: float


@dataclass(frozen=True)
class Certainty:
    """All stages; ``source`` says where the spread of differences comes from, ``advice`` what to do about it."""

    stages: tuple[StageCertainty, ...]
    margin: float
    spread: float
    source: str
    advice: tuple[str, ...]


def certainty(
    loaded: LoadedPlan,
    plans: Sequence[tuple[Stage, VariantPlan]],
    catalog: Catalog,
    history: Sequence[RoundRecord],
    reader: ScoreReader,
) -> Certainty:
    """What a plan's stages can tell.

    Args:
        loaded: the plan.
        plans: a trial of the base for each stage.
        catalog: that made the plans.
        history: decided rounds, whose results say how much differences spread.
        reader: of those results.

    """
    rounds = loaded.plan.rounds
    overlap = least_honest_gap(loaded.config("scout", {}).score.targets) - 1
    spread, source = _seen_spread(history, reader, overlap)
    count = min(len(loaded.space.dimensions), loaded.plan.budget.rounds)
    search = Search((rounds.variants,) * count)
    chose = _scored(catalog, next(plan for stage, plan in plans if stage == "scout"), last=True)
    stages = []
    for stage, plan in plans:
        scored = _scored(catalog, plan, last=stage == "scout")
        if stage == "interpret" or not scored:
            continue
        error = foretold_error(spread, scored, overlap)
        part = np.isin(scored, chose)
        share = correlation_by_model(spread.overlapping, np.array(scored), part, overlap) if part.any() else 0.0
        how = {"scout": Search((rounds.variants,)), "holdout": ALONE}.get(stage, replace(search, share=share))
        stages.append(StageCertainty(stage, len(scored), error, smallest_gain(error, len(scored), how)))
    advice = _advice(loaded, stages, spread, chose, overlap)
    return Certainty(tuple(stages), rounds.margin, spread.std, source, advice)


def _scored(catalog: Catalog, plan: VariantPlan, *, last: bool) -> list[int]:
    """Predicted eras that the metric that decides can know, at most those that it counts."""
    eras = catalog.judged_eras(plan)
    score = plan.config.score
    return eras[-score.last_eras :] if last and score.primary.recent else eras


def _seen_spread(history: Sequence[RoundRecord], reader: ScoreReader, overlap: int) -> tuple[Spread, str]:
    """The middle spread of what ran so far; the typical one of real data where nothing did."""
    found = []
    for record in history:
        base = reader.judged(record.find("base"))
        for variant in (each for each in record.variants if each.role == "variant"):
            ours = reader.judged(variant)
            if base is None or ours is None or list(ours.eras) != list(base.eras):
                continue
            delta = np.asarray(ours.values, np.float64) - np.asarray(base.values, np.float64)
            known = ~np.isnan(delta)
            if known.sum() >= FEWEST_ERAS and np.ptp(delta[known]) > 0:
                found.append(spread_of(delta[known], np.asarray(ours.eras, np.int64)[known], overlap))
    if not found:
        return Spread(), "typical of real data"
    std, overlapping = np.median(np.array(found), axis=0).tolist()
    return Spread(std, overlapping), f"of the {len(found)} variants that ran"


def _advice(
    loaded: LoadedPlan, stages: Sequence[StageCertainty], spread: Spread, chose: Sequence[int], overlap: int
) -> tuple[str, ...]:
    """Where the margin is below what a round can see: what the same core-seconds would see otherwise."""
    rounds = loaded.plan.rounds
    scout = next((each for each in stages if each.stage == "scout"), None)
    if scout is None or scout.smallest_gain <= rounds.margin:
        return ()

    def seen(eras: Sequence[int], variants: int, seeds: int) -> float:
        error = foretold_error(with_seeds(spread, seeds), eras, overlap)
        return smallest_gain(error, len(eras), Search((max(1, variants),)))

    below = (
        f"the margin of {e4(rounds.margin, sign=False)} is below the smallest gain that a round can tell from noise, "
        f"{e4(scout.smallest_gain, sign=False)}: most winners by margin will be luck"
    )
    # A round trains its base and its variants; what is asked of each may grow as their number falls.
    configs = rounds.variants + 1
    ways: dict[str, float] = {}
    for seeds in (2, 3):
        variants = math.floor(configs / seeds) - 1
        if variants >= 1:
            ways[f"rounds: {{variants: {variants}, seeds: {seeds}}}"] = seen(chose, variants, seeds)
    weekly = range(chose[0], chose[-1] + 1)
    variants = math.floor(configs / KEPT_ERAS) - 1
    if loaded.config("scout", {}).data.file == "downsampled" and variants >= 1:
        ways[f"stages.scout.data: full with variants: {variants}"] = seen(weekly, variants, 1)
    best = min(ways, key=lambda way: ways[way], default=None)
    found = [below]
    if best is not None and ways[best] < scout.smallest_gain:
        found.append(f"at the same cost `{best}` sees {e4(ways[best], sign=False)}")
    found.append(f"at three times the cost, `rounds.seeds: 3` sees {e4(seen(chose, rounds.variants, 3), sign=False)}")
    if loaded.config("scout", {}).data.file == "downsampled":
        full = e4(seen(weekly, rounds.variants, 1), sign=False)
        found.append(f"at four times the cost, every week of these eras (`stages.scout.data: full`) sees {full}")
    return tuple(found)
