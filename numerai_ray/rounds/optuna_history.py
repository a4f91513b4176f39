"""History: one study over all scout rounds, a trial a variant in the order in which they ran.

A trial holds the values that its config has where the plan's dimensions are, those of the base among them, so nothing
that ran is missing from it. What the plan does not list widens the study's distributions; Optuna refuses trials whose
distributions differ, and then the study is made anew: it is a view of the ledger.
"""

import math
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.storages import BaseStorage

from numerai_ray.config import canonical_json, fingerprint
from numerai_ray.config.ranges import is_number
from numerai_ray.config.search_space import Dimension
from numerai_ray.rounds.candidates import Search
from numerai_ray.rounds.optuna_sampler import distribution, encoded, trial_of

SHAPE = "numerai_ray.shape"
# A value that a dimension does not list, where it has a range as well.
NUMBERS = (IntDistribution, FloatDistribution)


@dataclass(frozen=True)
class PastTrial:
    """A variant of a scout round: its values by dimension, its scores (NaN: it failed), and when its round ran."""

    id: str
    values: Mapping[str, Any]
    scores: tuple[float, ...]
    attrs: Mapping[str, Any]
    began: datetime | None
    took_s: float


def keep_history(storage: BaseStorage, name: str, search: Search) -> None:
    """Bring the study up to the search's rounds; every trial once, whatever it holds already."""
    dimensions = search.loaded.space.dimensions
    past = past_trials(search)
    if not past:
        return
    kinds = {each: widened(dimension, [one.values.get(each) for one in past]) for each, dimension in dimensions.items()}
    told = {each: optuna.distributions.distribution_to_json(kind) for each, kind in kinds.items() if kind is not None}
    metrics = [f"{each}.mean" for each in search.metrics] or [search.loaded.plan.metric]
    shape = fingerprint({"distributions": told, "metrics": metrics}, 8)
    study = _study(storage, name, metrics, shape)
    held = {trial.user_attrs.get("variant") for trial in study.get_trials(deepcopy=False)}
    for each in past:
        if each.id in held:
            continue
        own = {dim: kind for dim, kind in kinds.items() if kind is not None and each.values.get(dim) is not None}
        values = {dim: encoded(dimensions[dim], each.values[dim]) for dim in own}
        trial = trial_of(own, values, each.scores, {"variant": each.id, **each.attrs})
        if each.began is not None:
            trial.datetime_start = each.began
            trial.datetime_complete = each.began + timedelta(seconds=each.took_s)
        study.add_trial(trial)


def past_trials(search: Search) -> list[PastTrial]:
    """Every variant of every scout round once, in the order in which they ran."""
    found: dict[str, PastTrial] = {}
    objectives = search.objectives()
    for at, (trial, (changes, primary)) in enumerate(search.results().items()):
        record = next(each for each in search.history if any(one.id == trial for one in each.variants))
        variant = next(each for each in record.variants if each.id == trial)
        found[trial] = PastTrial(
            trial,
            {name: search.value(name, changes) for name in search.loaded.space.dimensions},
            objectives[at] if search.metrics else (primary,),
            {"round": record.number, "dimension": record.dimension, "role": variant.role},
            _when(record.started),
            record.wall_s if math.isfinite(record.wall_s) else 0.0,
        )
    return list(found.values())


def widened(dimension: Dimension, seen: Sequence[Any]) -> BaseDistribution | None:
    """The dimension's distribution, wide enough for every value that ran; None where one cannot be held by it."""
    kind, values = distribution(dimension), [encoded(dimension, each) for each in seen if each is not None]
    if isinstance(kind, CategoricalDistribution):
        return CategoricalDistribution(list(dict.fromkeys([*kind.choices, *sorted(set(values), key=canonical_json)])))
    if not isinstance(kind, NUMBERS) or not all(is_number(each) for each in values):
        return None
    low, high = min([kind.low, *values]), max([kind.high, *values])
    if kind.log and low <= 0:
        return None
    if isinstance(kind, IntDistribution) and all(float(each).is_integer() for each in (low, high, *values)):
        return IntDistribution(int(low), int(high), log=kind.log)
    return FloatDistribution(float(low), float(high), log=kind.log)


def _study(storage: BaseStorage, name: str, metrics: Sequence[str], shape: str) -> optuna.Study:
    """The study, without a trial where it was made for other distributions or metrics."""
    if name in optuna.get_all_study_names(storage):
        study = optuna.load_study(study_name=name, storage=storage)
        if study.user_attrs.get(SHAPE) == shape:
            return study
        optuna.delete_study(study_name=name, storage=storage)
    study = optuna.create_study(storage=storage, study_name=name, directions=["maximize"] * len(metrics))
    with warnings.catch_warnings():
        # Optuna calls naming a metric experimental; a user who runs an experiment can do nothing about it.
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        study.set_metric_names(list(metrics))
    study.set_user_attr(SHAPE, shape)
    return study


def _when(started: str) -> datetime | None:
    try:
        # Optuna's own times are of this machine's clock, without a zone.
        return datetime.fromisoformat(started).astimezone().replace(tzinfo=None)
    except ValueError:
        return None
