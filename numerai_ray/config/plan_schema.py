"""``experiment.yaml``: its sections, each with its defaults and the reasons for them."""

from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import ConfigDict, Field, model_validator

from numerai_ray.config.schema import DataFile, MetricName, PayoutConfig
from numerai_ray.config.schema_rules import CHANGES, TWO_METRICS
from numerai_ray.config.search_space import SearchSpace
from numerai_ray.config.validation import Json, Name, Section, apply_overrides
from numerai_ray.metrics.registry import BMC

# What a reader needs to know of an experiment before its numbers.
Sentence = Annotated[str, Field(min_length=10)]
# A word or two to find experiments by.
Tag = Annotated[str, Field(min_length=1, max_length=40)]
Stage = Literal["interpret", "scout", "confirm", "scale", "final", "holdout"]
# In the order in which an experiment comes to them; which of them a plan has, LoadedPlan.stages says.
ALL_STAGES: tuple[Stage, ...] = ("interpret", "scout", "confirm", "scale", "final", "holdout")
# Those that every plan has.
STAGES: tuple[Stage, ...] = ("scout", "confirm", "final")


class RoundsPlan(Section):
    """How rounds are made and judged.

    ``proposer``: ``listed`` takes the values as they are listed; ``refine`` goes on between and around the best of
    them; ``optuna`` asks a sampler that knows all results so far, with ``seed``. ``joint`` lets Optuna change all
    model parameters of the search space at once, in rounds that are marked as such; ``storage`` is an RDB URL for its
    studies instead of the experiment's own journal.

    ``margin`` is the smallest gain of the primary metric that counts; with ``accept: significant`` it must also be
    clear of the noise, as the best of all the round's variants. A dimension whose spread is ``focus_ratio`` times
    that of any other, or whose best value stands at an edge, gets a round that maps its range. With ``prune`` a
    variant that is hopeless against the best stops early (see :mod:`numerai_ray.runners.pruning`). With ``seeds``,
    every configuration is fitted with so many seeds and their predictions are averaged: less of a difference is luck.
    With ``accept: pareto`` a gain counts by the margin when it loses nothing in CORR or a Sharpe ratio by more than
    noise does. With ``accept: replicated`` the round's best and the base run again with fresh seeds, in a round of
    their own, before the best becomes the base, and are judged by that.
    noise does. With ``metrics``, Optuna's joint rounds search both of two metrics at once, and only a variant that none
    of its round beats in both may win, by ``accept`` and the plan's ``metric``.
    """

    added: ClassVar[frozenset[str]] = frozenset({"metrics", "seeds"})
    model_config = ConfigDict(json_schema_extra=TWO_METRICS)

    variants: int = Field(
        default=4, ge=1, le=64, description="Configurations beside the base in a round.", examples=[4]
    )
    proposer: Literal["listed", "refine", "optuna"] = Field(
        default="listed",
        description="Where values come from: as listed, between and around the best, or from Optuna.",
        examples=["refine"],
    )
    joint: bool = Field(
        default=False,
        description="Let Optuna change all model parameters of the search space at once.",
        examples=[False],
    )
    metrics: list[Literal["bmc", "corr"]] | None = Field(
        default=None,
        min_length=2,
        max_length=2,
        description="Two metrics that Optuna's joint rounds search at once.",
        examples=[["bmc", "corr"]],
        json_schema_extra={"uniqueItems": True},
    )
    seed: int = Field(default=0, ge=0, description="Seed of Optuna's sampler.", examples=[0])
    storage: str | None = Field(
        default=None, description="Database of Optuna's studies, an RDB URL.", examples=["sqlite:///studies.db"]
    )
    margin: float = Field(
        default=2.0e-4, ge=0, description="Smallest gain of the primary metric that counts.", examples=[2.0e-4]
    )
    patience: int = Field(
        default=2, ge=1, description="Rounds in a row without a gain that end the search.", examples=[2]
    )
    accept: Literal["margin", "significant", "pareto", "replicated"] = Field(
        default="margin",
        description="significant: a gain must also be clear of the noise; pareto: it must cost nothing; replicated: "
        "fresh seeds must show it again.",
        examples=["significant"],
    )
    seeds: int | None = Field(
        default=None, ge=2, le=32, description="Fit every configuration with so many seeds, and average.", examples=[3]
    )
    focus_ratio: float = Field(
        default=3.0,
        gt=1,
        description="Spread of a dimension over the others' that has its range mapped.",
        examples=[3.0],
    )
    prune: bool = Field(default=False, description="Stop a hopeless variant early.", examples=[False])

    @model_validator(mode="after")
    def _two_at_once(self) -> Self:
        if self.metrics is None:
            return self
        if len(set(self.metrics)) < len(self.metrics):
            raise ValueError("metrics: must be two different ones, e.g. [bmc, corr]")
        if self.proposer != "optuna" or not self.joint:
            raise ValueError("metrics: needs `proposer: optuna` and `joint: true`, whose rounds search both at once")
        if self.prune:
            raise ValueError("metrics: cannot be with `prune: true`, which stops variants by one metric")
        return self


class StagePlan(Section):
    """What a stage sets: the file, the feature set, and expensive parameters under ``overrides``."""

    data: DataFile = Field(
        default="downsampled", description="Every week, or every fourth one.", examples=["downsampled"]
    )
    feature_set: Name | None = Field(
        default=None, description="Feature set of the stage; null keeps what the search found.", examples=["medium"]
    )
    overrides: dict[str, Any] = Field(
        default_factory=dict,
        description="Config values of this stage, usually expensive parameters.",
        examples=[{"model": {"params": {"n_estimators": 20000, "learning_rate": 0.001}}}],
        json_schema_extra={CHANGES: "ConfigChanges"},
    )

    def changes(self) -> Json:
        """As config values laid over the base."""
        data: Json = {"file": self.data} | ({"feature_set": self.feature_set} if self.feature_set else {})
        return apply_overrides(self.overrides, {"data": data})


class ConfirmPlan(StagePlan):
    """A stage's own defaults stand also where a plan writes only some of its keys."""

    feature_set: Name | None = Field(
        default="all", description="Feature set of the stage; null keeps what the search found.", examples=["all"]
    )


class FinalPlan(ConfirmPlan):
    """On all data unless the plan says otherwise."""

    data: DataFile = Field(default="full", description="Every week, or every fourth one.", examples=["full"])


class EnsemblePlan(Section):
    """What is searched when all rounds are decided: a blend of the experiment's own variants; nothing is trained."""

    members: int = Field(default=8, ge=1, le=100, description="How many models it may have at most.", examples=[8])
    feature_sets: int | None = Field(
        default=None, ge=1, description="How many distinct feature sets they may read; null is any.", examples=[2]
    )
    blocks: int = Field(
        default=4, ge=1, le=50, description="In how many blocks of later eras it is reported.", examples=[4]
    )


class StagesPlan(Section):
    """The stages; ``interpret`` is as scouting unless the plan says otherwise.

    ``scale`` and ``ensemble`` run only when they are there; ``ensemble`` is no round, and decides nothing.
    """

    added: ClassVar[frozenset[str]] = frozenset({"ensemble"})

    interpret: StagePlan | None = Field(
        default=None,
        description="Where interpretations are compared; else as scout.",
        examples=[{"data": "downsampled"}],
    )
    scout: StagePlan = Field(
        default=StagePlan(), description="Where rounds search: small and fast.", examples=[{"feature_set": "medium"}]
    )
    confirm: ConfirmPlan = Field(
        default=ConfirmPlan(), description="Is the gain there at a larger scale?", examples=[{"feature_set": "all"}]
    )
    scale: ConfirmPlan | None = Field(
        default=None,
        description="A bigger model of the winner; only where it is given.",
        examples=[{"overrides": {"model": {"params": {"n_estimators": 20000}}}}],
    )
    final: FinalPlan = Field(default=FinalPlan(), description="The numbers to report.", examples=[{"data": "full"}])
    ensemble: EnsemblePlan | None = Field(
        default=None,
        description="After the last round, a blend of the experiment's own variants; only where it is given.",
        examples=[{"members": 8}],
    )


class BudgetPlan(Section):
    """Where the search ends at the latest; what was found is still confirmed.

    A round that would go beyond a budget is not started, and one in which the time runs out ends there, undecided.

    ``hours`` are of wall time, ``core_hours`` times the cores of the machine or all nodes; ``fits`` are trained ones.
    """

    rounds: int = Field(default=12, ge=1, description="Scout rounds at most.", examples=[12])
    fits: int | None = Field(default=None, ge=1, description="Fits trained at most.", examples=[500])
    hours: float | None = Field(default=None, gt=0, description="Hours of wall time at most.", examples=[8])
    core_hours: float | None = Field(default=None, gt=0, description="Core-hours at most.", examples=[64])


class MarketPlan(Section):
    """A synthetic market, made on first use when the data version is not there."""

    eras: int = Field(ge=40, le=5000, description="Weeks.", examples=[400])
    rows: int = Field(ge=50, le=20_000, description="Rows a week.", examples=[400])
    features: int = Field(ge=10, le=5000, description="Features in all.", examples=[80])
    seed: int = Field(default=0, ge=0, description="Seed of the market.", examples=[7])


class ExperimentPlan(Section):
    """``experiment.yaml``: one line of inquiry.

    ``interpretations`` are two to four readings of an idea that can be meant in several ways, each with its changes
    to the base; they are scouted side by side, and the best by BMC becomes the base. ``holdout_eras`` (weeks) at the
    end of the data are kept out of every fit and decision, and scored once, at the very end. ``keep_models`` keeps
    the trained model of every fit in the store as well; it decides nothing, and nor do ``tags``, by which experiments
    are sorted and found: both may be edited at any time.
    """

    added: ClassVar[frozenset[str]] = frozenset({"payout"})

    name: Name | None = Field(default=None, description="Else the folder's name.", examples=["wider-trees"])
    idea: Sentence = Field(description="What should help, and why.", examples=["Wider trees find more of the signal."])
    novelty: Sentence = Field(
        description="What nobody has tried yet.", examples=["Nobody has mapped tree size against BMC at fixed compute."]
    )
    baseline: Name = Field(
        default="small_lgbm_ender20",
        description="File of experiments/baselines/ that everything is laid over.",
        examples=["small_lgbm_ender20"],
    )
    benchmark: Name | None = Field(
        default=None, description="Benchmark column instead of the baseline's.", examples=["v53_lgbm_ender20"]
    )
    data_version: Name | None = Field(
        default=None, description="Data version instead of the baseline's.", examples=["v5.3"]
    )
    metric: MetricName = Field(
        default=BMC.name,
        description="What rounds are decided by; ties go to the same metric over the other eras.",
        examples=[BMC.name, "mmc", "payout.mean"],
    )
    payout: PayoutConfig = Field(
        default=PayoutConfig(),
        description="How Numerai pays CORR and MMC, for the payout score.",
        examples=[{"corr": 0.5, "mmc": 2.0, "clip": 0.25}],
    )
    base: dict[str, Any] = Field(
        default_factory=dict,
        description="What differs from the baseline before any search.",
        examples=[{"model": {"params": {"learning_rate": 0.01}}}],
        json_schema_extra={CHANGES: "ConfigChanges"},
    )
    interpretations: dict[Name, Annotated[dict[str, Any], Field(json_schema_extra={CHANGES: "ConfigChanges"})]] = Field(
        default_factory=dict,
        max_length=4,
        description="Two to four readings of the idea; the best by BMC becomes the base.",
        examples=[
            {"week": {"data": {"target": "target_ender_20"}}, "quarter": {"data": {"target": "target_ender_60"}}}
        ],
        json_schema_extra={"anyOf": [{"maxProperties": 0}, {"minProperties": 2}]},
    )
    search_space: Name | SearchSpace = Field(
        description="File of search_spaces/ by name, or dimensions written here.",
        examples=[
            "lightgbm_capacity",
            {"dimensions": {"num_leaves": {"path": "model.params.num_leaves", "values": [15, 31, 63]}}},
        ],
    )
    rounds: RoundsPlan = Field(
        default=RoundsPlan(), description="How rounds are made and judged.", examples=[{"variants": 4}]
    )
    stages: StagesPlan = Field(
        default=StagesPlan(), description="Data, feature set and parameters by stage.", examples=[{"final": {}}]
    )
    budget: BudgetPlan = Field(
        default=BudgetPlan(), description="Where the search ends at the latest.", examples=[{"rounds": 12, "hours": 8}]
    )
    holdout_eras: int | None = Field(
        default=None, ge=1, description="Last weeks kept out of everything, scored once at the end.", examples=[52]
    )
    market: MarketPlan | None = Field(
        default=None,
        description="A synthetic market, made on first use.",
        examples=[{"eras": 400, "rows": 400, "features": 80}],
    )
    keep_models: bool = Field(default=False, description="Keep every fit's trained model.", examples=[True])
    tags: list[Tag] = Field(
        default_factory=list,
        max_length=20,
        description="Words to sort and find experiments by.",
        examples=[["capacity"]],
    )

    def of_stage(self, stage: Stage) -> StagePlan:
        """What the stage sets."""
        if stage == "interpret":
            return self.stages.interpret or self.stages.scout
        stages: dict[Stage, StagePlan] = {
            "scout": self.stages.scout,
            "confirm": self.stages.confirm,
            "scale": self.stages.scale or self.stages.confirm,
        }
        return stages.get(stage, self.stages.final)
