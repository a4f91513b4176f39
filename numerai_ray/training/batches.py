"""What has to be trained for a set of fits: each distinct fit once, and a whole ladder of lengths as one.

A fit that is asked for at several lengths is trained to the longest and stored at each length asked, so that every
later question for one of them, in any experiment, is answered by the store.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby

import numpy as np
import numpy.typing as npt

from numerai_ray.errors import FitError
from numerai_ray.training.spec import FitSpec
from numerai_ray.training.store.fits import FitStore, StoredFit, keep_model, lacks_model, stored_fit
from numerai_ray.training.store.models import StoredModel

# A fit that failed for a reason of its own stands in for its result: the other rungs of its ladder go on.
Fits = Mapping[str, StoredFit | FitError]
Train = Callable[[Sequence[FitSpec]], Sequence[StoredFit]]


@dataclass(frozen=True, eq=False)
class Training:
    """Fits that are trained together: ``specs`` of one family with distinct keys, ascending in length."""

    specs: tuple[FitSpec, ...]

    @property
    def longest(self) -> FitSpec:
        return self.specs[-1]


@dataclass(frozen=True, eq=False)
class Trained:
    """Fits by key; ``stored`` are keys that another driver had trained in the meantime."""

    fits: Fits
    stored: frozenset[str]


def trainings(specs: Iterable[FitSpec]) -> list[Training]:
    """The fewest trainings that serve ``specs``, the costliest first: the last to finish then decides least."""
    distinct = {spec.key: spec for spec in specs}.values()
    ordered = sorted(distinct, key=lambda spec: (spec.family, spec.length or 0))
    groups = [Training(tuple(group)) for _, group in groupby(ordered, key=lambda spec: spec.family)]
    return sorted(groups, key=lambda each: (-each.longest.cost, each.longest.key))


def carry_out(training: Training, store: FitStore, train: Train, origin: str = "") -> Trained:
    """Train what the store still lacks, models included where it keeps them, and keep it.

    Args:
        training: fits of one family.
        store: where fits are looked for and kept.
        train: ``specs -> fits``, of one family; raises :class:`FitError`.
        origin: the round that trains, kept with the fits (see :func:`is_earlier`).

    Raises:
        EnvironmentFault: the store cannot be written.

    """
    with store.claim(training.longest.family):
        # Diagnosed at again under the claim: another driver may have been at it.
        stored = {spec.key: fit for spec in training.specs if (fit := stored_fit(store, spec)) is not None}
        lacking = [spec for spec in training.specs if spec.key not in stored]
        if training.longest not in lacking and lacks_model(store, training.longest):
            lacking.append(training.longest)  # once more, for its model alone
        made = _made(lacking, train) if lacking else {}
        # Models first: a fit that is there has what was asked for with it, whenever its writer is killed.
        for spec in lacking:
            result = made[spec.key]
            if isinstance(result, StoredFit) and result.model is not None:
                keep_model(store, spec, _true_to(stored.get(spec.key), result.predictions, result.model))
                made[spec.key] = replace(result, model=None)
        for key, result in made.items():
            if isinstance(result, StoredFit) and key not in stored:
                store.put(key, replace(result, facts={**result.facts, "origin": origin}))
    return Trained({**made, **stored}, frozenset(key for key, fit in stored.items() if is_earlier(fit, origin)))


def is_earlier(fit: StoredFit, origin: str) -> bool:
    """Whether a fit was there before this round.

    What an attempt at the same round trained before it was killed is this round's own: so the ledger of an experiment
    that was killed and went on equals that of one that was not.
    """
    return not origin or fit.facts.get("origin") != origin


def _true_to(stored: StoredFit | None, predictions: npt.NDArray[np.float64], model: StoredModel) -> StoredModel:
    """``model``, unless it was trained for a fit that is stored and predicts otherwise."""
    if stored is None or np.array_equal(stored.predictions, predictions):
        return model
    return model.refused("trained once more it predicts otherwise than what is stored: its training is not repeatable")


def _made(specs: Sequence[FitSpec], train: Train) -> dict[str, StoredFit | FitError]:
    try:
        return {spec.key: fit for spec, fit in zip(specs, train(specs), strict=True)}
    except FitError as error:
        if len(specs) == 1:
            return {specs[0].key: error}
    # The longest may fail where shorter ones do not (it diverges, say): each for itself then.
    found: dict[str, StoredFit | FitError] = {}
    for spec in specs:
        found |= _made([spec], train)
    return found
