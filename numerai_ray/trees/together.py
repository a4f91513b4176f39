"""Together: one tree grown by several threads, each of them in one kernel from the root to the last leaf.

Between two steps the threads meet: each waits, spinning, until all are there. To hand work to a thread that sleeps and
to wait for it took a fifth of a millisecond, a meeting takes less than a hundredth of that. The first thread alone
commits nodes and prepares their children, so the tree is the same for any number.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from numerai_ray.trees.compiled import add_to, kernel, let_others, number_at
from numerai_ray.trees.leaf_histograms import leaf_histogram
from numerai_ray.trees.nodes import (
    NODES,
    commit,
    expand,
    find_children,
    prepare_children,
    settle_slots,
    smaller_child,
)
from numerai_ray.trees.splits import join_parts, partition

# Nodes of so many rows are expanded by all threads, each taking some rows; smaller ones by one thread each.
ROWS_FOR_ALL = 1 << 17
# Small nodes a thread that are expanded between two meetings. More wait less for the slowest; some of the last ones
# are expanded in vain.
NODES_A_THREAD = 4
# So often a thread looks whether all are there before it lets others have the core.
SPINS = 2_000
# Places in a meeting: who has come, how many meetings are over, the next node to take; how many there are to take (0:
# all threads expand one), the node to be split, its smaller child. A line of memory each.
ARRIVED, OVER, NEXT, WAVE, NODE, SMALLER, PLACES = 0, 1, 2, 3, 4, 5, 6
LINE_BYTES = 64


class Meeting(NamedTuple):
    """What threads that grow one tree share: ``numbers`` (PLACES, 8) and the nodes of a ``wave``.

    By thread: the range ``shares`` (threads, 2) of a large node's rows, where its left rows end in ``ends`` (threads,),
    and its ``sums`` (threads, quads, 4, 5, 2).
    """

    numbers: npt.NDArray[np.int64]
    wave: npt.NDArray[np.int64]
    shares: npt.NDArray[np.int64]
    ends: npt.NDArray[np.int64]
    sums: npt.NDArray[np.int64]


def meeting(threads: int, histogram: npt.NDArray[np.int64]) -> Meeting:
    """For so many threads and histograms like this one."""
    return Meeting(
        np.zeros((PLACES, LINE_BYTES // 8), np.int64),
        np.zeros(NODES_A_THREAD * threads, np.int64),
        np.zeros((threads, 2), np.int64),
        np.zeros(threads, np.int64),
        np.zeros((threads, *histogram.shape), np.int64),
    )


@kernel
def _meet(meeting):
    """Wait until all threads are here. What each wrote before, all see after."""
    numbers = np.uintp(meeting.numbers.ctypes.data)
    arrived, over = numbers + np.uintp(LINE_BYTES * ARRIVED), numbers + np.uintp(LINE_BYTES * OVER)
    before = number_at(over)
    if add_to(arrived, 1) == meeting.ends.size - 1:
        meeting.numbers[ARRIVED, 0] = 0
        add_to(over, 1)
        return
    looks = 0
    while number_at(over) == before:
        looks += 1
        if looks > SPINS:
            let_others()


@kernel
def _rows_of(node):
    return node.end - node.begin


@kernel
def _choose(growth, meeting):
    """Commit what can be, and prepare what is expanded next: one large node, or several small ones."""
    numbers, nodes, wave = meeting.numbers, growth.nodes, meeting.wave
    best = commit(growth)
    numbers[NODE, 0], numbers[WAVE, 0], numbers[NEXT, 0] = best, 0, 0
    if best < 0:
        return
    if _rows_of(nodes[best]) >= ROWS_FOR_ALL:
        prepare_children(growth, best)
        return
    # The node that is due, and small ones of high gain, whoever their parents are: these are likely to follow. No more
    # than half of what a tree of all expanded nodes still lacks, so that little is done in vain.
    count = growth.counts[NODES]
    lacking = growth.leaves.size - 1
    for node in range(count):
        lacking -= nodes[node].child >= 0
    most = min(wave.size, 1 + max(0, lacking // 2))
    wave[0], taken = best, 1
    for node in range(count):
        own = nodes[node]
        if node == best or own.child >= 0 or not own.gain > 0 or _rows_of(own) >= ROWS_FOR_ALL:
            continue
        if taken == most and (most == 1 or not own.gain > nodes[wave[most - 1]].gain):
            continue
        place = min(taken, most - 1)
        while place > 1 and own.gain > nodes[wave[place - 1]].gain:
            wave[place] = wave[place - 1]
            place -= 1
        wave[place] = node
        taken = min(taken + 1, most)
    for place in range(taken):
        prepare_children(growth, wave[place])
    numbers[WAVE, 0] = taken


@kernel
def _share(begin, end, member, members):
    """The part of a range that is one thread's."""
    size = (end - begin + members - 1) // members
    return min(end, begin + member * size), min(end, begin + (member + 1) * size)


@kernel
def _expand_by_all(member, growth, meeting, rows, packed, ends, rules, scratch):
    """Expand the large node that is due, each thread some of its rows."""
    nodes, members = growth.nodes, meeting.ends.size
    node = meeting.numbers[NODE, 0]
    own = nodes[node]
    left, right = nodes[own.child], nodes[own.child + 1]
    ids, out = growth.ids[own.buffer], growth.ids[left.buffer]
    begin, end = _share(own.begin, own.end, member, members)
    meeting.shares[member, 0], meeting.shares[member, 1] = begin, end
    column = rows.columns[packed.features[own.place]]
    meeting.ends[member] = partition(column, rows.target.size, ids, begin, end, own.threshold, out, begin, end - 1)
    _meet(meeting)
    if member == 0:
        middle = join_parts(out, meeting.shares, meeting.ends)
        left.end, right.begin = middle, middle
        meeting.numbers[SMALLER, 0] = smaller_child(growth, node, rules)
    _meet(meeting)
    smaller = meeting.numbers[SMALLER, 0]
    if smaller < 0:
        return
    begin, end = _share(nodes[smaller].begin, nodes[smaller].end, member, members)
    leaf_histogram(packed, out, begin, end, scratch, meeting.sums[member])
    _meet(meeting)
    if member == 0:
        total = growth.pool[left.slot].reshape(-1)
        total[:] = 0
        for part in range(members):
            sums = meeting.sums[part].reshape(-1)
            for i in range(total.size):
                total[i] += sums[i]
        find_children(growth, node, smaller, packed, ends, rules)


@kernel
def grow_together(member, growth, meeting, rows, packed, ends, rules, scratch):
    """Grow the whole tree from its root, as one of several threads that all must be here."""
    numbers = meeting.numbers
    take = np.uintp(numbers.ctypes.data) + np.uintp(LINE_BYTES * NEXT)
    while True:
        if member == 0:
            _choose(growth, meeting)
        _meet(meeting)
        node, wave = numbers[NODE, 0], numbers[WAVE, 0]
        if node < 0:
            return
        if wave == 0:
            _expand_by_all(member, growth, meeting, rows, packed, ends, rules, scratch)
        else:
            at = add_to(take, 1)
            while at < wave:
                expand(growth, meeting.wave[at], rows, packed, ends, rules, scratch)
                at = add_to(take, 1)
        _meet(meeting)
        if member == 0:
            if wave == 0:
                settle_slots(growth, node)
            for place in range(wave):
                settle_slots(growth, meeting.wave[place])
