"""Histograms: sums of gradients by feature and value, of rows that are all or some, by joint tables of four features.

Four features of five values are one number of 625, ``a + 5 b + 25 c + 125 d``, so a row adds once for four features,
and the four histograms are the table's margins. Measured on one thread: .11 ns a row and feature, against 1.25 by a
plain histogram of five bins, where five addresses make every addition wait for the one before (tables of three
features: .15; of five: .115, for they leave the first-level cache).

Gradients are whole multiples of a power of two (see :func:`quantized`), so sums are exact: they depend on no order, on
no number of threads, and a parent less its one child is its other child.

Six quads' codes of ten bits make a record of 64 bits, written once a tree, here, for :mod:`leaf_histograms`.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from numerai_ray.trees.compiled import kernel, values_at

VALUES = 5
QUAD = 4  # features of a joint table
CODES = VALUES**QUAD
WORD_QUADS = 6  # quads of a record's word
CODE_BITS = 10
CODE_MASK = np.uint64((1 << CODE_BITS) - 1)
# A table's entry without weights: the sum above, the number of rows in the low bits. It is emptied in time.
COUNT_BITS = 17
COUNT_MASK = np.int64((1 << COUNT_BITS) - 1)
MOST_ROWS = 1 << 15
# The largest gradient is just below so many steps: a sum of MOST_ROWS of them, above the count, fits 63 bits.
STEP_BITS = 30
BLOCK_ROWS = 4096  # rows whose codes are made at once, in the second-level cache
GATHERED_ROWS = 512  # rows of a leaf gathered at once, in the first-level cache; see leaf_histograms


class Rows(NamedTuple):
    """What a fit reads of its rows, (n,) each. ``columns`` (k,) are the addresses of its int8 features.

    ``used`` tells which rows the current tree is grown on; ``weight`` is None where all weigh alike.
    """

    columns: npt.NDArray[np.uintp]
    target: npt.NDArray[np.float32]
    weight: npt.NDArray[np.float32] | None
    used: npt.NDArray[np.bool_]


class Packed(NamedTuple):
    """A tree's view of its rows: ``records`` (n, words), ``gradient`` and ``hessian`` (n,) in steps.

    ``hessian`` is None without weights. ``features`` (4 x quads,) are columns, the last repeated to fill its quad. A
    word holds ``quads_a_word`` quads.
    """

    records: npt.NDArray[np.uint64]
    gradient: npt.NDArray[np.int32]
    hessian: npt.NDArray[np.int32] | None
    features: npt.NDArray[np.int64]
    quads_a_word: int


class Scratch(NamedTuple):
    """One thread's working memory: joint tables, and a block of codes, of records and of what rows add."""

    tables: npt.NDArray[np.int64]  # (quads, 625); with weights (quads, 1250), two sums side by side
    codes: npt.NDArray[np.uint16]  # (quads, BLOCK_ROWS)
    joined: npt.NDArray[np.uint64]  # (2, BLOCK_ROWS)
    words: npt.NDArray[np.uint64]  # (words, GATHERED_ROWS)
    adds: npt.NDArray[np.int64]  # (2, BLOCK_ROWS)


def layout(n_features: int) -> tuple[int, int]:
    """Words of a record and quads of a word for so many features: as few words, and as even, as can be."""
    quads = -(-n_features // QUAD)
    words = -(-quads // WORD_QUADS)
    return words, max(QUAD, -(-quads // words))


def scratch(words: int, quads_a_word: int, *, weighted: bool) -> Scratch:
    """Working memory for a thread; its tables are empty."""
    quads = words * quads_a_word
    return Scratch(
        np.zeros((quads, 2 * CODES if weighted else CODES), np.int64),
        np.zeros((quads, BLOCK_ROWS), np.uint16),
        np.empty((2, BLOCK_ROWS), np.uint64),
        np.empty((words, GATHERED_ROWS), np.uint64),
        np.empty((2, BLOCK_ROWS), np.int64),
    )


@kernel
def weight_of(weight, row):
    # numba leaves out the branch that is not taken where an argument, and nothing less direct, is None.
    if weight is None:  # noqa: SIM108
        found = np.float32(1)
    else:
        found = weight[row]
    return found


@kernel
def largest_gradient(score, rows, start, stop):
    """Of rows ``start`` to ``stop``; a row without a target has NaN, which is not larger than anything."""
    largest = np.float32(0)
    for row in range(start, stop):
        size = abs(np.float32(np.float32(score[row] - rows.target[row]) * weight_of(rows.weight, row)))
        largest = max(largest, size)
    return largest


@kernel
def _gradients(score, target, weight, first, n, steps, gradient):
    """The gradients of ``n`` rows, ``steps`` of them to 1, 0 where the target is unknown. Returns the largest size.

    LightGBM's own are float32 (``RegressionL2loss::GetGradients``), so nearly nothing is lost.
    """
    at = np.uint64(first)
    for i in range(np.uint64(n)):
        value = np.float32(np.float32(score[at + i] - target[at + i]) * weight_of(weight, at + i))
        exact = np.rint(value * steps)
        gradient[at + i] = np.int32(exact) if exact == exact else np.int32(0)  # noqa: PLR0124
    largest = np.int32(0)
    for i in range(np.uint64(n)):
        largest = max(largest, abs(gradient[at + i]))
    return np.int64(largest)


# Kernels below take whole arrays and places in them: each view of an array costs numba two atomic counts of references,
# which by the block and quad came to a sixth of a tree. Places are unsigned where they are worked out: numba looks
# whether a signed one is negative, and no loop over such places is done by vector instructions (gradients took 6 times
# as long).


@kernel
def _code(a, b, c, d, n, codes, quad):
    """The joint codes of ``n`` rows of four columns. Pairs fit a byte, so a vector instruction does 64 of them."""
    for i in range(n):
        low = np.uint8(a[i]) + np.uint8(5) * np.uint8(b[i])
        high = np.uint8(c[i]) + np.uint8(5) * np.uint8(d[i])
        codes[quad, i] = np.uint16(np.uint8(low)) + np.uint16(25) * np.uint16(np.uint8(high))


@kernel
def _code_block(columns, features, first, n, quads, codes):
    """The joint codes of ``n`` rows from ``first``, of all quads."""
    for quad in range(quads):
        a = values_at(columns[features[QUAD * quad]], first, n)
        b = values_at(columns[features[QUAD * quad + 1]], first, n)
        c = values_at(columns[features[QUAD * quad + 2]], first, n)
        d = values_at(columns[features[QUAD * quad + 3]], first, n)
        _code(a, b, c, d, n, codes, quad)


@kernel
def _join(codes, quad, quads, n, joined, place):
    """The codes of ``quads`` quads from ``quad``, four at least, as words (n,), at ``place`` of ``joined``."""
    q = np.uint64(quad)
    b1, b2, b3 = np.uint64(CODE_BITS), np.uint64(2 * CODE_BITS), np.uint64(3 * CODE_BITS)
    q1, q2, q3 = q + np.uint64(1), q + np.uint64(2), q + np.uint64(3)
    for i in range(np.uint64(n)):
        low = np.uint64(codes[q, i]) | np.uint64(codes[q1, i]) << b1
        joined[place, i] = low | np.uint64(codes[q2, i]) << b2 | np.uint64(codes[q3, i]) << b3
    for more in range(QUAD, quads):
        shift = np.uint64(CODE_BITS * more)
        for i in range(np.uint64(n)):
            joined[place, i] |= np.uint64(codes[quad + more, i]) << shift


@kernel
def _pack(codes, quads, n, first, records, joined):
    """Write the records of ``n`` rows from ``first``: two words at a time, which lie side by side."""
    last, at = records.shape[1], np.uint64(first)
    for word in range(0, last - 1, 2):
        _join(codes, word * quads, quads, n, joined, 0)
        _join(codes, (word + 1) * quads, quads, n, joined, 1)
        for i in range(np.uint64(n)):
            records[at + i, word] = joined[0, i]
            records[at + i, word + 1] = joined[1, i]
    if last % 2:
        _join(codes, (last - 1) * quads, quads, n, joined, 0)
        for i in range(np.uint64(n)):
            records[at + i, last - 1] = joined[0, i]


@kernel
def _add_coded(codes, quads, adds, n, tables):
    """Add ``n`` rows to all tables, to two at once: the additions of one do not wait for those of the other."""
    for quad in range(0, quads - 1, 2):
        for i in range(np.uint64(n)):
            value = adds[0, i]
            tables[quad, codes[quad, i]] += value
            tables[quad + 1, codes[quad + 1, i]] += value
    if quads % 2:
        for i in range(np.uint64(n)):
            tables[quads - 1, codes[quads - 1, i]] += adds[0, i]


@kernel
def _add_coded_weighted(codes, quads, adds, n, tables):
    for quad in range(quads):
        for i in range(n):
            entry = np.uint64(2) * np.uint64(codes[quad, i])
            tables[quad, entry] += adds[0, i]
            tables[quad, entry + np.uint64(1)] += adds[1, i]


@kernel
def _add_block(hessian, used, first, n, quads, codes, adds, tables, gradient):
    """Add the ``n`` rows from ``first``, whose codes and gradients are there, to all tables; unused ones add 0."""
    at = np.uint64(first)
    if hessian is None:
        for i in range(np.uint64(n)):
            counts = np.int32(used[at + i])
            value = np.int32(gradient[at + i] * counts)
            gradient[at + i] = value
            adds[0, i] = (np.int64(value) << COUNT_BITS) + np.int64(counts)
        _add_coded(codes, quads, adds, n, tables)
    else:
        for i in range(np.uint64(n)):
            counts = np.int32(used[at + i])
            value = np.int32(gradient[at + i] * counts)
            gradient[at + i] = value
            adds[0, i] = value
            adds[1, i] = np.int64(hessian[at + i] * counts)
        _add_coded_weighted(codes, quads, adds, n, tables)


@kernel
def _empty(tables, quad, out, pair):
    """Add the margins of an unweighted table to ``out[quad]`` (4, 5, 2), sums and counts, and empty it."""
    pair[:] = 0
    for high in range(25):
        column = np.int64(0)
        for low in range(25):
            value = tables[quad, 25 * high + low]
            column += value
            pair[low] += value
            tables[quad, 25 * high + low] = 0
        # Sums and counts of at most MOST_ROWS rows do not run into each other.
        for feature, digit in ((2, high % 5), (3, high // 5)):
            out[quad, feature, digit, 0] += column >> COUNT_BITS
            out[quad, feature, digit, 1] += column & COUNT_MASK
    for low in range(25):
        for feature, digit in ((0, low % 5), (1, low // 5)):
            out[quad, feature, digit, 0] += pair[low] >> COUNT_BITS
            out[quad, feature, digit, 1] += pair[low] & COUNT_MASK


@kernel
def _empty_weighted(tables, quad, out):
    """The same of a weighted table: sums of gradients and of hessians."""
    for code in range(CODES):
        rest = code
        for feature in range(QUAD):
            out[quad, feature, rest % 5, 0] += tables[quad, 2 * code]
            out[quad, feature, rest % 5, 1] += tables[quad, 2 * code + 1]
            rest //= 5
        tables[quad, 2 * code] = 0
        tables[quad, 2 * code + 1] = 0


@kernel
def empty_all(hessian, tables, out):
    """Empty every table into its four histograms."""
    pair = np.empty(25, np.int64)
    for quad in range(out.shape[0]):
        if hessian is None:
            _empty(tables, quad, out, pair)
        else:
            _empty_weighted(tables, quad, out)


@kernel
def root_histogram(score, rows, packed, steps, start, stop, scratch, out):
    """Pack rows ``start`` to ``stop`` and sum the used ones to ``out`` (quads, 4, 5, 2), which is overwritten.

    ``steps`` of a gradient make 1. Returns the largest gradient, in steps.
    """
    codes, adds, tables = scratch.codes, scratch.adds, scratch.tables
    quads = packed.features.size // QUAD
    out[:] = 0
    since, largest = 0, np.int64(0)
    for first in range(start, stop, BLOCK_ROWS):
        n = min(BLOCK_ROWS, stop - first)
        if since + n > MOST_ROWS:
            empty_all(packed.hessian, tables, out)
            since = 0
        since += n
        _code_block(rows.columns, packed.features, first, n, quads, codes)
        _pack(codes, packed.quads_a_word, n, first, packed.records, scratch.joined)
        largest = max(largest, _gradients(score, rows.target, rows.weight, first, n, steps, packed.gradient))
        _add_block(packed.hessian, rows.used, first, n, quads, codes, adds, tables, packed.gradient)
    empty_all(packed.hessian, tables, out)
    return largest
