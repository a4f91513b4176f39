"""From a config to the fits it needs: pure planning over the data files' indexes.

A :class:`FitSpec` holds what decides a fit's predictions, and its key is made of exactly that. Threads, names and
paths are not in the key, because predictions do not depend on them. One fit is one fold x one seed x one target x
one member of an ensemble; what is made of the fits afterwards is :mod:`numerai_ray.assembly`.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from numerai_ray.config import SCORE_BENCHMARK, Config, DataConfig, ModelConfig
from numerai_ray.dataset import DatasetIndex, feature_names, feature_sets, file_fingerprint, open_index
from numerai_ray.dataset_needs import check_columns
from numerai_ray.eras import Fold, FoldError, Folds, Holdout, era_folds, least_honest_gap
from numerai_ray.errors import ConfigError, EnvironmentFault, Problem
from numerai_ray.fit_key import features_fingerprint, fit_identity
from numerai_ray.looked import Looked, looked_at
from numerai_ray.models import (
    Model,
    ModelSource,
    is_known,
    model_for,
    model_problems,
    needs_of,
    read_benchmarks,
    settled,
    source_of,
)
from numerai_ray.resource_plan import Needs
from numerai_ray.storage import Place
from numerai_ray.training_sample import sampled_eras, sampled_features
from numerai_ray.value_range import is_number

# What models call their number of trees or epochs.
STEPS = ("num_iterations", "iterations", "n_estimators", "epochs")


@dataclass(frozen=True)
class Asked:
    """What of a trial a fit stands for, and what it looks at beside features and target.

    ``member`` is the ensemble's member, ``""`` without an ensemble; ``transform_benchmark`` the column that the target
    transform looks at, ``read_benchmarks`` those that the model does; ``part`` tells the fits of one fold apart;
    ``source`` is a user's own model.
    """

    member: str = ""
    transform_benchmark: str | None = None
    read_benchmarks: tuple[str, ...] = ()
    part: str = ""
    source: ModelSource | None = None


@dataclass(frozen=True, eq=False)
class FitSpec:
    """One fit: a fold of a config with one target and at most one seed, on named features of an indexed file.

    Fits of one ``family`` differ in their ``length`` alone (the number of trees): the longest holds the others. A
    fit that is no part of a ladder is its own family, and its length is None.

    The fold's training eras and the features are those sampled; ``asked`` is what of its trial it stands for.
    """

    key: str
    family: str
    length: int | None
    fold: Fold
    config: Config
    index: DatasetIndex
    features: tuple[str, ...]
    asked: Asked = Asked()

    @property
    def model(self) -> Model:
        """What trains it; made anew where the fit goes, as a user's class has no home but its source."""
        return model_for(self.config.model.type, self.asked.source)

    @property
    def target(self) -> str:
        """The one target that is trained on."""
        return next(iter(self.config.data.targets))

    @property
    def place(self) -> str:
        """Where in its trial it stands: ``fold 2``, ``fold 2 (ridge, target_ender_60)``."""
        return f"fold {self.fold.index}" + (f" ({self.asked.part})" if self.asked.part else "")

    @property
    def seed(self) -> int | None:
        """The one seed, where the config lists seeds."""
        return self.config.model.seeds[0] if self.config.model.seeds else None

    @property
    def dataset(self) -> tuple[str, str]:
        """What tells feature matrices apart: file and features."""
        return self.index.fingerprint, self._features_fingerprint

    @cached_property
    def _features_fingerprint(self) -> str:
        return features_fingerprint(self.features)

    @property
    def train_rows(self) -> int:
        """Rows before those without a label are dropped."""
        return sum(stop - start for start, stop in self.index.row_ranges(self.fold.train_eras))

    @property
    def needs(self) -> Needs:
        """What it asks of a node."""
        return needs_of(self.model, self.config.model)

    @property
    def cost(self) -> float:
        """Relative training time: rows x features x steps x levels of a tree."""
        return self.train_rows * len(self.features) * self.steps * math.log2(max(2, self.leaves))

    @property
    def leaves(self) -> int:
        """Of its largest tree; LightGBM's 31 where the model does not count them."""
        leaves = self.model.canonical_params(self.config.model.params).get("num_leaves", 31)
        return leaves if isinstance(leaves, int) else 31

    @property
    def steps(self) -> float:
        """Trees or epochs; 100 where the model says nothing of them."""
        found = steps_of(self.model, self.config.model.params)
        return 100.0 if found is None else found[1]


@dataclass(frozen=True, eq=False)
class TrialPlan:
    """One variant, ready to run: ``id`` names its files, ``label`` its tasks (``quickstart/r2/num_leaves=63``).

    ``neutralizers`` are the features that its predictions are made neutral to; ``may_stop`` lets a runner give it up
    early (see :mod:`numerai_ray.pruning`); ``origin`` names the round that trains: what a killed attempt at it has
    stored counts as trained for it; ``looked`` is what its predictions are held against.
    """

    id: str
    label: str
    config: Config
    index: DatasetIndex
    folds: Folds
    fits: tuple[FitSpec, ...]
    notes: tuple[str, ...]
    neutralizers: tuple[str, ...] = ()
    may_stop: bool = False
    origin: str = ""
    looked: Looked = field(default_factory=Looked)

    @cached_property
    def benchmarks(self) -> tuple[str, ...]:
        """Benchmark columns that training, post-processing and scoring need."""
        read = (name for fit in self.fits for name in fit.asked.read_benchmarks)
        return tuple(dict.fromkeys((*self.config.benchmarks(), *read)))

    @cached_property
    def targets(self) -> tuple[str, ...]:
        """Targets that training and scoring need, each once."""
        return tuple(dict.fromkeys((*self.config.trained_targets(), self.config.score.target)))

    @cached_property
    def fold_fits(self) -> tuple[tuple[FitSpec, ...], ...]:
        """The fits of each trainable fold, in fold order."""
        return tuple(tuple(fit for fit in self.fits if fit.fold.index == fold.index) for fold in self.folds.trainable)


class Catalog:
    """The data files under one data root, their indexes read once."""

    def __init__(
        self,
        data_root: Place,
        folder: Path | None = None,
        holdout: Holdout | None = None,
        *,
        elsewhere: bool = False,
    ):
        self.data_root = data_root
        self.folder = folder or Path.cwd()  # where a config's own model files are
        self.holdout = holdout
        self.elsewhere = elsewhere  # fits run on other machines: what devices there are is not known here
        self.device_notes: dict[str, None] = {}  # what was said of devices, each word once
        self._indexes: dict[tuple[str, str, str, str], DatasetIndex] = {}
        self._features: dict[tuple[str, str], tuple[str, ...]] = {}

    def index(self, data: DataConfig) -> DatasetIndex:
        """Index of the config's data file; raises :class:`~numerai_ray.errors.DataError`."""
        key = (*data.files(), data.era_col, data.id_col)
        if key not in self._indexes:
            self._indexes[key] = open_index(self.data_root, data)
        return self._indexes[key]

    def features(self, data: DataConfig) -> tuple[str, ...]:
        """Names of the config's features: its set, or the union of its sets in the order they are named."""
        return self.feature_set(data.version, *data.feature_sets)

    def feature_set(self, version: str, *sets: str) -> tuple[str, ...]:
        """Names of the features of one or several sets, each once."""
        for name in sets:
            if (version, name) not in self._features:
                self._features[version, name] = feature_names(self.data_root, version, name)
        return tuple(dict.fromkeys(each for name in sets for each in self._features[version, name]))

    def plan(self, trial_id: str, label: str, config: Config, *, kept: bool = False) -> TrialPlan:
        """The fits of one variant; with ``kept`` the one fold that scores the eras that were kept out.

        Raises:
            ConfigError: unknown model or parameters, or folds that cannot be made or are not honest.
            DataError: a file or column is missing.

        """
        members = self._members(label, config)
        problems = [
            _placed(problem, member.name, config)
            for member in members
            for problem in model_problems(member.config.model, member.source)
        ]
        if problems:
            raise ConfigError(label, problems)
        neutral_sets = config.post.neutralize.names if config.post.neutralize else ()
        neutralizers = self.feature_set(
            config.data.version, *(name for name in neutral_sets if name != SCORE_BENCHMARK)
        )
        features = [self.features(member.config.data) for member in members]
        index = self.index(config.data)
        for member, names in zip(members, features, strict=True):
            check_columns(index, member.config, names, read_benchmarks(member.model))
        check_columns(index, config, (*self.features(config.data), *neutralizers))
        folds = _honest_folds(label, config, index, self.holdout, kept=kept)
        fits = [fit for fold in folds.trainable for member in members for fit in self._member_fits(member, fold, index)]
        devices = dict.fromkeys(member.note for member in members if member.note)
        self.device_notes |= devices
        notes = (*_notes(config, folds), *devices)
        sets = feature_sets(self.data_root, config.data.version)
        looked = looked_at(features, sets, index.columns)
        return TrialPlan(trial_id, label, config, index, folds, tuple(fits), notes, neutralizers, looked=looked)

    def on_fold(self, plan: TrialPlan, fold: Fold) -> TrialPlan:
        """The same variant on one fold of the caller's: a refit trains on every era and predicts a few of them."""
        members = self._members(plan.label, plan.config)
        fits = [fit for member in members for fit in self._member_fits(member, fold, plan.index)]
        return replace(plan, folds=Folds((fold,), ()), fits=tuple(fits))

    def _members(self, label: str, config: Config) -> list["_Member"]:
        """The members and where their models come from."""
        found = []
        try:
            for name, own in config.members().items():
                source = source_of(own.model, self.folder)
                model, note = self._settled(own.model, source)
                found.append(_Member(name, own.model_copy(update={"model": model}), source, note))
        except ConfigError as error:
            raise ConfigError(label, error.problems) from None
        return found

    def _settled(self, model: ModelConfig, source: ModelSource | None) -> tuple[ModelConfig, str]:
        """The model on a device that can be had; one that cannot even be made is left for its problems to be told."""
        if not is_known(model.type):
            return model, ""
        try:
            return settled(model_for(model.type, source), model, elsewhere=self.elsewhere)
        except (ConfigError, EnvironmentFault):
            return model, ""

    def _member_fits(self, member: "_Member", fold: Fold, index: DatasetIndex) -> list[FitSpec]:
        """One fit for each target and seed of a member."""
        sample = member.config.model.feature_sample
        version = member.config.data.version
        groups = {group: self.feature_set(version, group) for group in (sample.groups if sample else ())}
        read = read_benchmarks(member.model)
        looked_at = tuple(dict.fromkeys([*member.transform_benchmarks, *read]))
        benchmark_file = file_fingerprint(index.benchmark_path) if looked_at else ""
        fits = []
        for config in member.singles():
            seed = config.model.seeds[0] if config.model.seeds else None
            eras = sampled_eras(fold.train_eras, config.model.era_sample, seed)
            own_fold = Fold(fold.index, eras, fold.validation_eras)
            features = sampled_features(self.features(config.data), groups, sample, seed)
            files = dict.fromkeys(looked_at, benchmark_file)
            identity = fit_identity(config, own_fold, index, features, (files, member.model))
            transform = member.transform_benchmarks[0] if member.transform_benchmarks else None
            asked = Asked(member.name, transform, read, member.part(config), member.source)
            fits.append(FitSpec(*identity, own_fold, config, index, features, asked))
        return fits


@dataclass(frozen=True, eq=False)
class _Member:
    """What of a config is fitted: a member of its ensemble, or all of it under the name ``""``."""

    name: str
    config: Config
    source: ModelSource | None
    note: str = ""

    @property
    def model(self) -> Model:
        return model_for(self.config.model.type, self.source)

    @property
    def transform_benchmarks(self) -> tuple[str, ...]:
        """The benchmark column that the target transform looks at, or none."""
        transform = self.config.model.target_transform
        if transform is None or not transform.needs_benchmark:
            return ()
        return (self.config.benchmark(transform.benchmark or SCORE_BENCHMARK),)

    def singles(self) -> Iterator[Config]:
        """The config for each target and seed, as what a single fit is."""
        own = self.config
        for target in own.data.targets:
            data = own.data.model_copy(update={"target": target})
            for seed in own.model.seeds or (None,):
                changes: dict[str, Any] = {}
                if seed is not None:
                    changes = {"seeds": [seed], "params": self.model.with_seed(own.model.params, seed)}
                yield own.model_copy(update={"data": data, "model": own.model.model_copy(update=changes)})

    def part(self, single: Config) -> str:
        """What tells a fit from the others of its fold: member, target, seed, as far as there are several."""
        data, seeds = self.config.data, self.config.model.seeds or []
        parts = [self.name] if self.name else []
        parts += list(single.data.targets) if len(data.targets) > 1 else []
        parts += [f"seed {seed}" for seed in single.model.seeds or ()] if len(seeds) > 1 else []
        return ", ".join(parts)


def steps_of(model: Model, params: Mapping[str, Any]) -> tuple[str, float] | None:
    """The parameter that says how many trees or epochs a fit has, and how many; None where there is no such thing."""
    found = model.canonical_params(params)
    name = next((each for each in STEPS if is_number(found.get(each))), None)
    return None if name is None else (name, float(found[name]))


def _placed(problem: Problem, member: str, config: Config) -> Problem:
    """A problem of a member's model, at the place that brought it."""
    if config.ensemble is None or "model" not in config.ensemble.members[member]:
        return problem
    return Problem(f"$.ensemble.members.{member}{problem.path.removeprefix('$')}", problem.message)


def _label_names(config: Config) -> tuple[str, ...]:
    return (*config.trained_targets(), config.score.target)


def _honest_folds(label: str, config: Config, index: DatasetIndex, holdout: Holdout | None, *, kept: bool) -> Folds:
    names = _label_names(config)
    needed = least_honest_gap(names)
    gap = max(needed, config.cv.embargo_eras if config.cv.embargo_unit == "weeks" else 0)
    try:
        if holdout is not None and kept:
            return Folds((holdout.fold(index.eras, gap),), ())
        eras = index.eras if holdout is None else holdout.searched(index.eras, gap)
        folds = era_folds(eras, config.cv.plan())
    except FoldError as error:
        raise ConfigError(label, [Problem("$.cv", str(error))]) from error
    if config.cv.embargo_unit == "weeks" and folds.gap_eras < needed:
        rule = (
            f"leaves {folds.gap_eras} eras between training and validation, but labels of {_listed(names)} "
            f"overlap, so at least {needed} are needed; raise it"
        )
        raise ConfigError(label, [Problem("$.cv.embargo_eras", rule)])
    return folds


def _listed(names: Sequence[str]) -> str:
    distinct = list(dict.fromkeys(names))
    return distinct[0] if len(distinct) == 1 else f"{', '.join(distinct[:-1])} and {distinct[-1]}"


def _notes(config: Config, folds: Folds) -> tuple[str, ...]:
    """What a reader of the results must know about the folds."""
    notes = [
        f"validation eras {block[0]:04d}–{block[-1]:04d} have no training eras before them and are not predicted"
        for block in folds.untrainable
    ]
    needed = least_honest_gap(_label_names(config))
    if folds.gap_eras < needed:
        notes.append(f"the smallest gap is {folds.gap_eras} eras, but labels overlap: at least {needed} are needed")
    return tuple(notes)
