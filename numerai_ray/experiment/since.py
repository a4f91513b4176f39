"""Since the decision: what eras that no fit and no decision has seen say of the gain that was promised."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from numerai_ray.experiment.decision import last_compared
from numerai_ray.experiment.ledger import last_era_of
from numerai_ray.experiment.rechecks import Recheck, RecheckedRole, latest_decision, live_scores
from numerai_ray.experiment.records import RoundRecord, VariantRecord
from numerai_ray.experiment.scores import ScoreReader
from numerai_ray.metrics.scoring import EraScores
from numerai_ray.metrics.sequential import FloatArray, Live, Promise, eras_needed, judge_live, promise_of
from numerai_ray.metrics.significance import Series

# Of a record's origin: the last era that the experiment keeps to, whatever was downloaded since.
OTHERS: tuple[RecheckedRole, ...] = ("base", "baseline")


@dataclass(frozen=True, eq=False)
class Since:
    """The winner's BMC minus another's on eras after the decision, against what a stage promised.

    ``promise`` and ``live`` are None where the search's per-era scores are lost or too few; ``needed`` is after how
    many eras a market that stopped paying would be told from the promise, None where ten years would not do.
    """

    theirs: RecheckedRole
    stage: str
    promise: Promise | None
    series: Series
    live: Live | None
    needed: int | None

    @property
    def loses(self) -> bool:
        """Whether the live mean is below 0, clear of the noise, whatever was promised."""
        return self.live is not None and len(self.live.eras) > 0 and float(self.live.high[-1]) < 0

    @property
    def values(self) -> FloatArray:
        """(n,): the difference of each era, NaN where unknown."""
        return np.asarray(self.series.values, np.float64)


@dataclass(frozen=True, eq=False)
class LiveRecord:
    """All rechecks of the newest decision: scores by role, and the winner against the others."""

    rechecks: tuple[Recheck, ...]
    eras: tuple[int, ...]
    scores: dict[RecheckedRole, EraScores]
    pairs: tuple[Since, ...]

    @property
    def implausible(self) -> tuple[Since, ...]:
        """Pairs whose promise has become implausible."""
        return tuple(each for each in self.pairs if each.live is not None and each.live.worse_since is not None)

    @property
    def fallen(self) -> bool:
        """Whether a promise has become implausible, or the winner loses, clear of the noise."""
        return bool(self.implausible) or any(each.loses for each in self.pairs)


def live_record(
    history: Sequence[RoundRecord], rechecks: Sequence[Recheck], reader: ScoreReader, overlap_eras: int
) -> LiveRecord | None:
    """What the rechecks of the newest decision say; None without any."""
    own = latest_decision(rechecks)
    scores: dict[RecheckedRole, EraScores] = {}
    eras: tuple[int, ...] = ()
    for role in ("winner", *OTHERS):
        found = live_scores(own, role)
        if found is not None:
            eras, scores[role] = found
    if "winner" not in scores:
        return None
    same = {role for each in own for variant in each.variants if "winner" in variant.roles for role in variant.roles}
    pairs = tuple(
        _since(role, Series(eras, scores["winner"].bmc - scores[role].bmc), history, reader, overlap_eras)
        for role in OTHERS
        if role in scores and role not in same
    )
    return LiveRecord(tuple(own), eras, scores, pairs)


def _since(
    theirs: RecheckedRole, series: Series, history: Sequence[RoundRecord], reader: ScoreReader, overlap_eras: int
) -> Since:
    stage, promise = promised(history, theirs, reader, overlap_eras)
    if promise is None:
        return Since(theirs, stage, None, series, None, None)
    steps = np.diff(series.eras)
    step = int(np.median(steps)) if len(steps) else 1
    return Since(theirs, stage, promise, series, judge_live(series, promise), eras_needed(promise, step=step))


def promised(
    history: Sequence[RoundRecord], theirs: RecheckedRole, reader: ScoreReader, overlap_eras: int
) -> tuple[str, Promise | None]:
    """The latest stage in which winner and the other both ran, and what their common eras promise.

    Over all eras that were scored, not the primary metric's last ones alone: what is held against years to come should
    be as sure as it can be. Not a holdout's, whose few eras promise little either way.
    """
    for record in reversed(history):
        ours, other = _pair(record, theirs, history)
        if ours is None or other is None or ours.id == other.id:
            continue
        first, second = reader.series(ours, "bmc"), reader.series(other, "bmc")
        if first is None or second is None:
            continue
        common, here, there = np.intersect1d(first.eras, second.eras, return_indices=True)
        values = np.asarray(first.values, np.float64)[here] - np.asarray(second.values, np.float64)[there]
        promise = promise_of(Series(common.tolist(), values), overlap_eras, _looks(history))
        if promise is not None:
            return record.stage, promise
    return "", None


def last_seen_era(history: Sequence[RoundRecord], reader: ScoreReader) -> int | None:
    """The last era that the search saw with its labels: what it was pinned to or, before eras were, scored on.

    None where it was not pinned and no results file is left.
    """
    pinned = last_era_of([record.origin for record in history])
    if pinned is not None:
        return pinned
    last = None
    for record in history:
        for variant in record.variants:
            stored = None if variant.metrics is None else reader.read(variant.id)
            if stored is not None and len(stored.eras):
                known = np.asarray(stored.eras)[~np.isnan(stored.scores.corr)]
                last = max([*known.tolist(), *([] if last is None else [last])], default=None)
    return last


def _pair(
    record: RoundRecord, theirs: RecheckedRole, history: Sequence[RoundRecord]
) -> tuple[VariantRecord | None, VariantRecord | None]:
    """The winner and the other as they ran in a round; None where one did not."""
    if record.stage in ("interpret", "holdout"):
        return None, None
    if record.stage == "final":
        return record.find("base"), record.find("baseline") if theirs == "baseline" else None
    last = last_compared(history)
    if last is None or record.decision.changes != last.decision.changes:
        return None, None
    ours = next((each for each in record.variants if each.id == record.decision.winner), None)
    if theirs == "baseline":
        return ours, _of_stage(history, record.stage, "baseline")
    if record.stage == "scout":
        unchanged = next((each for each in history if each.stage == "scout" and not each.base_changes), None)
        return ours, None if unchanged is None else unchanged.find("base")
    return ours, record.find("base")


def _of_stage(history: Sequence[RoundRecord], stage: str, role: str) -> VariantRecord | None:
    """A configuration costs a trial once a stage, and stands in a later round's table again or not."""
    found = (each for record in history if record.stage == stage for each in record.variants if each.role == role)
    return next(found, None)


def _looks(history: Sequence[RoundRecord]) -> int:
    """Among how many variants the winner was chosen, on the eras that it is promised for."""
    ran = {v.id for r in history if r.stage == "scout" for v in r.variants if v.role == "variant" and v.metrics}
    return max(1, len(ran))
