"""An experiment's studies in a storage: one a dimension and one over all, for optuna-dashboard and for reading.

They are written after every round from the ledger, which alone decides what comes next; a storage that was lost is
filled again.
"""

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna
from optuna.storages import BaseStorage, JournalStorage
from optuna.storages.journal import JournalFileBackend

from numerai_ray.config import fingerprint
from numerai_ray.errors import EnvironmentFault
from numerai_ray.optuna_proposer import distribution, encoded, fits, trial_of
from numerai_ray.outside import in_time, masked, patience
from numerai_ray.round_candidates import Search
from numerai_ray.search_space import Dimension


@dataclass(frozen=True)
class ScoredVariant:
    """A variant in a study: its id, its values by dimension, and what they are judged by (NaN: it failed)."""

    id: str
    values: Mapping[str, Any]
    value: float


def open_storage(journal: Path, url: str | None) -> BaseStorage:
    """The experiment's journal file, or the RDB at ``url``.

    Raises:
        EnvironmentFault: it cannot be opened, or does not answer in time.

    """
    try:
        if url is not None:
            return in_time(lambda: optuna.storages.RDBStorage(url), patience(url))
        journal.parent.mkdir(parents=True, exist_ok=True)
        return JournalStorage(JournalFileBackend(str(journal)))
    except Exception as error:
        where = f"rounds.storage: {masked(url)}" if url else str(journal)
        why = f"{type(error).__name__}: {masked(str(error))}"
        raise EnvironmentFault(f"{where}: Optuna cannot open it ({why}); check the address") from error


@dataclass(eq=False)
class Archive:
    """Keeps the studies after every round. A database that fails or hangs is told of once, and left alone after that.

    ``tell`` gets the words: no run ends or waits for what is only looked at.
    """

    storage: BaseStorage
    experiment: str
    tell: Callable[[str], object]
    limit_s: float
    _given_up: bool = False

    def __call__(self, search: Search) -> None:
        if self._given_up:
            return
        try:
            in_time(lambda: keep_studies(self.storage, self.experiment, search), self.limit_s)
        except Exception as error:
            self._given_up = True
            why = f"{type(error).__name__}: {masked(str(error))}"
            self.tell(f"rounds.storage: studies are not kept any more ({why}); the next run writes what is missing")


def keep_studies(storage: BaseStorage, experiment: str, search: Search) -> None:
    """Every result so far: a study for each dimension (gains over its rounds' bases), and one over all of them."""
    space = search.loaded.space.dimensions
    for name, dimension in space.items():
        own = [
            ScoredVariant(f"{name}={each.value} #{at}", {name: each.value}, each.gain)
            for at, each in enumerate(search.seen(name))
        ]
        if own:
            write_study(storage, f"{experiment}/{name}", "gain of bmc_last_200_eras", {name: dimension}, own)
    every = {name: each for name, each in space.items() if not each.when}
    scored = [
        ScoredVariant(trial, values, primary)
        for trial, (values, primary) in zip(search.results(), search.scored(list(every)), strict=True)
    ]
    if scored:
        write_study(storage, f"{experiment}/all dimensions", "bmc_last_200_eras", every, scored)


def write_study(
    storage: BaseStorage, name: str, metric: str, dimensions: Mapping[str, Dimension], scored: Sequence[ScoredVariant]
) -> None:
    """Add to the study what it does not hold yet.

    Another set of values is another study, because Optuna refuses distributions that change; its name then tells.
    """
    kinds = {each: distribution(dimension) for each, dimension in dimensions.items()}
    shape = fingerprint({each: optuna.distributions.distribution_to_json(kind) for each, kind in kinds.items()}, 4)
    study = optuna.create_study(
        storage=storage, study_name=f"{name} {shape}", direction="maximize", load_if_exists=True
    )
    if not study.metric_names:
        # Optuna calls naming a metric experimental; a user who runs an experiment can do nothing about it.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            study.set_metric_names([metric])
    held = {trial.user_attrs.get("variant") for trial in study.get_trials(deepcopy=False)}
    for each in scored:
        values = {name: encoded(dimension, each.values.get(name)) for name, dimension in dimensions.items()}
        if each.id not in held and fits(kinds, values):
            study.add_trial(trial_of(kinds, values, each.value, {"variant": each.id}))
