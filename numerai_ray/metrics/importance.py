"""How much each feature matters to a fit, and what that adds up to over fits and groups of features."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

# Sets of features.json that are sizes, or stand for other sets; every other one is a group.
NOT_GROUPS = ("small", "medium", "all")
EQUIVALENT = "_features"


@dataclass(frozen=True)
class Importance:
    """Of one fit: ``values`` (k,) >= 0 that add up to 1, in the order of its features; ``kind`` says of what."""

    kind: str
    values: tuple[float, ...]

    def to_json(self) -> dict[str, Any]:
        """As it is kept with a fit."""
        return {"kind": self.kind, "values": list(self.values)}


def importance_of(kind: str, values: ArrayLike) -> Importance | None:
    """Shares of the sizes of ``values`` (k,); None where there are none, or any is not finite."""
    sizes = np.abs(np.asarray(values, np.float64))
    total = float(sizes.sum())
    if sizes.ndim != 1 or not math.isfinite(total) or total <= 0:
        return None
    # Six digits: more say nothing, and a fit's entry stays small.
    return Importance(kind, tuple(float(f"{share:.6g}") for share in (sizes / total).tolist()))


def importance_from_json(value: Mapping[str, Any] | None) -> Importance | None:
    """Inverse of :meth:`Importance.to_json`; fits that were kept before there was one have none."""
    return None if value is None else Importance(str(value["kind"]), tuple(value["values"]))


def mean_importance(fits: Iterable[tuple[Sequence[str], Importance, float]]) -> dict[str, float]:
    """Share by feature, the largest first: the mean over ``fits``, each with its weight; {} where all weigh nothing.

    A feature that a fit lacks counts 0. Equal shares stand in the order in which their features come first.
    """
    total: dict[str, float] = {}
    all_weights = 0.0
    for names, importance, weight in fits:
        all_weights += weight
        for name, value in zip(names, importance.values, strict=True):
            total[name] = total.get(name, 0.0) + weight * value
    if not all_weights:
        return {}
    shares = ((name, value / all_weights) for name, value in total.items())
    return dict(sorted(shares, key=lambda item: -item[1]))


def feature_groups(sets: Mapping[str, Sequence[str]]) -> dict[str, Sequence[str]]:
    """Numerai's named groups among ``sets`` of features.json: all but sizes and equivalents of other sets."""
    return {name: each for name, each in sets.items() if name not in NOT_GROUPS and not name.endswith(EQUIVALENT)}


def by_group(shares: Mapping[str, float], groups: Mapping[str, Sequence[str]]) -> dict[str, float]:
    """Sum of ``shares`` by group, the largest first; ``no group`` has the rest.

    Numerai's groups overlap a little, so the sums may add up to more than 1.
    """
    found = {name: sum(shares[each] for each in members if each in shares) for name, members in groups.items()}
    found = {name: found[name] for name, members in groups.items() if any(each in shares for each in members)}
    grouped = {each for members in groups.values() for each in members}
    if any(each not in grouped for each in shares):
        found["no group"] = sum(share for each, share in shares.items() if each not in grouped)
    return dict(sorted(found.items(), key=lambda item: -item[1]))
