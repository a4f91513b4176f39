"""Configs of the official pipeline: its baselines' and one for the small market; written and read."""

import json
from pathlib import Path
from typing import Any

from numerai_ray.config import apply_overrides
from numerai_ray.config.official import OfficialRun, load_official


def official(feature_set: str, name: str, **params: Any) -> dict[str, Any]:
    """A CONFIG in the form of the official baselines' (numerai/example-scripts, agents/baselines/configs)."""
    return {
        "data": {
            "data_version": "v5.2",
            "embargo_eras": 13,
            "era_col": "era",
            "feature_set": feature_set,
            "target_col": "target",
        },
        "model": {
            "params": {
                "colsample_bytree": 0.1,
                "min_data_in_leaf": 10000,
                "n_jobs": 30,
                "random_state": 1337,
                **params,
            },
            "type": "LGBMRegressor",
        },
        "output": {"output_dir": "agents/baselines", "results_name": name},
        "preprocessing": {"missing_value": 2.0, "nan_missing_all_twos": False},
        "training": {"cv": {"embargo": 13, "enabled": True, "min_train_size": 0, "mode": "expanding", "n_splits": 5}},
    }


SMALL = official(
    "medium", "small_lgbm_ender20_baseline", learning_rate=0.01, max_depth=5, n_estimators=2000, num_leaves=31
)
DEEP = official(
    "all", "deep_lgbm_ender20_baseline", learning_rate=0.001, max_depth=10, n_estimators=30000, num_leaves=1024
)
# Since July 2026: of the newest version and its benchmark, on every fourth week, on a GPU where there is one.
NEWEST = apply_overrides(
    SMALL,
    {
        "data": {
            "data_version": "v5.3",
            "full_data_path": "v5.3/downsampled_full.parquet",
            "benchmark_data_path": "v5.3/downsampled_full_benchmark_models.parquet",
        },
        "model": {"params": {"device_type": "gpu"}, "x_groups": ["features", "era", "benchmark_models"]},
        "output": {"output_dir": "baselines"},
    },
)
WRITERS = {
    "config.py": lambda config: f"CONFIG = {config!r}\n",
    "lower_case.py": lambda config: f"from pathlib import Path\nconfig = {config!r}\n",
    "config.json": json.dumps,
    "indented.json": lambda config: json.dumps(config, indent="\t"),
}


def load(tmp_path: Path, config: dict[str, Any], name: str = "config.py") -> OfficialRun:
    path = tmp_path / name
    path.write_text(WRITERS.get(name, WRITERS["config.py"])(config), encoding="utf-8")
    return load_official(path)


CONFIG: dict[str, Any] = {
    "data": {
        "data_version": "tiny",
        "embargo_eras": 13,
        "era_col": "era",
        "feature_set": "medium",
        "target_col": "target_ender_20",
        "id_col": "id",
        "full_data_path": "tiny/full.parquet",
        "benchmark_data_path": "tiny/full_benchmark_models.parquet",
        "benchmark_model": "v52_lgbm_ender20",
    },
    "model": {
        "type": "LGBMRegressor",
        "params": {
            "colsample_bytree": 0.3,
            "learning_rate": 0.05,
            "max_depth": 5,
            "min_data_in_leaf": 40,
            "n_estimators": 30,
            "n_jobs": 30,
            "num_leaves": 31,
            "random_state": 1337,
        },
        "x_groups": ["features", "era", "benchmark_models"],
    },
    "output": {"output_dir": "baselines", "results_name": "small"},
    "preprocessing": {"missing_value": 2.0, "nan_missing_all_twos": False},
    "training": {"cv": {"embargo": 13, "enabled": True, "min_train_size": 0, "mode": "expanding", "n_splits": 5}},
}


def write_config(path: Path, changes: dict[str, Any]) -> Path:
    config = {section: {**values, **changes.get(section, {})} for section, values in CONFIG.items()}
    path.write_text(f"CONFIG = {config!r}\n" if path.suffix == ".py" else json.dumps(config))
    return path
