"""The method, pure: history in, next step out. No clock, no disk, no Ray.

An idea that can be meant in several ways is first scouted in each (interpret). Scouting takes the dimensions one at a
time, a round each (with ``accept: replicated`` its best is run again before it counts); one that matters far more
than the others, or whose best value stands at an edge, gets a round that maps its range (focus). Scouting ends at a
plateau (``patience`` rounds in a row without a gain of ``margin``, and no required dimension untried), when nothing
is left to try, or with the budget. Then base and winner run at a larger scale (confirm); a gain that shows only there
reopens the search, once. What survived runs at the deep baseline's settings (scale) and on full data (final), and is
scored once on eras that nothing has seen (holdout).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from numerai_ray.experiment.decision import PolicySettings, decide, is_free, may_win, order, sanity_flags
from numerai_ray.experiment.records import REPLICATE, RoundRecord
from numerai_ray.experiment.standing import counted
from numerai_ray.rounds.budget import search_ended
from numerai_ray.rounds.focus import Focus
from numerai_ray.rounds.replication import pending

__all__ = ["PolicySettings", "decide", "flat_rounds", "next_step", "sanity_flags"]


@dataclass(frozen=True)
class InterpretRound:
    """Next: all interpretations of the idea side by side."""


@dataclass(frozen=True)
class ScoutRound:
    """Next: vary ``dimension`` around the base that ``base_changes`` lead to; with ``focus`` (why) map its range."""

    dimension: str
    base_changes: Mapping[str, Any]
    focus: str = ""


@dataclass(frozen=True)
class ReplicateRound:
    """Next: the best of a round, by ``name`` and ``changes`` to that round's base, and the base, with fresh seeds."""

    dimension: str | None
    base_changes: Mapping[str, Any]
    name: str
    changes: Mapping[str, Any]


@dataclass(frozen=True)
class ConfirmRound:
    """Next: base and challenger at the larger scale. ``challenger`` is None when no variant ever ran well."""

    challenger: Mapping[str, Any] | None
    why: str


@dataclass(frozen=True)
class ScaleRound:
    """Next: base and what was confirmed, at the deep baseline's settings."""

    changes: Mapping[str, Any]


@dataclass(frozen=True)
class HoldoutRound:
    """Next: base and winner on the eras kept out of everything before."""

    changes: Mapping[str, Any]


@dataclass(frozen=True)
class FinalRound:
    """Next: this config on full data."""

    changes: Mapping[str, Any]


@dataclass(frozen=True)
class Stop:
    """Nothing is left to do."""

    reason: str


Round = InterpretRound | ScoutRound | ReplicateRound | ConfirmRound | ScaleRound | FinalRound | HoldoutRound
Step = Round | Stop
# (dimension, changes of the base) -> whether it has values that did not run yet around that base
HasValues = Callable[[str, Mapping[str, Any]], bool]


def next_step(
    history: Sequence[RoundRecord],
    dimensions: Mapping[str, bool],
    settings: PolicySettings,
    has_values: HasValues,
    focus: Focus | None = None,
) -> Step:
    """What to do after ``history``.

    Args:
        history: decided rounds, oldest first.
        dimensions: name -> whether the plan requires it to be tried, in the plan's order.
        settings: margin, patience, budget, stages.
        has_values: whether a dimension has untried values around a base.
        focus: the dimension that deserves a round of its own, by :func:`~numerai_ray.rounds.focus.find_focus`.

    """
    if not history and settings.interpret:
        return InterpretRound()
    after = _after_scouting(history, settings)
    if after is not None:
        return after

    scouts = [record for record in history if record.stage == "scout"]
    base = history[-1].decision.changes if history else {}
    tried = {record.dimension for record in scouts}
    untried = [name for name in dimensions if name not in tried and has_values(name, base)]

    # The budget ends the search, not the experiment: what was found is still confirmed.
    ended = search_ended(history, settings)
    if ended:
        return _confirm(scouts, base, settings, ended)

    # A gain counts when fresh seeds show it again.
    waiting = pending(history)
    if waiting is not None:
        best = next(each for each in waiting.variants if each.id == waiting.decision.again)
        return ReplicateRound(waiting.dimension, waiting.base_changes, best.name, best.changes)

    # One variable that matters far more than the others, or a best value at an edge, is mapped before anything else.
    if focus is not None:
        return ScoutRound(focus.dimension, base, focus.why)

    # Plateau: the field's rule. A required dimension that was never looked at keeps the search open.
    flat = flat_rounds(history)
    if flat >= settings.patience and not any(dimensions[name] for name in untried):
        return _confirm(scouts, base, settings, f"plateau: {counted(flat, 'round')} in a row without {settings.gain}")

    # New ground first, in the plan's order; then again around the new base, least recently tried first.
    if untried:
        return ScoutRound(untried[0], base)
    turns = [record.dimension for record in scouts]
    again = [name for name in dimensions if has_values(name, base)]
    if again:
        return ScoutRound(min(again, key=lambda name: len(turns) - turns[::-1].index(name)), base)
    return _confirm(scouts, base, settings, "every listed value was tried around the best configuration")


def _after_scouting(history: Sequence[RoundRecord], settings: PolicySettings) -> Step | None:
    """What follows the last round when it was no scout round; None to scout (again)."""
    last = history[-1] if history else None
    if last is None or last.stage in ("scout", "interpret"):
        return None

    # The larger scale shows a gain that scouting did not see: the plateau was not one. Believed once.
    if last.stage == "confirm" and _reopens(history) and not search_ended(history, settings):
        return None
    if last.stage == "confirm" and settings.scale:
        return ScaleRound(last.decision.changes)
    if last.stage in ("confirm", "scale"):
        return FinalRound(last.decision.changes)

    # The eras that were kept out are looked at when everything is decided.
    if last.stage == "final" and settings.holdout:
        return HoldoutRound(last.decision.changes)
    if settings.extend:
        return None
    return Stop("the holdout is scored" if last.stage == "holdout" else "the final run is recorded")


def _reopens(history: Sequence[RoundRecord]) -> bool:
    """Whether the first confirm round since the last final one moved the base to where scouting had not put it."""
    *before, last = history
    ends = [number for number, record in enumerate(before) if record.stage == "final"]
    since = before[ends[-1] + 1 :] if ends else before
    confirmed_before = any(record.stage == "confirm" for record in since)
    moved = bool(since) and last.decision.changes != since[-1].decision.changes
    return last.decision.promoted and moved and not confirmed_before


def flat_rounds(history: Sequence[RoundRecord]) -> int:
    """Number of scout rounds without a promotion since the last one that had one, or since scouting began again.

    A round that the user asked for by hand says nothing about a plateau.
    """
    count = 0
    for record in reversed(history):
        if record.stage != "scout" or record.decision.promoted:
            break
        # A replication that failed is the end of its round, not one more; what waits for one is not decided.
        count += record.kind not in ("manual", REPLICATE) and not (record is history[-1] and record.decision.again)
    return count


def _confirm(
    scouts: Sequence[RoundRecord], base: Mapping[str, Any], settings: PolicySettings, why: str
) -> ConfirmRound:
    """The winner against the base; when nothing beat the base, the best other variant, lest scale hides its gain."""
    if base:
        return ConfirmRound(base, why)
    ran = [
        ({**record.base_changes, **variant.changes}, variant)
        for record in scouts
        for variant in record.variants
        if variant.role == "variant" and may_win(variant, settings) and is_free(variant, settings)
    ]
    if not ran:
        return ConfirmRound(None, why)
    return ConfirmRound(max(ran, key=lambda pair: order(pair[1]))[0], why)
