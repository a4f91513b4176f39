"""Sections of a config: the model that is trained, and what is made of its fits' predictions."""

from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import ConfigDict, Field, model_validator

from numerai_ray.config.schema_rules import CHANGES, WHOLE_OR_FRACTION, keys_by_type, only_with
from numerai_ray.config.validation import EVERY_KEY, ModelType, Name, Section, Seed, Share, Weight

# Stands for the benchmark that scores are taken against, wherever a benchmark column can be named.
SCORE_BENCHMARK = "benchmark"


class TargetTransform(Section):
    """What a fit learns instead of the target; see :mod:`numerai_ray.training.target_transforms`.

    ``benchmark`` None is the one that scores are taken against. Other keys belong to the type that has them.
    """

    added: ClassVar[frozenset[str]] = frozenset({"benchmark", "proportion", "fit_intercept", "per_era", "scale"})
    own_keys: ClassVar[dict[str, frozenset[str]]] = {
        "residual_to_benchmark": frozenset({"benchmark", "proportion", "fit_intercept", "per_era"}),
        "subtract_benchmark_zscore": frozenset({"benchmark", "scale"}),
        "rank": frozenset(),
        "gauss": frozenset(),
    }

    model_config = ConfigDict(json_schema_extra=keys_by_type(own_keys))

    type: Literal["residual_to_benchmark", "subtract_benchmark_zscore", "rank", "gauss"] = Field(
        description="What the fit learns instead of the target; those to a benchmark need it in every training era.",
        examples=["residual_to_benchmark"],
    )
    benchmark: Name | None = Field(
        default=None, description="Benchmark column; null is the one of score.", examples=["v52_lgbm_ender20"]
    )
    proportion: float = Field(
        default=1.0, ge=0, le=1, description="Share of the benchmark's part that is taken out.", examples=[0.5]
    )
    fit_intercept: bool = Field(default=True, description="Regress with an intercept.", examples=[True])
    per_era: bool = Field(default=True, description="Regress era by era, or all at once.", examples=[True])
    # labels stay numbers that a library takes
    scale: float = Field(
        default=0.07, ge=-1000, le=1000, description="Times the benchmark's z-score is subtracted.", examples=[0.07]
    )

    @property
    def needs_benchmark(self) -> bool:
        """Whether the type looks at a benchmark."""
        return "benchmark" in self.own_keys[self.type]

    @model_validator(mode="after")
    def _own_keys_only(self) -> Self:
        own = self.own_keys[self.type]
        strange = sorted(self.model_fields_set - own - {"type"})
        if strange:
            rule = f"takes {', '.join(sorted(own)) or 'no other key'}"
            raise ValueError(f"{self.type!r} {rule}, but {', '.join(strange)} is given; remove it")
        return self


class EraWeights(Section):
    """How much a training row weighs: by recency (halved every ``half_life_eras``), or every era alike."""

    added: ClassVar[frozenset[str]] = frozenset({"half_life_eras"})
    model_config = ConfigDict(json_schema_extra=only_with("type", "recency", "half_life_eras"))

    type: Literal["recency", "equal"] = Field(
        description="recency halves a row's weight every half_life_eras; equal has every era weigh alike.",
        examples=["recency"],
    )
    half_life_eras: float | None = Field(
        default=None, gt=0, description="Weeks in which a weight halves; of recency alone.", examples=[260]
    )

    @model_validator(mode="after")
    def _half_life(self) -> Self:
        if (self.type == "recency") != (self.half_life_eras is not None):
            raise ValueError("'recency' needs half_life_eras, and 'equal' takes none; set or remove it")
        return self


class EraSample(Section):
    """Which eras of the training window are trained on: every nth of them, then a random fraction of those."""

    added: ClassVar[frozenset[str]] = frozenset({"every", "offset", "fraction", "seed"})

    every: int = Field(default=1, ge=1, description="Train on every nth era.", examples=[4])
    offset: int = Field(default=0, ge=0, description="The first of them; below every.", examples=[0])
    fraction: Share = Field(default=1.0, description="Share of those that is drawn.", examples=[0.5])
    seed: Seed = Field(default=0, description="Seed of the draw.", examples=[0])

    @model_validator(mode="after")
    def _offset(self) -> Self:
        if self.offset >= self.every:
            raise ValueError(f"`offset < every` must hold, but got {self.offset} and {self.every}")
        return self


class FeatureSample(Section):
    """Which features are trained on: a random fraction of each of ``groups`` (feature sets) and of the rest."""

    added: ClassVar[frozenset[str]] = frozenset({"groups", "seed"})

    fraction: Share = Field(description="Share of features that is drawn.", examples=[0.5])
    groups: list[Name] = Field(
        default_factory=list, description="Feature sets of which each gives its share.", examples=[["rain", "sunshine"]]
    )
    seed: Seed = Field(default=0, description="Seed of the draw.", examples=[0])


class Resources(Section):
    """What one fit asks of a node; it decides where and when a fit runs, and never what it predicts.

    What is left out is the model's own word (a class attribute ``resources``, a GPU for ``device: cuda``), else the
    plan's: as many threads as the round leaves it, and the estimated memory.
    """

    added: ClassVar[frozenset[str]] = frozenset({"cores", "gpus", "memory_gb"})

    cores: int | None = Field(default=None, ge=1, description="Cores of one fit.", examples=[2])
    gpus: float | None = Field(
        default=None,
        ge=0,
        description="GPUs of one fit: a fraction of one, or a whole number.",
        examples=[0.5],
        json_schema_extra={"anyOf": WHOLE_OR_FRACTION},
    )
    memory_gb: float | None = Field(default=None, gt=0, description="Memory of one fit in GB.", examples=[4])

    @model_validator(mode="after")
    def _whole_gpus(self) -> Self:
        if self.gpus is not None and self.gpus > 1 and self.gpus != int(self.gpus):
            raise ValueError(f"gpus must be a fraction of one or a whole number, but is {self.gpus}")
        return self


class ModelConfig(Section):
    """What is trained. ``params`` are the library's own; threads are never among them.

    ``engine`` ``auto`` has LightGBM's trees grown by our own engine wherever that takes the params.
    With ``seeds``, a fit is made with each of them and the predictions are averaged.
    """

    added: ClassVar[frozenset[str]] = frozenset(
        {"engine", "seeds", "target_transform", "era_weights", "era_sample", "feature_sample", "resources"}
    )

    type: ModelType = Field(
        default="lightgbm",
        description="A built-in model, or a class of your own as file.py:Class or package.module:Class.",
        examples=["lightgbm", "my_model.py:MyModel"],
    )
    engine: Literal["auto", "lightgbm"] = Field(
        default="auto",
        description="What grows LightGBM's trees: our engine where it can, or LightGBM.",
        examples=["auto"],
    )
    params: dict[str, Any] = Field(
        default_factory=dict,
        description="Parameters in the library's own names; threads are never among them.",
        examples=[{"n_estimators": 2000, "learning_rate": 0.01, "num_leaves": 31}],
    )
    seeds: Annotated[list[Seed], Field(min_length=1, json_schema_extra={"uniqueItems": True})] | None = Field(
        default=None, description="A fit with each seed; predictions are averaged.", examples=[[1, 2, 3]]
    )
    target_transform: TargetTransform | None = Field(
        default=None, description="What is learned instead of the target.", examples=[{"type": "rank"}]
    )
    era_weights: EraWeights | None = Field(
        default=None, description="Weights of training rows.", examples=[{"type": "recency", "half_life_eras": 260}]
    )
    era_sample: EraSample | None = Field(
        default=None, description="Which training eras are used.", examples=[{"every": 4}]
    )
    feature_sample: FeatureSample | None = Field(
        default=None, description="Which features are used.", examples=[{"fraction": 0.5}]
    )
    resources: Resources | None = Field(
        default=None, description="What one fit asks of a node; never changes predictions.", examples=[{"cores": 2}]
    )
    max_train_samples: int | None = Field(
        default=None, ge=1, description="At most so many training rows of a fit, drawn.", examples=[500000]
    )
    sample_seed: int = Field(default=1337, ge=0, description="Seed of that draw.", examples=[1337])

    @model_validator(mode="after")
    def _seeds_once(self) -> Self:
        if self.seeds is not None and len(set(self.seeds)) < len(self.seeds):
            raise ValueError(f"seeds must differ, or one counts twice, but are {self.seeds}")
        return self


class StackConfig(Section):
    """Weights learned from earlier folds' out-of-fold predictions; see :func:`numerai_ray.training.post.stack`."""

    added: ClassVar[frozenset[str]] = frozenset({"penalty", "min_fit_eras"})

    method: Literal["nnls", "ridge"] = Field(
        default="nnls", description="How weights are learned; nnls keeps them above 0.", examples=["nnls"]
    )
    penalty: float = Field(default=0.01, ge=0, description="Pull of the weights to 0.", examples=[0.01])
    min_fit_eras: int = Field(
        default=20, ge=1, description="With fewer eras behind a fold, members weigh alike in it.", examples=[20]
    )


class EnsembleConfig(Section):
    """Members, each the config with changes to ``data`` and ``model``, and how their predictions are mixed.

    A member's ``post`` is done to its own prediction before it is mixed; with an ``ensemble`` it is a mixture itself.
    """

    added: ClassVar[frozenset[str]] = frozenset({"weights", "scale", "stack"})

    model_config = ConfigDict(
        json_schema_extra={
            "not": {
                "required": ["weights", "stack"],
                "properties": {"weights": {"minProperties": 1}, "stack": {"type": "object"}},
            }
        }
    )

    members: dict[Name, Annotated[dict[str, Any], Field(json_schema_extra={CHANGES: "MemberChanges"})]] = Field(
        min_length=1,
        description="By name what each does differently: data.feature_set, data.target, data.missing, model; its post, "
        "its ensemble.",
        examples=[{"plain": {}, "leafy": {"model": {"params": {"num_leaves": 63}}}}],
    )
    weights: dict[Name, Weight] = Field(
        default_factory=dict, description="One for every member; none: all alike.", examples=[{"plain": 1, "leafy": 2}]
    )
    scale: Literal["rank", "gauss"] = Field(
        default="rank", description="What members' predictions are made before they are mixed.", examples=["rank"]
    )
    stack: StackConfig | None = Field(
        default=None, description="Weights learned fold by fold, instead of weights.", examples=[{"method": "nnls"}]
    )

    @model_validator(mode="after")
    def _weights_of_members(self) -> Self:
        if self.weights and self.stack:
            raise ValueError("'stack' learns the weights; remove 'weights' or 'stack'")
        if self.weights and set(self.weights) != set(self.members):
            members = ", ".join(self.members)
            raise ValueError(f"weights must name every member ({members}) once, but name {', '.join(self.weights)}")
        return self


class NeutralizeConfig(Section):
    """What predictions are made neutral to: feature sets, ``benchmark``, or several at once."""

    added: ClassVar[frozenset[str]] = frozenset({"proportion"})

    to: Name | Annotated[list[Name], Field(min_length=1)] = Field(
        description="A feature set, benchmark, or several.", examples=["small", ["small", "benchmark"]]
    )
    proportion: float = Field(default=1.0, ge=0, le=1, description="Share that is taken out.", examples=[0.5])

    @property
    def names(self) -> tuple[str, ...]:
        """Feature sets and ``benchmark``, at least one of them."""
        return (self.to,) if isinstance(self.to, str) else tuple(self.to)


class PostConfig(Section):
    """What is done to combined predictions, era by era: neutralize, then blend with benchmarks, then rank.

    ``blend`` has the share of each benchmark column (``benchmark`` is the score's); the prediction has the rest.
    """

    added: ClassVar[frozenset[str]] = EVERY_KEY

    rank: bool = Field(default=False, description="Rank the result within its era.", examples=[True])
    neutralize: NeutralizeConfig | None = Field(
        default=None, description="What predictions are made neutral to.", examples=[{"to": "small", "proportion": 0.5}]
    )
    # One share of 1 or more would leave nothing, unless another one is negative.
    blend: Annotated[dict[Name, Annotated[float, Field(ge=-100)]], Field(min_length=1)] | None = Field(
        default=None, description="Share of each benchmark; the prediction has the rest.", examples=[{"benchmark": 0.2}]
    )

    @model_validator(mode="after")
    def _shares(self) -> Self:
        if self.blend and sum(self.blend.values()) >= 1:
            total = sum(self.blend.values())
            raise ValueError(f"blended shares must leave some to the prediction (a sum under 1), but add up to {total}")
        return self

    @property
    def asked(self) -> dict[str, Any]:
        """What each key says that is not left at its default, by key."""
        fields = type(self).model_fields
        return {name: value for name in fields if (value := getattr(self, name)) != fields[name].default}

    @property
    def benchmarks(self) -> tuple[str, ...]:
        """Benchmarks that it looks at, each once; ``benchmark`` is the score's."""
        neutral = self.neutralize is not None and SCORE_BENCHMARK in self.neutralize.names
        return tuple(dict.fromkeys((*(self.blend or ()), *([SCORE_BENCHMARK] if neutral else []))))
