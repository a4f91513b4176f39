"""What is left of the budgets: between rounds, for the next round, and within one. Pure."""

import math
from collections.abc import Sequence

from numerai_ray.experiment.decision import PolicySettings
from numerai_ray.experiment.records import REPLICATE, RoundRecord
from numerai_ray.experiment.standing import counted
from numerai_ray.rounds.replication import pending
from numerai_ray.system.cluster import Spent


def search_ended(history: Sequence[RoundRecord], settings: PolicySettings) -> str:
    """Why no further scout round is made for want of budget; "" while there is some of each."""
    spent = spent_budget(history, settings)
    return settings.over or (f"the budget of {spent} is used up" if spent else "")


def spent_budget(history: Sequence[RoundRecord], settings: PolicySettings) -> str:
    """The budget that is used up, in words; "" while there is some of each."""
    # A replication is the second half of its round, which is not over before it.
    rounds = sum(record.stage == "scout" and record.kind != REPLICATE for record in history)
    if rounds - (pending(history) is not None) >= settings.max_rounds:
        return counted(settings.max_rounds, "round")
    if settings.max_fits is not None and _fits(history) >= settings.max_fits:
        return counted(settings.max_fits, "fit")
    if settings.max_hours is not None and _wall_s(history) >= settings.max_hours * 3600:
        return _counted(settings.max_hours, "hour")
    if settings.max_core_hours is not None and _core_s(history) >= settings.max_core_hours * 3600:
        return _counted(settings.max_core_hours, "core-hour")
    return ""


def overrun(
    history: Sequence[RoundRecord], settings: PolicySettings, fits: int, seconds: float | None, cores: int
) -> str:
    """Why the next round is not started: the budget that it would go beyond, in words; "" when it fits.

    Args:
        history: decided rounds.
        settings: the budgets.
        fits: how many the round would train.
        seconds: of wall time that they would take; None where nothing tells.
        cores: of the machine or cluster; 0 where they are not known.

    """
    if not fits:
        return ""
    if settings.max_fits is not None and fits > (left := settings.max_fits - _fits(history)):
        return f"the next round would train {fits} fits, and of the budget of {settings.max_fits} fits {left} are left"
    left_s, budget = time_left(history, settings, Spent(cores=cores), 0.0)
    if seconds is not None and seconds > left_s:
        return f"the next round would take {_time(seconds)}, and of the budget of {budget} {_time(left_s)} are left"
    return ""


def time_left(
    history: Sequence[RoundRecord], settings: PolicySettings, spent: Spent, wall_s: float
) -> tuple[float, str]:
    """Seconds of wall time until the first budget of time is used up, and that budget in words; else infinity.

    Args:
        history: decided rounds.
        settings: the budgets.
        spent: what the round under way has used of core-hours, and the cores that go on using them.
        wall_s: what it has used of hours.

    """
    found = [(math.inf, "")]
    if settings.max_hours is not None:
        found.append((settings.max_hours * 3600 - _wall_s(history) - wall_s, _counted(settings.max_hours, "hour")))
    if settings.max_core_hours is not None:
        left_core_s = settings.max_core_hours * 3600 - _core_s(history) - spent.core_s
        found.append(
            (left_core_s / (spent.cores or _usual_cores(history)), _counted(settings.max_core_hours, "core-hour"))
        )
    return min(found)


def used_up_within(budget: str, number: int) -> str:
    """What is said when time runs out while a round is under way."""
    return f"the budget of {budget} was used up within round {number}; its fits are kept, it is not decided"


def usual_seconds(history: Sequence[RoundRecord], fits: int) -> float | None:
    """Seconds that so many fits take at the pace of the rounds so far; None before the first that trained."""
    scouts = [record for record in history if record.stage == "scout"]
    trained = _fits(scouts)
    return _wall_s(scouts) / trained * fits if trained else None


def _fits(history: Sequence[RoundRecord]) -> int:
    """Fits that were trained: a configuration that later rounds show again was trained in its first."""
    return sum({variant.id: variant.fits_new for record in history for variant in record.variants}.values())


def _wall_s(history: Sequence[RoundRecord]) -> float:
    return sum(record.wall_s for record in history)


def _core_s(history: Sequence[RoundRecord]) -> float:
    # Of the nodes that took part, where that is known: a cluster's cores are not the driver's.
    return sum(record.cost.get("core_hours", record.wall_s * record.cores / 3600) * 3600 for record in history)


def _usual_cores(history: Sequence[RoundRecord]) -> float:
    """Cores that the rounds so far had on average; 1 before the first."""
    wall_s = _wall_s(history)
    return max(1.0, _core_s(history) / wall_s) if wall_s else 1.0


def _time(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"


def _counted(number: float, what: str) -> str:
    return f"{number:g} {what}{'' if number == 1 else 's'}"
