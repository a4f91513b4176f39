"""Official configs (``numerai/example-scripts``, ``agents/``), read unchanged.

A ``CONFIG`` dict in a ``.py`` file, or the same as JSON. What the official pipeline calls ``training.cv`` is our
``cv``, and so on; thread counts are dropped, because the machine decides them and predictions do not depend on
them. ``embargo`` and ``bmc_last_200_eras`` count the eras present in the file there, and do so here too.
``target_transform`` is a mapping, or a type's name alone; keys that its type has no use for are passed over there, and
are here. What a config says is kept in its own words for the results JSON.
"""

import runpy
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, field_validator

from numerai_ray.config.schema import Config
from numerai_ray.config.sections import TargetTransform
from numerai_ray.config.validation import DataPath, Json, Name, Section, validate
from numerai_ray.config.versions import benchmark_named
from numerai_ray.config.yaml_files import parse_yaml, read_text
from numerai_ray.errors import ConfigError, Problem, nearest

MODEL_TYPES = {"LGBMRegressor": "lightgbm"}
# Thread counts and chattiness: neither changes a prediction.
DROPPED_PARAMS = frozenset(
    {"n_jobs", "num_threads", "num_thread", "nthread", "nthreads", "thread_count", "verbose", "verbosity", "silent"}
)
# What a config without data_version, or one of a version whose name says nothing, means since July 2026.
NEWEST_VERSION = "v5.3"
NEWEST_BENCHMARK = "v53_lgbm_ender20"
# Groups of columns that a model can be given, under all their names. LGBMRegressor picks the features out of them.
X_GROUPS = ("features", "era", "benchmark_models", "benchmark", "benchmarks", "id", "target", "y")
# Keys that say something of a model beside its type and params, and that results repeat.
TOLD_OF_MODEL = (
    "x_groups",
    "data_needed",
    "target_transform",
    "prediction_transform",
    "era_weighting",
    "prediction_batch_size",
    "benchmark",
    "baseline",
)
_OURS = "in a config of numerai-ray's own"
# Keys that would change what a model does, and are not done under these names.
NOT_DONE = {
    "era_weighting": (
        f"is not done from here; write model.era_weights ({{type: equal}}, or {{type: recency, half_life_eras: N}}) "
        f"{_OURS}, or remove it"
    ),
    "prediction_transform": f"is not done from here; write post (neutralize, blend, rank) {_OURS}, or remove it",
    "benchmark": (
        "is not looked at; name the benchmark to score against in data.benchmark_model, one to train against in "
        "model.target_transform.benchmark_col, and remove it"
    ),
}
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


def _whole(value: Any) -> Any:
    """Counts are made whole there: 1e5 is a float in Python."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


Count = Annotated[int, BeforeValidator(_whole)]


class OfficialData(Section):
    data_version: Name = NEWEST_VERSION
    feature_set: Name = "small"
    target_col: Name = "target"
    era_col: Name = "era"
    id_col: Name = "id"
    full_data_path: DataPath | None = None
    benchmark_data_path: DataPath | None = None
    embargo_eras: Count = Field(default=13, ge=0)
    benchmark_model: Name | None = None
    baselines_dir: str | None = None  # where files of another of its metrics are

    @property
    def benchmark(self) -> str:
        """The benchmark column that scores are taken against: the version's own, unless one is named."""
        return self.benchmark_model or benchmark_named(self.data_version) or NEWEST_BENCHMARK


# agents/modeling/utils/target_transforms.py: each type under both of its names
TRANSFORM_TYPES: dict[str, str] = {
    "residual_to_benchmark": "residual_to_benchmark",
    "residualize_to_benchmark": "residual_to_benchmark",
    "subtract_benchmark_zscore": "subtract_benchmark_zscore",
    "subtract_benchmark": "subtract_benchmark_zscore",
}


class OfficialTransform(Section):
    """``model.target_transform`` with the official defaults; ``training.target_transforms`` does it."""

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
    x_groups: list[str] | None = None
    data_needed: list[str] | None = None  # its older name
    target_transform: OfficialTransform | None = None
    baseline: dict[str, Any] | str | None = None
    prediction_batch_size: Count | None = Field(default=None, ge=1)  # decides no prediction
    era_weighting: Any = None
    prediction_transform: Any = None
    benchmark: Any = None

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
    n_splits: Count = Field(default=5, ge=2, le=1000)
    embargo: Count | None = Field(default=None, ge=0)
    mode: Literal["expanding", "blocked"] = "expanding"
    min_train_size: Count = Field(default=0, ge=0)


class OfficialTraining(Section):
    max_train_samples: Count | None = Field(default=None, ge=1)
    sample_seed: Count = Field(default=1337, ge=0)
    prediction_batch_size: Count | None = Field(default=None, ge=1)
    era_weighting: Any = None
    prediction_transform: Any = None
    cv: OfficialCv = OfficialCv()


class OfficialOutput(Section):
    output_dir: str | None = None
    results_name: Name | None = None
    predictions_name: Name | None = None
    baselines_dir: str | None = None


class Official(Section):
    data: OfficialData = OfficialData()
    model: OfficialModel = OfficialModel()
    preprocessing: OfficialPreprocessing = OfficialPreprocessing()
    training: OfficialTraining = OfficialTraining()
    output: OfficialOutput = OfficialOutput()


@dataclass(frozen=True)
class OfficialRun:
    """One official config: ours, where its outputs go (relative to the output folder), and what its results say of it.

    ``told`` are the sections of the results JSON that repeat the config, in its own words; None where these are ours.
    """

    config: Config
    output_dir: str | None
    results_name: str
    predictions_name: str
    told: Json | None


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
    given = read_official(path)
    official = validate(Official, given, source)
    problems = [Problem(where, message) for where, message in _unsupported(official)]
    if problems:
        raise ConfigError(source, problems)
    name = official.output.results_name or path.stem
    return OfficialRun(
        config=_convert(official, source),
        output_dir=official.output.output_dir,
        results_name=name,
        predictions_name=official.output.predictions_name or name,
        told=_told(official, given.get("model", {})),
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
    found += [*_groups_refused(official.model), *_not_done(official)]
    if not official.training.cv.enabled:
        found.append(("$.training.cv.enabled", "must be true: every result here is out of fold"))
    if official.preprocessing.nan_missing_all_twos and official.preprocessing.missing_value != 2.0:
        value = official.preprocessing.missing_value
        found.append(("$.preprocessing.missing_value", f"must be 2.0, the value of a missing feature, but is {value}"))
    return found


def _groups_refused(model: OfficialModel) -> Iterator[tuple[str, str]]:
    """Groups of columns that are none, or that bring more than columns; features need not be named."""
    place = "$.model.x_groups" if model.x_groups else "$.model.data_needed"
    for group in model.x_groups or model.data_needed or ():
        if group == "baseline":
            what = "there it leaves out every row that the baseline does not predict, and gives its predictions too"
            instead = f"remove it, or mix both models' predictions (ensemble) {_OURS}"
            yield place, f"'baseline' is not taken: {what}; {instead}"
        elif group not in X_GROUPS:
            yield place, f"no group of columns is named {group!r}{nearest(group, X_GROUPS)}"


def _not_done(official: Official) -> Iterator[tuple[str, str]]:
    for section, values in (("model", official.model), ("training", official.training)):
        for name, rule in NOT_DONE.items():
            value = getattr(values, name, None)
            off = not value or (isinstance(value, dict) and value.get("enabled") is False)
            if not off and not (name == "benchmark" and value == official.data.benchmark):
                yield f"$.{section}.{name}", rule


def _convert(official: Official, source: str) -> Config:
    data, training = official.data, official.training
    params = DEFAULT_LGBM_PARAMS if official.model.params is None else official.model.params
    transform = official.model.target_transform
    values = {
        "data": {
            "version": data.data_version,
            "file": "full",
            "path": _at_home(data.full_data_path),
            "benchmark_path": _at_home(data.benchmark_data_path),
            "feature_set": data.feature_set,
            "target": data.target_col,
            "missing": "nan" if official.preprocessing.nan_missing_all_twos else "two",
            "era_col": data.era_col,
            "id_col": data.id_col,
        },
        "cv": {
            "n_splits": training.cv.n_splits,
            "mode": training.cv.mode,
            "embargo_eras": _embargo(official),
            "embargo_unit": "retained",
            "min_train_eras": training.cv.min_train_size,
        },
        "model": {
            "type": MODEL_TYPES[official.model.type],
            # None is the default of the estimator's arguments that have no other.
            "params": {key: value for key, value in params.items() if key not in DROPPED_PARAMS and value is not None},
            "max_train_samples": training.max_train_samples,
            "sample_seed": training.sample_seed,
            **({} if transform is None else {"target_transform": transform.ours()}),
        },
        "score": {"target": data.target_col, "benchmark": data.benchmark},
    }
    return validate(Config, values, source)


def _embargo(official: Official) -> int:
    own = official.training.cv.embargo
    return official.data.embargo_eras if own is None else own


def _at_home(path: str | None) -> str | None:
    return str(Path(path).expanduser()) if path is not None and path.startswith("~") else path


def _told(official: Official, model: Mapping[str, Any]) -> Json:
    """What results repeat of an official config; ``model`` is the section as it stands in the file."""
    data, training = official.data, official.training
    params = DEFAULT_LGBM_PARAMS if official.model.params is None else official.model.params
    return {
        "model": {
            "type": official.model.type,
            "params": params,
            **{key: model[key] for key in TOLD_OF_MODEL if key in model},
        },
        "preprocessing": official.preprocessing.model_dump(mode="json"),
        "data": {
            "data_version": data.data_version,
            "feature_set": data.feature_set,
            "target": data.target_col,
            "full_data_path": data.full_data_path,
            "embargo_eras": data.embargo_eras,
        },
        "benchmark": {
            "model": data.benchmark,
            "file": data.benchmark_data_path or f"{data.data_version}/full_benchmark_models.parquet",
        },
        "training": {
            "data_sampling": {
                "max_train_samples": training.max_train_samples,
                "sample_seed": training.sample_seed if training.max_train_samples else None,
            },
            "cv": {**training.cv.model_dump(mode="json"), "embargo": _embargo(official)},
        },
    }
