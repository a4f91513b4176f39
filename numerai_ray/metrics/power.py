"""Power: the smallest gain that a comparison can tell from noise, before anything is run.

A gain is seen in four cases of five when it lies ndtri(0.8) standard errors above what noise brings to the search that
finds it in one case of twenty (:func:`numerai_ray.metrics.selection.luck`). The standard error follows from the eras
that are scored, their overlap, and the spread of per-era differences: that of stored results, or else the typical one.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from numerai_ray.metrics.distributions import ndtr, ndtri, stdtrit
from numerai_ray.metrics.selection import Search, luck
from numerai_ray.metrics.standard_error import degrees_of_freedom

POWER = 0.8
# Of two configurations of one model on real data: a third of the spread of per-era BMC.
TYPICAL_SPREAD = 60e-4
# Share of its variance that lasts as long as labels overlap.
TYPICAL_OVERLAPPING = 0.5
# Share of its variance that another seed would draw anew, of one fit.
TYPICAL_SEED = 0.5


@dataclass(frozen=True)
class Spread:
    """Per-era differences of two configurations: their std, and the share of its variance that overlaps."""

    std: float = TYPICAL_SPREAD
    overlapping: float = TYPICAL_OVERLAPPING


def foretold_error(spread: Spread, eras: Sequence[int], overlap_eras: int) -> float:
    """Standard error of the mean difference over ``eras`` (ascending calendar eras)."""
    at = np.asarray(eras, np.float64)
    shape = np.clip(1.0 - np.abs(at[:, None] - at) / (overlap_eras + 1.0), 0.0, None)
    variance = spread.overlapping * float(shape.mean()) + (1 - spread.overlapping) / len(at)
    return spread.std * math.sqrt(variance)


def smallest_gain(error: float, eras: int, search: Search) -> float:
    """Gain that ``search`` tells from noise in four cases of five.

    Args:
        error: standard error of the difference.
        eras: how many it is taken over; few make the error itself uncertain.
        search: how the comparison is found.

    """
    degrees = float(degrees_of_freedom(eras))
    needed = float(stdtrit(degrees, ndtr(luck(search))))
    return (needed + float(ndtri(POWER))) * error


def with_seeds(spread: Spread, seeds: int, share: float = TYPICAL_SEED) -> Spread:
    """The spread when ``seeds`` fits are averaged and ``share`` of the variance is the seed's."""
    return Spread(spread.std * math.sqrt(1 - share + share / seeds), spread.overlapping)
