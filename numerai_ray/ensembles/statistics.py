"""Era statistics: a few sums over the rows of each era, from which the BMC of any blend follows without its rows.

One era of n rows, with g_i the gaussianized ranks of candidate i divided by their standard deviation, b those of the
benchmark, s the standard deviation of n untied normal quantiles, r the benchmark as it stands in its file, but
standardized, and u the era's target (centred, and scaled as :mod:`numerai_ray.metrics.scoring` does) less what is
linear in b::

    gain_i = s g_i·u / n          products_ij = g_i·g_j / n
    benchmark_i = g_i·b / n       raw_i = g_i·r / n            raw_gain = s r·u / n

BMC is linear in the gaussianized prediction, so ``gain`` is each candidate's own BMC. A blend h = sum w_i g_i is
ranked and gaussianized once more before it is scored. Approximation: a mixture of normal columns is nearly normal, so
that ranking changes no more than its scale::

    BMC(h) ~ sum w_i gain_i / sqrt(w' products w)

Made neutral to r by a proportion p, the gain above the line loses p w'raw raw_gain, and the variance under the root
p (2 - p) (w'raw)^2; with a share v of the benchmark in it, h / |h| becomes (1 - v) h / |h| + v b. The rows are not
needed again until finalists are scored exactly (:mod:`numerai_ray.ensembles.confirmation`).
"""

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from numerai_ray.ensembles.blends import Blend, Post
from numerai_ray.metrics.distributions import ndtri
from numerai_ray.metrics.era_columns import FloatArray, gaussianize

# So much of the candidates' columns is read at a time.
BLOCK_BYTES = 128 * 2**20
# What is left of a variance after neutralization is never less than this part of it.
LEAST_LEFT = 1e-4


class Blocks(Protocol):
    """Columns (k, n) float32 that are read by blocks of rows, as a file's are."""

    def __len__(self) -> int: ...

    def block(self, start: int, stop: int) -> NDArray[np.float32]: ...


@dataclass(frozen=True, eq=False)
class EraStatistics:
    """Sums of every era: ``eras`` (E,) ascending, ``gain``, ``benchmark`` and ``raw`` (E, k), ``products`` (E, k, k).

    ``raw_gain`` is (E,).
    """

    eras: NDArray[np.int64]
    gain: FloatArray
    products: NDArray[Any]
    benchmark: FloatArray
    raw: FloatArray
    raw_gain: FloatArray

    @property
    def n_candidates(self) -> int:
        return int(self.gain.shape[1])

    def of(self, eras: slice) -> "EraStatistics":
        """A run of eras, as views."""
        parts = (self.gain, self.products, self.benchmark, self.raw, self.raw_gain)
        return EraStatistics(self.eras[eras], *(part[eras] for part in parts))

    def linear(self, post: Post) -> tuple[FloatArray, FloatArray]:
        """(E, k) gain and likeness to the benchmark, of which a mixture has the weighted sum, for this ``post``."""
        if not post.neutral:
            return self.gain, self.benchmark
        return self.gain - post.neutral * self.raw * self.raw_gain[:, np.newaxis], self.raw

    def per_era(self, blend: Blend) -> FloatArray:
        """(E,): the blend's BMC by the approximation of the module's text."""
        members, weights = list(blend.members), np.array(blend.weights)
        products = self.products[:, members][:, :, members].astype(np.float64)
        variance = np.einsum("eij,i,j->e", products, weights, weights)
        gain, alike = (each[:, members] @ weights for each in self.linear(blend.post))
        return after_post(gain, variance, alike, blend.post)

    def mean(self, blend: Blend) -> float:
        """Mean BMC over the eras, by the approximation."""
        return float(self.per_era(blend).mean())


def after_post(gain: FloatArray, variance: FloatArray, alike: FloatArray, post: Post) -> FloatArray:
    """BMC of mixtures by their sums, each of any one shape: those of ``linear``, and w'products w."""
    if post.share:
        size = np.sqrt(np.maximum(variance, 1e-12))
        own, share = 1 - post.share, post.share
        scale = np.sqrt(np.maximum(own**2 + 2 * own * share * alike / size + share**2, LEAST_LEFT))
        return np.asarray(own * gain / size / scale)
    left = variance - post.neutral * (2 - post.neutral) * alike**2 if post.neutral else variance
    return np.asarray(gain / np.sqrt(np.maximum(left, np.maximum(LEAST_LEFT * variance, 1e-12))))


def statistics_of(
    scaled: NDArray[Any] | Blocks,
    target: FloatArray,
    benchmark: FloatArray,
    eras: Sequence[int],
    era_starts: NDArray[Any],
) -> EraStatistics:
    """The sums of k candidates over common rows; a block of eras is in memory at a time, beside the sums.

    Args:
        scaled: (k, n) :func:`numerai_ray.training.post.rank_gauss` of each candidate, in memory or read by blocks.
        target: (n,) the score target, NaN where it is unknown.
        benchmark: (n,) the score benchmark, the same; both are known in two rows of each era, or more.
        eras: numbers of the eras, ascending.
        era_starts: (n_eras + 1,).

    Returns:
        ``products`` in float32 (4 k^2 bytes an era), the rest in float64.

    """
    # An era is too small for several threads, which wait for each other all the more where others work.
    with threadpool_limits(1, user_api="blas"):
        return _summed(scaled, (target, benchmark), eras, era_starts)


def _summed(
    scaled: NDArray[Any] | Blocks,
    columns: tuple[FloatArray, FloatArray],
    eras: Sequence[int],
    era_starts: NDArray[Any],
) -> EraStatistics:
    target, benchmark = columns
    count = len(scaled)
    linear, raw_gain = np.empty((3, len(eras), count)), np.empty(len(eras))
    products = np.empty((len(eras), count, count), np.float32)
    for position, columns_of_era, (start, stop) in _era_columns(scaled, era_starts.tolist()):
        t, b = target[start:stop], benchmark[start:stop]
        known = ~np.isnan(t) & ~np.isnan(b)
        n = int(np.count_nonzero(known))
        block = np.ascontiguousarray(columns_of_era if known.all() else columns_of_era[:, known])
        raw, b = b[known], gaussianize(b[known])
        raw, b = (raw - raw.mean()) / raw.std(), b / b.std()
        u = untied_std(n) * residual_target(t[known], b)
        linear[:, position] = (block.astype(np.float64) @ np.stack([u, b, raw], axis=1) / n).T
        raw_gain[position] = raw @ u / n
        np.matmul(block, block.T, out=products[position])
        products[position] /= np.float32(n)
    gain, alike, to_raw = linear
    return EraStatistics(np.asarray(eras, np.int64), gain, products, alike, to_raw, raw_gain)


def _era_columns(
    scaled: NDArray[Any] | Blocks, starts: Sequence[int]
) -> Iterator[tuple[int, NDArray[Any], tuple[int, int]]]:
    """Position, columns (k, rows) and rows of each era; of a file, several eras are read at once."""
    if isinstance(scaled, np.ndarray):
        yield from ((era, scaled[:, a:b], (a, b)) for era, (a, b) in enumerate(pairwise(starts)))
        return
    rows = max(1, BLOCK_BYTES // (4 * len(scaled)))
    first = 0
    while first < len(starts) - 1:
        last = max(first + 1, bisect_right(starts, starts[first] + rows) - 1)
        block = scaled.block(starts[first], starts[last])
        for era in range(first, last):
            own = (starts[era], starts[era + 1])
            yield era, block[:, own[0] - starts[first] : own[1] - starts[first]], own
        first = last


def residual_target(target: FloatArray, benchmark: FloatArray) -> FloatArray:
    """(n,): one era's target as BMC takes it, less what is linear in the ``benchmark``'s gaussianized ranks."""
    t = target * 4 if target.min() >= 0 and target.max() <= 1 else target
    t = t - t.mean()
    return np.asarray(t - benchmark * ((t * benchmark).sum() / (benchmark * benchmark).sum()))


def untied_std(n: int) -> float:
    """Standard deviation (ddof 0) of the normal quantiles of n ranks without ties; their mean is 0."""
    return float(ndtri((np.arange(n) + 0.5) / n).std())
