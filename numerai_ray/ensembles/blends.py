"""Blends: members, weights and what is done to their mixture; the exact prediction of one.

A blend is what a config's ``ensemble`` section (scale ``gauss``) with ``weights``, and its ``post`` section, compute.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from numerai_ray.metrics.era_columns import FloatArray, by_era, gaussianize
from numerai_ray.metrics.neutralization import linear_part, remove_part
from numerai_ray.training.post import blend


@dataclass(frozen=True)
class Post:
    """What is done to a mixture: made neutral to the benchmark by ``neutral``, or mixed with a ``share`` of it.

    ``neutral`` is the proportion in [0, 1] of what is linear in the benchmark that is taken out; ``share`` the
    benchmark's part in a mean of ranks, below 0 to lean away from it. At most one of them is not 0.
    """

    neutral: float = 0.0
    share: float = 0.0

    def __str__(self) -> str:
        if self.neutral:
            return f"neutral to the benchmark by {self.neutral:g}"
        return f"benchmark share {self.share:g}" if self.share else "as it is"


AS_IS = Post()
# Weights are shown and trained with so many digits: what is scored is what stands in the file.
DIGITS = 4


@dataclass(frozen=True)
class Blend:
    """Positions of ``members`` among the candidates, ascending, and their ``weights``, which add up to 1."""

    members: tuple[int, ...]
    weights: tuple[float, ...]
    post: Post = AS_IS

    def without(self, member: int) -> "Blend":
        """The same blend with one member less, the others' weights in proportion."""
        return self.only([each for each in self.members if each != member])

    def only(self, members: Sequence[int]) -> "Blend":
        """The blend of some of its members, their weights in proportion."""
        kept = [(m, w) for m, w in zip(self.members, self.weights, strict=True) if m in set(members)]
        total = sum(weight for _, weight in kept)
        return Blend(tuple(m for m, _ in kept), tuple(w / total for _, w in kept), self.post)


def blend_of(weights: FloatArray, post: Post = AS_IS) -> Blend:
    """The blend of weights (k,) >= 0 over all candidates; those of weight 0 are no members."""
    members = np.flatnonzero(weights)
    shares = weights[members] / weights[members].sum()
    return Blend(tuple(members.tolist()), tuple(shares.tolist()), post)


def rounded(blend: Blend) -> Blend:
    """The blend with weights as its config has them: of :data:`DIGITS` digits, a member without any left out."""
    kept = [(member, round(weight, DIGITS)) for member, weight in zip(blend.members, blend.weights, strict=True)]
    kept = [(member, weight) for member, weight in kept if weight > 0]
    return Blend(tuple(member for member, _ in kept), tuple(weight for _, weight in kept), blend.post)


def blended(
    chosen: Blend,
    prediction: Callable[[int], FloatArray],
    benchmark: FloatArray,
    era_starts: NDArray[Any],
) -> FloatArray:
    """(n,): the blend's prediction, exactly as training and export make it.

    Args:
        chosen: members, weights, post.
        prediction: position of a candidate -> its predictions (n,), ordered by era, none of them unknown.
        benchmark: (n,), as it stands in its file.
        era_starts: (n_eras + 1,).

    """
    columns = [prediction(member) for member in chosen.members]
    mixed = columns[0] if len(columns) == 1 else blend(columns, chosen.weights, era_starts, "gauss")
    if chosen.post.neutral:
        shape = by_era(gaussianize, mixed, era_starts)
        part = linear_part(shape, benchmark[np.newaxis], era_starts)
        return np.asarray(remove_part(shape, part, chosen.post.neutral))
    if chosen.post.share:
        return blend([mixed, benchmark], [1 - chosen.post.share, chosen.post.share], era_starts)
    return mixed
