"""An experiment's plan: ``experiment.yaml``, its baseline and its search space, checked as a whole.

Configs are made in one place, :meth:`LoadedPlan.config`: baseline, then the plan's base, then the stage, then the
changes found by the search. So a winner found on downsampled data moves to full data with its changes and nothing
else.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from numerai_ray.config import (
    Config,
    DataFile,
    Json,
    Name,
    Section,
    apply_overrides,
    fingerprint,
    leaves,
    parse_yaml,
    read_text,
    validate,
)
from numerai_ray.errors import ConfigError, Problem
from numerai_ray.search_space import SearchSpace, changes_for, space_problems, with_changes

Stage = Literal["scout", "confirm", "final"]
STAGES: tuple[Stage, ...] = ("scout", "confirm", "final")


class RoundsPlan(Section):
    """How rounds are made and judged.

    ``margin`` is the smallest gain of the primary metric that counts; with ``accept: significant`` it must also be
    clear of the noise, as the best of all the round's variants. With ``prune`` a variant that is hopeless against
    the best stops early (see :mod:`numerai_ray.pruning`).
    """

    variants: int = Field(default=4, ge=1, le=64)
    proposer: Literal["listed"] = "listed"
    margin: float = Field(default=2.0e-4, ge=0)
    patience: int = Field(default=2, ge=1)
    accept: Literal["margin", "significant"] = "margin"
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
    scout: StagePlan = StagePlan()
    confirm: ConfirmPlan = ConfirmPlan()
    final: FinalPlan = FinalPlan()


class BudgetPlan(Section):
    """Where the search ends at the latest; confirm and final still run."""

    rounds: int = Field(default=12, ge=1)
    hours: float | None = Field(default=None, gt=0)


class MarketPlan(Section):
    """A synthetic market, made on first use when the data version is not there."""

    eras: int = Field(ge=40, le=5000)
    rows: int = Field(ge=50, le=20_000)
    features: int = Field(ge=10, le=5000)
    seed: int = Field(default=0, ge=0)


class ExperimentPlan(Section):
    """``experiment.yaml``: one line of inquiry."""

    name: Name | None = None
    idea: str = Field(min_length=10)
    novelty: str = Field(min_length=10)
    baseline: Name = "small_lgbm_ender20"
    benchmark: Name | None = None
    data_version: Name | None = None
    base: dict[str, Any] = Field(default_factory=dict)
    search_space: Name | SearchSpace
    rounds: RoundsPlan = RoundsPlan()
    stages: StagesPlan = StagesPlan()
    budget: BudgetPlan = BudgetPlan()
    market: MarketPlan | None = None


@dataclass(frozen=True)
class LoadedPlan:
    """A plan with everything it refers to; valid in every stage and for every listed value."""

    name: str
    plan: ExperimentPlan
    space: SearchSpace
    baseline_values: Json

    def config(self, stage: Stage, changes: Mapping[str, Any]) -> Config:
        """The config of ``stage`` with the search's ``changes`` (by path); ``{}`` is the experiment's base."""
        values = apply_overrides(self.baseline_values, self.plan.base)
        values = apply_overrides(values, _stage(self.plan, stage).changes())
        return validate(Config, with_changes(values, changes), f"{self.name}, stage {stage}")

    def baseline_config(self, stage: Stage) -> Config:
        """The baseline as it is, on the stage's file and feature set."""
        own = self.config(stage, {})
        data = {"file": own.data.file, "feature_set": own.data.feature_set, "version": own.data.version}
        values = apply_overrides(self.baseline_values, {"data": data, "score": own.score.model_dump()})
        return validate(Config, values, f"{self.name}, baseline in stage {stage}")

    def fingerprint(self) -> str:
        """Changes when anything that decides results does; texts and names aside."""
        decisive = self.plan.model_dump(mode="json", exclude={"name", "idea", "novelty", "search_space"})
        return fingerprint([decisive, self.space.model_dump(mode="json"), self.baseline_values])


def load_plan(path: Path, shipped: Callable[[str, str], Path]) -> LoadedPlan:
    """Read and check ``experiment.yaml``.

    Args:
        path: the file; its folder's name is the experiment's name unless the plan names another.
        shipped: ``(kind, name) -> path`` of a baseline (``kind="baselines"``) or search space
            (``kind="search_spaces"``); raises :class:`ConfigError` when there is none.

    Raises:
        ConfigError: all problems of the plan at once.

    """
    source = str(path)
    plan = validate(ExperimentPlan, parse_yaml(read_text(path), source), source)
    named = {"baselines": plan.baseline}
    if isinstance(plan.search_space, str):
        named["search_spaces"] = plan.search_space
    files: dict[str, Path] = {}
    problems: list[Problem] = []
    for kind, name in named.items():
        try:
            files[kind] = shipped(kind, name)
        except ConfigError as error:
            problems += error.problems
    if problems:
        raise ConfigError(source, problems)
    at = "$.search_space.dimensions"
    if isinstance(plan.search_space, SearchSpace):
        space = plan.search_space
    else:
        source, at = str(files["search_spaces"]), "$.dimensions"
        space = validate(SearchSpace, parse_yaml(read_text(files["search_spaces"]), source), source)
    problems = space_problems(space, at)
    if problems:
        raise ConfigError(source, problems)
    baseline_values = _baseline_values(plan, files["baselines"])
    loaded = LoadedPlan(plan.name or path.resolve().parent.name, plan, space, baseline_values)
    problems = _plan_problems(loaded)
    if problems:
        raise ConfigError(str(path), problems)
    return loaded


def _baseline_values(plan: ExperimentPlan, file: Path) -> Json:
    values = validate(Config, parse_yaml(read_text(file), str(file)), str(file)).to_json()
    if plan.benchmark:
        values = apply_overrides(values, {"score": {"benchmark": plan.benchmark}})
    if plan.data_version:
        values = apply_overrides(values, {"data": {"version": plan.data_version}})
    return values


def _stage(plan: ExperimentPlan, stage: Stage) -> StagePlan:
    stages: dict[Stage, StagePlan] = {
        "scout": plan.stages.scout,
        "confirm": plan.stages.confirm,
        "final": plan.stages.final,
    }
    return stages[stage]


def _plan_problems(loaded: LoadedPlan) -> list[Problem]:
    """Stages that undo what the search varies, and values that give no valid config."""
    problems = _clashes(loaded)
    try:
        validate(Config, apply_overrides(loaded.baseline_values, loaded.plan.base), loaded.name)
    except ConfigError as error:
        return problems + [_inside("$.base", each) for each in error.problems]
    for stage in STAGES:
        try:
            loaded.config(stage, {})
        except ConfigError as error:
            problems += [_inside(f"$.stages.{stage}.overrides", each) for each in error.problems]
    return problems or _refused_values(loaded)


def _clashes(loaded: LoadedPlan) -> list[Problem]:
    problems: list[Problem] = []
    for stage in STAGES:
        set_here = set(leaves(_stage(loaded.plan, stage).changes()))
        for name, dimension in loaded.space.dimensions.items():
            clash = sorted(set_here & set(dimension.paths()))
            if clash:
                # It may stand there by default, and then there is nothing to remove.
                hint = " (feature_set: null keeps what the search found)" if clash[0] == "data.feature_set" else ""
                rule = f"sets {clash[0]}, which the dimension {name!r} varies; remove one of the two{hint}"
                problems.append(Problem(f"$.stages.{stage}", rule))
    return problems


def _refused_values(loaded: LoadedPlan) -> list[Problem]:
    problems: list[Problem] = []
    base = loaded.config("scout", {}).to_json()
    for name, dimension in loaded.space.dimensions.items():
        refused: dict[Problem, list[str]] = {}
        for value in dimension.values:
            try:
                loaded.config("scout", changes_for(dimension, value, base))
            except ConfigError as error:
                for each in error.problems:
                    refused.setdefault(each, []).append(repr(value))
        where = f"$.search_space.dimensions.{name}.values"
        problems += [
            Problem(where, f"{', '.join(values)} at {each.path}: {each.message}") for each, values in refused.items()
        ]
    return problems


def _inside(place: str, problem: Problem) -> Problem:
    return Problem(f"{place}{problem.path.removeprefix('$')}", problem.message)
