"""``experiment.yaml``: its sections, each with its defaults and the reasons for them."""

from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from numerai_ray.config.schema import DataFile
from numerai_ray.config.search_space import SearchSpace
from numerai_ray.config.validation import Json, Name, Section, apply_overrides

# What a reader needs to know of an experiment before its numbers.
Sentence = Annotated[str, Field(min_length=10)]
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
    noise does.
    """

    added: ClassVar[frozenset[str]] = frozenset({"seeds"})

    variants: int = Field(default=4, ge=1, le=64)
    proposer: Literal["listed", "refine", "optuna"] = "listed"
    joint: bool = False
    seed: int = Field(default=0, ge=0)
    storage: str | None = None
    margin: float = Field(default=2.0e-4, ge=0)
    patience: int = Field(default=2, ge=1)
    accept: Literal["margin", "significant", "pareto"] = "margin"
    seeds: int | None = Field(default=None, ge=2, le=32)
    focus_ratio: float = Field(default=3.0, gt=1)
    prune: bool = False


class StagePlan(Section):
    """What a stage sets: the file, the feature set, and expensive parameters under ``overrides``."""

    data: DataFile = "downsampled"
    feature_set: Name | None = None
    overrides: dict[str, Any] = Field(default_factory=dict)

    def changes(self) -> Json:
        """As config values laid over the base."""
        data: Json = {"file": self.data} | ({"feature_set": self.feature_set} if self.feature_set else {})
        return apply_overrides(self.overrides, {"data": data})


class ConfirmPlan(StagePlan):
    """A stage's own defaults stand also where a plan writes only some of its keys."""

    feature_set: Name | None = "all"


class FinalPlan(ConfirmPlan):
    data: DataFile = "full"


class StagesPlan(Section):
    """The stages; ``interpret`` is as scouting unless the plan says otherwise, ``scale`` runs only when it is there."""

    interpret: StagePlan | None = None
    scout: StagePlan = StagePlan()
    confirm: ConfirmPlan = ConfirmPlan()
    scale: ConfirmPlan | None = None
    final: FinalPlan = FinalPlan()


class BudgetPlan(Section):
    """Where the search ends at the latest; what was found is still confirmed.

    A round that would go beyond a budget is not started, and one in which the time runs out ends there, undecided.

    ``hours`` are of wall time, ``core_hours`` times the cores of the machine or all nodes; ``fits`` are trained ones.
    """

    rounds: int = Field(default=12, ge=1)
    fits: int | None = Field(default=None, ge=1)
    hours: float | None = Field(default=None, gt=0)
    core_hours: float | None = Field(default=None, gt=0)


class MarketPlan(Section):
    """A synthetic market, made on first use when the data version is not there."""

    eras: int = Field(ge=40, le=5000)
    rows: int = Field(ge=50, le=20_000)
    features: int = Field(ge=10, le=5000)
    seed: int = Field(default=0, ge=0)


class ExperimentPlan(Section):
    """``experiment.yaml``: one line of inquiry.

    ``interpretations`` are two to four readings of an idea that can be meant in several ways, each with its changes
    to the base; they are scouted side by side, and the best by BMC becomes the base. ``holdout_eras`` (weeks) at the
    end of the data are kept out of every fit and decision, and scored once, at the very end. ``keep_models`` keeps
    the trained model of every fit in the store as well; it decides nothing.
    """

    name: Name | None = None
    idea: Sentence
    novelty: Sentence
    baseline: Name = "small_lgbm_ender20"
    benchmark: Name | None = None
    data_version: Name | None = None
    metric: Literal["bmc_last_200_eras.mean"] = "bmc_last_200_eras.mean"
    base: dict[str, Any] = Field(default_factory=dict)
    interpretations: dict[Name, dict[str, Any]] = Field(default_factory=dict, max_length=4)
    search_space: Name | SearchSpace
    rounds: RoundsPlan = RoundsPlan()
    stages: StagesPlan = StagesPlan()
    budget: BudgetPlan = BudgetPlan()
    holdout_eras: int | None = Field(default=None, ge=1)
    market: MarketPlan | None = None
    keep_models: bool = False

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
