"""From a config to the fits it needs: pure planning over the data files' indexes."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from numerai_ray.config import SCORE_BENCHMARK, Config, CvConfig, DataConfig, ModelConfig, fingerprint
from numerai_ray.config.ranges import is_number
from numerai_ray.data.contents import Contents, fit_content
from numerai_ray.data.dataset import DatasetIndex, feature_names, feature_sets, file_fingerprint, open_index
from numerai_ray.data.eras import Fold, Folds, Holdout, Remembered
from numerai_ray.data.folds import (
    EraCoverage,
    Lesson,
    coverage_problems,
    fold_notes,
    honest_folds,
    meta_model_notes,
    metric_problems,
)
from numerai_ray.data.needs import check_columns
from numerai_ray.errors import ConfigError, EnvironmentFault, Problem
from numerai_ray.models import (
    LIBRARY,
    Engine,
    Model,
    ModelSource,
    Rule,
    engine_of,
    is_known,
    model_for,
    model_problems,
    read_benchmarks,
    rule_here,
    settled,
    source_of,
)
from numerai_ray.system.storage import Place
from numerai_ray.training.key import fit_identity, whole_files
from numerai_ray.training.sample import sampled_eras, sampled_features
from numerai_ray.training.spec import STEPS, Asked, FitSpec, VariantPlan, diagnosed_against

MOST_STEPS = 2**31 - 1
# A variant is asked for when the plan is checked, against a budget, among baselines, and to be run: planned once.
MOST_PLANNED = 256


class Catalog:
    """The data files under one data root, their indexes read once."""

    def __init__(
        self,
        data_root: Place,
        folder: Path | None = None,
        holdout: Holdout | None = None,
        *,
        elsewhere: bool = False,
        rule: Rule | None = None,
        remembered: Remembered | None = None,
    ):
        self.data_root = data_root
        self.folder = folder or Path.cwd()  # where a config's own model files are
        self.holdout = holdout
        known = remembered or Remembered()
        self.last_era = known.last_era  # later ones are left alone; a config's own data.last_era goes before it
        self.hashed = known.hashed
        self.rule: Rule = rule_here() if rule is None else rule  # what grows trees, as the experiment began
        self.elsewhere = elsewhere  # fits run on other machines: what devices there are is not known here
        self.device_notes: dict[str, None] = {}  # what was said of devices, each word once
        self._indexes: dict[tuple[str, str, str, str], DatasetIndex] = {}
        self._features: dict[tuple[str, str], tuple[str, ...]] = {}
        self._coverage: dict[tuple[str, str, str, str], EraCoverage] = {}
        self._contents: dict[tuple[str, str, str, str], Contents] = {}
        self._planned: dict[_Asked, VariantPlan] = {}

    def index(self, data: DataConfig) -> DatasetIndex:
        """Index of the config's data file; raises :class:`~numerai_ray.errors.DataError`."""
        key = _file(data)
        if key not in self._indexes:
            self._indexes[key] = open_index(self.data_root, data)
            self._coverage[key] = EraCoverage(self._indexes[key], data)
            self._contents[key] = Contents(self._indexes[key], data, self.hashed)
        return self._indexes[key]

    def eras(self, data: DataConfig) -> tuple[int, ...]:
        """Eras of the config's data file that may be used; raises :class:`~numerai_ray.errors.DataError`."""
        last, eras = data.last_era if data.last_era is not None else self.last_era, self.index(data).eras
        return eras if last is None else tuple(era for era in eras if era <= last)

    def resolved(self, data: DataConfig, targets: Iterable[str]) -> int | None:
        """The last era in which all ``targets`` that the file has are known; None where there is none."""
        index = self.index(data)
        known = [self._coverage[_file(data)].target(name) for name in targets if name in index.columns]
        return max(frozenset.intersection(*known), default=None) if known else None

    def judged_eras(self, plan: VariantPlan) -> list[int]:
        """Predicted eras that the metric that decides can know: for MMC those with the meta model."""
        eras = sorted(era for fold in plan.folds.trainable for era in fold.validation_eras)
        if plan.config.score.primary.series != "mmc":
            return eras
        self.index(plan.config.data)
        there = self._coverage[_file(plan.config.data)].meta_model()
        return [era for era in eras if era in there]

    def contents(self, data: DataConfig) -> Contents:
        """What the eras of the config's data file hold; raises :class:`~numerai_ray.errors.DataError`."""
        self.index(data)
        return self._contents[_file(data)]

    def features(self, data: DataConfig) -> tuple[str, ...]:
        """Names of the config's features: its set, or the union of its sets in the order they are named."""
        return self.feature_set(data.version, *data.feature_sets)

    def feature_set(self, version: str, *sets: str) -> tuple[str, ...]:
        """Names of the features of one or several sets, each once."""
        for name in sets:
            if (version, name) not in self._features:
                self._features[version, name] = feature_names(self.data_root, version, name)
        return tuple(dict.fromkeys(each for name in sets for each in self._features[version, name]))

    def plan(
        self, trial_id: str, label: str, config: Config, *, kept: bool = False, to_run: bool = True
    ) -> VariantPlan:
        """The fits of one variant; with ``kept`` the one fold that scores the eras that were kept out.

        Raises:
            ConfigError: unknown model or parameters, or folds that cannot be made, are not honest or, where they are
                ``to_run``, have nothing to learn from.
            DataError: a file or column is missing.

        """
        members = self._members(label, config)
        asked = _Asked(
            config.model_dump_json(), tuple(member.source for member in members), self.last_era, kept, to_run
        )
        planned = self._planned.pop(asked, None)
        if planned is None:
            planned = self._plan(trial_id, label, config, members, asked)
        self._planned[asked] = planned  # the newest last
        if len(self._planned) > MOST_PLANNED:
            del self._planned[next(iter(self._planned))]
        return replace(planned, id=trial_id, label=label)

    def _plan(
        self, trial_id: str, label: str, config: Config, members: Sequence["_Member"], asked: "_Asked"
    ) -> VariantPlan:
        kept, to_run = asked.kept, asked.to_run
        problems = [
            _placed(problem, member.name, config)
            for member in members
            for problem in (model_problems(member.config.model, member.source) or _step_problems(member))
        ]
        if problems:
            raise ConfigError(label, problems)
        neutral = self._neutral(config)
        neutralizers = tuple(dict.fromkeys(name for each in neutral.values() for name in each))
        features = [self.features(member.config.data) for member in members]
        index = self.index(config.data)
        for member, names in zip(members, features, strict=True):
            check_columns(index, member.config, names, read_benchmarks(member.model))
        check_columns(index, config, (*self.features(config.data), *neutralizers))
        folds = honest_folds(label, config, self.eras(config.data), self.holdout, kept=kept)
        fits = self._fits(members, folds, index)

        def refold(cv: CvConfig) -> list[Lesson]:
            other = config.model_copy(update={"cv": cv})
            recut = honest_folds(label, other, self.eras(other.data), self.holdout, kept=kept)
            return _lessons(self._fits(members, recut, index))

        coverage = self._coverage[_file(config.data)]
        lacks: list[Problem] = []
        if to_run:
            lacks += [
                Problem("$.cv", each) for each in coverage_problems(config, folds, _lessons(fits), coverage, refold)
            ]
            lacks += [Problem("$.metric", each) for each in metric_problems(config, folds, coverage)]
        if lacks:
            raise ConfigError(label, lacks)
        devices = dict.fromkeys(member.note for member in members if member.note)
        self.device_notes |= devices
        notes = (*fold_notes(config, folds, index), *meta_model_notes(config, folds, coverage), *devices)
        sets = feature_sets(self.data_root, config.data.version)
        needs = diagnosed_against(features, sets, index.columns)
        neutral_to = (neutralizers, neutral)
        plan = VariantPlan(trial_id, label, config, index, folds, tuple(fits), notes, *neutral_to, diagnosed=needs)
        return replace(plan, predicted=_predicted(plan, self.contents(config.data)))

    def on_fold(self, plan: VariantPlan, fold: Fold) -> VariantPlan:
        """The same variant on one fold of the caller's: a refit trains on every era and predicts a few of them."""
        members = self._members(plan.label, plan.config)
        folds = Folds((fold,), ())
        return replace(plan, folds=folds, fits=tuple(self._fits(members, folds, plan.index)))

    def _neutral(self, config: Config) -> dict[str, tuple[str, ...]]:
        """Features that each ``post`` section makes neutral to, by its path."""
        asked = {path: post.neutralize.names for path, post in config.posts().items() if post.neutralize}
        return {
            path: self.feature_set(config.data.version, *(name for name in names if name != SCORE_BENCHMARK))
            for path, names in asked.items()
        }

    def _fits(self, members: Sequence["_Member"], folds: Folds, index: DatasetIndex) -> list[FitSpec]:
        return [fit for fold in folds.trainable for member in members for fit in self._member_fits(member, fold, index)]

    def _members(self, label: str, config: Config) -> list["_Member"]:
        """The members and where their models come from."""
        found = []
        try:
            for name, own in config.trained().items():
                source = source_of(own.model, self.folder)
                model, note = self._settled(own.model, source)
                member = own.model_copy(update={"model": model})
                found.append(_Member(name, member, source, note, self._engine(member, source)))
        except ConfigError as error:
            raise ConfigError(label, error.problems) from None
        return found

    def _engine(self, member: Config, source: ModelSource | None) -> Engine:
        """What grows the member's trees; of a model with problems it does not matter."""
        model = member.model
        if not is_known(model.type) or model.type != "lightgbm":
            return Engine(model.type)
        canonical = model_for(model.type, source).canonical_params(model.params)
        return engine_of(model, member.data.missing, canonical, self.rule)

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
        watched = tuple(dict.fromkeys([*member.transform_benchmarks, *read]))
        files = whole_files(index.fingerprint, file_fingerprint(index.benchmark_path) if watched else "", watched)
        contents = self.contents(member.config.data)
        fits = []
        for config in member.singles():
            seed = config.model.seeds[0] if config.model.seeds else None
            eras = sampled_eras(fold.train_eras, config.model.era_sample, seed)
            own_fold = Fold(fold.index, eras, fold.validation_eras)
            features = sampled_features(self.features(config.data), groups, sample, seed)
            watching = dict.fromkeys(watched, False) | dict.fromkeys(read, True)
            shown = (eras, fold.validation_eras)
            target, others = next(iter(config.data.targets)), (member.model, member.engine)
            reads, *twins = [
                {"content": fit_content(each, shown, features, target, watching)}
                for each in (contents, *contents.twins)
            ]
            identity = fit_identity(config, own_fold, reads, features, others)
            former = tuple(fit_identity(config, own_fold, each, features, others)[:2] for each in (*twins, files))
            transform = member.transform_benchmarks[0] if member.transform_benchmarks else None
            asked = Asked(member.name, transform, read, member.part(config), member.source)
            fits.append(FitSpec(*identity, own_fold, config, index, features, asked, member.engine, former))
        return fits


@dataclass(frozen=True)
class _Asked:
    """What decides a plan: a config, the code of its own models, the last era, eras that are ``kept``, if it runs."""

    config: str
    sources: tuple[ModelSource | None, ...]
    last_era: int | None
    kept: bool
    to_run: bool


@dataclass(frozen=True, eq=False)
class _Member:
    """What of a config is fitted: a member of its ensemble, or all of it under the name ``""``."""

    name: str
    config: Config
    source: ModelSource | None
    note: str = ""
    engine: Engine = LIBRARY

    @property
    def model(self) -> Model:
        return model_for(self.config.model.type, self.source, self.engine.name)

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


def _step_problems(member: "_Member") -> list[Problem]:
    """More trees or epochs than any library counts: it would refuse them, or end before them, without a word."""
    params = member.config.model.params
    canonical = member.model.canonical_params(params)
    steps = [canonical[name] for name in STEPS if is_number(canonical.get(name)) and canonical[name] > MOST_STEPS]
    return [
        Problem(f"$.model.params.{key}", f"must be at most {MOST_STEPS:,}, but is {value!r:.40}; lower it")
        for key, value in params.items()
        if value in steps
    ]


def _file(data: DataConfig) -> tuple[str, str, str, str]:
    """What tells indexes apart."""
    return (*data.files(), data.era_col, data.id_col)


def _predicted(plan: VariantPlan, contents: Contents) -> dict[str, str]:
    """What the eras that a variant predicts hold, of what its predictions are held against and scored with."""
    eras = sorted(era for fold in plan.folds.trainable for era in fold.validation_eras)
    score, diagnosed = plan.config.score, plan.diagnosed
    held = [
        contents.features(diagnosed.features),
        contents.features(diagnosed.neutral_to),
        contents.target(score.target),
    ]
    scored = [contents.ids(), *map(contents.target, score.targets), contents.features(plan.neutralizers)]
    scored += [contents.benchmark(name) for name in plan.benchmarks]
    parts = {"diagnosed": held, "scored": scored}
    return {name: fingerprint([contents.read(each, eras) for each in tables], 64) for name, tables in parts.items()}


def _lessons(fits: Sequence[FitSpec]) -> list[Lesson]:
    return [Lesson(fit.fold.index, fit.fold.train_eras, fit.target, fit.asked.transform_benchmark) for fit in fits]


def _placed(problem: Problem, member: str, config: Config) -> Problem:
    """A problem of a member's model, at the place that brought it."""
    own: Any = {"ensemble": {"members": {}}} if config.ensemble is None else config.to_json()
    for name in member.split("/"):
        own = own["ensemble"]["members"].get(name, {})
    if "model" not in own:
        return problem
    place = ".".join(f"ensemble.members.{name}" for name in member.split("/"))
    return Problem(f"$.{place}{problem.path.removeprefix('$')}", problem.message)
