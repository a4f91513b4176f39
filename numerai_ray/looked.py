"""What a variant's predictions are held against once they are there: features, and Numerai's names for them."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from numerai_ray.metrics.importance import feature_groups

# What Numerai's FNCv3 is neutral to; its least squares grow with the square of the features.
NEUTRAL_SET = "fncv3_features"
MOST_NEUTRAL = 1000


@dataclass(frozen=True, eq=False)
class Looked:
    """See :mod:`numerai_ray.diagnosis`, which looks; it does not where there are no ``features``.

    ``features`` are those that exposures are taken to, ``neutral_to`` those of ``neutral_set`` for feature-neutral CORR
    (both empty where there is no such set), ``groups`` names of features by Numerai's group.
    """

    features: tuple[str, ...] = ()
    neutral_set: str = ""
    neutral_to: tuple[str, ...] = ()
    groups: Mapping[str, Sequence[str]] = field(default_factory=dict)


def looked_at(features: Iterable[Sequence[str]], sets: Mapping[str, Sequence[str]], columns: Iterable[str]) -> Looked:
    """What to hold a variant against that trains on the ``features`` of its members.

    Args:
        features: of each member.
        sets: those of ``features.json``.
        columns: of the data file. Neutral is to Numerai's own set or, without it, to the features trained on.

    """
    own = tuple(dict.fromkeys(name for each in features for name in each))
    there = set(columns)
    for name, members in ((NEUTRAL_SET, sets.get(NEUTRAL_SET, ())), ("the features trained on", own)):
        if members and len(members) <= MOST_NEUTRAL and there.issuperset(members):
            return Looked(own, name, tuple(members), feature_groups(sets))
    return Looked(own, groups=feature_groups(sets))
