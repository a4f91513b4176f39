"""Nodes of a tree under way: how one is expanded, and which leaf is split next.

Growing a tree leaf by leaf is two things. A node is *expanded*: its rows are parted, the smaller child's histogram is
summed, the larger one's is what is left of the parent's, and the best split of both is found. It is *committed*: the
expanded leaf of the highest gain becomes an inner node, its children leaves. What an expansion finds depends on its
node alone, so expansions may run side by side, and ahead of what is committed; what is committed depends on gains
alone. The tree is the same for any number of threads.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from numerai_ray.trees import leaf_histograms, splits
from numerai_ray.trees.compiled import ROWS_AHEAD, kernel, prefetch
from numerai_ray.trees.splits import Rules, partition

NODE = np.dtype(
    [
        ("begin", np.int64),  # its rows are ids[buffer, begin:end]
        ("end", np.int64),
        ("buffer", np.int64),
        ("depth", np.int64),
        ("gradient", np.int64),  # sums in steps; without weights the hessian is the number of rows
        ("hessian", np.int64),
        ("gain", np.float64),  # of its best split; -inf where there is none
        ("place", np.int64),  # of the split's feature among those drawn
        ("threshold", np.int64),
        ("left_gradient", np.int64),
        ("left_hessian", np.int64),
        ("slot", np.int64),  # of its histogram in the pool; -1 where it has none
        ("child", np.int64),  # the left one, before the right one; -1 until expanded
    ]
)
SPLIT = np.dtype([("leaf", np.int64), ("node", np.int64)])


class Growth(NamedTuple):
    """A tree under way. ``leaves`` (num_leaves,) are the nodes of its leaves, ``splits`` its inner nodes in order.

    ``ids`` (3, n) hold row numbers: all that are used, and two buffers between which children alternate. ``pool``
    (slots, quads, 4, 5, 2) are histograms, ``can_split`` (slots, features) goes with them, ``free`` lists unused slots.
    ``counts`` are nodes, leaves, free slots.
    """

    nodes: npt.NDArray[np.void]
    ids: npt.NDArray[np.uint32]
    pool: npt.NDArray[np.int64]
    can_split: npt.NDArray[np.bool_]
    free: npt.NDArray[np.int64]
    leaves: npt.NDArray[np.int64]
    splits: npt.NDArray[np.void]
    counts: npt.NDArray[np.int64]
    n_features: int
    max_depth: int


NODES, LEAVES, FREE = 0, 1, 2  # places in Growth.counts


@kernel
def find_split(growth, node, packed, ends, rules):
    """Find the best split of a node whose histogram is there."""
    own = growth.nodes[node]
    found = splits.best_split(
        growth.pool[own.slot],
        packed.features,
        ends,
        growth.n_features,
        growth.can_split[own.slot],
        (own.gradient, own.hessian),
        own.end - own.begin,
        rules,
    )
    own.gain, own.place, own.threshold, own.left_gradient, own.left_hessian = found


@kernel
def commit(growth):
    """Commit leaves of the highest gain while these are expanded; returns the first that is not, -1 at the end."""
    nodes, leaves, counts = growth.nodes, growth.leaves, growth.counts
    while counts[LEAVES] < leaves.size:
        best = 0
        for leaf in range(1, counts[LEAVES]):
            own, other = nodes[leaves[leaf]], nodes[leaves[best]]
            # Of equal gains that of the first feature is taken, then that of the first leaf, as LightGBM has it.
            if own.gain > other.gain or (own.gain == other.gain and own.place < other.place):
                best = leaf
        node = leaves[best]
        if not nodes[node].gain > 0:
            return -1
        if nodes[node].child < 0:
            return node
        split = growth.splits[counts[LEAVES] - 1]
        split.leaf, split.node = best, node
        leaves[best] = nodes[node].child
        leaves[counts[LEAVES]] = nodes[node].child + 1
        counts[LEAVES] += 1
    return -1


@kernel
def prepare_children(growth, node):
    """Make the children of a node, without their rows; a slot for the smaller one's histogram where one is needed."""
    nodes, counts = growth.nodes, growth.counts
    left = counts[NODES]
    own = nodes[node]
    counts[NODES] = left + 2
    for child in (left, left + 1):
        nodes[child].buffer = 1 if own.buffer != 1 else 2
        nodes[child].depth = own.depth + 1
        nodes[child].gain = -np.inf
        nodes[child].place = growth.n_features
        nodes[child].child = -1
        nodes[child].slot = -1
    nodes[left].gradient, nodes[left].hessian = own.left_gradient, own.left_hessian
    nodes[left + 1].gradient = own.gradient - own.left_gradient
    nodes[left + 1].hessian = own.hessian - own.left_hessian
    nodes[left].begin, nodes[left + 1].end = own.begin, own.end
    own.child = left
    if 0 < growth.max_depth <= own.depth + 1:
        _release(growth, own)
    else:
        counts[FREE] -= 1
        nodes[left].slot = growth.free[counts[FREE]]


@kernel
def _release(growth, node):
    """Give back the slot of a node's histogram."""
    if node.slot >= 0:
        growth.free[growth.counts[FREE]] = node.slot
        growth.counts[FREE] += 1
        node.slot = -1


@kernel
def smaller_child(growth, node, rules):
    """The child whose rows are summed, once rows are parted; -1 where neither child can be split."""
    nodes = growth.nodes
    left = nodes[nodes[node].child]
    right = nodes[nodes[node].child + 1]
    n_left, n_right = left.end - left.begin, right.end - right.begin
    if left.slot < 0 or max(n_left, n_right) < 2 * rules.min_data:
        return -1
    return nodes[node].child if n_left < n_right else nodes[node].child + 1


@kernel
def find_children(growth, node, smaller, packed, ends, rules):
    """Find the splits of both children, the smaller one's histogram being in the left child's slot."""
    nodes = growth.nodes
    own, left = nodes[node], nodes[node].child
    larger = left + 1 if smaller == left else left
    new, old = nodes[left].slot, own.slot
    parent, child = growth.pool[old].reshape(-1), growth.pool[new].reshape(-1)
    for i in range(parent.size):
        parent[i] -= child[i]
    # One by one: for rows that are assigned, numba compiles the text of an error, a sixth of all there is to compile.
    for place in range(growth.can_split.shape[1]):
        growth.can_split[new, place] = growth.can_split[old, place]
    nodes[smaller].slot, nodes[larger].slot = new, old
    own.slot = -1
    for child_node in (left, left + 1):
        if nodes[child_node].end - nodes[child_node].begin >= 2 * rules.min_data:
            find_split(growth, child_node, packed, ends, rules)


@kernel
def settle_slots(growth, node):
    """Give back the slots of what cannot be split any further."""
    nodes = growth.nodes
    _release(growth, nodes[node])
    for child in (nodes[node].child, nodes[node].child + 1):
        if not nodes[child].gain > 0:
            _release(growth, nodes[child])


@kernel
def expand(growth, node, rows, packed, ends, rules, scratch):
    """Expand a node whose children have been prepared; touches nothing that belongs to other nodes."""
    nodes = growth.nodes
    own = nodes[node]
    left, right = nodes[own.child], nodes[own.child + 1]
    column = rows.columns[packed.features[own.place]]
    ids, out = growth.ids[own.buffer], growth.ids[left.buffer]
    ends_at = own.end - 1
    middle = partition(column, rows.target.size, ids, own.begin, own.end, own.threshold, out, own.begin, ends_at)
    left.end, right.begin = middle, middle
    smaller = smaller_child(growth, node, rules)
    if smaller >= 0:
        summed = nodes[smaller]
        leaf_histograms.leaf_histogram(
            packed, growth.ids[summed.buffer], summed.begin, summed.end, scratch, growth.pool[left.slot]
        )
        find_children(growth, node, smaller, packed, ends, rules)


@kernel
def grow_alone(growth, rows, packed, ends, rules, scratch):
    """Grow the whole tree from its root on one thread."""
    while True:
        node = commit(growth)
        if node < 0:
            return
        prepare_children(growth, node)
        expand(growth, node, rows, packed, ends, rules, scratch)
        settle_slots(growth, node)


@kernel
def add_leaves(growth, first, stop, values, score):
    """Add the values of leaves ``first`` to ``stop`` to the scores of their rows.

    The rows of a leaf that was expanded in vain are those of the nodes below it: its own list may be written over.
    """
    nodes = growth.nodes
    below, scores = np.empty(nodes.size, np.int64), np.uintp(score.ctypes.data)
    for leaf in range(first, stop):
        below[0], waiting = growth.leaves[leaf], 1
        while waiting:
            waiting -= 1
            node = nodes[below[waiting]]
            if node.child >= 0:
                below[waiting], below[waiting + 1] = node.child, node.child + 1
                waiting += 2
            else:
                ids, last = growth.ids[node.buffer], np.uint64(node.end - 1)
                for i in range(np.uint64(node.begin), np.uint64(node.end)):
                    prefetch(scores + np.uintp(8) * np.uintp(ids[min(i + np.uint64(ROWS_AHEAD), last)]))
                    score[ids[i]] += values[leaf]


def hessians(some: npt.NDArray[np.void], rules: Rules) -> npt.NDArray[np.float64]:
    """Sums of hessians of nodes (m,)."""
    return np.asarray(some["hessian"] * (rules.hessian_step or 1.0))


def outputs(some: npt.NDArray[np.void], rules: Rules) -> npt.NDArray[np.float64]:
    """What nodes (m,) would add to the score as leaves, before the learning rate."""
    gradient = some["gradient"] * rules.step
    shrunk = np.sign(gradient) * np.maximum(0.0, np.abs(gradient) - rules.l1)
    return -shrunk / (hessians(some, rules) + rules.l2)
