"""Era statistics: a few sums over the rows of each era, from which the BMC of any blend follows without its rows.

One era of n rows, with g_i the gaussianized ranks of candidate i divided by their standard deviation, b those of the
benchmark, s the standard deviation of n untied normal quantiles, and u the era's target (centred, and scaled as
:mod:`numerai_ray.metrics.scoring` does) less what is linear in b::

    gain_i = s g_i·u / n        products_ij = g_i·g_j / n        benchmark_i = g_i·b / n

BMC is linear in the gaussianized prediction, so ``gain`` is each candidate's own BMC. A blend h = sum w_i g_i is
ranked and gaussianized once more before it is scored. Approximation: a mixture of normal columns is nearly normal, so
that ranking changes no more than its scale::

    BMC(h) ~ sum w_i gain_i / sqrt(w' products w)

Made neutral to the benchmark by a proportion p, the variance under the root loses p (2 - p) (w'benchmark)^2; with a
share v of the benchmark in it, h / |h| becomes (1 - v) h / |h| + v b. The rest of the rows is not needed again until
finalists are scored exactly (:mod:`numerai_ray.ensembles.confirmation`).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri
from threadpoolctl import threadpool_limits

from numerai_ray.ensembles.blends import Blend, Post
from numerai_ray.metrics.era_columns import FloatArray, gaussianize

# What is left of a variance after neutralization is never less than this part of it.
LEAST_LEFT = 1e-4


@dataclass(frozen=True, eq=False)
class EraStatistics:
    """Sums of every era: ``eras`` (E,) ascending, ``gain`` and ``benchmark`` (E, k), ``products`` (E, k, k)."""

    eras: NDArray[np.int64]
    gain: FloatArray
    products: NDArray[Any]
    benchmark: FloatArray

    @property
    def n_candidates(self) -> int:
        return int(self.gain.shape[1])

    def of(self, eras: slice) -> "EraStatistics":
        """A run of eras, as views."""
        return EraStatistics(self.eras[eras], self.gain[eras], self.products[eras], self.benchmark[eras])

    def per_era(self, blend: Blend) -> FloatArray:
        """(E,): the blend's BMC by the approximation of the module's text."""
        members, weights = list(blend.members), np.array(blend.weights)
        products = self.products[:, members][:, :, members].astype(np.float64)
        variance = np.einsum("eij,i,j->e", products, weights, weights)
        alike = self.benchmark[:, members] @ weights
        return after_post(self.gain[:, members] @ weights, variance, alike, blend.post)

    def mean(self, blend: Blend) -> float:
        """Mean BMC over the eras, by the approximation."""
        return float(self.per_era(blend).mean())


def after_post(gain: FloatArray, variance: FloatArray, alike: FloatArray, post: Post) -> FloatArray:
    """BMC of mixtures with these sums, each of any one shape: w'gain, w'products w, w'benchmark."""
    if post.share:
        size = np.sqrt(np.maximum(variance, 1e-12))
        own, share = 1 - post.share, post.share
        scale = np.sqrt(np.maximum(own**2 + 2 * own * share * alike / size + share**2, LEAST_LEFT))
        return np.asarray(own * gain / size / scale)
    left = variance - post.neutral * (2 - post.neutral) * alike**2 if post.neutral else variance
    return np.asarray(gain / np.sqrt(np.maximum(left, np.maximum(LEAST_LEFT * variance, 1e-12))))


def statistics_of(
    scaled: NDArray[Any],
    target: FloatArray,
    benchmark: FloatArray,
    eras: Sequence[int],
    era_starts: NDArray[Any],
) -> EraStatistics:
    """The sums of k candidates over common rows; one era's columns are in memory at a time, beside the sums.

    Args:
        scaled: (k, n) :func:`numerai_ray.training.post.rank_gauss` of each candidate; may be a file's memory map.
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
    scaled: NDArray[Any],
    columns: tuple[FloatArray, FloatArray],
    eras: Sequence[int],
    era_starts: NDArray[Any],
) -> EraStatistics:
    target, benchmark = columns
    count = len(scaled)
    gain, alike = np.empty((len(eras), count)), np.empty((len(eras), count))
    products = np.empty((len(eras), count, count), np.float32)
    for position, (start, stop) in enumerate(pairwise(era_starts.tolist())):
        t, b = target[start:stop], benchmark[start:stop]
        known = ~np.isnan(t) & ~np.isnan(b)
        n = int(np.count_nonzero(known))
        block = np.ascontiguousarray(scaled[:, start:stop][:, known])
        b = gaussianize(b[known])
        b /= b.std()
        size = untied_std(n)
        sides = np.stack([size * residual_target(t[known], b), b], axis=1)
        both = block.astype(np.float64) @ sides / n
        gain[position], alike[position] = both.T
        products[position] = block @ block.T / np.float32(n)
    return EraStatistics(np.asarray(eras, np.int64), gain, products, alike)


def residual_target(target: FloatArray, benchmark: FloatArray) -> FloatArray:
    """(n,): one era's target as BMC takes it, less what is linear in the ``benchmark``'s gaussianized ranks."""
    t = target * 4 if target.min() >= 0 and target.max() <= 1 else target
    t = t - t.mean()
    return np.asarray(t - benchmark * ((t * benchmark).sum() / (benchmark * benchmark).sum()))


def untied_std(n: int) -> float:
    """Standard deviation (ddof 0) of the normal quantiles of n ranks without ties; their mean is 0."""
    return float(ndtri((np.arange(n) + 0.5) / n).std())
