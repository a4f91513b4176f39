"""Costs of members in Numerai's container, known before anything is trained: about how much memory and time they take.

What a model takes follows from its leaves: a model of trees is there twice, as what the pickle holds and as the
library's own object. Measured with LightGBM 4.7 on one core, models of 400 x 31, 200 x 255 and 60 x 1,023 leaves: 300
bytes a leaf for both, 6 to 16 ns a level of a tree and row. The export measures the pickle itself, and decides.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from numerai_ray.config import Config
from numerai_ray.config.ranges import is_number
from numerai_ray.ensembles.candidates import Candidate, LeftOut
from numerai_ray.metrics.era_columns import FloatArray
from numerai_ray.models import is_known, model_for
from numerai_ray.training.spec import steps_of

LEAF_BYTES = 300.0
LEVEL_S = 15e-9
# Python, its libraries, and live data of 2,700 features.
FIXED_BYTES, FIXED_S = 0.6e9, 10.0
LIVE_ROWS = 7_200
GB = 1e9
# Leaves of a tree where a library of trees is not told; models of other types have none, and are small.
USUAL_LEAVES = {"lightgbm": 31.0, "xgboost": 64.0, "catboost": 64.0}


@dataclass(frozen=True)
class Cost:
    """Bytes and seconds of one core; of members they add up, and the container's own come on top once."""

    memory_bytes: float = 0.0
    seconds: float = 0.0

    def __str__(self) -> str:
        return f"about {self.memory_bytes / GB:.2f} GB and {self.seconds:.0f} s"

    def within(self, limit: "Cost") -> bool:
        return self.memory_bytes <= limit.memory_bytes and self.seconds <= limit.seconds


def cost_of(config: Config) -> Cost:
    """What all models of a config take; nothing is known of a user's own, and nothing counted for them."""
    total = np.zeros(2)
    for each in config.trained().values():
        if ":" in each.model.type or not is_known(each.model.type):
            continue
        model = model_for(each.model.type, None)
        steps = steps_of(model, each.model.params)
        leaves = leaves_of(model.canonical_params(each.model.params)) or USUAL_LEAVES.get(each.model.type)
        if steps is None or leaves is None:
            continue
        fits = len(each.model.seeds or (None,)) * len(each.data.targets)
        trees = fits * steps[1]
        total += [trees * leaves * LEAF_BYTES, trees * np.log2(leaves) * LIVE_ROWS * LEVEL_S]
    return Cost(*total.tolist())


def is_costed(config: Config) -> bool:
    """Whether all its models are of libraries, of which it is known before they run what they take."""
    return not any(":" in each.model.type for each in config.trained().values())


def leaves_of(params: dict[str, object]) -> float | None:
    """Of a tree, at most: by its leaves, or by its depth; None where a model has none."""
    for name in ("num_leaves", "max_leaves"):
        value = params.get(name)
        if isinstance(value, int | float) and is_number(value) and value > 1:
            return float(value)
    for name in ("max_depth", "depth"):
        value = params.get(name)
        if isinstance(value, int | float) and is_number(value) and 0 < value < 30:
            return float(2**value)
    return None


def whole_cost(costs: Iterable[Cost]) -> Cost:
    """Of a pickle with members of these ``costs``."""
    found = list(costs)
    return Cost(FIXED_BYTES + sum(c.memory_bytes for c in found), FIXED_S + sum(c.seconds for c in found))


def room_of(limit: Cost) -> Cost:
    """What a container with a ``limit`` leaves to members."""
    return Cost(limit.memory_bytes - FIXED_BYTES, limit.seconds - FIXED_S)


def that_fit(found: Iterable[Candidate | LeftOut], limit: Cost) -> Iterator[Candidate | LeftOut]:
    """Candidates that the container runs, and the others left out with their numbers."""
    for each in found:
        if isinstance(each, LeftOut) or each.foreign:
            yield each
            continue
        alone = whole_cost([cost_of(each.config)])
        if alone.within(limit):
            yield each
        else:
            most = f"{limit.memory_bytes / GB:.2f} GB and {limit.seconds:.0f} s"
            yield LeftOut(each.name, f"it takes {alone} in Numerai's container by itself, over the limit of {most}")


def costs_of(candidates: Sequence[Candidate]) -> FloatArray:
    """(k, 2) bytes and seconds; 0 of foreign candidates, which cannot be exported."""
    known = [Cost() if each.foreign else cost_of(each.config) for each in candidates]
    return np.array([[each.memory_bytes, each.seconds] for each in known], np.float64)
