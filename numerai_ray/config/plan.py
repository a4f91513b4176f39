"""An experiment's plan: ``experiment.yaml``, its baseline and its search space, checked as a whole.

Configs are made in one place, :meth:`LoadedPlan.config`: baseline, then the plan's base, then the stage, then the
changes found by the search. So a winner found on downsampled data moves to full data with its changes and nothing
else.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from numerai_ray.config.plan_schema import ALL_STAGES, STAGES, ExperimentPlan, Stage
from numerai_ray.config.schema import Config, merged
from numerai_ray.config.search_space import SearchSpace, changes_for, space_problems, with_changes
from numerai_ray.config.validation import Json, apply_overrides, fingerprint, leaves, validate
from numerai_ray.config.versions import UNKNOWN, DataDefaults, settled_data
from numerai_ray.config.yaml_files import parse_yaml, read_text
from numerai_ray.errors import ConfigError, Problem
from numerai_ray.metrics.registry import BMC

__all__ = ["STAGES", "ExperimentPlan", "LoadedPlan", "Stage", "load_plan"]

# Keys of a plan that may be edited at any time.
_DECIDE_NOTHING: dict[str, Any] = {"keep_models": True, "tags": True, "stages": {"ensemble"}}


@dataclass(frozen=True)
class LoadedPlan:
    """A plan with everything it refers to; valid in every stage and for every listed value.

    ``interpretation`` is the one that was chosen, "" before that and where there are none.
    """

    name: str
    plan: ExperimentPlan
    space: SearchSpace
    baseline_values: Json
    interpretation: str = ""

    @property
    def stages(self) -> tuple[Stage, ...]:
        """The stages that this plan has, in their order."""
        optional = {
            "interpret": bool(self.plan.interpretations),
            "scale": self.plan.stages.scale is not None,
            "holdout": self.plan.holdout_eras is not None,
        }
        return tuple(stage for stage in ALL_STAGES if optional.get(stage, True))

    def base_values(self) -> Json:
        """The experiment's base before any stage, as plain values."""
        seeds = self.plan.rounds.seeds
        averaged: Json = {} if seeds is None else {"model": {"seeds": list(range(seeds))}}
        # What the plan's base says of seeds is meant more closely.
        values = merged(merged(merged(self.baseline_values, self.space.base), averaged), self.plan.base)
        return merged(values, self.plan.interpretations.get(self.interpretation, {}))

    def config(self, stage: Stage, changes: Mapping[str, Any]) -> Config:
        """The config of ``stage`` with the search's ``changes`` (by path); ``{}`` is the experiment's base."""
        values = merged(self.base_values(), self.plan.of_stage(stage).changes())
        values = merged(values, {"score": self._judged_by()})
        return validate(Config, with_changes(values, changes), f"{self.name}, stage {stage}")

    def _judged_by(self) -> Json:
        """What the plan says of its metric, as config values; nothing of what it leaves as it is."""
        plan = self.plan
        found: Json = {} if plan.metric == BMC.name else {"metric": plan.metric}
        paid = plan.payout.model_dump(mode="json")
        return found | ({"payout": paid} if paid else {})

    def interpreted(self, name: str) -> "LoadedPlan":
        """The plan whose base is this interpretation's."""
        return replace(self, interpretation=name)

    def baseline_config(self, stage: Stage) -> Config:
        """The baseline as it is, on the stage's file, feature set and eras."""
        own = self.config(stage, {})
        data = {name: getattr(own.data, name) for name in ("file", "feature_set", "version", "last_era")}
        values = apply_overrides(self.baseline_values, {"data": data, "score": own.score.model_dump()})
        return validate(Config, values, f"{self.name}, baseline in stage {stage}")

    def readable(self) -> Json:
        """Everything in the plan that an experiment depends on, its search space included, as plain values."""
        written = self.plan.model_dump(mode="json", exclude=_DECIDE_NOTHING)
        return {**written, "search_space": self.space.model_dump(mode="json")}

    def fingerprint(self) -> str:
        """Changes when anything that decides results does; texts and names aside."""
        texts = {"name", "idea", "novelty", "search_space"}
        decisive = self.plan.model_dump(mode="json", exclude=dict.fromkeys(texts, True) | _DECIDE_NOTHING)
        return fingerprint([decisive, self.space.model_dump(mode="json"), self.baseline_values])


def load_plan(path: Path, shipped: Callable[[str, str], Path], defaults: DataDefaults = UNKNOWN) -> LoadedPlan:
    """Read and check ``experiment.yaml``.

    Args:
        path: the file; its folder's name is the experiment's name unless the plan names another.
        shipped: ``(kind, name) -> path`` of a baseline (``kind="baselines"``) or search space
            (``kind="search_spaces"``); raises :class:`ConfigError` when there is none.
        defaults: the data version and benchmark that are meant where neither plan nor baseline names one.

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
    baseline_values = _baseline_values(plan, files["baselines"], defaults)
    loaded = LoadedPlan(plan.name or path.resolve().parent.name, plan, space, baseline_values)
    problems = _plan_problems(loaded)
    if problems:
        raise ConfigError(str(path), problems)
    return loaded


def _baseline_values(plan: ExperimentPlan, file: Path, defaults: DataDefaults) -> Json:
    written = parse_yaml(read_text(file), str(file))
    validate(Config, written, str(file))
    values = settled_data(written, defaults, plan.data_version, plan.benchmark)
    return validate(Config, values, str(file)).to_json()


def _plan_problems(loaded: LoadedPlan) -> list[Problem]:
    """Stages that undo what the search varies, and values that give no valid config."""
    problems = _clashes(loaded)
    if len(loaded.plan.interpretations) == 1:
        problems.append(
            Problem("$.interpretations", "must be two to four to choose from, but is one; write it as base")
        )
    try:
        validate(Config, loaded.base_values(), loaded.name)
    except ConfigError as error:
        return problems + [_inside("$.base", each) for each in error.problems]
    for name in loaded.plan.interpretations:
        try:
            loaded.interpreted(name).config("interpret", {})
        except ConfigError as error:
            problems += [_inside(f"$.interpretations.{name}", each) for each in error.problems]
    # Without interpretations nothing comes to their stage; what is written there is read all the same.
    unused: tuple[Stage, ...] = ("interpret",) if loaded.plan.stages.interpret is not None else ()
    for stage in dict.fromkeys((*loaded.stages, *unused)):
        try:
            loaded.config(stage, {})
        except ConfigError as error:
            problems += [_inside(f"$.stages.{stage}.overrides", each) for each in error.problems]
    return problems or _refused_values(loaded)


def _clashes(loaded: LoadedPlan) -> list[Problem]:
    problems: list[Problem] = []
    varied = {
        path: f"the dimension {name!r} varies"
        for name, each in loaded.space.dimensions.items()
        for path in each.paths()
    }
    for name, changes in loaded.plan.interpretations.items():
        varied |= dict.fromkeys(leaves(changes), f"the interpretation {name!r} sets")
    for stage in (stage for stage in loaded.stages if stage != "holdout"):  # it is as the final stage
        set_here = sorted(set(leaves(loaded.plan.of_stage(stage).changes())) & set(varied))
        for owner in dict.fromkeys(varied[path] for path in set_here):
            clash = next(path for path in set_here if varied[path] == owner)
            # It may stand there by default, and then there is nothing to remove.
            hint = " (feature_set: null keeps what the search found)" if clash == "data.feature_set" else ""
            rule = f"sets {clash}, which {owner}; remove one of the two{hint}"
            problems.append(Problem(f"$.stages.{stage}", rule))
    return problems


def _refused_values(loaded: LoadedPlan) -> list[Problem]:
    problems: list[Problem] = []
    base = loaded.config("scout", {}).to_json()
    for name, dimension in loaded.space.dimensions.items():
        refused: dict[Problem, list[str]] = {}
        # A conditional dimension is checked when a base has what it asks for.
        for value in dimension.examples() if dimension.applies(base) else []:
            try:
                loaded.config("scout", changes_for(dimension, value, base))
            except ConfigError as error:
                for each in error.problems:
                    refused.setdefault(each, []).append(repr(value))
        where = f"$.search_space.dimensions.{name}.{'values' if dimension.values else 'range'}"
        problems += [
            Problem(where, f"{', '.join(values)} at {each.path}: {each.message}") for each, values in refused.items()
        ]
    return problems


def _inside(place: str, problem: Problem) -> Problem:
    return Problem(f"{place}{problem.path.removeprefix('$')}", problem.message)
