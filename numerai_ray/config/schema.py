"""A config: frozen sections, validated all at once, with a fingerprint.

``data -> cv -> model`` decide a fit; ``ensemble``, ``post`` and ``score`` decide what is made of the fits' predictions
and cost no training. Every problem of a file is reported together, each with its place, its value and the nearest
known key.
"""

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import AfterValidator, ConfigDict, Field, ValidationError, model_validator
from pydantic_core import InitErrorDetails, PydanticCustomError

from numerai_ray.config.schema_rules import only_with
from numerai_ray.config.sections import SCORE_BENCHMARK, EnsembleConfig, ModelConfig, PostConfig
from numerai_ray.config.validation import (
    DataPath,
    Json,
    Name,
    Place,
    Section,
    Weight,
    apply_overrides,
    canonical_json,
    fingerprint,
    leaves,
    value_at,
    without,
)
from numerai_ray.errors import nearest
from numerai_ray.metrics.registry import BMC, PayoutTerms, Primary, primary_named, primary_names

DataFile = Literal["full", "downsampled"]
Mode = Literal["expanding", "blocked", "walk_forward"]
EmbargoUnit = Literal["weeks", "retained"]
DATA_FILES: dict[DataFile, tuple[str, str]] = {
    "full": ("full.parquet", "full_benchmark_models.parquet"),
    "downsampled": ("downsampled_full.parquet", "downsampled_full_benchmark_models.parquet"),
}
# Mappings of names that are one value: weights, shares, members. Another one replaces them; all others are merged.
WHOLE = ("data.target", "ensemble.members", "ensemble.weights", "post.blend")
# A setting, its default, and what belongs to its value: with another value, that is gone unless it is given again.
BELONGS_TO = {
    "model.target_transform.type": (None, "model.target_transform"),
    "model.era_weights.type": (None, "model.era_weights"),
    "cv.mode": ("expanding", "cv.window_eras"),
}
# What a member of an ensemble may do differently: all members predict the same rows of the same file. Its own `post`
# and `ensemble` are of its predictions alone; those of the config are never handed down.
MEMBER_KEYS = {"data": ("feature_set", "target", "missing"), "model": None, "post": None, "ensemble": None}


class DataConfig(Section):
    """What is read: a file of a data version, feature sets (one or the union of several), targets with weights."""

    added: ClassVar[frozenset[str]] = frozenset({"last_era"})

    # A plan or baseline that names none is given the newest there is before this is asked; what the default says is
    # what stored configs without one have meant, and their fingerprints with them.
    version: Name = Field(
        default="v5.2", description="Folder of a data version below the data root.", examples=["v5.2"]
    )
    file: DataFile = Field(
        default="downsampled", description="Every week, or every fourth one; a plan's stages set it.", examples=["full"]
    )
    path: DataPath | None = Field(
        default=None, description="Data file instead of the version's own.", examples=["v5.2/my.parquet"]
    )
    benchmark_path: DataPath | None = Field(
        default=None, description="File of benchmark predictions instead of the version's.", examples=["v5.2/b.parquet"]
    )
    feature_set: Name | Annotated[list[Name], Field(min_length=1)] = Field(
        default="medium",
        description="A set of features.json, or several, of which the union is taken; a plan's stages set it.",
        examples=["medium", ["small", "rain"]],
    )
    target: Name | Annotated[dict[Name, Weight], Field(min_length=1)] = Field(
        default="target_ender_20",
        description="What is learned: a target column, or several with weights, each fitted by itself.",
        examples=["target_ender_20", {"target_ender_20": 2, "target_jasper_20": 1}],
    )
    missing: Literal["two", "nan"] = Field(
        default="two",
        description="two keeps the 2 that Numerai writes for a missing feature; nan makes it missing for the model "
        "wherever a whole era of the feature is 2.",
        examples=["nan"],
    )
    era_col: Name = Field(default="era", description="Column of the eras.", examples=["era"])
    id_col: Name = Field(default="id", description="Column of the ids.", examples=["id"])
    last_era: int | None = Field(
        default=None,
        ge=1,
        description="Later eras are left alone; null is all there are or, in an experiment, those it first ran on.",
        examples=[1228],
    )

    def files(self) -> tuple[str, str]:
        """Path of the data file and of its benchmark file, relative to the data root unless absolute."""
        data, benchmark = (f"{self.version}/{name}" for name in DATA_FILES[self.file])
        return self.path or data, self.benchmark_path or benchmark

    @property
    def feature_sets(self) -> tuple[str, ...]:
        """Names of the feature sets, at least one."""
        return (self.feature_set,) if isinstance(self.feature_set, str) else tuple(self.feature_set)

    @property
    def targets(self) -> dict[str, float]:
        """Weight by training target; weights matter relative to each other."""
        return {self.target: 1.0} if isinstance(self.target, str) else dict(self.target)


class CvConfig(Section):
    """How eras are cut into folds; see :mod:`numerai_ray.data.eras`. ``window_eras`` belongs to ``walk_forward``."""

    added: ClassVar[frozenset[str]] = frozenset({"window_eras"})
    model_config = ConfigDict(json_schema_extra=only_with("mode", "walk_forward", "window_eras", default="expanding"))

    n_splits: int = Field(
        default=5, ge=2, le=1000, description="Blocks of eras; each is predicted by one fold.", examples=[5]
    )
    mode: Mode = Field(
        default="expanding",
        description="expanding trains on all eras before the block, walk_forward on the last window_eras of them, "
        "blocked on the eras after it too.",
        examples=["expanding"],
    )
    embargo_eras: int = Field(
        default=16,
        ge=0,
        description="Eras left out between training and validation; 60-day labels need 13.",
        examples=[16],
    )
    embargo_unit: EmbargoUnit = Field(
        default="weeks", description="Embargo in weeks, or in eras that the file retains.", examples=["weeks"]
    )
    min_train_eras: int = Field(
        default=0, ge=0, description="A fold with fewer training eras is not fitted.", examples=[100]
    )
    window_eras: int | None = Field(
        default=None, ge=1, description="Weeks of training of a fold; of walk_forward alone.", examples=[260]
    )

    @model_validator(mode="after")
    def _window_and_mode(self) -> Self:
        if (self.mode == "walk_forward") != (self.window_eras is not None):
            rule = f"mode {self.mode!r} with window_eras {self.window_eras}"
            raise ValueError(f"'walk_forward' needs window_eras, and only it takes one, but got {rule}")
        return self


class PayoutConfig(Section):
    """How Numerai pays: clip(corr · CORR + mmc · MMC, ±clip) of the stake; the defaults are those of November 2026.

    ``target`` is the label of that CORR, where it is another than the one that is scored.
    """

    added: ClassVar[frozenset[str]] = frozenset({"corr", "mmc", "clip", "target"})

    corr: float = Field(default=PayoutTerms().corr, ge=0, le=100, description="Weight of CORR.", examples=[0.5])
    mmc: float = Field(default=PayoutTerms().mmc, ge=0, le=100, description="Weight of MMC.", examples=[2.0])
    clip: float = Field(
        default=PayoutTerms().clip, gt=0, le=100, description="Largest payout of an era, up or down.", examples=[0.25]
    )
    target: Name | None = Field(
        default=None, description="Label of the CORR that is paid; else the scored one.", examples=["target_ender_60"]
    )

    @property
    def terms(self) -> PayoutTerms:
        """The numbers of it."""
        return PayoutTerms(self.corr, self.mmc, self.clip)


def _known_metric(name: str) -> str:
    if name not in primary_names():
        rule = f"no metric {name!r}{nearest(name, primary_names())}; there are {', '.join(primary_names())}"
        raise PydanticCustomError("metric", "{rule}", {"rule": rule})
    return primary_named(name).name


# What decides: a registered metric over the last scored eras or over all.
MetricName = Annotated[str, AfterValidator(_known_metric), Field(json_schema_extra={"enum": primary_names()})]


class ScoreConfig(Section):
    """What predictions are scored against. ``last_eras`` counts scored eras, as the official metric does.

    ``metric`` and ``payout`` are the plan's: what decides, and how CORR and MMC are paid.
    """

    added: ClassVar[frozenset[str]] = frozenset({"metric", "payout"})

    target: Name = Field(
        default="target_ender_20", description="Label that predictions are scored on.", examples=["target_ender_20"]
    )
    benchmark: Name = Field(
        default="v52_lgbm_ender20", description="Benchmark column that BMC is against.", examples=["v52_lgbm_ender20"]
    )
    last_eras: int = Field(
        default=200, ge=1, description="Scored eras at the end that the primary metric takes.", examples=[200]
    )
    metric: MetricName = Field(default=BMC.name, description="What decides; the plan's `metric`.", examples=[BMC.name])
    payout: PayoutConfig = Field(
        default=PayoutConfig(), description="How CORR and MMC are paid; the plan's `payout`.", examples=[{"mmc": 2.0}]
    )

    @property
    def primary(self) -> Primary:
        """What decides."""
        return primary_named(self.metric, self.payout.terms)

    @property
    def paid_target(self) -> str | None:
        """The label of the CORR that is paid, None where it is the one that is scored."""
        return self.payout.target if self.payout.target != self.target else None

    @property
    def targets(self) -> tuple[str, ...]:
        """Every label that scores are made with, each once; the one that is scored first."""
        return (self.target,) if self.paid_target is None else (self.target, self.paid_target)


class Config(Section):
    """One complete configuration; a variant is one of these."""

    added: ClassVar[frozenset[str]] = frozenset({"ensemble", "post"})

    data: DataConfig = Field(
        default=DataConfig(), description="What is read.", examples=[{"target": "target_ender_60"}]
    )
    cv: CvConfig = Field(default=CvConfig(), description="How eras are cut into folds.", examples=[{"n_splits": 5}])
    model: ModelConfig = Field(
        default=ModelConfig(), description="What is trained.", examples=[{"params": {"num_leaves": 31}}]
    )
    ensemble: EnsembleConfig | None = Field(
        default=None,
        description="Several models whose predictions are mixed.",
        examples=[{"members": {"small": {"data": {"feature_set": "small"}}, "plain": {}}}],
    )
    post: PostConfig = Field(
        default=PostConfig(), description="What is done to predictions, era by era.", examples=[{"rank": True}]
    )
    score: ScoreConfig = Field(
        default=ScoreConfig(), description="What predictions are scored against.", examples=[{"last_eras": 200}]
    )

    @model_validator(mode="after")
    def _valid_members(self) -> Self:
        errors = [] if self.ensemble is None else _member_errors(self, self.ensemble.members)
        if errors:
            raise ValidationError.from_exception_data("Config", errors)
        return self

    def to_json(self) -> Json:
        """Plain values: the first release's keys with every default written out, later ones where they differ."""
        return self.model_dump(mode="json")

    def fingerprint(self) -> str:
        """Twelve hex digits that depend on what decides results alone: not on key order, file format or resources."""
        values = self.to_json()
        _drop_resources(values)
        return fingerprint(values)

    def members(self) -> dict[str, "Config"]:
        """The ensemble's members by name, or this config itself under the name ``""``."""
        if self.ensemble is None:
            return {"": self}
        return {name: _member(self, changes) for name, changes in self.ensemble.members.items()}

    def trained(self) -> dict[str, "Config"]:
        """What is fitted, by path: ``""`` without an ensemble, a member's name, ``outer/inner`` where it is one itself.

        The members of such a member are fitted, and it is not.
        """
        if self.ensemble is None:
            return {"": self}
        found: dict[str, Config] = {}
        for name, member in self.members().items():
            found |= {f"{name}/{path}" if path else name: each for path, each in member.trained().items()}
        return found

    def posts(self) -> dict[str, PostConfig]:
        """``post`` sections that do something, by path: ``""`` is the config's own, others are of members."""
        found = {} if self.post == PostConfig() else {"": self.post}
        for name, member in self.members().items() if self.ensemble is not None else ():
            found |= {f"{name}/{path}" if path else name: each for path, each in member.posts().items()}
        return found

    def trained_targets(self) -> tuple[str, ...]:
        """Every target that any member trains on, each once."""
        return tuple(dict.fromkeys(name for member in self.trained().values() for name in member.data.targets))

    def benchmarks(self) -> tuple[str, ...]:
        """Every benchmark column that training, post-processing or scoring looks at, each once."""
        transforms = [member.model.target_transform for member in self.trained().values()]
        named = [each.benchmark or SCORE_BENCHMARK for each in transforms if each is not None and each.needs_benchmark]
        named += [name for post in self.posts().values() for name in post.benchmarks]
        return tuple(dict.fromkeys((self.score.benchmark, *(self.benchmark(name) for name in named))))

    def benchmark(self, name: str) -> str:
        """The benchmark column meant by ``name``, which may be ``benchmark`` for the score's own."""
        return self.score.benchmark if name == SCORE_BENCHMARK else name


def merged(values: Mapping[str, Any], changes: Mapping[str, Any]) -> Json:
    """A config's plain ``values`` with ``changes`` laid over them, section by section.

    Replaced whole: numbers, texts and lists; the mappings of :data:`WHOLE`; and what belonged to another value of a
    setting (:data:`BELONGS_TO`). Another model that comes with parameters of its own starts without the old one's.
    """
    gone = [path for path in WHOLE if isinstance(value_at(changes, path), Mapping)]
    for setting, (default, belonging) in BELONGS_TO.items():
        new = value_at(changes, setting)
        if new is not None and new != value_at(values, setting, default):
            gone.append(belonging)
    new = value_at(changes, "model.type")
    if new is not None and value_at(changes, "model.params") and new != value_at(values, "model.type", "lightgbm"):
        gone.append("model.params")
    kept: Mapping[str, Any] = values
    for path in gone:
        kept = without(kept, path)
    return apply_overrides(kept, changes)


def _member(config: Config, changes: Mapping[str, Any]) -> Config:
    values = config.to_json()
    values.pop("ensemble", None)
    values.pop("post", None)
    return Config.model_validate_json(canonical_json(merged(values, changes)))


def _drop_resources(values: Json) -> None:
    """Take what decides no prediction out of a config's plain values, and of those of its members."""
    values.get("model", {}).pop("resources", None)
    for member in (values.get("ensemble") or {}).get("members", {}).values():
        _drop_resources(member)


def _member_errors(config: Config, members: Mapping[str, Mapping[str, Any]]) -> list[InitErrorDetails]:
    found = []
    for name, changes in members.items():
        at: Place = ("ensemble", "members", name)
        for path in leaves(changes):
            section, _, key = path.partition(".")
            allowed = MEMBER_KEYS.get(section, ())
            if section not in MEMBER_KEYS or (allowed is not None and key.partition(".")[0] not in allowed):
                rule = "a member may change data.feature_set, data.target, data.missing, model, post and ensemble only"
                found.append(_error("member_key", rule, (*at, *path.split(".")), value_at(changes, path)))
        if found:  # what cannot be said of a member would be said of the config once more
            continue
        try:
            _member(config, changes)
        except ValidationError as error:
            # Only what the member itself says: the rest is reported at its own place.
            own = [each for each in error.errors() if each["loc"][0] in changes]
            found += [_error(each["type"], each["msg"], (*at, *each["loc"]), each["input"]) for each in own]
    return found


def _error(kind: str, message: str, place: Place, value: Any) -> InitErrorDetails:
    # pydantic fills in braces of a template
    template = message.replace("{", "(").replace("}", ")")
    return InitErrorDetails(type=PydanticCustomError(kind, template), loc=place, input=value)
