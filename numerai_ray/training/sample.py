"""What of the training window and of the features a fit is shown: the draws that a config's seeds decide."""

from collections.abc import Mapping, Sequence
from typing import TypeVar

import numpy as np

from numerai_ray.config import EraSample, FeatureSample

T = TypeVar("T")


def sampled_eras(eras: tuple[int, ...], sample: EraSample | None, seed: int | None) -> tuple[int, ...]:
    """Every ``every``-th of the ascending ``eras``, then a random ``fraction`` of them; at least one, ascending.

    Without a fit's own ``seed`` the draw is that of the sample's; with it, each seed has a draw of its own.
    """
    if sample is None:
        return eras
    kept = eras[sample.offset :: sample.every] or eras[-1:]
    return _drawn(kept, sample.fraction, _generator(sample.seed, seed))


def sampled_features(
    features: tuple[str, ...], groups: Mapping[str, Sequence[str]], sample: FeatureSample | None, seed: int | None
) -> tuple[str, ...]:
    """A random ``fraction`` of each of ``groups`` and of what is in none of them, in the order of ``features``.

    A feature of several groups belongs to the first. At least one of each group that has any is kept.
    """
    if sample is None or sample.fraction == 1:
        return features
    generator = _generator(sample.seed, seed)
    left = dict.fromkeys(features)
    chosen: set[str] = set()
    for names in (*groups.values(), features):
        members = tuple(name for name in names if name in left)
        for name in members:
            del left[name]
        chosen |= set(_drawn(members, sample.fraction, generator))
    return tuple(name for name in features if name in chosen)


def _generator(seed: int, own: int | None) -> np.random.Generator:
    return np.random.default_rng([seed] if own is None else [seed, own])


def _drawn(values: tuple[T, ...], fraction: float, generator: np.random.Generator) -> tuple[T, ...]:
    if fraction == 1 or not values:
        return values
    count = max(1, round(fraction * len(values)))
    return tuple(values[position] for position in np.sort(generator.choice(len(values), count, replace=False)))
