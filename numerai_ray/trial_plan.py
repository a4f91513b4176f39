"""From a config to the fits it needs: pure planning over the data files' indexes.

A :class:`FitSpec` holds what decides a fit's predictions, and its key is made of exactly that. Threads, names and
paths are not in the key, because predictions do not depend on them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import Any

from numerai_ray.config import Config, DataConfig, fingerprint
from numerai_ray.dataset import DatasetIndex, check_columns, feature_names, open_index
from numerai_ray.eras import Fold, FoldError, Folds, era_folds, least_honest_gap
from numerai_ray.errors import ConfigError, Problem
from numerai_ray.models import Ladder, model_for, model_problems

# Raised whenever the code comes to train differently from the same values.
FIT_VERSION = 1


@dataclass(frozen=True, eq=False)
class FitSpec:
    """One fit: a fold of a config, on named features of an indexed file.

    Fits of one ``family`` differ in their ``length`` alone (the number of trees): the longest holds the others. A
    fit that is no part of a ladder is its own family, and its length is None.
    """

    key: str
    family: str
    length: int | None
    fold: Fold
    config: Config
    index: DatasetIndex
    features: tuple[str, ...]

    @property
    def dataset(self) -> tuple[str, str]:
        """What tells feature matrices apart: file and features."""
        return self.index.fingerprint, fingerprint(self.features)

    @property
    def train_rows(self) -> int:
        """Rows before those without a label are dropped."""
        return sum(stop - start for start, stop in self.index.row_ranges(self.fold.train_eras))

    @property
    def cost(self) -> float:
        """Relative training time: rows times trees, where the model has trees."""
        params = model_for(self.config.model.type).canonical_params(self.config.model.params)
        trees = params.get("num_iterations", 100)
        return self.train_rows * float(trees if isinstance(trees, int | float) else 100)


@dataclass(frozen=True, eq=False)
class TrialPlan:
    """One variant, ready to run: ``id`` names its files, ``label`` its tasks (``quickstart/r2/num_leaves=63``).

    ``may_stop`` lets a runner give it up early (see :mod:`numerai_ray.pruning`).
    """

    id: str
    label: str
    config: Config
    index: DatasetIndex
    folds: Folds
    fits: tuple[FitSpec, ...]
    notes: tuple[str, ...]
    may_stop: bool = False

    @cached_property
    def benchmarks(self) -> tuple[str, ...]:
        """Benchmark columns that scoring needs."""
        return (self.config.score.benchmark,)

    @cached_property
    def targets(self) -> tuple[str, ...]:
        """Targets that training and scoring need, each once."""
        return tuple(dict.fromkeys((self.config.data.target, self.config.score.target)))


class Catalog:
    """The data files under one data root, their indexes read once."""

    def __init__(self, data_root: Path):
        self.data_root = data_root
        self._indexes: dict[tuple[str, str, str, str], DatasetIndex] = {}
        self._features: dict[tuple[str, str], tuple[str, ...]] = {}

    def index(self, data: DataConfig) -> DatasetIndex:
        """Index of the config's data file; raises :class:`~numerai_ray.errors.DataError`."""
        key = (*data.files(), data.era_col, data.id_col)
        if key not in self._indexes:
            self._indexes[key] = open_index(self.data_root, data)
        return self._indexes[key]

    def features(self, data: DataConfig) -> tuple[str, ...]:
        """Names of the config's feature set."""
        key = (data.version, data.feature_set)
        if key not in self._features:
            self._features[key] = feature_names(self.data_root, *key)
        return self._features[key]

    def plan(self, trial_id: str, label: str, config: Config) -> TrialPlan:
        """The fits of one variant.

        Raises:
            ConfigError: unknown model or parameters, or folds that cannot be made or are not honest.
            DataError: a file or column is missing.

        """
        problems = model_problems(config.model)
        if problems:
            raise ConfigError(label, problems)
        features = self.features(config.data)
        index = self.index(config.data)
        check_columns(index, config, features)
        folds = _honest_folds(label, config, index)
        fits = tuple(_fit_spec(config, fold, index, features) for fold in folds.trainable)
        return TrialPlan(trial_id, label, config, index, folds, fits, _notes(config, folds))


def _honest_folds(label: str, config: Config, index: DatasetIndex) -> Folds:
    try:
        folds = era_folds(index.eras, config.cv.plan())
    except FoldError as error:
        raise ConfigError(label, [Problem("$.cv", str(error))]) from error
    needed = least_honest_gap((config.data.target, config.score.target))
    if config.cv.embargo_unit == "weeks" and folds.gap_eras < needed:
        rule = (
            f"leaves {folds.gap_eras} eras between training and validation, but labels of {config.data.target} "
            f"and {config.score.target} overlap, so at least {needed} are needed; raise it"
        )
        raise ConfigError(label, [Problem("$.cv.embargo_eras", rule)])
    return folds


def _notes(config: Config, folds: Folds) -> tuple[str, ...]:
    """What a reader of the results must know about the folds."""
    notes = [
        f"validation eras {block[0]:04d}–{block[-1]:04d} have no training eras before them and are not predicted"
        for block in folds.untrainable
    ]
    needed = least_honest_gap((config.data.target, config.score.target))
    if folds.gap_eras < needed:
        notes.append(f"the smallest gap is {folds.gap_eras} eras, but labels overlap: at least {needed} are needed")
    return tuple(notes)


def _fit_spec(config: Config, fold: Fold, index: DatasetIndex, features: tuple[str, ...]) -> FitSpec:
    """The fit of a fold; its key is 64 hex digits of everything that decides its predictions."""
    decides = _decides(config, fold, index, features)
    key = family = fingerprint(decides, digits=64)
    model, params = model_for(config.model.type), config.model.params
    length = model.length(params) if isinstance(model, Ladder) else None
    if isinstance(model, Ladder) and length is not None:
        family = fingerprint(decides | {"params": model.at_length(params, 0)}, digits=64)
    return FitSpec(key, family, length, fold, config, index, features)


def _decides(config: Config, fold: Fold, index: DatasetIndex, features: Sequence[str]) -> dict[str, Any]:
    model = model_for(config.model.type)
    return {
        "fit_version": FIT_VERSION,
        "dataset": index.fingerprint,
        "features": fingerprint(features, digits=64),
        "missing": config.data.missing,
        "target": config.data.target,
        "train_eras": fold.train_eras,
        "validation_eras": fold.validation_eras,
        "model": config.model.type,
        "params": model.canonical_params(config.model.params),
        "sample": [config.model.max_train_samples, config.model.sample_seed]
        if config.model.max_train_samples
        else None,
        "libraries": {name: version(name) for name in model.libraries},
    }
