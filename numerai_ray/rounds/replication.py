"""Replication: a round's best and its base, run again with fresh seeds before the best may become the base.

The best of a round owes part of its lead to the seeds that it was fitted with. Fresh ones draw that part anew; what the
market did in these eras stays. So the second lead is judged as the best of the round's variants only as far as it rests
on what chose it: ``share`` is the correlation over eras of the two per-era differences, 0 where only the seed had
spoken and 1 where seeds change nothing (:class:`numerai_ray.metrics.selection.Search`).
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from numerai_ray.config import Config, Json, validate
from numerai_ray.experiment.decision import PolicySettings, decide
from numerai_ray.experiment.records import Decision, RoundRecord, VariantRecord
from numerai_ray.experiment.scores import ScoreReader, deltas_of
from numerai_ray.metrics.selection import Search

# Far above what plans list, so that no seed comes twice.
FIRST_SEED, SEEDS_A_ROUND = 1_000_000, 1000
# Fewer common eras say too little of how two runs hang together.
FEWEST_ERAS = 10


def with_fresh_seeds(config: Config, number: int) -> Config:
    """``config`` with as many seeds as it has, none of which ran before round ``number``; members of a mixture too."""
    values = config.to_json()
    for part in (values, *_members(values)):
        count = len(part.get("model", {}).get("seeds") or [None])
        if part is values or part.get("model", {}).get("seeds"):
            first = FIRST_SEED + SEEDS_A_ROUND * number
            part["model"] = {**part.get("model", {}), "seeds": list(range(first, first + count))}
    return validate(Config, values, f"fresh seeds of round {number}")


def _members(values: Json) -> list[Json]:
    return list(((values.get("ensemble") or {}).get("members") or {}).values())


def pending(history: Sequence[RoundRecord]) -> RoundRecord | None:
    """The round whose best waits to be run again; None where none does."""
    last = history[-1] if history else None
    return last if last is not None and last.stage == "scout" and last.decision.again else None


def search_of_replication(
    before: RoundRecord, base: VariantRecord, again: VariantRecord | None, reader: ScoreReader, last: int
) -> Search:
    """How what was run again had been chosen: among how many variants, and how far by the noise that it still has.

    Args:
        before: the round that chose it.
        base: the base as it ran again.
        again: the best as it ran again; None where it failed.
        reader: of results files.
        last: how many scored eras are compared.

    """
    judged = max(1, sum(each.role == "variant" and each.error is None for each in before.variants))
    chosen = next((each for each in before.variants if each.id == before.decision.again), None)
    start = before.find("base")
    if chosen is None or start is None or again is None:
        return Search((judged,))
    eras, first = deltas_of(chosen, start, reader)
    there, second = deltas_of(again, base, reader)
    both, ours, theirs = np.intersect1d(eras, there, return_indices=True)
    if len(both) < FEWEST_ERAS:
        return Search((judged,))
    pair = np.stack([first[ours][-last:], second[theirs][-last:]])
    if not np.ptp(pair, axis=1).min() > 0:
        return Search((judged,))
    alike = np.asarray(np.corrcoef(pair))[0, 1]
    return Search((judged,), share=float(np.clip(alike, 0.0, 1.0)))


def decide_replication(
    before: RoundRecord, base: VariantRecord, rest: Sequence[VariantRecord], settings: PolicySettings
) -> Decision:
    """Whether what was run again becomes the base: a gain of the margin with the fresh seeds, clear of the noise.

    Where it does not, the base of the round before stays, under its own name.
    """
    found = decide(base, rest, before.base_changes, replace(settings, accept="significant"))
    if found.winner is None or found.promoted:
        return replace(found, reason=f"run again with fresh seeds: {found.reason}")
    return replace(found, winner=before.decision.winner, reason=f"run again with fresh seeds: {found.reason}")
