"""Rank: the prediction ranked within its era."""

from typing import ClassVar

from numerai_ray.training.post import rank
from numerai_ray.training.post_steps.base import Floats, PostFold, PostStep


class Rank(PostStep[bool]):
    """``rank: true``."""

    key: ClassVar[str] = "rank"

    def apply(self, prediction: Floats, asked: bool, fold: PostFold) -> Floats:  # noqa: ARG002, FBT001 - it has no settings
        return rank(prediction, fold.starts)
