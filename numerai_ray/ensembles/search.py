"""Search: weights of candidates for the highest mean BMC, by four methods, within limits.

- ``greedy``: forward selection with replacement (Caruana, Niculescu-Mizil, Crew and Ksikes, 2004): the candidate is
  added that brings the mixture's mean BMC highest, again and again; the best of the mixtures on the way counts.
- ``nnls``: non-negative least squares of the residual target on the gaussianized ranks, all eras alike, which has the
  direction of the highest ratio of mean gain to size; with a small ridge.
- ``diverse``: equal weights of the best candidate and those of the best that are least correlated with the ones before.
- ``single``: the best candidate.

Each is made for a mixture as it is and for one neutral to the benchmark, then shrunk to equal weights of its members
and combined with what can be done to it afterwards (:data:`POSTS`). All of it reads sums
(:mod:`numerai_ray.ensembles.statistics`), never rows.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import scipy
from numpy.typing import NDArray
from scipy.linalg import cholesky, solve_triangular

from numerai_ray.ensembles.blends import AS_IS, Blend, Post, blend_of
from numerai_ray.ensembles.statistics import EraStatistics, after_post
from numerai_ray.metrics.era_columns import FloatArray

Method = Literal["greedy", "nnls", "diverse", "single"]
# Forward selection mostly ends long before; weights are then multiples of a twentieth.
STEPS = 20
SHRINKAGE = (0.0, 0.5, 1.0)
POSTS = (AS_IS, Post(neutral=0.5), Post(neutral=1.0), Post(share=-0.1), Post(share=-0.25))
RIDGE = 0.01
# A smaller weight is a model more to train and to run for nothing.
LEAST_WEIGHT = 0.02
DIVERSE = (2, 3, 5, 8, 12)
# A candidate is among the best when this many times k are at most as good as it.
POOL = 3


@dataclass(frozen=True, eq=False)
class Limits:
    """At most so many ``members``, so many distinct ``needs`` and so much ``room``; None is any.

    ``kinds`` (k,) are equal where needs are, -1 where they are not known. A need is what a member reads of live data:
    its feature sets, and how missing values are handed to it. ``costs`` (k, m) are what each takes of m resources that
    there are only ``room`` (m,) of, :mod:`numerai_ray.ensembles.costs`; each fits by itself.
    """

    members: int = 8
    needs: int | None = None
    kinds: NDArray[np.int64] | None = None
    costs: FloatArray | None = None
    room: FloatArray | None = None

    @property
    def binding(self) -> bool:
        """Whether so many members can be too much."""
        if self.costs is None or self.room is None:
            return False
        return bool((np.sort(self.costs, axis=0)[-self.members :].sum(axis=0) > self.room).any())

    def allowed(self, chosen: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """(k,): which candidates may be (or already are) members beside the ``chosen`` (k,)."""
        if np.count_nonzero(chosen) >= self.members:
            return chosen
        return chosen | (self._needs_allowed(chosen) & self._fitting(chosen))

    def _fitting(self, chosen: NDArray[np.bool_]) -> NDArray[np.bool_]:
        if self.costs is None or self.room is None:
            return np.ones(len(chosen), bool)
        return np.asarray((self.costs[chosen].sum(axis=0) + self.costs <= self.room).all(axis=1))

    def _needs_allowed(self, chosen: NDArray[np.bool_]) -> NDArray[np.bool_]:
        if self.needs is None or self.kinds is None:
            return np.ones(len(chosen), bool)
        used = np.unique(self.kinds[chosen & (self.kinds >= 0)])
        enough = len(used) >= self.needs
        return np.isin(self.kinds, used) | (self.kinds < 0) if enough else np.ones(len(chosen), bool)


@dataclass(frozen=True)
class Strategy:
    """A way to choose a blend: a method, how far to shrink to equal weights, what to do to the mixture."""

    method: Method
    shrink: float = 0.0
    post: Post = AS_IS

    def __str__(self) -> str:
        shrunk = f", shrunk by {self.shrink:g}" if self.shrink else ""
        return f"{self.method}{shrunk}, {self.post}"


# Before anything was seen out of sample: the method most used, with weights half way to equal ones.
FIRST = Strategy("greedy", 0.5)


def found_blends(stats: EraStatistics, limits: Limits) -> dict[Strategy, Blend]:
    """The blend of every strategy on these eras. Blends of ``single`` are the best candidate with each post."""
    return dict(_found(stats, limits))


def _found(stats: EraStatistics, limits: Limits) -> Iterator[tuple[Strategy, Blend]]:
    best = best_single(stats)
    for post in POSTS:
        yield Strategy("single", 0.0, post), Blend((best,), (1.0,), post)
    mean_products = stats.products.mean(axis=0, dtype=np.float64)
    for neutral in sorted({post.neutral for post in POSTS}):
        made: Mapping[Method, FloatArray] = {
            "greedy": greedy(stats, limits, neutral),
            "nnls": least_squares(stats, limits, neutral, mean_products),
            "diverse": diverse(stats, limits, neutral, mean_products),
        }
        for method, weights in made.items():
            own = blend_of(weights)
            for post in (each for each in POSTS if each.neutral == neutral):
                for shrink in SHRINKAGE if method != "diverse" else (0.0,):
                    yield Strategy(method, shrink, post), replace(shrunk(own, shrink), post=post)


def best_single(stats: EraStatistics) -> int:
    """Position of the candidate with the highest mean BMC."""
    return int(stats.gain.mean(axis=0).argmax())


def shrunk(blend: Blend, shrink: float) -> Blend:
    """Weights moved by the share ``shrink`` of the way to equal weights of the same members."""
    equal = 1 / len(blend.members)
    return replace(blend, weights=tuple((1 - shrink) * weight + shrink * equal for weight in blend.weights))


def parts_of(stats: EraStatistics, blend: Blend) -> list[Blend]:
    """The blend with one member less each time, down to one: always without the member that is missed least."""
    parts = []
    while len(blend.members) > 1:
        blend = max((blend.without(member) for member in blend.members), key=stats.mean)
        parts.append(blend)
    return parts


def greedy(stats: EraStatistics, limits: Limits, neutral: float = 0.0, steps: int = STEPS) -> FloatArray:
    """(k,) counts: how often each candidate is in the best mixture on the way of forward selection."""
    n_eras, count = stats.gain.shape
    own = np.einsum("eii->ei", stats.products)
    post = Post(neutral=neutral)
    own_gain, own_alike = stats.linear(post)
    gain, variance, alike = (np.zeros((n_eras, 1)) for _ in range(3))
    cross = np.zeros((n_eras, count))
    chosen = np.zeros(count)
    best, kept = -np.inf, chosen
    for _ in range(steps):
        values = after_post(gain + own_gain, variance + 2 * cross + own, alike + own_alike, post).mean(axis=0)
        values[~limits.allowed(chosen > 0)] = -np.inf
        added = int(values.argmax())
        chosen = chosen.copy()
        chosen[added] += 1
        if values[added] > best + 1e-12:
            best, kept = float(values[added]), chosen
        gain = gain + own_gain[:, [added]]
        variance = variance + 2 * cross[:, [added]] + own[:, [added]]
        alike = alike + own_alike[:, [added]]
        cross = cross + stats.products[:, added]
    return kept


def least_squares(stats: EraStatistics, limits: Limits, neutral: float, mean_products: FloatArray) -> FloatArray:
    """(k,) weights >= 0 by least squares; those that the limits leave are solved again by themselves."""
    products = _neutral_products(stats, neutral, mean_products)
    gain = stats.linear(Post(neutral=neutral))[0].mean(axis=0)
    everyone: NDArray[np.intp] = np.arange(stats.n_candidates)
    weights = _solved(products, gain, everyone)
    if weights.sum() == 0:  # nobody has a gain: the least bad
        weights[best_single(stats)] = 1.0
        return weights
    kept = np.zeros(len(weights), bool)
    for candidate in np.argsort(-weights, kind="stable"):
        if weights[candidate] >= LEAST_WEIGHT * weights.sum() and limits.allowed(kept)[candidate]:
            kept[candidate] = True
    return _solved(products, gain, np.flatnonzero(kept))


def diverse(stats: EraStatistics, limits: Limits, neutral: float, mean_products: FloatArray) -> FloatArray:
    """(k,) equal weights of the best and least correlated; as many of them as score best together."""
    gain = stats.gain.mean(axis=0)
    order = np.argsort(-gain, kind="stable")
    best, kept = -np.inf, np.zeros(len(gain))
    for size in (each for each in DIVERSE if each <= limits.members):
        pool = order[: POOL * size]
        chosen = np.zeros(len(gain), bool)
        chosen[pool[0]] = True
        for _ in range(size - 1):
            open_ = pool[limits.allowed(chosen)[pool] & ~chosen[pool]]
            if not len(open_):
                break
            alike = mean_products[np.ix_(open_, np.flatnonzero(chosen))].mean(axis=1)
            chosen[open_[alike.argmin()]] = True
        value = stats.mean(blend_of(chosen.astype(np.float64), Post(neutral=neutral)))
        if value > best:
            best, kept = value, chosen.astype(np.float64)
    return kept if kept.any() else np.eye(len(gain))[order[0]]


def _neutral_products(stats: EraStatistics, neutral: float, mean_products: FloatArray) -> FloatArray:
    if not neutral:
        return mean_products
    return np.asarray(mean_products - neutral * (2 - neutral) * (stats.raw.T @ stats.raw) / len(stats.eras))


def _solved(products: FloatArray, gain: FloatArray, among: NDArray[np.intp]) -> FloatArray:
    part = products[np.ix_(among, among)]
    size = np.diagonal(part).mean()
    root = cholesky(part + (RIDGE * size + 1e-9) * np.eye(len(part)), lower=True)
    # Loaded here, as `training.post` does: its import takes a fifth of a second.
    found, _ = scipy.optimize.nnls(root.T, solve_triangular(root, gain[among], lower=True))
    weights = np.zeros(len(gain))
    weights[among] = found
    return weights
