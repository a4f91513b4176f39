"""Drift: how the newest eras differ from the past, held against how much past eras differ from each other.

Eras come in blocks of consecutive ones, the newest last. A number of the newest block says nothing by itself: features
of any two blocks differ a little, and which features pay changes a lot. So each number of the newest block is held
against the same number of every past block, and is unusual when it lies beyond all of them: of B blocks that come from
one market the newest is beyond the others in one of B cases.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from numerai_ray.metrics.era_columns import FloatArray

# With fewer past blocks "beyond all of them" happens too often to be worth a word.
FEWEST_BLOCKS = 9
# A correlation over fewer columns says nothing.
FEWEST_COLUMNS = 10


@dataclass(frozen=True)
class Against:
    """A number of the newest block, and the lowest, middle and highest of the past blocks; NaN where unknown."""

    newest: float
    low: float
    middle: float
    high: float
    blocks: int

    @property
    def is_high(self) -> bool:
        """Whether it is above every past block, of enough of them."""
        return self.blocks >= FEWEST_BLOCKS and self.newest > self.high

    @property
    def is_low(self) -> bool:
        return self.blocks >= FEWEST_BLOCKS and self.newest < self.low


@dataclass(frozen=True, eq=False)
class Blocks:
    """Numbers of B blocks and k columns, the newest block last; all (B, k), NaN where nothing is known.

    ``missing`` is the share of a block's eras that are missing as a whole, ``constant`` whether all its rows have one
    value, ``shift`` the total variation distance of its values to those of all other past blocks, ``correlation`` the
    mean over its eras of the correlation with the target.
    """

    missing: FloatArray
    constant: NDArray[np.bool_]
    shift: FloatArray
    correlation: FloatArray

    def against(self, values: FloatArray) -> Against:
        """(B,) values of the blocks as the newest against the past."""
        past = values[:-1][~np.isnan(values[:-1])]
        if not past.size:
            return Against(float(values[-1]), np.nan, np.nan, np.nan, 0)
        low, middle, high = np.quantile(past, [0, 0.5, 1]).tolist()
        return Against(float(values[-1]), low, middle, high, len(past))

    def missing_share(self, columns: Sequence[int]) -> FloatArray:
        """(B,): share of missing cells, an era and column each."""
        found: FloatArray = self.missing[:, columns].mean(axis=1)
        return found

    def mean_shift(self, columns: Sequence[int]) -> FloatArray:
        """(B,): mean over the columns that have values."""
        return _mean_of_known(self.shift[:, columns])

    def agreement(self, columns: Sequence[int]) -> FloatArray:
        """(B,): correlation, over the columns, of what pays in a block with what pays in the other past blocks."""
        values = self.correlation[:, columns]
        past, found = values[:-1], np.full(len(values), np.nan)
        for block in range(len(values)):
            others = _mean_of_known(np.delete(past, block, axis=0) if block < len(past) else past, axis=0)
            both = ~np.isnan(values[block]) & ~np.isnan(others)
            x, y = values[block][both], others[both]
            if len(x) >= FEWEST_COLUMNS and np.ptp(x) > 0 and np.ptp(y) > 0:
                found[block] = np.corrcoef(x, y)[0, 1]
        return found

    def newly_constant(self) -> list[int]:
        """Columns that have one value in the newest block, and had several in the one before it."""
        found: list[int] = np.flatnonzero(self.constant[-1] & ~self.constant[-2]).tolist()
        return found


def blocks_of(counts: NDArray[np.int64], correlations: FloatArray, missing_value: int | None = 2) -> Blocks:
    """Blocks from eras.

    Args:
        counts: (B, e, k, v), rows of each of v values in each of a block's e eras.
        correlations: (B, e, k) with the target, NaN where unknown.
        missing_value: the value that stands for "missing" where a whole era has no other; None: there is none.

    """
    rows = counts.sum(axis=3)
    kinds = (counts > 0).sum(axis=3)
    gone = rows == 0
    if missing_value is not None:
        gone |= (kinds == 1) & (counts[..., missing_value] > 0)
    known = np.where(gone[..., None], 0, counts)
    totals = known.sum(axis=1)
    past = totals[:-1].sum(axis=0)
    others = np.concatenate([past[None] - totals[:-1], past[None]])
    distance = np.abs(_shares(totals) - _shares(others)).sum(axis=2) / 2
    constant = (counts.sum(axis=1) > 0).sum(axis=2) == 1
    return Blocks(gone.mean(axis=1), constant, distance, _mean_of_known(np.where(gone, np.nan, correlations), axis=1))


def _shares(totals: NDArray[np.int64]) -> FloatArray:
    rows = totals.sum(axis=2, keepdims=True)
    return np.where(rows > 0, totals / np.maximum(rows, 1), np.nan)


def _mean_of_known(values: FloatArray, axis: int = 1) -> FloatArray:
    """Mean without NaN; NaN where nothing is known."""
    known = ~np.isnan(values)
    count = known.sum(axis=axis)
    total = np.where(known, values, 0.0).sum(axis=axis)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)
