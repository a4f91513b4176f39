"""The baselines of the official pipeline (numerai/example-scripts, numerai/agents/baselines/configs), in summer 2026.

Two states of them are about: one names the target and leaves the benchmark to the version, the other names the
benchmark and means the version's own ``target`` where it learns ender20. Both are here, word for word.
"""

from typing import Any

SMALL = {"learning_rate": 0.01, "max_depth": 5, "n_estimators": 2000, "num_leaves": 31}
DEEP = {"learning_rate": 0.001, "max_depth": 10, "n_estimators": 30000, "num_leaves": 1024}
DOWNSAMPLED = {
    "full_data_path": "v5.3/downsampled_full.parquet",
    "benchmark_data_path": "v5.3/downsampled_full_benchmark_models.parquet",
}
# Name -> feature set, days, trees, whether of every fourth week, and whether on a GPU.
BASELINES: dict[str, tuple[str, int, dict[str, Any], bool, bool]] = {
    "small_lgbm_ender20_baseline": ("medium", 20, SMALL, True, True),
    "small_lgbm_ender60_baseline": ("medium", 60, SMALL, True, True),
    "deep_lgbm_ender20_baseline": ("all", 20, DEEP, False, False),
    "deep_lgbm_ender60_baseline": ("all", 60, DEEP, False, False),
    "deep_lgbm_ender20_baseline_downsampled": ("all", 20, DEEP, True, False),
    "deep_lgbm_ender60_baseline_downsampled": ("all", 60, DEEP, True, False),
}


def official_baseline(name: str, *, names_benchmark: bool) -> dict[str, Any]:
    """The ``CONFIG`` of a baseline, in the state that names its benchmark or in the other."""
    features, days, trees, downsampled, gpu = BASELINES[name]
    embargo = 13 if days == 20 else 16
    data: dict[str, Any] = {
        "data_version": "v5.3",
        "embargo_eras": embargo,
        "era_col": "era",
        "feature_set": features,
        "target_col": "target" if names_benchmark and days == 20 else f"target_ender_{days}",
    }
    data |= {"benchmark_model": f"v53_lgbm_ender{days}"} if names_benchmark else {}
    data |= DOWNSAMPLED if downsampled else {}
    fixed = {"colsample_bytree": 0.1, "min_data_in_leaf": 10000, "n_jobs": 30, "random_state": 1337}
    return {
        "data": data,
        "model": {
            "x_groups": ["features", "era", "benchmark_models"],
            "params": fixed | ({"device_type": "gpu"} if gpu else {}) | trees,
            "type": "LGBMRegressor",
        },
        "output": {"output_dir": "baselines", "results_name": name},
        "preprocessing": {"missing_value": 2.0, "nan_missing_all_twos": False},
        "training": {
            "cv": {"embargo": embargo, "enabled": True, "min_train_size": 0, "mode": "expanding", "n_splits": 5}
        },
    }
