"""Fit store: content-addressed cache of fold predictions, claims on what is being trained, models beside the fits."""

import fcntl
import math
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from numerai_ray.errors import EnvironmentFault
from numerai_ray.system.files import open_own
from numerai_ray.system.storage import Place, Url, local_folder
from numerai_ray.training.spec import FitSpec
from numerai_ray.training.store.entry import mapping, read_entry, set_aside, write_entry
from numerai_ray.training.store.models import ModelStore, StoredModel

FILE = ".claims"


@contextmanager
def claimed(root: Place, family: str) -> Iterator[None]:
    """Hold the claim on ``family`` (hex digits) while the block runs; waits for another holder to be done or dead.

    Raises:
        EnvironmentFault: the store cannot be written.

    """
    if isinstance(root, Url):  # object storage has no locks: two drivers may train one fit, and keep the same bytes
        yield
        return
    try:
        root.mkdir(parents=True, exist_ok=True)
        handle = open_own(root / FILE, "a")
    except OSError as error:
        raise EnvironmentFault(f"{root / FILE}: cannot be written: {error.strerror}; free space or rights") from error
    with handle:
        # 2^60 bytes to choose from: two families on one byte would only wait for each other.
        fcntl.lockf(handle, fcntl.LOCK_EX, 1, int(family[:15], 16))
        yield


MAGIC = b"numerai-ray fit 1\n"
FOLDER = "store"  # below the data root


@dataclass(frozen=True, eq=False)
class StoredFit:
    """Predictions (n,) float64 of a fold's validation rows in file order of eras, and facts about the fit.

    ``model`` is on its way to the store of models (see :mod:`numerai_ray.training.store.fits`); what is read has none.
    """

    predictions: npt.NDArray[np.float64]
    facts: Mapping[str, Any]
    model: StoredModel | None = None


@dataclass(frozen=True)
class FitStore:
    """A folder of fits, local or a URL, shared by all experiments on one data root; safe for concurrent writers.

    ``keep_models`` asks those who train into it to keep each fit's model as well.
    """

    root: Place
    keep_models: bool = False

    @classmethod
    def below(cls, data_root: Place, *, keep_models: bool = False) -> "FitStore":
        """The store of all experiments on a data root."""
        return cls(data_root / FOLDER, keep_models)

    def path(self, key: str) -> Place:
        return self.root / key[:2] / f"{key}.fit"

    def claim(self, family: str) -> AbstractContextManager[None]:
        """Hold the claim on a family of fits while it is trained (see :mod:`numerai_ray.training.store.fits`).

        Object storage knows no locks: there the claim holds on this machine, and two machines may train the same.
        """
        return claimed(local_folder(self.root), family)

    def has(self, key: str) -> bool:
        """Whether there is an entry; reading it may still find it damaged."""
        return self.path(key).exists()

    def put(self, key: str, fit: StoredFit) -> None:
        """Keep a fit. Two writers of one key write the same contents, and the last one stays.

        Raises:
            EnvironmentFault: the store cannot be written (disk full, no rights).

        """
        payload = np.ascontiguousarray(fit.predictions, np.float64).tobytes()
        write_entry(self.path(key), MAGIC, {"facts": dict(fit.facts)}, payload)

    def get(self, key: str) -> StoredFit | None:
        """The fit, or None when there is none; a damaged entry is renamed to ``*.damaged`` and counts as none.

        Raises:
            EnvironmentFault: the entry cannot be read.

        """
        return read_entry(self.path(key), MAGIC, _decode, f"{key}.damaged")

    def set_aside(self, key: str) -> None:
        """Rename an entry that turned out to be damaged to ``*.damaged``, where that can be done."""
        set_aside(self.path(key), f"{key}.damaged")


def _decode(head: Mapping[str, Any], payload: bytes) -> StoredFit:
    return StoredFit(np.frombuffer(payload, np.float64), mapping(head["facts"]))


def stored_fit(store: FitStore, spec: FitSpec) -> StoredFit | None:
    """What the store holds of a fit; a whole entry that cannot be this fit's is set aside as a damaged one is."""
    for name in spec.names:
        fit = store.get(name)
        if fit is None:
            continue
        if not _is_of(fit, spec):
            store.set_aside(name)
            continue
        if name != spec.key:
            # The old name is of this very file: next week's file brings another one, and the new name stays.
            with suppress(EnvironmentFault):
                store.put(spec.key, fit)
        return fit
    return None


def _is_of(fit: StoredFit, spec: FitSpec) -> bool:
    rows = sum(stop - start for start, stop in spec.index.row_ranges(spec.fold.validation_eras))
    numbers = (fit.facts.get(name) for name in ("train_rows", "dropped_rows", "seconds"))
    told = fit.facts.get("importance")
    return (
        len(fit.predictions) == rows
        and all(_is_number(each) for each in numbers)
        and (told is None or _is_importance(told, len(spec.features)))
    )


def _is_importance(value: Any, features: int) -> bool:
    values = value.get("values") if isinstance(value, dict) and isinstance(value.get("kind"), str) else None
    return isinstance(values, list) and len(values) == features and all(_is_number(each) for each in values)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def is_stored(store: FitStore, spec: FitSpec) -> bool:
    """Whether nothing is lacking of what the store is to keep of a fit."""
    return any(store.has(name) for name in spec.names) and not lacks_model(store, spec)


def lacks_model(store: FitStore, spec: FitSpec) -> bool:
    """Whether the store is to keep the fit's model and does not have it."""
    return store.keep_models and serving(ModelStore(store.root), spec) is None


def serving(models: ModelStore, spec: FitSpec) -> str | None:
    """Name of the entry that holds the fit's model: its own, or that of a longer one of its ladder."""
    for family in spec.families:
        if spec.length is None:
            if models.path(family).exists():
                return family
            continue
        lengths = _lengths(models, family)
        longest = max(lengths, default=0)
        if longest >= spec.length:
            return lengths[longest]
    return None


def keep_model(store: FitStore, spec: FitSpec, model: StoredModel) -> None:
    """Keep a fit's model unless a longer one is there, and let go of shorter ones.

    Raises:
        EnvironmentFault: the store cannot be written (disk full, no rights).

    """
    models = ModelStore(store.root)
    if serving(models, spec) is not None:
        return
    shorter = [] if spec.length is None else list(_lengths(models, spec.family).values())
    models.put(spec.family if spec.length is None else f"{spec.family}-{spec.length}", model)
    for name in shorter:
        models.path(name).unlink(missing_ok=True)


def _lengths(models: ModelStore, family: str) -> dict[int, str]:
    """Names of the models of a ladder, by their length."""
    ends = ((name.rpartition("-")[2], name) for name in models.names(family) if name != family)
    return {int(end): name for end, name in ends if end.isdecimal()}
