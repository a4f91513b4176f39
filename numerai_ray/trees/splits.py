"""Splits: the best one of a node by its histograms, under LightGBM's rules, and the rows it sends left and right.

Source: ``FeatureHistogram::FindBestThresholdSequentially`` and ``SplitInfo`` of LightGBM 4.7.
"""

from typing import NamedTuple

import numpy as np

from numerai_ray.trees.compiled import ROWS_AHEAD, kernel, prefetch, values_at
from numerai_ray.trees.histograms import QUAD, VALUES

EPSILON = 1e-15  # LightGBM's kEpsilon, which sums of hessians begin with
# Where fewer rows than one in so many are read, the processor does not foresee which lines of memory are next.
SPARSE = 8


class Rules(NamedTuple):
    """When a node may be split, and what a split is worth.

    ``step`` is the gradient of one step, ``hessian_step`` the hessian of one: 0 without weights, when a row's is 1.
    """

    min_data: int
    min_hessian: float
    l1: float
    l2: float
    min_gain: float
    step: float
    hessian_step: float


@kernel
def _shrunk(gradient, l1):
    return gradient if l1 == 0 else np.sign(gradient) * max(0.0, abs(gradient) - l1)


@kernel
def _gain(gradient, hessian, rules):
    shrunk = _shrunk(gradient, rules.l1)
    return shrunk * shrunk / (hessian + rules.l2)


@kernel
def best_split(histogram, features, ends, n_features, can_split, sums, n_rows, rules):
    """The best split of a node.

    Args:
        histogram: (quads, 4, 5, 2) sums of gradients and of rows (with weights: of hessians), in steps.
        features: (4 x quads,) columns.
        ends: (k,) by column, a bit a value that ends a bin: the thresholds there are.
        n_features: how many of ``features`` count.
        can_split: (n_features,) features that could split the parent; those that cannot split this node are left out.
        sums: gradient and hessian (without weights: rows) of the node, in steps.
        n_rows: rows of the node.
        rules: see :class:`Rules`.

    Returns:
        gain (-inf where there is none), place of the feature, threshold, and the left side's two sums.

    """
    weighted = rules.hessian_step > 0
    gradient = sums[0] * rules.step
    hessian = sums[1] * rules.hessian_step if weighted else float(n_rows)
    rows_a_hessian = n_rows / hessian
    shift = _gain(gradient, hessian, rules) + rules.min_gain
    best, best_place, best_threshold = -np.inf, -1, 0
    best_left, best_left_hessian = np.int64(0), np.int64(0)
    for place in range(n_features):
        if not can_split[place]:
            continue
        found = -np.inf
        bins = histogram[place // QUAD, place % QUAD]
        threshold_bits = ends[features[place]]
        right, right_hessian, right_rows, bin_hessian = np.int64(0), np.int64(0), np.int64(0), np.int64(0)
        threshold, left_sum, left_hessian_sum = 0, np.int64(0), np.int64(0)
        for value in range(VALUES - 1, 0, -1):
            right += bins[value, 0]
            right_hessian += bins[value, 1]
            bin_hessian += bins[value, 1]
            if not threshold_bits >> (value - 1) & 1:
                continue
            if weighted:  # LightGBM estimates a bin's rows by its hessian
                right_rows += np.int64(bin_hessian * rules.hessian_step * rows_a_hessian + 0.5)
                bin_hessian = np.int64(0)
                h_right = right_hessian * rules.hessian_step + EPSILON
            else:
                right_rows = right_hessian
                h_right = float(right_rows)
            if right_rows < rules.min_data or h_right < rules.min_hessian:
                continue
            h_left = hessian - h_right
            if n_rows - right_rows < rules.min_data or h_left < rules.min_hessian:
                break
            g_right = right * rules.step
            gain = _gain(gradient - g_right, h_left, rules) + _gain(g_right, h_right, rules)
            if gain > shift and gain > found:
                found, threshold = gain, value - 1
                left_sum, left_hessian_sum = sums[0] - right, sums[1] - right_hessian
        can_split[place] = found > -np.inf
        # Of equal gains the first feature's wins, as LightGBM has it; places are in the order of columns.
        if found - shift > best:
            best, best_place, best_threshold = found - shift, place, threshold
            best_left, best_left_hessian = left_sum, left_hessian_sum
    return best, best_place, best_threshold, best_left, best_left_hessian


@kernel
def partition(address, n_rows, ids, begin, end, threshold, out, left, right):
    """Write the rows ``ids[begin:end]`` that go left to ``out`` from ``left`` upwards, the others down from ``right``.

    Without a branch: which way a row goes cannot be foreseen, so it is written to both places, of which one moves on.
    Places are unsigned, or numba would look whether they are negative. Returns where the next left one would go.
    """
    values = values_at(address, 0, n_rows)
    start, stop, place = np.uint64(begin), np.uint64(end), np.uint64(left)
    ahead, distance = start, np.uint64(ROWS_AHEAD)
    last = np.uint64(right + begin - left)  # with every row, the right place or the left one moves
    if (end - begin) * SPARSE < n_rows:
        ahead = np.uint64(max(begin, end - ROWS_AHEAD))
        for i in range(start, ahead):
            prefetch(address + np.uintp(ids[i + distance]))
            row = ids[i]
            out[last - i + place] = row
            out[place] = row
            place += np.uint64(values[row] <= threshold)
    for i in range(ahead, stop):
        row = ids[i]
        out[last - i + place] = row
        out[place] = row
        place += np.uint64(values[row] <= threshold)
    return np.int64(place)


@kernel
def join_parts(ids, parts, ends):
    """Bring rows that were parted in several parts to one left and one right side; returns where the right one begins.

    ``parts`` (m, 2) are neighbouring ranges of ``ids``, the lefts of each before ``ends`` (m,). As many right ones lie
    before the border as left ones behind it: they change places. No result depends on the order of a leaf's rows.
    """
    border = parts[0, 0]
    for part in range(ends.size):
        border += ends[part] - parts[part, 0]
    source, place = 0, max(border, parts[0, 0])
    for part in range(ends.size):
        for wrong in range(ends[part], min(parts[part, 1], border)):
            while place >= ends[source]:
                source += 1
                place = max(border, parts[source, 0])
            ids[wrong], ids[place] = ids[place], ids[wrong]
            place += 1
    return border
