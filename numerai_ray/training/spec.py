"""Specs: what a fit is, a variant made of fits, and what its predictions are held against."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from numerai_ray.config import Config
from numerai_ray.config.ranges import is_number
from numerai_ray.data.dataset import META_MODEL, DatasetIndex
from numerai_ray.data.eras import Fold, Folds
from numerai_ray.metrics.importance import feature_groups
from numerai_ray.models import LIBRARY, Engine, Model, ModelSource, model_for, needs_of
from numerai_ray.system.resources import FitSize, Needs
from numerai_ray.training.key import features_fingerprint

# What Numerai's FNCv3 is neutral to; its least squares grow with the square of the features.
NEUTRAL_SET = "fncv3_features"
MOST_NEUTRAL = 1000


@dataclass(frozen=True, eq=False)
class Diagnosed:
    """See :mod:`numerai_ray.training.diagnostics`, which looks; it does not where there are no ``features``.

    ``features`` are those that exposures are taken to, ``neutral_to`` those of ``neutral_set`` for feature-neutral CORR
    (both empty where there is no such set), ``groups`` names of features by Numerai's group.
    """

    features: tuple[str, ...] = ()
    neutral_set: str = ""
    neutral_to: tuple[str, ...] = ()
    groups: Mapping[str, Sequence[str]] = field(default_factory=dict)


def diagnosed_against(
    features: Iterable[Sequence[str]], sets: Mapping[str, Sequence[str]], columns: Iterable[str]
) -> Diagnosed:
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
            return Diagnosed(own, name, tuple(members), feature_groups(sets))
    return Diagnosed(own, groups=feature_groups(sets))


# What models call their number of trees or epochs.
STEPS = ("num_iterations", "iterations", "n_estimators", "epochs")


@dataclass(frozen=True)
class Asked:
    """What of a trial a fit stands for, and what it looks at beside features and target.

    ``member`` is the path of the ensemble's member, as :meth:`Config.trained` has it, ``""`` without an ensemble;
    ``transform_benchmark`` the column that the target transform looks at, ``read_benchmarks`` those that the model
    does; ``part`` tells the fits of one fold apart;
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
    ``former`` are keys and families that it had before, the newest first: by other digests of what it reads, and, until
    November 2026, by the whole file's fingerprint. What is stored under them is this fit while the file is the same.
    """

    key: str
    family: str
    length: int | None
    fold: Fold
    config: Config
    index: DatasetIndex
    features: tuple[str, ...]
    asked: Asked = Asked()
    engine: Engine = LIBRARY
    former: tuple[tuple[str, str], ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """Keys under which it may be stored, today's first."""
        return (self.key, *(key for key, _ in self.former))

    @property
    def families(self) -> tuple[str, ...]:
        """Families under which its model may be stored, today's first."""
        return (self.family, *(family for _, family in self.former))

    @property
    def model(self) -> Model:
        """What trains it; made anew where the fit goes, as a user's class has no home but its source."""
        return model_for(self.config.model.type, self.asked.source, self.engine.name)

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
    def size(self) -> FitSize:
        """What its memory follows from."""
        params = self.model.canonical_params(self.config.model.params)
        share = params.get("feature_fraction", 1.0)
        drawn = math.ceil(len(self.features) * share) if is_number(share) else len(self.features)
        ranges = self.index.row_ranges(self.fold.train_eras)
        predicted = sum(stop - start for start, stop in self.index.row_ranges(self.fold.validation_eras))
        return FitSize(
            self.engine.name,
            self.train_rows,
            predicted,
            ranges[-1][1] - ranges[0][0],
            len(self.features),
            drawn,
            self.leaves,
            weighted=self.config.model.era_weights is not None,
        )

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
class VariantPlan:
    """One variant, ready to run: ``id`` names its files, ``label`` its tasks (``quickstart/r2/num_leaves=63``).

    ``neutralizers`` are the features that its predictions, or those of any member, are made neutral to, ``neutral``
    those of each ``post`` section by its path where they differ; ``may_stop`` lets a runner give it up
    early (see :mod:`numerai_ray.runners.pruning`); ``origin`` names the round that trains: what a killed attempt at it
    has stored counts as trained for it; ``diagnosed`` is what its predictions are held against. ``predicted`` says in
    hex digits what the eras that it predicts hold: ``diagnosed`` and ``scored``, for what looks at and scores them.
    """

    id: str
    label: str
    config: Config
    index: DatasetIndex
    folds: Folds
    fits: tuple[FitSpec, ...]
    notes: tuple[str, ...]
    neutralizers: tuple[str, ...] = ()
    neutral: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    may_stop: bool = False
    origin: str = ""
    diagnosed: Diagnosed = field(default_factory=Diagnosed)
    predicted: Mapping[str, str] = field(default_factory=dict)

    def neutralizers_of(self, path: str) -> tuple[str, ...]:
        """Features that the ``post`` section at a path makes neutral to."""
        return self.neutral.get(path, self.neutralizers)

    @cached_property
    def engines(self) -> tuple[str, ...]:
        """What grows its fits, each once, with the reason where that is not the fast one."""
        return tuple(dict.fromkeys(str(fit.engine) for fit in self.fits))

    @cached_property
    def benchmarks(self) -> tuple[str, ...]:
        """Benchmark columns that training, post-processing and scoring need; the meta model's where it is there."""
        read = (name for fit in self.fits for name in fit.asked.read_benchmarks)
        meta_model = () if self.index.meta_model_path is None else (META_MODEL,)
        return tuple(dict.fromkeys((*self.config.benchmarks(), *read, *meta_model)))

    @cached_property
    def targets(self) -> tuple[str, ...]:
        """Targets that training and scoring need, each once."""
        return tuple(dict.fromkeys((*self.config.trained_targets(), *self.config.score.targets)))

    @cached_property
    def fold_fits(self) -> tuple[tuple[FitSpec, ...], ...]:
        """The fits of each trainable fold, in fold order."""
        return tuple(tuple(fit for fit in self.fits if fit.fold.index == fold.index) for fold in self.folds.trainable)


def steps_of(model: Model, params: Mapping[str, Any]) -> tuple[str, float] | None:
    """The parameter that says how many trees or epochs a fit has, and how many; None where there is no such thing."""
    found = model.canonical_params(params)
    name = next((each for each in STEPS if is_number(found.get(each))), None)
    return None if name is None else (name, float(found[name]))


def column_needs(plans: Sequence[VariantPlan]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Targets and benchmarks that any of the plans needs, in a fixed order."""
    targets = sorted({name for plan in plans for name in plan.targets})
    benchmarks = sorted({name for plan in plans for name in plan.benchmarks})
    return tuple(targets), tuple(benchmarks)
