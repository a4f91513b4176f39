"""Forest: grown trees as arrays, what they predict, and what each feature gained in them."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from numerai_ray.trees.bins import Bins
from numerai_ray.trees.compiled import LINE_BYTES, Team, kernel, prefetch, values_at

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int32]
# Rows that go through the trees together: their features and leaf numbers stay in the second-level cache.
BLOCK_ROWS = 4096
# Trees whose arrays are joined at once, so that a large forest is not held twice.
TREES_AT_ONCE = 64


@dataclass(frozen=True, eq=False)
class Tree:
    """One tree: an entry an inner node (k,), in the order in which leaves were split, and an entry a leaf (k + 1,).

    Inner node ``i`` split leaf number ``leaf[i]``: rows above ``threshold[i]`` in column ``feature[i]`` went to the new
    leaf ``i + 1``. ``leaf_value`` is what a leaf adds to the score, learning rate included, and the average of the
    target in a first tree. Weights are sums of hessians, counts are rows, ``gain`` is what a split gained.
    """

    leaf: Integers
    feature: Integers
    threshold: npt.NDArray[np.int8]
    gain: npt.NDArray[np.float32]
    node_value: Floats
    node_weight: Floats
    node_count: Integers
    leaf_value: Floats
    leaf_weight: Floats
    leaf_count: Integers
    shrinkage: float

    @property
    def n_leaves(self) -> int:
        return len(self.leaf_value)


def constant_tree(value: float, n_rows: int) -> Tree:
    """A tree of one leaf, as LightGBM keeps it where the first one finds no split."""
    whole, real = np.empty(0, np.int32), np.empty(0)
    thresholds, gains = np.empty(0, np.int8), np.empty(0, np.float32)
    count = np.array([n_rows], np.int32)
    return Tree(whole, whole, thresholds, gains, real, real, whole, np.array([value]), np.zeros(1), count, 1.0)


@kernel
def _add_trees(columns, start, stop, trees, numbers, out):
    """Add what trees predict for rows ``start`` to ``stop`` of the columns to ``out`` (stop - start,).

    A row's leaf number is followed through all splits in their order: those of leaf ``a`` above the threshold get the
    new leaf's. All rows do the same, so a vector instruction serves 64 of them, and no row waits for memory; following
    rows one by one from node to node took LightGBM ten times as long. Each split asks for its column's next rows.
    """
    leaf, feature, threshold, leaf_value, first_leaf = trees
    for begin in range(start, stop, BLOCK_ROWS):
        n = min(BLOCK_ROWS, stop - begin)
        rows, at = np.uint64(n), np.uint64(begin - start)  # unsigned, see histograms
        for tree in range(first_leaf.size - 1):
            adds = leaf_value[first_leaf[tree] : first_leaf[tree + 1]]
            nodes = first_leaf[tree] - tree  # a tree has one inner node less than leaves
            for row in range(rows):
                numbers[row] = 0
            for new in range(1, adds.size):
                node = nodes + new - 1
                values = values_at(columns[feature[node]], begin, n)
                split, above, number = leaf[node], threshold[node], numbers.dtype.type(new)
                for row in range(rows):
                    moves = (numbers[row] == split) & (values[row] > above)
                    numbers[row] = number if moves else numbers[row]
                for byte in range(n, 2 * n, LINE_BYTES):
                    prefetch(columns[feature[node]] + np.uintp(begin + byte))
            for row in range(rows):
                out[at + row] += adds[numbers[row]]


def leaf_numbers(most: int) -> type[np.unsignedinteger[Any]]:
    """The type of a leaf's number, for so many leaves at most: a vector instruction does more of a shorter one."""
    return np.uint8 if most <= 1 << 8 else np.uint16 if most <= 1 << 16 else np.uint32


def add_trees(
    trees: Sequence[Tree], columns: npt.NDArray[np.uintp], ranges: Sequence[tuple[int, int]], out: Floats, team: Team
) -> None:
    """Add what ``trees`` predict to ``out`` (n,), whose rows are ``ranges`` of the int8 columns at these addresses."""
    for first in range(0, len(trees), TREES_AT_ONCE):
        some = trees[first : first + TREES_AT_ONCE]
        number = leaf_numbers(max(tree.n_leaves for tree in some))
        arrays = (
            np.concatenate([tree.leaf for tree in some]).astype(number),
            np.concatenate([tree.feature for tree in some]),
            np.concatenate([tree.threshold for tree in some]),
            np.concatenate([tree.leaf_value for tree in some]),
            np.cumsum([0, *(tree.n_leaves for tree in some)]),
        )
        done = 0
        pieces = []
        for start, stop in ranges:
            for begin, end in team.shares(stop - start, start):
                pieces.append(
                    (columns, begin, end, arrays, np.empty(BLOCK_ROWS, number), out[done : done + end - begin])
                )
                done += end - begin
        team.run(_add_trees, pieces)


@dataclass(frozen=True, eq=False)
class Forest:
    """Boosted trees in the order in which they were grown; what they predict is the sum of all.

    ``after[i]`` is how many trees there were after ``i + 1`` tries: a try that found no split added none.
    """

    trees: tuple[Tree, ...]
    bins: Bins
    after: tuple[int, ...]

    def predict(
        self,
        columns: Sequence[npt.NDArray[np.int8]],
        ranges: Sequence[tuple[int, int]],
        lengths: Sequence[int] | None = None,
        threads: int = 1,
    ) -> list[Floats]:
        """What the forest predicts after each of ``lengths`` tries, ascending (None: after all), (n,) each.

        Args:
            columns: (rows,) int8 each, values 0..4, contiguous, in the order of those it was grown on.
            ranges: the rows to predict, as (start, stop).
            lengths: numbers of tries.
            threads: how many to use; predictions are the same for any number.

        Raises:
            ValueError: columns are not contiguous int8, not as many as it was grown on, or have not all of the rows.

        """
        where = addresses(columns)
        if len(columns) != len(self.bins.ends):
            raise ValueError(f"the forest was grown on {len(self.bins.ends)} columns, but is given {len(columns)}")
        n = min(map(len, columns))
        if not all(0 <= start <= stop <= n for start, stop in ranges):
            raise ValueError(f"rows to predict must be among the {n} of the columns, but are {list(ranges)}")
        team = Team(threads)
        scores = np.zeros(sum(stop - start for start, stop in ranges))
        found, grown = [], 0
        for length in lengths or [len(self.after)]:
            there = self._grown(length)
            add_trees(self.trees[grown:there], where, ranges, scores, team)
            grown = there
            found.append(scores.copy())
        team.close()
        return found

    def importance(self, length: int | None = None) -> Floats:
        """(n_columns,): what each feature gained, in all trees or in those of the first ``length`` tries."""
        gained = np.zeros(len(self.bins.ends))
        for tree in self.trees[: None if length is None else self._grown(length)]:
            np.add.at(gained, tree.feature, np.maximum(tree.gain.astype(np.float64), 0.0))
        return gained

    def _grown(self, length: int) -> int:
        return self.after[length - 1] if length else 0


def addresses(columns: Iterable[npt.NDArray[np.int8]]) -> npt.NDArray[np.uintp]:
    """Where each column begins in memory; the columns must outlive the use of it.

    Raises:
        ValueError: a column is not contiguous int8.

    """
    found = []
    for column in columns:
        if column.dtype != np.int8 or not column.flags.c_contiguous:
            raise ValueError(f"a column must be contiguous int8, but is {column.dtype} with strides {column.strides}")
        found.append(column.__array_interface__["data"][0])
    return np.array(found, np.uintp)
