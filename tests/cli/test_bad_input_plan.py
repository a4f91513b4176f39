"""Wrong experiment files: every problem at once, with its place, its value, the rule and the nearest known word."""

from pathlib import Path
from typing import Any

import pytest
from bad_requests import REMOVED, Desk, make_market, refuse, set_desk

DIMENSIONS = "search_space.dimensions"
LEAVES = f"{DIMENSIONS}.num_leaves"
RATE = f"{DIMENSIONS}.learning_rate"

# name -> (the whole text of experiment.yaml, words of the message)
TEXTS: dict[str, tuple[bytes, tuple[str, ...]]] = {
    "empty file": (b"", ("experiment.yaml", "$.idea", "$.novelty", "$.search_space", "required key is missing")),
    "not YAML": (b"idea: [unclosed\nnovelty: x", ("not valid YAML", "line 2")),
    "a tab": (b"idea:\n\t- x", ("not valid YAML", "line 2", "\\t")),
    "a list": (b"- idea\n- novelty", ("must be a mapping of keys to values", "['idea', 'novelty']")),
    "one word": (b"quickstart", ("must be a mapping of keys to values", "'quickstart'")),
    "a key twice": (b"idea: a first idea\nidea: a second idea", ("'idea' is given twice", "line 2")),
    "not UTF-8": (b"idea: \xff\xfe", ("cannot be read", "utf-8")),
    "a NUL byte": (b"idea: a\x00b", ("not valid YAML",)),
    "an unhashable key": (b"? [a, b]\n: c", ("not valid YAML", "line 1")),
    "an alias of nothing": (b"idea: *nothing", ("not valid YAML", "nothing")),
    "a Python object": (b"idea: !!python/object:os.system x", ("not valid YAML", "python/object")),
    "an alias of itself": (b"idea: a first idea\nbase: &b {model: *b}", ("not valid YAML", "recursive")),
    "very deep": (b"base: " + b"{a: " * 3000 + b"1" + b"}" * 3000, ("not valid YAML", "nested too deep")),
}

# name -> (values of experiment.yaml by path, words of the message)
PLANS: dict[str, tuple[dict[str, Any], tuple[str, ...]]] = {
    "unknown key": ({"bugdet": {"rounds": 3}}, ("$.bugdet", "unknown key", "did you mean 'budget'?")),
    "missing idea": ({"idea": REMOVED}, ("$.idea", "required key is missing")),
    "idea too short": ({"idea": "trees"}, ("$.idea", "at least 10 characters", "'trees'")),
    "idea a number": ({"idea": 7}, ("$.idea", "valid string", "7")),
    "name with a slash": ({"name": "a/b"}, ("$.name", "'a/b'")),
    "unknown baseline": ({"baseline": "tinny"}, ("$.baseline", "no baseline named 'tinny'", "did you mean 'tiny'?")),
    "unknown search space": (
        {"search_space": "lightgbm_capasity"},
        ("$.search_space", "no search_space named 'lightgbm_capasity'", "did you mean 'lightgbm_capacity'?"),
    ),
    "baseline up the tree": ({"baseline": "../tiny"}, ("$.baseline", "'../tiny'")),
    "variants as text": ({"rounds.variants": "4"}, ("$.rounds.variants", "valid integer", "'4'")),
    "variants 0": ({"rounds.variants": 0}, ("$.rounds.variants", "greater than or equal to 1", "0")),
    "margin negative": ({"rounds.margin": -0.1}, ("$.rounds.margin", "greater than or equal to 0", "-0.1")),
    "margin NaN": ({"rounds.margin": float("nan")}, ("$.rounds.margin", "finite number", "nan")),
    "patience 0": ({"rounds.patience": 0}, ("$.rounds.patience", "greater than or equal to 1", "0")),
    "unknown proposer": ({"rounds.proposer": "magic"}, ("$.rounds.proposer", "'listed'", "'magic'")),
    "hours as text": ({"budget.hours": "two"}, ("$.budget.hours", "valid number", "'two'")),
    "no rounds": ({"budget.rounds": 0}, ("$.budget.rounds", "greater than or equal to 1", "0")),
    "unknown stage": ({"stages.scuot": {"data": "full"}}, ("$.stages.scuot", "did you mean 'scout'?")),
    "unknown stage data": ({"stages.scout.data": "half"}, ("$.stages.scout.data", "'full' or 'downsampled'", "'half'")),
    "stage a list": ({"stages.scout": ["full"]}, ("$.stages.scout", "['full']")),
    "market too small": (
        {"market": {"eras": 5, "rows": 10, "features": 1}},
        ("$.market.eras", "to 40", "5", "$.market.rows", "to 50", "10", "$.market.features"),
    ),
    "market without rows": ({"market": {"eras": 60, "features": 12}}, ("$.market.rows", "required key is missing")),
    "base with an unknown section": ({"base.modle.params.x": 1}, ("$.base.modle", "did you mean 'model'?")),
    "base with an unknown key": ({"base.data.featureset": "all"}, ("$.base.data.featureset", "'feature_set'")),
    "base a list": ({"base": [1]}, ("$.base", "[1]")),
    "base section a number": ({"base.model": 3}, ("$.base.model", "3")),
    "base with n_splits 1": ({"base.cv.n_splits": 1}, ("$.base.cv.n_splits", "equal to 2", "1")),
    "override with an unknown key": (
        {"stages.confirm.overrides.model.parms": {"x": 1}},
        ("$.stages.confirm.overrides.model.parms", "did you mean 'params'?"),
    ),
    "stage overrides a varied dimension": (
        {"stages.confirm.overrides.model.params.num_leaves": 5},
        ("$.stages.confirm", "model.params.num_leaves", "'num_leaves'", "remove one of the two"),
    ),
    "stage overrides a coupled path": (
        {"stages.final.overrides.model.params.n_estimators": 5},
        ("$.stages.final", "model.params.n_estimators", "'learning_rate'", "remove one of the two"),
    ),
    "no dimensions": ({DIMENSIONS: {}}, ("$.search_space", "dimensions", "at least 1")),
    "search space a number": ({"search_space": 5}, ("$.search_space", "5")),
    "dimension with an unknown path": (
        {f"{LEAVES}.path": "model.parms.num_leaves"},
        (f"$.{LEAVES}.path", "'model.parms.num_leaves'", "a round may vary", "model.params."),
    ),
    "dimension of the folds": ({f"{LEAVES}.path": "cv.n_splits"}, (f"$.{LEAVES}.path", "'cv.n_splits'", "may vary")),
    "dimension without a path": ({f"{LEAVES}.path": REMOVED}, ("num_leaves.path", "required key is missing")),
    "dimension with an unknown key": ({f"{LEAVES}.valeus": [1]}, ("valeus", "did you mean 'values'?")),
    "empty values": ({f"{LEAVES}.values": []}, ("num_leaves.values", "at least 1 item")),
    "values not a list": ({f"{LEAVES}.values": 4}, ("num_leaves.values", "must be a list", "4")),
    "repeated values": ({f"{LEAVES}.values": [4, 8, 4]}, (f"$.{LEAVES}.values", "each value once", "4")),
    "equal values": ({f"{LEAVES}.values": [4, 4.0]}, (f"$.{LEAVES}.values", "each value once", "4.0")),
    "mixed types": ({f"{LEAVES}.values": [4, "8"]}, (f"$.{LEAVES}.values", "of one type", "number and text")),
    "values with one file name": (
        {f"{DIMENSIONS}.objective": {"path": "model.params.objective", "values": ["l2 ", "l2"]}},
        ("objective.values", "'l2 '", "'l2'", "one name"),
    ),
    "coupling of the wrong length": (
        {f"{RATE}.coupled": {"model.params.n_estimators": [1, 2, 3]}},
        (f"$.{RATE}.coupled.model.params.n_estimators", "one value for each of the 2 values", "holds 3"),
    ),
    "coupling to itself": (
        {f"{RATE}.coupled": {"model.params.learning_rate": "inverse"}},
        (f"$.{RATE}.coupled", "cannot be coupled to itself"),
    ),
    "unknown coupling": ({f"{RATE}.coupled": {"model.params.max_bin": "twice"}}, ("'inverse'", "'twice'")),
    "coupling to an unknown path": (
        {f"{RATE}.coupled": {"modle.params.max_bin": "inverse"}},
        (f"$.{RATE}.coupled", "'modle.params.max_bin'", "may vary"),
    ),
    "inverse coupling with 0": ({f"{RATE}.values": [0, 0.1]}, (f"$.{RATE}.coupled", "above 0", "[0, 0.1]")),
    "coupling to a path without a number": (
        {f"{RATE}.coupled": {"model.params.max_bin": "inverse"}},
        (f"$.{RATE}", "model.params.max_bin", "must hold a number", "None"),
    ),
    "coupling from 0 in the base": (
        {f"{RATE}.coupled": {"model.params.n_estimators": "proportional"}, "base.model.params.learning_rate": 0},
        (f"$.{RATE}", "model.params.learning_rate", "0"),
    ),
    "coupling that rounds to nothing": (
        {f"{RATE}.values": [0.05, 100.0]},
        (f"$.{RATE}.values", "100.0", "n_estimators", "at least 1", "is 0"),
    ),
    "two dimensions with one path": (
        {f"{DIMENSIONS}.leaves": {"path": "model.params.num_leaves", "values": [5]}},
        (f"$.{DIMENSIONS}.leaves.path", "also the path of 'num_leaves'"),
    ),
    "two dimensions with one parameter": (
        {f"{DIMENSIONS}.max_leaves": {"path": "model.params.max_leaves", "values": [5]}},
        (f"$.{DIMENSIONS}.max_leaves.values", "max_leaves", "the same as 'num_leaves'", "remove one"),
    ),
    "several at once": (
        {"idea": "x", "rounds.variants": 0, "budget.hours": -1, "stages.scout.data": "half", "extra": 1},
        ("5 problems", "$.idea", "$.rounds.variants", "$.budget.hours", "$.stages.scout.data", "$.extra"),
    ),
    "leaves that LightGBM refuses": (
        {f"{LEAVES}.values": [4, 1]},
        (f"$.{LEAVES}.values: 1", "$.model.params.num_leaves", "LightGBM says", "num_leaves must be > 1; but is 1"),
    ),
    "rate that LightGBM refuses": (
        {"base.model.params.learning_rate": -1, RATE: REMOVED},
        ("1 problem", "$.base.model.params.learning_rate", "LightGBM says", "learning_rate must be > 0.0; but is -1"),
    ),
    "unknown parameter": (
        {"base.model.params.num_leavs": 5},
        ("1 problem", "$.base.model.params.num_leavs", "no such parameter", "did you mean 'num_leaves'?"),
    ),
    "a parameter under two names": (
        {"base.model.params.n_iter": 5},
        ("$.base.model.params.n_iter", "means the same as 'n_estimators'", "remove one"),
    ),
    "threads": ({"base.model.params.n_jobs": 30}, ("$.base.model.params.n_jobs", "threads come from the machine")),
    "a parameter of text": ({"base.model.params.max_depth": "deep"}, ("max_depth", "LightGBM says", "deep")),
    "a parameter of nothing": ({"base.model.params.max_depth": None}, ("max_depth", "must be a number", "None")),
    "several classes": (
        {"base.model.params.objective": "multiclass", "base.model.params.num_class": 3},
        ("objective", "one prediction a row"),
    ),
    "unknown objective": ({"base.model.params.objective": "l7"}, ("objective", "LightGBM says", "l7")),
    "unknown model": ({"base.model.type": "lightgmb"}, ("$.base.model.type", "did you mean 'lightgbm'?")),
    "unknown feature set": (
        {"base.data.feature_set": "mediun", "stages.scout.feature_set": "mediun"},
        ("features.json", "no feature set 'mediun'", "did you mean 'medium'?"),
    ),
    "unknown feature set of a stage": (
        {"stages.final.feature_set": "everything"},
        ("features.json", "no feature set 'everything'", "medium"),
    ),
    "unknown target": (
        {"base.data.target": "target_ender20"},
        ("no target 'target_ender20'", "did you mean 'target_ender_20'?"),
    ),
    "unknown target in a dimension": (
        {f"{DIMENSIONS}.target": {"path": "data.target", "values": ["target_xerxes_20", "target_zeus_20"]}},
        ("dimensions.target.values", "'target_zeus_20'", "no target"),
    ),
    "unknown benchmark": (
        {"benchmark": "v52_lgbm_ender2"},
        ("benchmark_models.parquet", "no benchmark 'v52_lgbm_ender2'", "did you mean 'v52_lgbm_ender20'?"),
    ),
    "unknown version": ({"data_version": "v4.9"}, ("v4.9", "features.json", "no such file", "versions there: v5.2")),
    "version up the tree": ({"data_version": "../v5.2"}, ("$.data_version", "'../v5.2'")),
    "embargo smaller than the overlap": (
        {"base.cv.embargo_eras": 2},
        ("$.base.cv", "embargo_eras", "3 eras", "overlap", "at least 5", "raise it"),
    ),
    "embargo smaller than the overlap of a varied target": (
        {f"{DIMENSIONS}.target": {"path": "data.target", "values": ["target_ender_60"]}},
        ("dimensions.target.values: 'target_ender_60'", "overlap", "at least 13", "raise it"),
    ),
    "more splits than eras": ({"base.cv.n_splits": 50}, ("$.base.cv", "n_splits", "50 > 15")),
    "embargo larger than the market": (
        {"base.cv.embargo_eras": 500},
        ("$.base.cv", "no fold has training eras", "embargo of 500", "smaller embargo"),
    ),
    "a coupling beyond all numbers": (
        {f"{RATE}.values": [1e-320, 0.2]},
        (f"$.{RATE}.values", "1e-320 at $.model.params.n_estimators", "inverse to model.params.learning_rate"),
    ),
    "a range beyond all numbers": (
        {RATE: {"path": "model.params.learning_rate", "range": {"low": -1.7e308, "high": 1.7e308}}},
        (f"$.{RATE}.range", "`high - low` must be finite", "-1.7e+308", "narrow it"),
    ),
    "values so far apart that there is nothing between": (
        {RATE: {"path": "model.params.learning_rate", "values": [-1.7e308, 1.7e308]}, "rounds.proposer": "refine"},
        ("LightGBM says", "learning_rate must be > 0.0"),
    ),
    "a path of a thousand parts": (
        {f"{LEAVES}.path": "model.params." + ".".join("a" * 1500)},
        (f"$.{LEAVES}", "a path has at most 16 parts", "has 1,502"),
    ),
    "a coupled path of a thousand parts": (
        {f"{LEAVES}.coupled": {"model.params." + ".".join("a" * 1500): [1, 2]}},
        (f"$.{LEAVES}", "a path has at most 16 parts", "has 1,502"),
    ),
    "a condition on a path of a thousand parts": (
        {f"{LEAVES}.when": {"model.params." + ".".join("a" * 1500): [1]}},
        (f"$.{LEAVES}", "a path has at most 16 parts", "has 1,502"),
    ),
    "a holdout of all eras": (
        {"holdout_eras": 500},
        ("holdout_eras: 500 and the embargo before them leave 0 of the file's 15 eras to search", "lower it"),
    ),
    "a holdout that leaves too few eras": (
        {"holdout_eras": 50},
        ("holdout_eras: 50 and the embargo before them leave 1 of the file's 15 eras", "lower it", "3 > 1"),
    ),
    "more splits than eras beside a small holdout": (
        {"holdout_eras": 4, "base.cv.n_splits": 50},
        ("$.base.cv", "n_splits must be at most the number of eras, but got 50 > "),
    ),
    "more trees than a library counts": (
        {"base.model.params.n_estimators": 10**15, RATE: REMOVED},
        ("$.base.model.params.n_estimators", "at most 2,147,483,647", "1000000000000000", "lower it"),
    ),
    "more trees than a library counts by another name": (
        {f"{LEAVES}.path": "model.params.max_depth", f"{DIMENSIONS}.n": {"path": "data.missing", "values": ["nan"]}}
        | {"base.model.params": {"num_trees": 10**15}, "baseline": "treeless", RATE: REMOVED},
        ("$.base.model.params.num_trees", "at most 2,147,483,647", "lower it"),
    ),
    "memory that no machine has": (
        {"base.model.resources": {"memory_gb": 1e6}},
        ("$.base.model.resources.memory_gb", "asks for 1000000.0 GB a fit", "lower it", "--address"),
    ),
    "data path that is not there": (
        {"base.data.path": "v5.2/mine.parquet"},
        ("v5.2/mine.parquet", "no such file"),
    ),
}


@pytest.fixture(scope="module")
def market(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_market(tmp_path_factory.mktemp("market"))


@pytest.fixture
def desk(tmp_path: Path, market: Path, monkeypatch: pytest.MonkeyPatch) -> Desk:
    monkeypatch.chdir(tmp_path)
    return set_desk(tmp_path, market)


@pytest.mark.parametrize("name", TEXTS)
def test_text_that_is_no_plan(name: str, desk: Desk, capfd: pytest.CaptureFixture[str]) -> None:
    text, words = TEXTS[name]
    desk.plan.write_bytes(text)
    refuse(desk, capfd, desk.run_arguments(), words)


@pytest.mark.parametrize("name", PLANS)
def test_wrong_plan(name: str, desk: Desk, capfd: pytest.CaptureFixture[str]) -> None:
    changes, words = PLANS[name]
    (desk.experiments / "baselines" / "treeless.yaml").write_text("cv: {n_splits: 3, embargo_eras: 5}")
    desk.write_plan(changes)
    refuse(desk, capfd, desk.run_arguments(), words)


def test_a_wrong_baseline_file_is_named(desk: Desk, capfd: pytest.CaptureFixture[str]) -> None:
    (desk.experiments / "baselines" / "tiny.yaml").write_text("model: {parms: {}}\ncv: {n_splits: 1}\n")
    words = ("tiny.yaml", "2 problems", "$.model.parms", "did you mean 'params'?", "$.cv.n_splits", "equal to 2")
    refuse(desk, capfd, desk.run_arguments(), words)


def test_a_wrong_search_space_file_is_named(desk: Desk, capfd: pytest.CaptureFixture[str]) -> None:
    (desk.root / "search_spaces").mkdir()
    (desk.root / "search_spaces" / "mine.yaml").write_text("dimensions: {leaves: {path: cv.n_splits, values: [2, 2]}}")
    desk.write_plan({"search_space": "mine"})
    words = ("mine.yaml", "2 problems", "$.dimensions.leaves.path", "$.dimensions.leaves.values", "each value once")
    refuse(desk, capfd, desk.run_arguments(), words)


def test_every_missing_word_is_named_at_once(desk: Desk, capfd: pytest.CaptureFixture[str]) -> None:
    desk.write_plan({"search_space": "nothing", "baseline": "nobody"})
    words = ("2 problems", "no baseline named 'nobody'", "no search_space named 'nothing'", "lightgbm_capacity")
    refuse(desk, capfd, desk.run_arguments(), words)


def test_refused_parameters_are_listed_together(desk: Desk, capfd: pytest.CaptureFixture[str]) -> None:
    wrong = {"num_leaves": 1, "bagging_fraction": 2.0, "max_bin": 1}
    desk.write_plan({f"base.model.params.{name}": value for name, value in wrong.items()})
    words = tuple(f"$.base.model.params.{name}" for name in wrong)
    refuse(desk, capfd, desk.run_arguments(), ("3 problems", *words))
