"""Bins: which thresholds a feature has, and which features LightGBM leaves out before it draws any.

LightGBM makes bins of a sample of rows, gives a value of its own bin only if it is seen three times, and filters
features that no threshold splits into two parts of ``min_data_in_leaf`` rows, as far as the sample tells.

Source: ``BinMapper::FindBin`` and ``NeedFilter`` (``io/bin.cpp``), ``DatasetLoader`` of LightGBM 4.7.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from numerai_ray.trees.compiled import kernel, values_at
from numerai_ray.trees.histograms import VALUES

SAMPLED_ROWS = 200_000  # bin_construct_sample_cnt
LEAST_IN_BIN = 3  # min_data_in_bin
# The bin of 0 ends here: LightGBM's kZeroThreshold, which is a float32.
ZERO_ENDS = float(np.float32(1e-35))
_LOOKED_AT_ONCE = 2048


@dataclass(frozen=True, eq=False)
class Bins:
    """What LightGBM would make of ``k`` columns.

    ``ends`` (k,) uint8: bit ``v`` is set where a threshold parts the values up to ``v`` from the others; ``bounds``
    (k, 4): that threshold as LightGBM writes it, NaN where there is none; ``usable``: the columns, ascending, that
    features are drawn from; ``lowest`` and ``highest`` (k,) are the values seen.
    """

    ends: npt.NDArray[np.uint8]
    bounds: npt.NDArray[np.float64]
    usable: npt.NDArray[np.int64]
    lowest: npt.NDArray[np.int64]
    highest: npt.NDArray[np.int64]


@kernel
def _count_values(columns, n_rows, sample, enough, counts):
    """Count the values of each column in the rows ``sample`` (m,), into ``counts`` (k, 5).

    No further than where nothing is left to decide: each value is seen often enough for a bin of its own, and one
    threshold has ``enough`` rows on both sides. Most columns are decided by one look at a few thousand rows.
    """
    for place in range(columns.size):
        values = values_at(columns[place], 0, n_rows)
        seen = counts[place]
        for first in range(0, sample.size, _LOOKED_AT_ONCE):
            for i in range(first, min(sample.size, first + _LOOKED_AT_ONCE)):
                seen[values[sample[i]]] += 1
            least, best, left, total = seen[0], np.int64(0), np.int64(0), seen.sum()
            for value in range(VALUES - 1):
                left += seen[value]
                best = max(best, min(left, total - left))
                least = min(least, seen[value + 1])
            if least >= LEAST_IN_BIN and best >= enough:
                break


def bins_of(
    columns: npt.NDArray[np.uintp], n_rows: int, sample: npt.NDArray[np.int64], enough: int, *, pre_filter: bool
) -> Bins:
    """Bins of int8 columns at these addresses, made of the rows ``sample``.

    Args:
        columns: (k,) addresses of ``n_rows`` values 0..4 each.
        n_rows: rows of a column.
        sample: (m,) rows that are looked at.
        enough: rows of the sample that a threshold must have on both sides (LightGBM's ``filter_cnt``).
        pre_filter: leave out features that no threshold splits so.

    """
    counts = np.zeros((len(columns), VALUES), np.int64)
    _count_values(columns, n_rows, sample, enough, counts)
    ends = np.zeros(len(columns), np.uint8)
    bounds = np.full((len(columns), VALUES - 1), np.nan)
    usable = np.ones(len(columns), np.bool_)
    # Hardly any two columns differ in which values they take: each pattern is worked out once.
    usual = np.flatnonzero((counts >= LEAST_IN_BIN).all(axis=1))
    ends[usual], bounds[usual] = 0b1111, _bounds_of([LEAST_IN_BIN] * VALUES)
    for place in np.setdiff1d(np.arange(len(columns)), usual, assume_unique=True):
        bounds[place] = _bounds_of(counts[place].tolist())
        there = np.flatnonzero(~np.isnan(bounds[place]))
        ends[place] = sum(1 << int(value) for value in there)
        usable[place] = len(there) > 0
    if pre_filter:
        left = counts.cumsum(axis=1)[:, :-1]
        parted = (left >= enough) & (counts.sum(axis=1, keepdims=True) - left >= enough)
        usable &= (parted & ((ends[:, None] >> np.arange(VALUES - 1)) & 1).astype(bool)).any(axis=1)
    seen = counts > 0
    return Bins(ends, bounds, np.flatnonzero(usable), seen.argmax(axis=1), VALUES - 1 - seen[:, ::-1].argmax(axis=1))


def _bounds_of(counts: Sequence[int]) -> npt.NDArray[np.float64]:
    """(4,): LightGBM's threshold above each value, at the greatest value that goes left by it; NaN where none is."""
    bounds = np.full(VALUES - 1, np.nan)
    above = [value for value in range(1, VALUES) if counts[value]]
    if above:
        bounds[0] = ZERO_ENDS  # 0 has a bin of its own, however rare it is
    in_bin = 0
    for value, following in pairwise(above):
        in_bin += counts[value]
        if in_bin >= LEAST_IN_BIN:
            middle = (value + following) / 2
            bounds[int(middle)] = np.nextafter(middle, np.inf)
            in_bin = 0
    return bounds
