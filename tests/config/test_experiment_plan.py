"""experiment.yaml: the config of every stage, what moves from scout to final, and every hole and clash."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from numerai_ray.config import apply_overrides
from numerai_ray.config.plan import LoadedPlan, load_plan
from numerai_ray.config.plan_schema import STAGES
from numerai_ray.config.search_space import changes_for, differences, with_changes
from numerai_ray.config.shipped import find_shipped, shipped_plan
from numerai_ray.config.validation import nested
from numerai_ray.errors import ConfigError, Problem

RATE, TREES, LEAVES = "model.params.learning_rate", "model.params.n_estimators", "model.params.num_leaves"
BASELINE = {
    "data": {"version": "v5.2", "feature_set": "small", "target": "target_ender_20"},
    "cv": {"n_splits": 4},
    "model": {"params": {"n_estimators": 2000, "learning_rate": 0.01, "num_leaves": 31}},
    "score": {"last_eras": 150},
}
SPACE = {
    "why": "capacity",
    "dimensions": {
        "leaves": {"path": LEAVES, "values": [7, 63]},
        "rate": {"path": RATE, "values": [0.005, 0.02], "coupled": {TREES: "inverse"}, "required": False},
    },
}
PLAN: dict[str, Any] = {
    "idea": "Wider trees at a lower learning rate carry signal of their own.",
    "novelty": "Nobody has mapped tree size against BMC at fixed compute.",
    "baseline": "mine",
    "search_space": SPACE,
}
Load = Callable[..., LoadedPlan]


@pytest.fixture
def load(tmp_path: Path) -> Load:
    """Writes a plan with ``changes`` at dotted paths and loads it."""
    files = {"baselines": tmp_path / "mine.yaml", "search_spaces": tmp_path / "capacity.yaml"}

    def shipped(kind: str, name: str) -> Path:
        if name != files[kind].stem:
            raise ConfigError("shipped", [Problem(f"$.{kind}", f"no {name!r}")])
        return files[kind]

    def run(
        changes: Mapping[str, Any] | None = None,
        plan: Mapping[str, Any] = PLAN,
        baseline: Mapping[str, Any] = BASELINE,
        space: Mapping[str, Any] = SPACE,
    ) -> LoadedPlan:
        folder = tmp_path / "capacity-of-trees"
        folder.mkdir(exist_ok=True)
        files["baselines"].write_text(yaml.safe_dump(dict(baseline)))
        files["search_spaces"].write_text(yaml.safe_dump(dict(space), sort_keys=False))
        text = yaml.safe_dump(with_changes(plan, changes or {}), sort_keys=False)
        (folder / "experiment.yaml").write_text(text)
        return load_plan(folder / "experiment.yaml", shipped)

    return run


def problems(load: Load, changes: Mapping[str, Any] | None = None, **more: Any) -> dict[str, str]:
    """Message by path; the error's source is checked to be the plan."""
    with pytest.raises(ConfigError) as refusal:
        load(changes, **more)
    assert refusal.value.source.endswith("capacity-of-trees/experiment.yaml")
    return {problem.path: problem.message for problem in refusal.value.problems}


# The config of a stage


def test_the_base_is_the_baseline_with_the_plans_changes(load: Load) -> None:
    loaded = load({"base": {"model": {"params": {"num_leaves": 15}}, "cv": {"embargo_eras": 8}}})
    assert loaded.name == "capacity-of-trees"
    config = loaded.config("scout", {})
    assert config.model.params == {"n_estimators": 2000, "learning_rate": 0.01, "num_leaves": 15}
    assert (config.cv.n_splits, config.cv.embargo_eras, config.score.last_eras) == (4, 8, 150)
    assert load({"name": "other"}).name == "other"


def test_stages_without_a_word_scout_small_and_finish_on_all_data(load: Load) -> None:
    loaded = load()
    data = [loaded.config(stage, {}).data for stage in STAGES]
    assert [(each.file, each.feature_set) for each in data] == [
        ("downsampled", "small"),
        ("downsampled", "all"),
        ("full", "all"),
    ]


def test_a_stage_sets_file_features_and_expensive_parameters(load: Load) -> None:
    loaded = load(
        {
            "stages.scout": {"data": "full", "feature_set": "medium"},
            "stages.confirm": {"overrides": {"cv": {"n_splits": 9}, "model": {"params": {"max_bin": 5}}}},
            "stages.final.overrides": {"data": {"file": "downsampled", "missing": "nan"}},
        }
    )
    scout, confirm, final = (loaded.config(stage, {}) for stage in STAGES)
    assert (scout.data.file, scout.data.feature_set) == ("full", "medium")
    # what a stage does not write keeps the stage's default
    assert (confirm.data.file, confirm.data.feature_set) == ("downsampled", "all")
    assert (confirm.cv.n_splits, confirm.model.params["max_bin"]) == (9, 5)
    # the file is named by the stage, whatever its overrides say
    assert (final.data.file, final.data.feature_set, final.data.missing) == ("full", "all", "nan")
    assert scout.cv.n_splits == 4


def test_what_the_search_found_moves_to_every_stage_and_nothing_else(load: Load) -> None:
    loaded = load({"stages.final.overrides": {"model": {"params": {"max_bin": 5}}}})
    base = loaded.config("scout", {}).to_json()
    first = changes_for(loaded.space.dimensions["leaves"], 63, base)
    found = {**first, **changes_for(loaded.space.dimensions["rate"], 0.005, with_changes(base, first))}
    assert found == {LEAVES: 63, RATE: 0.005, TREES: 4000}
    for stage in STAGES:
        changed = differences(loaded.config(stage, {}), loaded.config(stage, found))
        assert {path: new for path, (_, new) in changed.items()} == found
    assert loaded.config("final", found).model.params["max_bin"] == 5


def test_benchmark_and_version_of_the_plan_go_before_the_baselines(load: Load) -> None:
    loaded = load({"benchmark": "v53_lgbm_ender60", "data_version": "v5.3"})
    config, baseline = loaded.config("final", {}), loaded.baseline_config("final")
    assert config.score.benchmark == baseline.score.benchmark == "v53_lgbm_ender60"
    assert config.data.version == baseline.data.version == "v5.3"
    plain = load().config("final", {})
    assert (plain.score.benchmark, plain.data.version) == ("v52_lgbm_ender20", "v5.2")


def test_the_baseline_is_as_it_is_but_judged_like_the_rest(load: Load) -> None:
    loaded = load(
        {
            "base": {"model": {"params": {"num_leaves": 15}}, "score": {"target": "target_x"}, "cv": {"n_splits": 3}},
            "stages.confirm": {"feature_set": "all", "overrides": {"model": {"params": {"max_bin": 5}}}},
        }
    )
    baseline = loaded.baseline_config("confirm")
    assert baseline.model.params == BASELINE["model"]["params"]
    assert baseline.cv.n_splits == 4
    assert baseline.data.feature_set == "all"
    assert baseline.score.target == "target_x"
    assert loaded.baseline_config("final").data.file == "full"


def test_a_plan_without_a_base_starts_from_the_baseline_itself(load: Load) -> None:
    loaded = load()
    assert all(loaded.baseline_config(stage) == loaded.config(stage, {}) for stage in STAGES)


def test_a_search_space_by_name_is_the_one_written_out(load: Load) -> None:
    named = load({"search_space": "capacity"})
    assert named.space == load().space
    assert list(named.space.dimensions) == ["leaves", "rate"]
    assert [each.required for each in named.space.dimensions.values()] == [True, False]


# The fingerprint


@pytest.mark.parametrize("changes", [{"name": "x"}, {"idea": "Another text altogether."}, {"search_space": "capacity"}])
def test_texts_and_names_leave_the_fingerprint(load: Load, changes) -> None:
    assert load(changes).fingerprint() == load().fingerprint()


@pytest.mark.parametrize(
    "changes",
    [
        {"rounds.margin": 1e-4},
        {"budget.rounds": 3},
        {"base.cv.n_splits": 3},
        {"stages.final.data": "downsampled"},
        {"benchmark": "other"},
        {"search_space.dimensions.leaves.values": [63, 7]},
    ],
)
def test_what_decides_results_decides_the_fingerprint(load: Load, changes) -> None:
    assert load(changes).fingerprint() != load().fingerprint()


def test_the_baselines_values_decide_the_fingerprint(load: Load) -> None:
    other = apply_overrides(BASELINE, nested(LEAVES, 30))
    assert load(baseline=other).fingerprint() != load().fingerprint()


# Holes


@pytest.mark.parametrize("key", ["idea", "novelty", "search_space"])
def test_a_hole_is_named(load: Load, key) -> None:
    assert problems(load, plan={name: value for name, value in PLAN.items() if name != key}) == {
        f"$.{key}": "required key is missing"
    }


def test_idea_and_novelty_must_say_something(load: Load) -> None:
    found = problems(load, {"idea": "trees", "novelty": ""})
    assert set(found) == {"$.idea", "$.novelty"}
    assert "at least 10 characters" in found["$.idea"]


def test_all_problems_of_a_plan_at_once(load: Load) -> None:
    plan = {
        "novelty": PLAN["novelty"],
        "baselin": "mine",
        "search_space": {"dimensions": {"leaves": {"path": LEAVES, "values": [], "vals": [1]}}},
        "rounds": {"variants": 0, "margin": -1, "patience": "two"},
        "stages": {"confrim": {}, "final": {"data": "half"}},
        "budget": {"hours": 0},
        "market": {"eras": 40},
    }
    found = problems(load, plan=plan)
    assert set(found) == {
        "$.idea",
        "$.baselin",
        "$.search_space.dimensions.leaves.values",
        "$.search_space.dimensions.leaves.vals",
        "$.rounds.variants",
        "$.rounds.margin",
        "$.rounds.patience",
        "$.stages.confrim",
        "$.stages.final.data",
        "$.budget.hours",
        "$.market.rows",
        "$.market.features",
    }
    assert found["$.stages.confrim"] == "unknown key; did you mean 'confirm'?"


def test_baseline_and_search_space_that_are_not_there_are_told_together(load: Load) -> None:
    found = problems(load, {"baseline": "yours", "search_space": "speed"})
    assert found == {"$.baselines": "no 'yours'", "$.search_spaces": "no 'speed'"}


# Clashes and values


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize(("path", "dimension"), [(LEAVES, "leaves"), (RATE, "rate"), (TREES, "rate")])
def test_a_stage_must_not_undo_what_the_search_varies(load: Load, stage, path, dimension) -> None:
    found = problems(load, {f"stages.{stage}.overrides": nested(path, 5)})
    assert found == {
        f"$.stages.{stage}": f"sets {path}, which the dimension {dimension!r} varies; remove one of the two"
    }


def test_feature_sets_are_varied_only_when_no_stage_sets_one(load: Load) -> None:
    plan = {**PLAN, "search_space": {"dimensions": {"features": {"path": "data.feature_set", "values": ["medium"]}}}}
    found = problems(load, plan=plan)
    assert set(found) == {"$.stages.confirm", "$.stages.final"}
    assert "feature_set: null keeps what the search found" in found["$.stages.final"]
    loaded = load({"stages.confirm.feature_set": None, "stages.final.feature_set": None}, plan=plan)
    assert loaded.config("final", {"data.feature_set": "medium"}).data.feature_set == "medium"


def test_a_base_that_gives_no_config(load: Load) -> None:
    found = problems(load, {"base": {"cv": {"n_splits": 1}, "modl": {}}})
    assert set(found) == {"$.base.cv.n_splits", "$.base.modl"}


def test_overrides_that_give_no_config_are_placed_in_their_stage(load: Load) -> None:
    found = problems(load, {"stages.final.overrides.cv": {"n_split": 3}, "stages.scout.overrides.cv.n_splits": 1})
    assert set(found) == {"$.stages.final.overrides.cv.n_split", "$.stages.scout.overrides.cv.n_splits"}


def test_listed_values_that_give_no_config(load: Load) -> None:
    target = {"path": "data.target", "values": ["good", "not good", "a/b"]}
    with pytest.raises(ConfigError) as refusal:
        load({"search_space.dimensions.target": target})
    where = "$.search_space.dimensions.target.values"
    assert [problem.path for problem in refusal.value.problems] == [where, where]
    for problem, value in zip(refusal.value.problems, target["values"][1:], strict=True):
        assert problem.message.startswith(f"{value!r} at $.data.target: ")


def test_a_coupling_without_a_number_in_the_base(load: Load) -> None:
    found = problems(load, baseline={"model": {"params": {"num_leaves": 31, "learning_rate": 0.01}}})
    assert "$.search_space.dimensions.rate.values" in found
    assert "must hold a number" in found["$.search_space.dimensions.rate.values"]


@pytest.mark.parametrize("named", [True, False])
def test_problems_of_a_space_are_placed_in_its_file(load: Load, named) -> None:
    space = {"dimensions": {"folds": {"path": "cv.n_splits", "values": [3, 3]}}}
    with pytest.raises(ConfigError) as refusal:
        load({"search_space": "capacity" if named else space}, space=space)
    at = "$.dimensions" if named else "$.search_space.dimensions"
    assert refusal.value.source.endswith("/capacity.yaml" if named else "/experiment.yaml")
    assert [problem.path for problem in refusal.value.problems] == [f"{at}.folds.path", f"{at}.folds.values"]


def test_a_baseline_that_is_no_config_is_named(load: Load) -> None:
    with pytest.raises(ConfigError) as refusal:
        load(baseline={"modle": {}})
    assert refusal.value.source.endswith("/mine.yaml")
    assert refusal.value.problems[0].path == "$.modle"


# What is shipped


def test_every_shipped_plan_baseline_and_space_loads(tmp_path: Path) -> None:
    quickstart = shipped_plan("quickstart")
    assert quickstart is not None
    assert load_plan(quickstart, find_shipped).name == "quickstart"
    spaces = sorted(file.stem for file in find_shipped("search_spaces", "lightgbm_capacity").parent.glob("*.yaml"))
    baselines = sorted(file.stem for file in find_shipped("baselines", "small_lgbm_ender20").parent.glob("*.yaml"))
    for space in spaces:
        for baseline in baselines:
            path = tmp_path / f"{space}-{baseline}.yaml"
            # A search for features must not be undone by a stage.
            free = {stage: {"feature_set": None} for stage in STAGES}
            path.write_text(yaml.safe_dump({**PLAN, "search_space": space, "baseline": baseline, "stages": free}))
            assert load_plan(path, find_shipped).space.dimensions
