"""Front: the variants that no other beats in both of the two metrics that a plan searches. Pure.

Both are means over all scored eras, so that one set of eras orders both. A plan's ``metric`` still decides which point
of the front the next round starts from: without that there would be no single base.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from numerai_ray.experiment.records import RoundRecord, VariantRecord
from numerai_ray.metrics.scoring import Metrics


@dataclass(frozen=True)
class FrontPoint:
    """A variant on the front: its id and name, its round, and its two values in the order of ``rounds.metrics``."""

    id: str
    name: str
    round: int
    values: tuple[float, ...]


def searched_values(metrics: Metrics | None, names: Sequence[str]) -> tuple[float, ...]:
    """What is searched by these names of ``rounds.metrics``: means over all scored eras, NaN where unknown."""
    if metrics is None or math.isnan(metrics.primary):
        return (math.nan,) * len(names)
    known = {"bmc": metrics.bmc.mean, "corr": metrics.corr.mean}
    return tuple(known[name] for name in names)


def dominates(ours: Sequence[float], theirs: Sequence[float]) -> bool:
    """Whether we are nowhere worse and somewhere better; unknown values neither dominate nor are dominated.

    Rounded far below any margin, so that equal results tie on every machine.
    """
    pairs = [(round(one, 12), round(other, 12)) for one, other in zip(ours, theirs, strict=True)]
    return all(one >= other for one, other in pairs) and any(one > other for one, other in pairs)


def undominated(variants: Sequence[VariantRecord], names: Sequence[str]) -> list[VariantRecord]:
    """Those of ``variants`` that none of them dominates."""
    values = [searched_values(each.metrics, names) for each in variants]
    return [
        each
        for each, own in zip(variants, values, strict=True)
        if not any(math.isnan(value) for value in own) and not any(dominates(other, own) for other in values)
    ]


def front_of(history: Sequence[RoundRecord], names: Sequence[str]) -> tuple[FrontPoint, ...]:
    """The front of all scout rounds, from the most of the first metric to the most of the second; () without names.

    Suspected leaks are left out, as they are everywhere else.
    """
    if not names:
        return ()
    found: dict[str, tuple[int, VariantRecord]] = {}
    for record in (record for record in history if record.stage == "scout"):
        for each in record.variants:
            if each.role in ("base", "variant") and not any(flag.startswith("suspect") for flag in each.flags):
                found.setdefault(each.id, (record.number, each))
    on_it = undominated([each for _, each in found.values()], names)
    points = [FrontPoint(each.id, each.name, found[each.id][0], searched_values(each.metrics, names)) for each in on_it]
    return tuple(sorted(points, key=lambda point: point.values, reverse=True))


def front_sentence(points: Sequence[FrontPoint], most: int = 4) -> str:
    """The front in one sentence, its ends first; all of it stands in the JSON and in the report's table."""
    names = [f"{each.id} ({' / '.join(f'{value:.5f}' for value in each.values)})" for each in points]
    shown = names if len(names) <= most else [*names[: most - 1], f"{len(names) - most} more", names[-1]]
    which = "1 variant is" if len(points) == 1 else f"{len(points)} variants are"
    return f"{which} beaten by no other in both metrics that are searched: {', '.join(shown)}"
