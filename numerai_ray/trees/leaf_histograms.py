"""Leaf histograms: a leaf's rows gathered as records, and added to the joint tables of :mod:`histograms`.

Copying records when a leaf splits was slower than moving row numbers alone. Which rows come is known before they are
read: they are asked for ahead, which halved the time that many rows take.
"""

import numpy as np

from numerai_ray.trees.compiled import LINE_BYTES, ROWS_AHEAD, kernel, prefetch
from numerai_ray.trees.histograms import (
    CODE_BITS,
    CODE_MASK,
    COUNT_BITS,
    GATHERED_ROWS,
    MOST_ROWS,
    empty_all,
)


@kernel
def _fetch(packed, row):
    """Have what :func:`_gather` will read of a row brought near."""
    size, place = 8 * packed.records.shape[1], np.uintp(row)
    record = np.uintp(packed.records.ctypes.data) + np.uintp(size) * place
    prefetch(np.uintp(packed.gradient.ctypes.data) + np.uintp(4) * place)
    prefetch(record)
    for byte in range(LINE_BYTES, size, LINE_BYTES):
        prefetch(record + np.uintp(byte))


@kernel
def _gather(packed, ids, begin, n, end, words, adds):
    """Copy the records of ``n`` of the rows ``ids[:end]`` from place ``begin``, and what they add without weights.

    Two words at a time: a loop over the few words of each row took three times as long.
    """
    records, gradient = packed.records, packed.gradient
    last, at = words.shape[0], np.uint64(begin)
    ahead, final = at + np.uint64(ROWS_AHEAD), np.uint64(end - 1)
    if last == 2:
        for i in range(np.uint64(n)):
            _fetch(packed, ids[min(ahead + i, final)])
            row = ids[at + i]
            words[0, i] = records[row, 0]
            words[1, i] = records[row, 1]
            adds[0, i] = (np.int64(gradient[row]) << COUNT_BITS) + 1
    else:
        for i in range(np.uint64(n)):
            _fetch(packed, ids[min(ahead + i, final)])
            row = ids[at + i]
            words[0, i] = records[row, 0]
            adds[0, i] = (np.int64(gradient[row]) << COUNT_BITS) + 1
        for word in range(1, last - 1, 2):
            for i in range(np.uint64(n)):
                row = ids[at + i]
                words[word, i] = records[row, word]
                words[word + 1, i] = records[row, word + 1]
        if last % 2 == 0:
            for i in range(np.uint64(n)):
                words[last - 1, i] = records[ids[at + i], last - 1]


@kernel
def _add_word(words, word, adds, n, tables, quads):
    """Add ``n`` gathered rows to the ``quads`` tables of one word."""
    b1, b2, b3 = np.uint64(CODE_BITS), np.uint64(2 * CODE_BITS), np.uint64(3 * CODE_BITS)
    b4, b5 = np.uint64(4 * CODE_BITS), np.uint64(5 * CODE_BITS)
    q = np.uint64(word * quads)
    q1, q2, q3, q4, q5 = q + np.uint64(1), q + np.uint64(2), q + np.uint64(3), q + np.uint64(4), q + np.uint64(5)
    # Written out: with a loop over quads each addition took half as long again.
    if quads == 6:
        for i in range(n):
            codes, value = words[word, i], adds[0, i]
            tables[q, codes & CODE_MASK] += value
            tables[q1, codes >> b1 & CODE_MASK] += value
            tables[q2, codes >> b2 & CODE_MASK] += value
            tables[q3, codes >> b3 & CODE_MASK] += value
            tables[q4, codes >> b4 & CODE_MASK] += value
            tables[q5, codes >> b5 & CODE_MASK] += value
    elif quads == 5:
        for i in range(n):
            codes, value = words[word, i], adds[0, i]
            tables[q, codes & CODE_MASK] += value
            tables[q1, codes >> b1 & CODE_MASK] += value
            tables[q2, codes >> b2 & CODE_MASK] += value
            tables[q3, codes >> b3 & CODE_MASK] += value
            tables[q4, codes >> b4 & CODE_MASK] += value
    else:
        for i in range(n):
            codes, value = words[word, i], adds[0, i]
            tables[q, codes & CODE_MASK] += value
            tables[q1, codes >> b1 & CODE_MASK] += value
            tables[q2, codes >> b2 & CODE_MASK] += value
            tables[q3, codes >> b3 & CODE_MASK] += value


@kernel
def _add_word_weighted(words, word, adds, n, tables, quads):
    for place in range(quads):
        quad, shift = word * quads + place, np.uint64(CODE_BITS * place)
        for i in range(n):
            entry = np.uint64(2) * (words[word, i] >> shift & CODE_MASK)
            tables[quad, entry] += adds[0, i]
            tables[quad, entry + np.uint64(1)] += adds[1, i]


@kernel
def _add_gathered(hessian, ids, begin, words, adds, n, quads, tables):
    """Add ``n`` gathered rows to all tables."""
    if hessian is None:
        for word in range(words.shape[0]):
            _add_word(words, word, adds, n, tables, quads)
    else:
        for i in range(n):
            adds[0, i] >>= COUNT_BITS
            adds[1, i] = hessian[ids[begin + i]]
        for word in range(words.shape[0]):
            _add_word_weighted(words, word, adds, n, tables, quads)


@kernel
def leaf_histogram(packed, ids, begin, end, scratch, out):
    """Sum the rows ``ids[begin:end]`` to ``out`` (quads, 4, 5, 2), which is overwritten."""
    words, adds, tables = scratch.words, scratch.adds, scratch.tables
    out[:] = 0
    since = 0
    for first in range(begin, end, GATHERED_ROWS):
        n = min(GATHERED_ROWS, end - first)
        if since + n > MOST_ROWS:
            empty_all(packed.hessian, tables, out)
            since = 0
        since += n
        _gather(packed, ids, first, n, end, words, adds)
        _add_gathered(packed.hessian, ids, first, words, adds, n, packed.quads_a_word, tables)
    empty_all(packed.hessian, tables, out)
