"""What trees predict, eight rows at a time: a bit a row tells whether it goes left.

A Numerai feature has five values, so a split parts rows in one of four ways for each feature, whatever the number of
trees. Of a block of rows every way is worked out once, eight rows to a byte; where the rows go in a tree is then a few
ANDs and XORs over kilobytes that stay in the processor's nearest caches. LightGBM follows every row through every tree
by itself (``tests/benchmarks/validation_scores.py`` measures both).

Leaf values are added tree after tree, as LightGBM adds them: the sums are the same to the last bit.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Bits = npt.NDArray[np.uint8]
Way = tuple[int, float]  # a feature, and the threshold up to which its values go left

# Rows at a time: a bit of each for every way, and the leaves of one tree, have room in the caches.
BLOCK_ROWS = 1 << 16
# Objectives that predict the sum of leaves as it is.
PLAIN_OBJECTIVES = frozenset({"regression", "regression_l1", "huber", "fair", "quantile", "mape"})
_WHOLE, _REAL = ("split_feature", "decision_type", "left_child", "right_child"), ("threshold", "leaf_value")
_CATEGORICAL = 1  # the bit of a decision type


@dataclass(frozen=True, eq=False)
class Tree:
    """One tree: the way of each inner node and its two children, a leaf as ``~leaf``; what each leaf adds.

    Arrays and not lists: a model may have tens of thousands of trees, and of large ones.
    """

    feature: npt.NDArray[np.int32]
    threshold: Floats
    left: npt.NDArray[np.int32]
    right: npt.NDArray[np.int32]
    leaf_value: Floats

    def ways(self) -> list[Way]:
        """The way of each inner node."""
        return list(zip(self.feature.tolist(), self.threshold.tolist(), strict=True))


class BinnedColumns(Protocol):
    """Features of a batch of rows, in bins."""

    n_rows: int

    def highest(self, feature: int) -> Floats | None:
        """The greatest value of each bin, ascending; None where bins of that feature are not plainly known."""
        ...

    def bins(self, feature: int, start: int, stop: int) -> Bits:
        """The bins of rows ``start`` to ``stop`` (n,)."""
        ...


def read_trees(text: str) -> list[Tree] | None:
    """The trees of a LightGBM model's text; None where it predicts something else than the sum of plain splits."""
    header, *bodies = text.partition("\nend of trees")[0].split("\nTree=")
    objective = next((line[10:].split() for line in header.splitlines() if line.startswith("objective=")), [""])
    if objective[0] not in PLAIN_OBJECTIVES or "sqrt" in objective or "\naverage_output" in header:
        return None
    trees = []
    for body in bodies:
        lines = dict(line.partition("=")[::2] for line in body.splitlines()[1:])
        whole = {name: np.array(lines.get(name, "").split(), np.int32) for name in _WHOLE}
        real = {name: np.array(lines.get(name, "").split(), np.float64) for name in _REAL}
        if (whole["decision_type"] & _CATEGORICAL).any() or lines.get("is_linear", "0") != "0":
            return None
        feature, _, left, right = whole.values()
        trees.append(Tree(feature, real["threshold"], left, right, real["leaf_value"]))
    return trees


def predicted(trees: Sequence[Tree], columns: BinnedColumns, lengths: Sequence[int]) -> list[Floats] | None:
    """What the first ``lengths`` trees predict for all rows, (n_rows,) each; None where a threshold ends no bin."""
    ways = _last_bins({way for tree in trees for way in tree.ways()}, columns)
    if ways is None:
        return None
    found = {length: np.empty(columns.n_rows) for length in lengths}
    for start in range(0, columns.n_rows, BLOCK_ROWS):
        stop = min(start + BLOCK_ROWS, columns.n_rows)
        goes_left = {}
        for feature, ends in ways.items():
            bins = columns.bins(feature, start, stop)
            goes_left.update({(feature, threshold): np.packbits(bins <= last) for threshold, last in ends.items()})
        scores = np.zeros(stop - start)
        for grown, tree in enumerate([None, *trees[: max(lengths)]]):
            if tree is not None:
                _add(scores, tree, goes_left)
            if grown in found:
                found[grown][start:stop] = scores
    return [found[length] for length in lengths]


def _last_bins(ways: set[Way], columns: BinnedColumns) -> dict[int, dict[float, int]] | None:
    """By feature and threshold, the last bin that goes left."""
    found: dict[int, dict[float, int]] = {}
    for feature, threshold in ways:
        highest = columns.highest(feature)
        if highest is None or threshold not in highest:
            return None
        found.setdefault(feature, {})[threshold] = int(np.searchsorted(highest, threshold))
    return found


def _add(scores: Floats, tree: Tree, goes_left: Mapping[Way, Bits]) -> None:
    """Add the value of each row's leaf."""
    leaves = len(tree.leaf_value)
    if leaves == 1:
        scores += tree.leaf_value[0]
        return
    n_bytes = -(-len(scores) // 8)
    at_node = list(np.empty((leaves - 1, n_bytes), np.uint8))
    at_leaf = np.empty((leaves, n_bytes), np.uint8)
    rows_of_leaf = list(at_leaf)
    at_node[0].fill(255)
    for here, way, left, right in zip(at_node, tree.ways(), tree.left.tolist(), tree.right.tolist(), strict=True):
        to_left = at_node[left] if left >= 0 else rows_of_leaf[~left]
        np.bitwise_and(here, goes_left[way], out=to_left)
        np.bitwise_xor(here, to_left, out=at_node[right] if right >= 0 else rows_of_leaf[~right])
    scores += tree.leaf_value.take(_numbered(rows_of_leaf, len(scores)))


def _numbered(rows_of_leaf: Sequence[Bits], n_rows: int) -> npt.NDArray[np.unsignedinteger]:
    """The leaf of each row (n_rows,), from the rows of each leaf; theirs are overwritten.

    Leaf by leaf from the last, rows are gathered whose leaf is that one or a later one. A bit of a number changes with
    every so many numbers: of rows at leaf 6 or later, 4 or later and 2 or later, those of 4 and 5 are in two.
    """
    last = len(rows_of_leaf) - 1
    for leaf in range(last - 1, 0, -1):
        np.bitwise_or(rows_of_leaf[leaf], rows_of_leaf[leaf + 1], out=rows_of_leaf[leaf])
    kind = np.min_scalar_type(last)
    number = np.zeros(n_rows, kind)
    for place in range(last.bit_length()):
        step = 1 << place
        plane = rows_of_leaf[step].copy()
        for leaf in range(2 * step, last + 1, step):
            np.bitwise_xor(plane, rows_of_leaf[leaf], out=plane)
        number |= np.left_shift(np.unpackbits(plane, count=n_rows), place, dtype=kind)
    return number
