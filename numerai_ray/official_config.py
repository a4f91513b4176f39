"""Configs of the official pipeline (``numerai/example-scripts``, ``agents/``), read unchanged.

A ``CONFIG`` dict in a ``.py`` file, or the same as JSON. What the official pipeline calls ``training.cv`` is our
``cv``, and so on; thread counts are dropped, because the machine decides them and predictions do not depend on
them. ``embargo`` and ``bmc_last_200_eras`` count the eras present in the file there, and do so here too.
``target_transform`` is a mapping, or a type's name alone; keys that its type has no use for are passed over there, and
are here.
"""

import runpy
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, field_validator

from numerai_ray.config import (
    Config,
    CvConfig,
    DataConfig,
    DataPath,
    Json,
    ModelConfig,
    Name,
    ScoreConfig,
    Section,
    parse_yaml,
    read_text,
    validate,
)
from numerai_ray.errors import ConfigError, Problem
from numerai_ray.model_config import TargetTransform

MODEL_TYPES = {"LGBMRegressor": "lightgbm"}
# Thread counts and chattiness: neither changes a prediction.
DROPPED_PARAMS = frozenset(
    {"n_jobs", "num_threads", "num_thread", "nthread", "nthreads", "thread_count", "verbose", "verbosity", "silent"}
)
# numerai/example-scripts, agents/modeling/utils/constants.py
DEFAULT_LGBM_PARAMS: Json = {
    "n_estimators": 2000,
    "learning_rate": 0.01,
    "max_depth": 5,
    "num_leaves": 31,
    "colsample_bytree": 0.1,
    "min_data_in_leaf": 10000,
    "random_state": 1337,
}


class OfficialData(Section):
    data_version: Name = "v5.2"
    feature_set: Name = "small"
    target_col: Name = "target"
    era_col: Name = "era"
    id_col: Name = "id"
    full_data_path: DataPath | None = None
    benchmark_data_path: DataPath | None = None
    embargo_eras: int = Field(default=13, ge=0)
    benchmark_model: Name = "v52_lgbm_ender20"


# agents/modeling/utils/target_transforms.py: each type under both of its names
TRANSFORM_TYPES: dict[str, str] = {
    "residual_to_benchmark": "residual_to_benchmark",
    "residualize_to_benchmark": "residual_to_benchmark",
    "subtract_benchmark_zscore": "subtract_benchmark_zscore",
    "subtract_benchmark": "subtract_benchmark_zscore",
}


class OfficialTransform(Section):
    """``model.target_transform`` with the official defaults; see :mod:`numerai_ray.transforms` for what it does."""

    type: Literal[
        "residual_to_benchmark", "residualize_to_benchmark", "subtract_benchmark_zscore", "subtract_benchmark"
    ]
    benchmark_col: Name
    era_col: Name = "era"
    per_era: bool = True
    fit_intercept: bool = True
    proportion: float = Field(default=1.0, ge=0, le=1)
    scale: float = 0.07

    def ours(self) -> Json:
        """As a config's ``model.target_transform``."""
        kind = TRANSFORM_TYPES[self.type]
        own = TargetTransform.own_keys[kind] - {"benchmark"}
        return {"type": kind, "benchmark": self.benchmark_col, **{name: getattr(self, name) for name in sorted(own)}}


class OfficialModel(Section):
    type: str = "LGBMRegressor"
    params: dict[str, Any] | None = None
    x_groups: list[str] = Field(default_factory=lambda: ["features"])
    target_transform: OfficialTransform | None = None
    baseline: dict[str, Any] | str | None = None

    @field_validator("target_transform", mode="before")
    @classmethod
    def _name_or_nothing(cls, value: Any) -> Any:
        """An empty one is none, and a type may stand alone, as in the official pipeline."""
        if value in ({}, ""):
            return None
        return {"type": value} if isinstance(value, str) else value


class OfficialPreprocessing(Section):
    missing_value: float = 2.0
    nan_missing_all_twos: bool = False


class OfficialCv(Section):
    enabled: bool = True
    n_splits: int = Field(default=5, ge=2, le=1000)
    embargo: int | None = Field(default=None, ge=0)
    mode: Literal["expanding", "blocked"] = "expanding"
    min_train_size: int = Field(default=0, ge=0)


class OfficialTraining(Section):
    max_train_samples: int | None = Field(default=None, ge=1)
    sample_seed: int = Field(default=1337, ge=0)
    cv: OfficialCv = OfficialCv()


class OfficialOutput(Section):
    output_dir: str | None = None
    results_name: Name | None = None
    predictions_name: Name | None = None


class Official(Section):
    data: OfficialData = OfficialData()
    model: OfficialModel = OfficialModel()
    preprocessing: OfficialPreprocessing = OfficialPreprocessing()
    training: OfficialTraining = OfficialTraining()
    output: OfficialOutput = OfficialOutput()


@dataclass(frozen=True)
class OfficialRun:
    """One official config: ours, and where its outputs go (relative to the output folder)."""

    config: Config
    output_dir: str | None
    results_name: str
    predictions_name: str


def read_official(path: Path) -> Json:
    """The ``CONFIG`` (or ``config``) dict of a ``.py`` file, or the mapping of a JSON/YAML file."""
    if path.suffix != ".py":
        return parse_yaml(read_text(path), str(path))
    read_text(path)
    try:
        names = runpy.run_path(str(path))
    except (Exception, SystemExit) as error:  # a file that exits must not end this program as if all were well
        problem = Problem("$", f"running the file raised {type(error).__name__}: {error}")
        raise ConfigError(str(path), [problem]) from error
    config = names.get("CONFIG", names.get("config"))
    if not isinstance(config, dict):
        found = "has none" if config is None else f"it is {config!r:.60}"
        raise ConfigError(str(path), [Problem("$.CONFIG", f"the file must define a dict named CONFIG, but {found}")])
    return config


def load_official(path: Path) -> OfficialRun:
    """An official config file as our config; raises :class:`ConfigError` with every problem."""
    source = str(path)
    official = validate(Official, read_official(path), source)
    problems = [Problem(where, message) for where, message in _unsupported(official)]
    if problems:
        raise ConfigError(source, problems)
    name = official.output.results_name or path.stem
    return OfficialRun(
        config=_convert(official, source),
        output_dir=official.output.output_dir,
        results_name=name,
        predictions_name=official.output.predictions_name or name,
    )


def _unsupported(official: Official) -> list[tuple[str, str]]:
    found = []
    if official.model.type not in MODEL_TYPES:
        known = ", ".join(sorted(MODEL_TYPES))
        found.append(("$.model.type", f"no model of this name here, known: {known}; but is {official.model.type!r}"))
    transform = official.model.target_transform
    if transform is not None and transform.per_era and transform.era_col != official.data.era_col:
        rule = f"must be data.era_col, which is {official.data.era_col!r}, but is {transform.era_col!r}"
        found.append(("$.model.target_transform.era_col", rule))
    if "features" not in official.model.x_groups:
        found.append(("$.model.x_groups", f"must contain 'features', but is {official.model.x_groups}"))
    if not official.training.cv.enabled:
        found.append(("$.training.cv.enabled", "must be true: every result here is out of fold"))
    if official.preprocessing.nan_missing_all_twos and official.preprocessing.missing_value != 2.0:
        value = official.preprocessing.missing_value
        found.append(("$.preprocessing.missing_value", f"must be 2.0, the value of a missing feature, but is {value}"))
    return found


def _convert(official: Official, source: str) -> Config:
    data, training = official.data, official.training
    embargo = data.embargo_eras if training.cv.embargo is None else training.cv.embargo
    params = DEFAULT_LGBM_PARAMS if official.model.params is None else official.model.params
    transform = official.model.target_transform
    values = {
        "data": {
            "version": data.data_version,
            "file": "full",
            "path": data.full_data_path,
            "benchmark_path": data.benchmark_data_path,
            "feature_set": data.feature_set,
            "target": data.target_col,
            "missing": "nan" if official.preprocessing.nan_missing_all_twos else "two",
            "era_col": data.era_col,
            "id_col": data.id_col,
        },
        "cv": {
            "n_splits": training.cv.n_splits,
            "mode": training.cv.mode,
            "embargo_eras": embargo,
            "embargo_unit": "retained",
            "min_train_eras": training.cv.min_train_size,
        },
        "model": {
            "type": MODEL_TYPES[official.model.type],
            "params": {key: value for key, value in params.items() if key not in DROPPED_PARAMS},
            "max_train_samples": training.max_train_samples,
            "sample_seed": training.sample_seed,
            **({} if transform is None else {"target_transform": transform.ours()}),
        },
        "score": {"target": data.target_col, "benchmark": data.benchmark_model},
    }
    return validate(Config, values, source)


def to_official(config: Config) -> Json:
    """Our config in the words of the official one, for its results JSON."""
    data: DataConfig = config.data
    cv: CvConfig = config.cv
    model: ModelConfig = config.model
    score: ScoreConfig = config.score
    path, benchmark_path = data.files()
    types = {ours: theirs for theirs, ours in MODEL_TYPES.items()}
    return {
        "model": {"type": types.get(model.type, model.type), "params": model.params, **_transform_told(config)},
        "preprocessing": {"missing_value": 2.0, "nan_missing_all_twos": data.missing == "nan"},
        "data": {
            "data_version": data.version,
            "feature_set": data.feature_set,
            "target": data.target,
            "full_data_path": path,
            "embargo_eras": cv.embargo_eras,
        },
        "benchmark": {"model": score.benchmark, "file": benchmark_path},
        "training": {
            "data_sampling": {
                "max_train_samples": model.max_train_samples,
                "sample_seed": model.sample_seed if model.max_train_samples else None,
            },
            "cv": {
                "enabled": True,
                "n_splits": cv.n_splits,
                "embargo": cv.embargo_eras,
                "mode": cv.mode,
                "min_train_size": cv.min_train_eras,
            },
        },
    }


def _transform_told(config: Config) -> Json:
    """``target_transform`` in the official words; nothing where there is none."""
    transform = config.model.target_transform
    if transform is None:
        return {}
    own = transform.own_keys[transform.type] - {"benchmark"}
    told: Json = {"type": transform.type, **{name: getattr(transform, name) for name in sorted(own)}}
    if transform.needs_benchmark:
        told["benchmark_col"] = transform.benchmark or config.score.benchmark
    return {"target_transform": told}
