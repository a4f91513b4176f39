"""Live rounds: what Numerai says of a model's rounds, as plain records."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

# A score has several names at Numerai; the first one that a round has is the one that pays, or did.
NAMES = {
    "corr": ("canon_corr", "corr", "v2_corr20", "corr20"),
    "mmc": ("canon_mmc", "mmc"),
    "bmc": ("canon_bmc", "bmc"),
}


@dataclass(frozen=True)
class LiveRound:
    """One round of a model; scores are NaN while unknown, amounts are NMR.

    ``payout`` is settled where the round is ``resolved``, else what is pending; ``at_risk`` is the stake of the round.
    """

    number: int
    opened: date | None
    resolves: date | None
    resolved: bool
    target: str
    corr: float
    mmc: float
    bmc: float
    payout: float
    at_risk: float

    @property
    def week(self) -> int | None:
        """A number for the calendar week in which it opened: rounds of one week are one era."""
        # Day 1 was a Monday.
        return None if self.opened is None else (self.opened.toordinal() - 1) // 7

    @property
    def scored(self) -> bool:
        """Whether any score is known."""
        return not all(math.isnan(each) for each in (self.corr, self.mmc, self.bmc))


def rounds_of(performances: Sequence[Mapping[str, Any]]) -> tuple[LiveRound, ...]:
    """Rounds in order of their numbers, from numerapi's answer; those that the model took no part in are left out."""
    rounds = [_round(each) for each in performances if isinstance(each.get("roundNumber"), int)]
    return tuple(sorted((each for each in rounds if each.scored or each.at_risk > 0), key=lambda each: each.number))


def _round(value: Mapping[str, Any]) -> LiveRound:
    latest: dict[str, Mapping[str, Any]] = {}
    for score in value.get("submissionScores") or ():
        name, day = str(score.get("displayName")), score.get("day") or 0
        if name not in latest or day >= (latest[name].get("day") or 0):
            latest[name] = score
    resolved = bool(value.get("roundResolved"))
    paid = [_number(each.get("payoutSettled" if resolved else "payoutPending")) for each in latest.values()]
    known = [each for each in paid if not math.isnan(each)]
    found = {
        kind: next((_number(latest[name].get("value")) for name in names if name in latest), math.nan)
        for kind, names in NAMES.items()
    }
    return LiveRound(
        number=value["roundNumber"],
        opened=_day(value.get("roundOpenTime")),
        resolves=_day(value.get("roundResolveTime")),
        resolved=resolved,
        target=str(value.get("roundTarget") or ""),
        payout=math.fsum(known) if known else math.nan,
        at_risk=_number(value.get("atRisk")),
        **found,
    )


def _number(value: Any) -> float:
    try:
        return math.nan if value is None else float(value)
    except (TypeError, ValueError):
        return math.nan


def _day(value: Any) -> date | None:
    return value.date() if isinstance(value, datetime) else None
