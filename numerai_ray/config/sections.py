"""Sections of a config: the model that is trained, and what is made of its fits' predictions."""

from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from numerai_ray.config.validation import ModelType, Name, Section, Seed, Share, Weight


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

    type: Literal["residual_to_benchmark", "subtract_benchmark_zscore", "rank", "gauss"]
    benchmark: Name | None = None
    proportion: float = Field(default=1.0, ge=0, le=1)
    fit_intercept: bool = True
    per_era: bool = True
    scale: float = Field(default=0.07, ge=-1000, le=1000)  # labels stay numbers that a library takes

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

    type: Literal["recency", "equal"]
    half_life_eras: float | None = Field(default=None, gt=0)

    @model_validator(mode="after")
    def _half_life(self) -> Self:
        if (self.type == "recency") != (self.half_life_eras is not None):
            raise ValueError("'recency' needs half_life_eras, and 'equal' takes none; set or remove it")
        return self


class EraSample(Section):
    """Which eras of the training window are trained on: every nth of them, then a random fraction of those."""

    added: ClassVar[frozenset[str]] = frozenset({"every", "offset", "fraction", "seed"})

    every: int = Field(default=1, ge=1)
    offset: int = Field(default=0, ge=0)
    fraction: Share = 1.0
    seed: Seed = 0

    @model_validator(mode="after")
    def _offset(self) -> Self:
        if self.offset >= self.every:
            raise ValueError(f"`offset < every` must hold, but got {self.offset} and {self.every}")
        return self


class FeatureSample(Section):
    """Which features are trained on: a random fraction of each of ``groups`` (feature sets) and of the rest."""

    added: ClassVar[frozenset[str]] = frozenset({"groups", "seed"})

    fraction: Share
    groups: list[Name] = Field(default_factory=list)
    seed: Seed = 0


class Resources(Section):
    """What one fit asks of a node; it decides where and when a fit runs, and never what it predicts.

    What is left out is the model's own word (a class attribute ``resources``, a GPU for ``device: cuda``), else the
    plan's: as many threads as the round leaves it, and the estimated memory.
    """

    added: ClassVar[frozenset[str]] = frozenset({"cores", "gpus", "memory_gb"})

    cores: int | None = Field(default=None, ge=1)
    gpus: float | None = Field(default=None, ge=0)
    memory_gb: float | None = Field(default=None, gt=0)

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

    type: ModelType = "lightgbm"
    engine: Literal["auto", "lightgbm"] = "auto"
    params: dict[str, Any] = Field(default_factory=dict)
    seeds: Annotated[list[Seed], Field(min_length=1)] | None = None
    target_transform: TargetTransform | None = None
    era_weights: EraWeights | None = None
    era_sample: EraSample | None = None
    feature_sample: FeatureSample | None = None
    resources: Resources | None = None
    max_train_samples: int | None = Field(default=None, ge=1)
    sample_seed: int = Field(default=1337, ge=0)

    @model_validator(mode="after")
    def _seeds_once(self) -> Self:
        if self.seeds is not None and len(set(self.seeds)) < len(self.seeds):
            raise ValueError(f"seeds must differ, or one counts twice, but are {self.seeds}")
        return self


class StackConfig(Section):
    """Weights learned from earlier folds' out-of-fold predictions; see :func:`numerai_ray.training.post.stack`."""

    added: ClassVar[frozenset[str]] = frozenset({"penalty", "min_fit_eras"})

    method: Literal["nnls", "ridge"] = "nnls"
    penalty: float = Field(default=0.01, ge=0)
    min_fit_eras: int = Field(default=20, ge=1)


class EnsembleConfig(Section):
    """Members, each the config with changes to ``data`` and ``model``, and how their predictions are mixed."""

    added: ClassVar[frozenset[str]] = frozenset({"weights", "scale", "stack"})

    members: dict[Name, dict[str, Any]] = Field(min_length=1)
    weights: dict[Name, Weight] = Field(default_factory=dict)
    scale: Literal["rank", "gauss"] = "rank"
    stack: StackConfig | None = None

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

    to: Name | Annotated[list[Name], Field(min_length=1)]
    proportion: float = Field(default=1.0, ge=0, le=1)

    @property
    def names(self) -> tuple[str, ...]:
        """Feature sets and ``benchmark``, at least one of them."""
        return (self.to,) if isinstance(self.to, str) else tuple(self.to)


class PostConfig(Section):
    """What is done to combined predictions, era by era: neutralize, then blend with benchmarks, then rank.

    ``blend`` has the share of each benchmark column (``benchmark`` is the score's); the prediction has the rest.
    """

    added: ClassVar[frozenset[str]] = frozenset({"rank", "neutralize", "blend"})

    rank: bool = False
    neutralize: NeutralizeConfig | None = None
    blend: Annotated[dict[Name, Annotated[float, Field(ge=-100)]], Field(min_length=1)] | None = None

    @model_validator(mode="after")
    def _shares(self) -> Self:
        if self.blend and sum(self.blend.values()) >= 1:
            total = sum(self.blend.values())
            raise ValueError(f"blended shares must leave some to the prediction (a sum under 1), but add up to {total}")
        return self
