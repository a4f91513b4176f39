"""Selection: how sure a difference is when it was searched for, in one round or in a chain of rounds.

A chain judges k_r variants in round r and moves its base m times, each time to the best of a round. What it ends with
differs from where it began by the sum of m such steps, and it was free in which rounds it moved. So noise is compared
with what noise can reach in that way::

    T_m = (sum of the m largest of the best of each round) / sqrt(m)     standard errors, m = 1 … R

with independent normal differences. That is the worst case: differences of one round share their base, which makes
the best of them smaller (Slepian 1962); steps of unequal size, or steps that undo each other, give a smaller sum of
bests for the standard error of their sum (Cauchy and Schwarz), and so do steps that repeat each other.

p_m(t) = P(T_m >= t) would be the p-value if m were fixed beforehand. A rule of promotion chooses m while it looks at
the data (a margin of one standard error does), so the smallest of p_1 … p_R is calibrated as a whole (Westfall and
Young 1993)::

    p(t, m) = P(min over all m' of p_m'(T_m') <= p_m(t))

which holds for every rule of promotion and for none. Where eras decide that did not all choose, what is judged
correlates by c < 1 with what chose, and c T_m + sqrt(1 - c²) N(0, 1) takes the place of T_m: the rest was not selected.
One round of k variants is the ordinary 1 - (1 - tail)^k. Where draws are too few, p is at most R · e_m(k) · tail, with
e_m the number of ways to choose m rounds and a variant of each (Bonferroni): no p-value has a floor.

The product of variants and 2^moves looks like this count and is not: ``tests/benchmarks/lines_of_inquiry.py``.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from numerai_ray.metrics.distributions import ndtri

FloatArray = NDArray[np.float64]

# A gain is clear when noise brings one as large in at most this share of experiments.
LEVEL = 0.05
DRAWS = 40_000
# A search of more rounds than this has fewer: a p-value of .05 is then exact to .004 instead of .002 (95 %).
LONG, DRAWS_OF_LONG = 128, 10_000
# Of a long search's draws these are held at a time: sums of so many moves, made of so many draws.
MOST_SUMS, AT_ONCE = 512, 1_000
SHARE_STEP = 0.05


@dataclass(frozen=True)
class Search:
    """How something was found: variants judged in each round, and how often the base moved on the way to it.

    ``share`` is the correlation under mere noise of what is judged with what chose: 1 on the same eras.
    """

    judged: tuple[int, ...] = (1,)
    moves: int = 1
    share: float = 1.0

    def __post_init__(self) -> None:
        if not self.judged or min(self.judged) < 1 or not 1 <= self.moves <= len(self.judged):
            raise ValueError(f"a search has rounds of variants and moves in some of them, but got {self}")

    @property
    def variants(self) -> int:
        """All that were judged."""
        return sum(self.judged)


# One comparison that was fixed beforehand.
ALONE = Search()


def selected_p_value(tail: float, search: Search) -> float:
    """How often noise brings as much to what ``search`` found.

    Args:
        tail: share of noise that brings as much to one comparison fixed beforehand (one-sided); NaN is unknown.
        search: how the comparison was chosen.

    """
    if math.isnan(tail):
        return math.nan
    if len(search.judged) == 1 and search.share >= 1:
        return best_of(tail, search.judged[0])
    # In steps, upwards, so that searches alike share their draws.
    share = min(1.0, math.ceil(search.share / SHARE_STEP) * SHARE_STEP)
    column, smallest = _reference(tuple(sorted(search.judged)), round(share, 2), search.moves)
    # Both counts include the case at hand: never 0, and never an underestimate (Phipson and Smyth 2010).
    own = (1.0 + len(column) - np.searchsorted(column, -ndtri(tail), side="left")) / (1.0 + len(column))
    drawn = (1.0 + np.searchsorted(smallest, own, side="right")) / (1.0 + len(smallest))
    bound = len(search.judged) * _ways(search.judged, search.moves) * tail
    return float(min(1.0, drawn, bound))


def best_of(tail: float, count: int) -> float:
    """Chance that the best of ``count`` independent comparisons has so small a ``tail`` (Šidák 1967)."""
    return -math.expm1(count * math.log1p(-tail)) if tail < 1 else 1.0


def luck(search: Search) -> float:
    """Standard errors that noise brings to what ``search`` finds in one case of twenty."""
    low, high = 0.0, 12.0
    for _ in range(40):
        middle = (low + high) / 2
        above = selected_p_value(0.5 * math.erfc(middle / math.sqrt(2)), search) > LEVEL
        low, high = (middle, high) if above else (low, middle)
    return high


@lru_cache(maxsize=16)
def _reference(judged: tuple[int, ...], share: float, moves: int) -> tuple[FloatArray, FloatArray]:
    """Draws of T_moves (by ``share``), ascending, and of the smallest p-value of a draw, ascending; both (draws,)."""
    draws = DRAWS if len(judged) <= LONG else DRAWS_OF_LONG
    above = np.full(draws, draws, np.int64)
    ranks = np.empty(draws, np.int64)
    falling = np.arange(draws, 0, -1)
    for first in range(0, len(judged), MOST_SUMS):
        for number, sums in enumerate(_sums(judged, share, first, draws), start=first + 1):
            ranks[np.argsort(sums)] = falling
            np.minimum(above, ranks, out=above)
            if number == moves:
                chosen = np.sort(sums)
    return chosen, np.sort(above / (1.0 + draws))


def _sums(judged: tuple[int, ...], share: float, first: int, draws: int) -> FloatArray:
    """Draws of the T after ``first`` moves, at most :data:`MOST_SUMS` of them: (n, draws), always the same ones."""
    rng = np.random.default_rng([len(judged), *judged])
    roots, moves = 1.0 / np.array(judged), np.arange(1, len(judged) + 1)
    last = min(first + MOST_SUMS, len(judged))
    sums = np.empty((last - first, draws))
    for start in range(0, draws, AT_ONCE):
        # The best of k independent normals is the k-th root of a uniform, as a quantile.
        best = ndtri(rng.random((AT_ONCE, len(judged))) ** roots)
        best.sort(axis=1)
        sums[:, start : start + AT_ONCE] = (best[:, ::-1].cumsum(axis=1) / np.sqrt(moves))[:, first:last].T
    if share < 1:
        sums *= share
        sums += math.sqrt(1 - share**2) * rng.standard_normal(draws)
    return sums


def _ways(judged: Sequence[int], moves: int) -> float:
    """Elementary symmetric polynomial e_moves of ``judged``."""
    ways = np.zeros(moves + 1)
    ways[0] = 1.0
    for count in judged:
        ways[1:] += count * ways[:-1]
    return float(ways[moves])
