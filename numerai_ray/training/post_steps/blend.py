"""Blend: the prediction mixed with benchmarks, each by its share."""

from collections.abc import Mapping
from typing import ClassVar

from numerai_ray.training.post import blend
from numerai_ray.training.post_steps.base import Floats, PostFold, PostStep


class Blend(PostStep[Mapping[str, float]]):
    """``blend: {benchmark: 0.2}``: shares of benchmarks; the prediction has the rest."""

    key: ClassVar[str] = "blend"

    def apply(self, prediction: Floats, asked: Mapping[str, float], fold: PostFold) -> Floats:
        shares = {fold.plan.config.benchmark(name): share for name, share in asked.items()}
        mixed = [prediction, *map(fold.benchmark, shares)]
        return blend(mixed, [1 - sum(shares.values()), *shares.values()], fold.starts)
