"""Registry of post steps, in the order in which they are done."""

from typing import Any

from numerai_ray.config import PostConfig
from numerai_ray.training.post_steps.base import Floats, PostFold, PostStep
from numerai_ray.training.post_steps.blend import Blend
from numerai_ray.training.post_steps.neutralize import Neutralize
from numerai_ray.training.post_steps.rank import Rank

POST_STEPS: tuple[PostStep[Any], ...] = (
    Neutralize(),
    Blend(),
    Rank(),
)


def after_steps(prediction: Floats, post: PostConfig, fold: PostFold) -> Floats:
    """(n,): ``prediction`` (n,) of a fold's rows after every step that ``post`` asks for."""
    asked = post.asked
    for step in POST_STEPS:
        if step.key in asked:
            prediction = step.apply(prediction, asked[step.key], fold)
    return prediction
