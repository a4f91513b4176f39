"""Random draws: LightGBM's generator, and what it decides: samples of rows and features, bags, seeds.

Source: ``Random`` (``utils/random.h``), ``ColSampler``, ``BaggingSampleStrategy`` and ``Config::Set`` of LightGBM 4.7.
Equal draws are what makes equal trees; the equality tests run against the installed library.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from numerai_ray.trees.compiled import kernel

# One generator serves so many rows of a bag.
BAG_BLOCK_ROWS = 1024
# Seeds that follow from one `seed` are drawn below the largest int16.
_SEED_LIMIT = 2**15 - 1


@dataclass(frozen=True)
class Seeds:
    """What LightGBM draws with; the defaults are its own."""

    data: int = 1
    bagging: int = 3
    features: int = 2


def seeds_from(seed: int) -> Seeds:
    """The seeds that follow from the parameter ``seed``, in the order in which LightGBM draws them."""
    x = seed & 0xFFFFFFFF
    drawn = []
    for _ in range(4):
        x = (214013 * x + 2531011) & 0xFFFFFFFF
        drawn.append((x >> 16 & 0x7FFF) % _SEED_LIMIT)
    data, bagging, _drop, features = drawn
    return Seeds(data, bagging, features)


@kernel
def _draw_sample(state, chosen, wanted):
    """Mark ``wanted`` of the (n,) places of ``chosen``; ``state`` (1,) uint32 is the generator, moved on.

    Two rules: each place by its remaining chance where many are wanted, else a set in which a repeated draw is
    replaced by the last place that could be drawn.
    """
    n = chosen.size
    chosen[:] = False
    if wanted > n or wanted <= 0:
        return
    x = state[0]
    if wanted == n:
        chosen[:] = True
    elif wanted > 1 and wanted > n / math.log2(wanted):
        taken = 0
        for place in range(n):
            x = np.uint32(np.uint32(214013) * x + np.uint32(2531011))
            if np.float64(np.float32((x >> np.uint32(16)) & np.uint32(0x7FFF)) / np.float32(32768)) < (
                wanted - taken
            ) / np.float64(n - place):
                chosen[place] = True
                taken += 1
    else:
        for last in range(n - wanted, n):
            x = np.uint32(np.uint32(214013) * x + np.uint32(2531011))
            drawn = np.int64(x & np.uint32(0x7FFFFFFF)) % (last + 1)
            if chosen[drawn]:
                chosen[last] = True
            else:
                chosen[drawn] = True
    state[0] = x


@kernel
def _draw_bag(states, fraction, in_bag):
    """Draw each of the (n,) rows; ``states`` (n_blocks,) uint32 are the blocks' generators, moved on. Returns how many.

    The share is compared in float32 against a double, as LightGBM does.
    """
    bagged = np.int64(0)
    for block in range(states.size):
        x = states[block]
        for row in range(block * BAG_BLOCK_ROWS, min(in_bag.size, (block + 1) * BAG_BLOCK_ROWS)):
            x = np.uint32(np.uint32(214013) * x + np.uint32(2531011))
            drawn = np.float64(np.float32((x >> np.uint32(16)) & np.uint32(0x7FFF)) / np.float32(32768))
            in_bag[row] = drawn < fraction
            bagged += in_bag[row]
        states[block] = x
    return bagged


def _generator(seed: int) -> npt.NDArray[np.uint32]:
    return np.array([seed & 0xFFFFFFFF], np.uint32)


def sampled_rows(n_rows: int, wanted: int, seed: int) -> npt.NDArray[np.int64]:
    """The rows that bins are made of, ascending: all of them where no more are there than ``wanted``."""
    if wanted >= n_rows:
        return np.arange(n_rows)
    chosen = np.empty(n_rows, np.bool_)
    _draw_sample(_generator(seed), chosen, wanted)
    return np.flatnonzero(chosen)


def feature_draws(n_features: int, fraction: float, seed: int) -> Iterator[npt.NDArray[np.int64]]:
    """For each tree to come, the places of the features it may use, ascending."""
    if fraction >= 1 or not n_features:
        everything = np.arange(n_features)
        while True:
            yield everything
    wanted = max(int(n_features * fraction + 0.5), 1)
    state, chosen = _generator(seed), np.empty(n_features, np.bool_)
    _draw_sample(state, chosen, wanted)  # the first draw is made while LightGBM sets up, and no tree uses it
    while True:
        _draw_sample(state, chosen, wanted)
        yield np.flatnonzero(chosen)


class Bags:
    """Which rows each iteration trains on: drawn anew every ``every`` iterations, a generator a block of rows."""

    def __init__(self, n_rows: int, fraction: float, every: int, seed: int):
        self._fraction, self._every = fraction, every
        blocks = -(-n_rows // BAG_BLOCK_ROWS)
        self._states = (np.arange(blocks, dtype=np.int64) + seed).astype(np.uint32)
        #: (n_rows,) whether a row is in the bag.
        self.in_bag = np.ones(n_rows, np.bool_)
        self._bagged = -1

    def draw(self, iteration: int) -> bool:
        """Move on to ``iteration``; returns whether the bag is a new one. A bag that held all rows stays."""
        if self._bagged == len(self.in_bag) or (self._bagged >= 0 and iteration % self._every):
            return False
        self._bagged = _draw_bag(self._states, self._fraction, self.in_bag)
        return True
