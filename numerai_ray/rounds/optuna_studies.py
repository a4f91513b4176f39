"""An experiment's studies in a storage: one a dimension, for optuna-dashboard and for reading.

The one over all rounds, which its history is drawn from, is made in :mod:`numerai_ray.rounds.optuna_history`.

They are written after every round from the ledger, which alone decides what comes next; a storage that was lost is
filled again, and a journal that cannot be read is thrown away and written anew.
"""

import os
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna
from optuna.storages import BaseStorage, JournalStorage
from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock

from numerai_ray.config import fingerprint
from numerai_ray.config.search_space import Dimension
from numerai_ray.errors import EnvironmentFault
from numerai_ray.metrics.registry import MEAN
from numerai_ray.rounds.candidates import Search
from numerai_ray.rounds.optuna_history import keep_history
from numerai_ray.rounds.optuna_sampler import distribution, encoded, fits, trial_of
from numerai_ray.system.services import in_time, masked, patience


@dataclass(frozen=True)
class ScoredVariant:
    """A variant in a study: its id, its values by dimension, and what they are judged by (NaN: it failed)."""

    id: str
    values: Mapping[str, Any]
    value: float


# Optuna's own lock is held for an instant; one that is older was left behind.
LEFT_BEHIND_S = 60.0


class _OneWriter(JournalFileOpenLock):
    """No lock: the experiment's own lets one driver write. One of Optuna's may be waited for without end.

    It is a link to the journal's path as it was given: of a driver that died with it, started in another folder, the
    link leads nowhere, and Optuna never takes such a lock for left behind.
    """

    def acquire(self) -> bool:
        return True

    def release(self) -> None:
        pass


def open_archive(
    journal: Path, url: str | None, experiment: str, say: Callable[[str], object]
) -> Callable[[Search], None]:
    """What keeps an experiment's studies: in its journal file, or in the RDB at ``url``.

    Neither holds a run up: a journal that cannot be read is written anew, a database that is away is filled by the next
    run; ``say`` is told.

    Raises:
        EnvironmentFault: the database cannot be opened or does not answer in time, or no journal can be written there.

    """
    if url is None:
        _readable_journal(journal, say)
        return lambda search: _keep_in_journal(journal, experiment, search, say)
    try:
        storage = in_time(lambda: optuna.storages.RDBStorage(url), patience(url))
    except Exception as error:
        rule = f"Optuna cannot open it ({type(error).__name__}: {masked(str(error))}); check the address"
        raise EnvironmentFault(f"rounds.storage: {masked(url)}: {rule}") from error
    return Archive(storage, experiment, say, patience(url))


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


def open_journal(journal: Path) -> BaseStorage:
    """The studies in a journal file, which is made where there is none."""
    journal.parent.mkdir(parents=True, exist_ok=True)
    return JournalStorage(JournalFileBackend(str(journal), _OneWriter(str(journal))))


def _keep_in_journal(journal: Path, experiment: str, search: Search, say: Callable[[str], object]) -> None:
    _readable_journal(journal, say)
    try:
        keep_studies(open_journal(journal), experiment, search)
    except OSError as error:
        raise _unwritable(journal, error) from error
    except Exception as error:  # it reads well, and holds something else than our studies
        _throw_away(journal, f"{type(error).__name__}", say)
        keep_studies(open_journal(journal), experiment, search)


def _readable_journal(journal: Path, say: Callable[[str], object]) -> None:
    """Throw away what cannot be read or is not to be written to; nothing is lost with it."""
    lock = Path(f"{journal}.lock")  # of a version of this program that took Optuna's
    with suppress(OSError):
        if time.time() - lock.lstat().st_mtime > LEFT_BEHIND_S:
            lock.unlink()
    if journal.is_symlink():
        _throw_away(journal, "a symbolic link, which is not written through", say)
    if not journal.exists():
        return
    if not journal.is_file():
        raise _unwritable(journal, "it is no file")
    try:
        with journal.open("rb") as handle:
            end = handle.seek(0, os.SEEK_END)
            handle.seek(max(0, end - 1))
            if end and handle.read() != b"\n":  # what is added would become a part of that line
                _throw_away(journal, "its last line is cut short", say)
                return
        open_journal(journal)
    except OSError as error:
        raise _unwritable(journal, error) from error
    except Exception as error:  # what Optuna raises over contents that it did not write
        _throw_away(journal, type(error).__name__, say)


def _throw_away(journal: Path, why: str, say: Callable[[str], object]) -> None:
    say(f"{journal}: cannot be used ({why}); written anew from the ledger")
    try:
        journal.unlink(missing_ok=True)
    except OSError as error:
        raise _unwritable(journal, error) from error


def _unwritable(journal: Path, why: OSError | str) -> EnvironmentFault:
    said = (why.strerror or str(why)) if isinstance(why, OSError) else why
    return EnvironmentFault(f"{journal}: cannot be written ({said}); move it away, free some space, then run again")


def keep_studies(storage: BaseStorage, experiment: str, search: Search) -> None:
    """Every result so far: a study for each dimension (gains over its rounds' bases), and one over all rounds."""
    space = search.loaded.space.dimensions
    metric = search.loaded.plan.metric.removesuffix(MEAN)
    for name, dimension in space.items():
        own = [
            ScoredVariant(f"{name}={each.value} #{at}", {name: each.value}, each.gain)
            for at, each in enumerate(search.seen(name))
        ]
        if own:
            write_study(storage, f"{experiment}/{name}", f"gain of {metric}", {name: dimension}, own)
    keep_history(storage, f"{experiment}/all rounds", search)
    for old in optuna.get_all_study_names(storage):
        if old.startswith(f"{experiment}/all dimensions "):  # of a version that kept what lay in every range
            optuna.delete_study(study_name=old, storage=storage)


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
            study.add_trial(trial_of(kinds, values, [each.value], {"variant": each.id}))
