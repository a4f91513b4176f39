"""Configs of the official pipeline, read unchanged: every field, its default, and what is not taken."""

from pathlib import Path
from typing import Any

import pytest
from official_configs import DEEP, NEWEST, SMALL, WRITERS, load

from numerai_ray.config import Config, leaves, validate
from numerai_ray.config.official import DEFAULT_LGBM_PARAMS, NOT_DONE, OfficialRun, load_official
from numerai_ray.config.official_words import to_official
from numerai_ray.config.validation import nested
from numerai_ray.errors import ConfigError

TRANSFORM = {"type": "residual_to_benchmark", "benchmark_col": "v52_lgbm_ender60"}


def load_text(tmp_path: Path, text: str, name: str = "config.py") -> OfficialRun:
    (tmp_path / name).write_text(text, encoding="utf-8")
    return load_official(tmp_path / name)


def problems_of(tmp_path: Path, config: dict[str, Any]) -> dict[str, str]:
    with pytest.raises(ConfigError) as refusal:
        load(tmp_path, config)
    assert refusal.value.source == str(tmp_path / "config.py")
    return {problem.path: problem.message for problem in refusal.value.problems}


# The official baselines


@pytest.mark.parametrize("name", WRITERS)
@pytest.mark.parametrize("baseline", [SMALL, DEEP, NEWEST], ids=["small", "deep", "newest"])
def test_the_official_baselines_are_read_from_every_format(tmp_path, baseline, name) -> None:
    run = load(tmp_path, baseline, name)
    version = baseline["data"]["data_version"]
    params = {key: value for key, value in baseline["model"]["params"].items() if key != "n_jobs"}
    assert run.config == validate(
        Config,
        {
            "data": {
                "version": version,
                "file": "full",
                "path": baseline["data"].get("full_data_path"),
                "benchmark_path": baseline["data"].get("benchmark_data_path"),
                "feature_set": baseline["data"]["feature_set"],
                "target": "target",
            },
            "cv": {"n_splits": 5, "mode": "expanding", "embargo_eras": 13, "embargo_unit": "retained"},
            "model": {"type": "lightgbm", "params": params, "sample_seed": 1337},
            "score": {"target": "target", "benchmark": f"v{version[1]}{version[3]}_lgbm_ender20", "last_eras": 200},
        },
        "expected",
    )
    assert len(params) >= 7
    kind = "downsampled_full" if baseline is NEWEST else "full"
    assert run.config.data.files() == (f"{version}/{kind}.parquet", f"{version}/{kind}_benchmark_models.parquet")
    assert run.output_dir == baseline["output"]["output_dir"]
    assert run.results_name == run.predictions_name == baseline["output"]["results_name"]


@pytest.mark.parametrize(
    "param", ["n_jobs", "num_threads", "nthread", "nthreads", "num_thread", "verbose", "verbosity", "silent"]
)
def test_threads_and_chattiness_are_dropped(tmp_path, param) -> None:
    config = load(tmp_path, {"model": {"params": {"num_leaves": 7, param: 30}}}).config
    assert config.model.params == {"num_leaves": 7}
    assert config.fingerprint() == load(tmp_path, {"model": {"params": {"num_leaves": 7}}}).config.fingerprint()


# Defaults and every field


def test_defaults_are_those_of_the_official_pipeline(tmp_path: Path) -> None:
    run = load_text(tmp_path, "CONFIG = {}\n", "my_idea.py")
    assert run.config.model_dump() == {
        "data": {
            "version": "v5.3",
            "file": "full",
            "path": None,
            "benchmark_path": None,
            "feature_set": "small",
            "target": "target",
            "missing": "two",
            "era_col": "era",
            "id_col": "id",
        },
        "cv": {
            "n_splits": 5,
            "mode": "expanding",
            "embargo_eras": 13,
            "embargo_unit": "retained",
            "min_train_eras": 0,
        },
        "model": {
            "type": "lightgbm",
            "params": DEFAULT_LGBM_PARAMS,
            "max_train_samples": None,
            "sample_seed": 1337,
        },
        "score": {"target": "target", "benchmark": "v53_lgbm_ender20", "last_eras": 200},
    }
    assert (run.output_dir, run.results_name, run.predictions_name) == (None, "my_idea", "my_idea")
    assert load(tmp_path, {"model": {"params": {}}}).config.model.params == {}


def test_a_config_of_ours_keeps_the_version_that_it_meant() -> None:
    config = validate(Config, {}, "ours")
    assert (config.data.version, config.score.benchmark) == ("v5.2", "v52_lgbm_ender20")


@pytest.mark.parametrize(
    ("data", "version", "benchmark"),
    [
        ({}, "v5.3", "v53_lgbm_ender20"),
        ({"data_version": "v5.3"}, "v5.3", "v53_lgbm_ender20"),
        ({"data_version": "v5.2"}, "v5.2", "v52_lgbm_ender20"),
        ({"data_version": "v6.0"}, "v6.0", "v60_lgbm_ender20"),
        ({"data_version": "mine"}, "mine", "v53_lgbm_ender20"),
        ({"benchmark_model": "v52_lgbm_ender60"}, "v5.3", "v52_lgbm_ender60"),
        ({"data_version": "v5.2", "benchmark_model": None}, "v5.2", "v52_lgbm_ender20"),
    ],
)
def test_a_version_brings_its_own_benchmark(tmp_path, data, version, benchmark) -> None:
    run = load(tmp_path, {"data": data})
    assert (run.config.data.version, run.config.score.benchmark) == (version, benchmark)
    assert run.told is not None
    assert run.told["data"]["data_version"] == version
    assert run.told["benchmark"] == {"model": benchmark, "file": f"{version}/full_benchmark_models.parquet"}


@pytest.mark.parametrize(
    ("theirs", "value", "ours"),
    [
        ("data.data_version", "v5.4", {"data.version": "v5.4", "score.benchmark": "v54_lgbm_ender20"}),
        ("data.feature_set", "all", {"data.feature_set": "all"}),
        ("data.target_col", "target_x_60", {"data.target": "target_x_60", "score.target": "target_x_60"}),
        ("data.era_col", "week", {"data.era_col": "week"}),
        ("data.id_col", "key", {"data.id_col": "key"}),
        ("data.full_data_path", "v5.2/down.parquet", {"data.path": "v5.2/down.parquet"}),
        ("data.full_data_path", "/elsewhere/down.parquet", {"data.path": "/elsewhere/down.parquet"}),
        ("data.full_data_path", "~/down.parquet", {"data.path": str(Path.home() / "down.parquet")}),
        ("data.benchmark_data_path", "v5.2/b.parquet", {"data.benchmark_path": "v5.2/b.parquet"}),
        ("data.embargo_eras", 8, {"cv.embargo_eras": 8}),
        ("data.benchmark_model", "v53_lgbm_ender60", {"score.benchmark": "v53_lgbm_ender60"}),
        ("model.params", {"num_leaves": 7}, {"model.params.num_leaves": 7}),
        ("data.baselines_dir", "baselines", {}),
        ("output.baselines_dir", "baselines", {}),
        ("model.x_groups", ["features", "era"], {}),
        *[("model.x_groups", groups, {}) for groups in (["era"], [], None, ["id", "benchmarks", "y"])],
        ("model.data_needed", ["features", "benchmark"], {}),
        ("model.baseline", {"name": "b", "predictions_path": "b.parquet"}, {}),  # which no group asks for
        ("model.benchmark", "v53_lgbm_ender20", {}),
        ("model.prediction_batch_size", 1000, {}),
        ("training.prediction_batch_size", 1e5, {}),
        *[(f"model.{key}", off, {}) for key in NOT_DONE for off in (None, {}, "")],
        ("model.era_weighting", {"enabled": False, "scheme": "linear"}, {}),
        ("training.era_weighting", {"enabled": False, "scheme": "linear"}, {}),
        ("model.target_transform", {}, {}),
        ("preprocessing.nan_missing_all_twos", True, {"data.missing": "nan"}),
        ("preprocessing.missing_value", -1.0, {}),
        ("training.max_train_samples", 5000, {"model.max_train_samples": 5000}),
        ("training.max_train_samples", 1e5, {"model.max_train_samples": 100_000}),
        ("training.sample_seed", 7, {"model.sample_seed": 7}),
        ("training.cv.n_splits", 3, {"cv.n_splits": 3}),
        ("training.cv.embargo", 0, {"cv.embargo_eras": 0}),
        ("training.cv.mode", "blocked", {"cv.mode": "blocked"}),
        ("training.cv.min_train_size", 4, {"cv.min_train_eras": 4}),
        ("training.cv.enabled", True, {}),
    ],
)
def test_every_field_has_its_place(tmp_path, theirs, value, ours) -> None:
    config = load(tmp_path, nested(theirs, value)).config
    plain = load(tmp_path, {}).config
    found, default = leaves(config.to_json()), leaves(plain.to_json())
    changed = {path: new for path, new in found.items() if path not in default or default[path] != new}
    assert changed == ours


RESIDUAL = {
    "type": "residual_to_benchmark",
    "benchmark": "v52_lgbm_ender60",
    "proportion": 1.0,
    "fit_intercept": True,
    "per_era": True,
}
ZSCORE = {"type": "subtract_benchmark_zscore", "benchmark": "v52_lgbm_ender60", "scale": 0.07}


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        (TRANSFORM, RESIDUAL),
        (TRANSFORM | {"type": "residualize_to_benchmark", "era_col": "era"}, RESIDUAL),
        (
            TRANSFORM | {"proportion": 0.5, "per_era": False, "fit_intercept": False, "era_col": "none"},
            RESIDUAL | {"proportion": 0.5, "per_era": False, "fit_intercept": False},
        ),
        (TRANSFORM | {"scale": 3.0}, RESIDUAL),  # has no use for it, there and here
        (TRANSFORM | {"type": "subtract_benchmark"}, ZSCORE),
        (TRANSFORM | {"type": "subtract_benchmark_zscore", "scale": -0.2}, ZSCORE | {"scale": -0.2}),
    ],
)
def test_target_transforms_keep_their_meaning(tmp_path, theirs, ours) -> None:
    config = load(tmp_path, {"model": {"target_transform": theirs}}).config
    found = config.model.target_transform
    assert found is not None
    assert {name: getattr(found, name) for name in ours} == ours
    told = to_official(config)["model"]["target_transform"]
    assert told["benchmark_col"] == "v52_lgbm_ender60"
    assert load(tmp_path, {"model": {"target_transform": told}}).config == config


def test_the_embargo_of_cv_goes_before_that_of_data(tmp_path: Path) -> None:
    config = {"data": {"embargo_eras": 8}, "training": {"cv": {"embargo": 0}}}
    assert load(tmp_path, config).config.cv.embargo_eras == 0


def test_outputs_are_named_as_told(tmp_path: Path) -> None:
    run = load(tmp_path, {"output": {"output_dir": "x", "results_name": "r", "predictions_name": "p"}})
    assert (run.output_dir, run.results_name, run.predictions_name) == ("x", "r", "p")
    assert load(tmp_path, {"output": {"results_name": "r"}}).predictions_name == "r"


def test_a_config_may_be_computed(tmp_path: Path) -> None:
    text = "import math\nSIZE = 2**5 - 1\nCONFIG = {'model': {'params': {'num_leaves': SIZE, 'x': math.sqrt(4)}}}\n"
    assert load_text(tmp_path, text).config.model.params == {"num_leaves": 31, "x": 2.0}


# What is not taken


@pytest.mark.parametrize(
    ("theirs", "value", "words"),
    [
        ("model.type", "TabPFNRegressor", "known: LGBMRegressor; but is 'TabPFNRegressor'"),
        ("model.target_transform", {"type": "rank", "benchmark_col": "b"}, "but is 'rank'"),
        ("model.target_transform", {"type": "subtract_benchmark"}, "required key is missing"),
        ("model.target_transform", "residual_to_benchmark", "required key is missing"),
        ("model.target_transform", {"type": "subtract_benchmark", "benchmark_col": "b", "scal": 1.0}, "'scale'"),
        ("model.target_transform", TRANSFORM | {"proportion": 1.5}, "less than or equal to 1, but is 1.5"),
        ("model.target_transform", TRANSFORM | {"era_col": "week"}, "must be data.era_col, which is 'era'"),
        ("model.x_groups", ["features", "foo"], "no group of columns is named 'foo'; known: benchmark, "),
        ("model.x_groups", ["features", "benchmark_model"], "did you mean 'benchmark_models'?"),
        ("model.x_groups", ["baseline"], "leaves out every row that the baseline does not predict"),
        ("model.data_needed", ["features", "baseline"], "mix both models' predictions (ensemble)"),
        ("model.benchmark", {"name": "b"}, "name the benchmark to score against in data.benchmark_model"),
        ("model.era_weighting", {"scheme": "linear"}, "write model.era_weights"),
        ("training.era_weighting", {"enabled": True}, "write model.era_weights"),
        ("model.prediction_transform", {"type": "add_benchmark"}, "write post (neutralize, blend, rank)"),
        ("model.prediction_batch_size", 0, "greater than or equal to 1, but is 0"),
        ("training.max_train_samples", 1.5, "must be a valid integer"),
        ("training.cv.enabled", False, "must be true"),
        ("training.cv.n_splits", 1, "greater than or equal to 2, but is 1"),
        ("training.cv.mode", "sliding", "must be 'expanding' or 'blocked', but is 'sliding'"),
        ("training.sample_seed", -1, "greater than or equal to 0, but is -1"),
        ("training.cv.embargos", 5, "unknown key; did you mean 'embargo'?"),
        ("data.data_version", "../v5.2", "but is '../v5.2'"),
        ("data.feature_set", 42, "but is 42"),
        ("data.full_data_path", "", "but is ''"),
        ("model.params", {"learning_rate": float("inf")}, "must be a finite number"),
        ("optuna", {}, "unknown key; known: data, model, output, preprocessing, training"),
    ],
)
def test_a_problem_is_told_in_the_files_own_words(tmp_path, theirs, value, words) -> None:
    text = f"inf = float('inf')\nCONFIG = {nested(theirs, value)!r}\n"
    with pytest.raises(ConfigError) as refusal:
        load_text(tmp_path, text)
    (problem,) = refusal.value.problems
    assert problem.path.startswith(f"$.{theirs}")
    assert words in problem.message


def test_missing_values_other_than_two_cannot_become_nan(tmp_path: Path) -> None:
    found = problems_of(tmp_path, {"preprocessing": {"nan_missing_all_twos": True, "missing_value": -1.0}})
    assert found == {"$.preprocessing.missing_value": "must be 2.0, the value of a missing feature, but is -1.0"}


def test_all_that_is_not_supported_is_told_at_once(tmp_path: Path) -> None:
    model = {"type": "LGBMRanker", "x_groups": ["x"], "target_transform": TRANSFORM | {"era_col": "x"}}
    found = problems_of(tmp_path, {"model": model, "training": {"cv": {"enabled": False}}})
    assert set(found) == {
        "$.model.type",
        "$.model.x_groups",
        "$.model.target_transform.era_col",
        "$.training.cv.enabled",
    }


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("raise RuntimeError('no data here')\n", "raised RuntimeError: no data here"),
        ("CONFIG = {'data': \n", "raised SyntaxError"),
        ("import no_such_module_at_all\n", "raised ModuleNotFoundError"),
        ("import sys\nsys.exit(3)\n", "raised SystemExit: 3"),
        ("x = 1\n", "must define a dict named CONFIG"),
        ("CONFIG = ['data']\n", "must define a dict named CONFIG"),
        ("CONFIG = {'model': {'params': {'a': object()}}}\n", "must be plain text, a number"),
    ],
)
def test_a_file_that_gives_no_config(tmp_path, text, words) -> None:
    with pytest.raises(ConfigError) as refusal:
        load_text(tmp_path, text)
    assert words in str(refusal.value)
    assert "config.py: 1 problem" in str(refusal.value)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    for name in ("nowhere.py", "nowhere.json"):
        with pytest.raises(ConfigError, match="no such file"):
            load_official(tmp_path / name)
