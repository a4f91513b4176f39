"""Confirmation: finalists scored exactly, by the judge, on all rows; and what their differences owe to luck."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from numerai_ray.ensembles.blends import Blend, blended
from numerai_ray.ensembles.evaluation import Evaluation
from numerai_ray.ensembles.panel import Panel
from numerai_ray.ensembles.statistics import EraStatistics
from numerai_ray.metrics.era_columns import FloatArray
from numerai_ray.metrics.scoring import EraScores, score_eras
from numerai_ray.metrics.significance import Comparison, PairedDelta, Search, paired_deltas


@dataclass(frozen=True, eq=False)
class Confirmed:
    """Exact scores, each with one entry an era of the panel.

    ``ensemble``, ``single``, ``single_post`` are, in each block's eras, of what was chosen for it (NaN before the first
    block); ``equal`` weighs all candidates alike. ``delivered`` and ``delivered_single`` are of what was chosen for the
    last block, in all eras; ``prediction`` (n,) is the delivered one.
    """

    ensemble: EraScores
    single: EraScores
    single_post: EraScores
    equal: EraScores
    delivered: EraScores
    delivered_single: EraScores
    prediction: FloatArray
    # In-sample gain of each block's blend over its single candidate, mean BMC on the eras that they were chosen on.
    gains_chosen: tuple[float, ...]
    # The largest difference between approximate and exact BMC of a chosen blend, in an era and in the mean.
    off_by_era: float
    off_by_mean: float


@dataclass(frozen=True)
class Judgement:
    """Differences of BMC over the eras of all blocks, and those of the delivered blend where it was chosen.

    ``survives`` is the mean gain over the single candidate on later eras, as a share of that on the eras of choice;
    NaN where there was none. ``chosen`` is judged as the best of as many as there are candidates.
    """

    to_single: PairedDelta
    to_single_post: PairedDelta
    to_equal: PairedDelta
    last_block: PairedDelta
    chosen: PairedDelta
    gain_chosen: float
    gain_later: float

    @property
    def survives(self) -> float:
        return self.gain_later / self.gain_chosen if self.gain_chosen > 0 else float("nan")


def confirm(
    panel: Panel, stats: EraStatistics, evaluation: Evaluation, on_step: Callable[[str], None] = lambda _: None
) -> Confirmed:
    """Score every blend that was chosen, and what it is compared with."""
    known: dict[Blend, EraScores] = {}
    predictions: dict[int, FloatArray] = {}

    def exact(blend: Blend) -> EraScores:
        if blend not in known:
            known[blend] = scores_of(panel, predicted(blend))
        return known[blend]

    def predicted(blend: Blend) -> FloatArray:
        for member in blend.members:
            if member not in predictions:
                predictions[member] = panel.prediction(member)
        return blended(blend, predictions.__getitem__, panel.benchmark, panel.era_starts)

    pieces: dict[str, list[tuple[slice, EraScores]]] = {"ensemble": [], "single": [], "single_post": []}
    gains, off_era, off_mean = [], 0.0, 0.0
    on_step(f"scoring what was chosen for {len(evaluation.choices)} blocks exactly")
    for number, choice in enumerate(evaluation.choices, start=1):
        ours, theirs = exact(choice.blend), exact(choice.single)
        block = choice.block
        pieces["ensemble"].append((block.reported, ours))
        pieces["single"].append((block.reported, theirs))
        pieces["single_post"].append((block.reported, exact(choice.plain)))
        # Neutral to the benchmark, a prediction that is constant in an era leaves nothing there: no score.
        gains.append(_mean((ours.bmc - theirs.bmc)[block.chosen]))
        off = stats.per_era(choice.blend) - ours.bmc
        off = off[~np.isnan(off)]
        off_era, off_mean = max(off_era, float(np.abs(off).max(initial=0.0))), max(off_mean, abs(_mean(off)))
        # Members of later blocks alone are kept in memory.
        later = {each for rest in evaluation.choices[number:] for each in (*rest.blend.members, *rest.single.members)}
        for member in [each for each in predictions if each not in later]:
            del predictions[member]
    delivered = evaluation.delivered
    rows = {name: _spliced(each, len(panel.eras)) for name, each in pieces.items()}
    return Confirmed(
        **rows,
        equal=scores_of(panel, panel.equal),
        delivered=exact(delivered.blend),
        delivered_single=exact(delivered.single),
        prediction=predicted(delivered.blend),
        gains_chosen=tuple(gains),
        off_by_era=off_era,
        off_by_mean=off_mean,
    )


def scores_of(panel: Panel, prediction: FloatArray) -> EraScores:
    """Scores (n_eras,) of a prediction (n,) of the panel's rows."""
    return score_eras(prediction, panel.target, panel.benchmark, panel.era_starts)


def judge_gain(
    panel: Panel, evaluation: Evaluation, confirmed: Confirmed, overlap_eras: int, candidates: int
) -> Judgement:
    """How sure the gains are; labels overlap ``overlap_eras`` later eras."""
    eras = np.array(panel.eras)
    reported, last = evaluation.reported, evaluation.delivered.block
    ours = confirmed.ensemble.bmc

    def delta(a: FloatArray, b: FloatArray, where: slice, looks: int = 1) -> PairedDelta:
        comparison = Comparison(last=len(eras), overlap_eras=overlap_eras)
        return paired_deltas((a - b)[where, np.newaxis], eras[where], comparison, Search((looks,)))[0]

    later = ours[reported] - confirmed.single.bmc[reported]
    return Judgement(
        to_single=delta(ours, confirmed.single.bmc, reported),
        to_single_post=delta(ours, confirmed.single_post.bmc, reported),
        to_equal=delta(ours, confirmed.equal.bmc, reported),
        last_block=delta(ours, confirmed.single.bmc, last.reported),
        chosen=delta(confirmed.delivered.bmc, confirmed.delivered_single.bmc, last.chosen, candidates),
        gain_chosen=float(np.mean(confirmed.gains_chosen)),
        gain_later=_mean(later),
    )


def _mean(values: FloatArray) -> float:
    """Over the eras that have one; NaN for none."""
    known = values[~np.isnan(values)]
    return float(known.mean()) if known.size else math.nan


def _spliced(pieces: list[tuple[slice, EraScores]], n_eras: int) -> EraScores:
    columns = np.full((3, n_eras), np.nan)
    for where, scores in pieces:
        for column, values in zip(columns, (scores.corr, scores.bmc, scores.benchmark_corr), strict=True):
            column[where] = values[where]
    return EraScores(*columns)
