"""What the results JSON repeats of a config: an official config in its own words, one of ours in official words."""

from pathlib import Path

import pytest
from official_configs import DEEP, NEWEST, SMALL, load

from numerai_ray.config import apply_overrides
from numerai_ray.config.official import DEFAULT_LGBM_PARAMS
from numerai_ray.config.official_words import to_official
from numerai_ray.config.validation import nested


@pytest.mark.parametrize("baseline", [SMALL, DEEP, NEWEST], ids=["small", "deep", "newest"])
def test_results_say_what_the_config_said(tmp_path, baseline) -> None:
    """The official results JSON repeats its config's sections, ``target`` for ``target_col``."""
    data = baseline["data"]
    version = data["data_version"]
    assert load(tmp_path, baseline).told == {
        "model": baseline["model"],
        "preprocessing": baseline["preprocessing"],
        "data": {
            "data_version": version,
            "feature_set": data["feature_set"],
            "target": "target",
            "full_data_path": data.get("full_data_path"),
            "embargo_eras": 13,
        },
        "benchmark": {
            "model": f"v{version[1]}{version[3]}_lgbm_ender20",
            "file": data.get("benchmark_data_path", f"{version}/full_benchmark_models.parquet"),
        },
        "training": {
            "data_sampling": {"max_train_samples": None, "sample_seed": None},
            "cv": baseline["training"]["cv"],
        },
    }


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("model.x_groups", ["features", "era"]),
        ("model.data_needed", ["features"]),
        ("model.baseline", {"name": "b", "predictions_path": "b.parquet"}),
        ("model.target_transform", {}),
        ("model.target_transform", None),
        ("model.target_transform", {"type": "subtract_benchmark", "benchmark_col": "v53_lgbm_ender60"}),
        ("model.params", {"n_jobs": 30, "verbosity": -1, "importance_type": "gain", "objective": None}),
        ("model.prediction_batch_size", 1000),
        ("model.era_weighting", {"enabled": False}),
        ("data.embargo_eras", 8),
        ("data.full_data_path", None),
        ("data.full_data_path", "/elsewhere/full.parquet"),
        ("data.full_data_path", "~/full.parquet"),
    ],
)
def test_results_keep_the_configs_own_words(tmp_path, path, value) -> None:
    config = apply_overrides({"training": {"cv": {"embargo": 4}}}, nested(path, value))
    told = load(tmp_path, config).told
    assert told is not None
    section, _, key = path.partition(".")
    assert told[section][key] == value
    assert told["training"]["cv"]["embargo"] == 4


def test_results_say_nothing_that_the_config_did_not(tmp_path: Path) -> None:
    told = load(tmp_path, {"training": {"max_train_samples": 50}}).told
    assert told is not None
    assert told["model"] == {"type": "LGBMRegressor", "params": DEFAULT_LGBM_PARAMS}
    assert told["training"]["data_sampling"] == {"max_train_samples": 50, "sample_seed": 1337}


@pytest.mark.parametrize("baseline", [SMALL, DEEP], ids=["small", "deep"])
def test_a_config_of_ours_is_told_in_official_words(tmp_path, baseline) -> None:
    """As a variant's results have it: paths filled in, ``target`` for ``target_col``."""
    told = to_official(load(tmp_path, baseline).config)
    params = {key: value for key, value in baseline["model"]["params"].items() if key != "n_jobs"}
    assert told == {
        "model": {"type": "LGBMRegressor", "params": params},
        "preprocessing": baseline["preprocessing"],
        "data": {
            "data_version": "v5.2",
            "feature_set": baseline["data"]["feature_set"],
            "target": "target",
            "full_data_path": "v5.2/full.parquet",
            "embargo_eras": 13,
        },
        "benchmark": {"model": "v52_lgbm_ender20", "file": "v5.2/full_benchmark_models.parquet"},
        "training": {
            "data_sampling": {"max_train_samples": None, "sample_seed": None},
            "cv": baseline["training"]["cv"],
        },
    }


def test_what_results_say_leads_back_to_the_config(tmp_path: Path) -> None:
    changes = {
        "data": {"data_version": "v5.3", "target_col": "target_x_60", "full_data_path": "a.parquet"},
        "preprocessing": {"nan_missing_all_twos": True},
        "training": {"max_train_samples": 99, "sample_seed": 5, "cv": {"n_splits": 3, "mode": "blocked", "embargo": 4}},
    }
    config = load(tmp_path, apply_overrides(SMALL, changes)).config
    told = to_official(config)
    again = {
        "data": {
            "data_version": told["data"]["data_version"],
            "feature_set": told["data"]["feature_set"],
            "target_col": told["data"]["target"],
            "full_data_path": told["data"]["full_data_path"],
            "benchmark_data_path": told["benchmark"]["file"],
            "benchmark_model": told["benchmark"]["model"],
        },
        "model": told["model"],
        "preprocessing": told["preprocessing"],
        "training": {**told["training"]["data_sampling"], "cv": told["training"]["cv"]},
    }
    back = load(tmp_path, again).config
    assert back.data.files() == config.data.files()
    filled = apply_overrides(config.to_json(), {"data": {"benchmark_path": config.data.files()[1]}})
    assert back.to_json() == filled
