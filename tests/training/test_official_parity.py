"""Official configs against a plain pandas + LightGBM loop that goes through them as the official pipeline does.

The loop reads with pandas, bins each fold's rows by themselves with LightGBM's own defaults (a feature that cannot be
split in a fold is left out before features are drawn), and scores with numerai-tools. Nothing of ours is in it.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import lightgbm as lgb
import numpy as np
import pandas as pd
import pytest
from contracts import ignore
from official_configs import DEEP, NEWEST, SMALL
from oracles import oracle_era_folds, oracle_scores, oracle_summary

from numerai_ray.config import Config, apply_overrides, validate
from numerai_ray.config.official import load_official
from numerai_ray.config.schema import merged
from numerai_ray.data.dataset import load_columns
from numerai_ray.experiment.variant_output import write_variant
from numerai_ray.runners.in_process import InProcessRunner
from numerai_ray.training.catalog import Catalog
from numerai_ray.training.store.fits import FitStore

# By engine: what is laid over the config as it is read, and how far predictions may be from the loop's.
ENGINES: dict[str, tuple[dict[str, Any], float]] = {
    "auto": ({}, 1e-9),
    "lightgbm": ({"model": {"engine": "lightgbm"}}, 0.0),
}
# LightGBM otherwise times two layouts and sums in the order of the faster one.
ONE_ORDER = {"deterministic": True, "force_col_wise": True, "n_jobs": 1, "verbosity": -1}
DATA = {"data_version": "v5.3", "feature_set": "medium", "target_col": "target_ender_20", "embargo_eras": 13}
# The market has a hundredth of the rows, so leaves are smaller, steps larger and trees fewer.
SCALED = {"n_estimators": 15, "learning_rate": 0.05, "min_data_in_leaf": 60, "colsample_bytree": 0.3}
PARAMS = {**SCALED, "num_leaves": 15, "max_depth": 5, "n_jobs": 30, "random_state": 1337}
RESIDUAL = {"type": "residual_to_benchmark", "benchmark_col": "v53_lgbm_ender60"}
ZSCORE = {"type": "subtract_benchmark", "benchmark_col": "v53_lgbm_ender60", "scale": 0.1}
# A file whose eras all have a benchmark, as transforms need there.
LATE = {"full_data_path": "v5.3/late.parquet"}
# Integer eras, and columns of other names.
NUMBERS = {
    "full_data_path": "v5.3/numbers.parquet",
    "benchmark_data_path": "v5.3/numbers_benchmark_models.parquet",
    "era_col": "week",
    "id_col": "key",
}
CASES: dict[str, dict[str, Any]] = {
    "the small baseline, of v5.2": apply_overrides(SMALL, {"model": {"params": SCALED}}),
    "the small baseline, on a GPU where there is one": apply_overrides(NEWEST, {"model": {"params": SCALED}}),
    "the deep baseline": apply_overrides(DEEP, {"model": {"params": SCALED}}),
    "hardly a word": {"data": {"target_col": "target_ender_20"}, "model": {"params": {"n_estimators": 5}}},
    "missing values are NaN": {"preprocessing": {"nan_missing_all_twos": True}},
    "blocked": {"training": {"cv": {"mode": "blocked", "n_splits": 4, "embargo": 8}}},
    "no embargo": {"training": {"cv": {"n_splits": 3, "embargo": 0, "min_train_size": 0}}},
    "drawn rows": {"training": {"max_train_samples": 900, "sample_seed": 7}},
    "bagging": {"model": {"params": {"subsample": 0.7, "subsample_freq": 2, "bagging_seed": 5}}},
    "regularized": {"model": {"params": {"reg_lambda": 3.0, "reg_alpha": 0.1, "min_split_gain": 1e-4}}},
    "another objective": {"model": {"params": {"objective": "huber", "max_bin": 63, "path_smooth": 2.0}}},
    "random thresholds": {"model": {"params": {"extra_trees": True, "colsample_bynode": 0.5}}},
    "dart": {"model": {"params": {"boosting_type": "dart", "drop_rate": 0.3}}},
    "an estimator's arguments": {"model": {"params": {"importance_type": "gain", "silent": True, "objective": None}}},
    "residuals": {"data": LATE, "model": {"target_transform": RESIDUAL | {"proportion": 0.5}}},
    "residuals of drawn rows": {
        "data": LATE,
        "model": {"target_transform": RESIDUAL | {"per_era": False, "fit_intercept": False}},
        "training": {"max_train_samples": 700},
    },
    "z-scores of drawn rows": {
        "data": LATE,
        "model": {"target_transform": ZSCORE},
        "training": {"max_train_samples": 700},
    },
    "integer eras": {"data": NUMBERS},
}
# Scores are made of equal predictions in one way, and numerai-tools takes seconds for them: once is enough.
SCORED = "the small baseline, on a GPU where there is one"


def case(name: str) -> dict[str, Any]:
    """The CONFIG of a case; a baseline is whole."""
    if "baseline" in name or name == "hardly a word":
        return CASES[name]
    return apply_overrides({"data": DATA, "model": {"type": "LGBMRegressor", "params": PARAMS}}, CASES[name])


@pytest.fixture(scope="module")
def root(market: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data root with the tiny market as v5.2, and as v5.3 with that version's benchmarks and further files."""
    made = tmp_path_factory.mktemp("official")
    old, new = made / "v5.2", made / "v5.3"
    old.mkdir()
    new.mkdir()
    for name in ("full.parquet", "full_benchmark_models.parquet"):
        (old / name).symlink_to(market / "tiny" / name)
    frame = pd.read_parquet(old / "full.parquet")
    value = json.loads((market / "tiny" / "features.json").read_text())
    first = frame[frame["era"] <= "0011"]  # what the first fold trains on
    assert [name for name in value["feature_sets"]["medium"] if first[name].eq(2).all()], "left out of its draws"
    for version in (old, new):
        (version / "features.json").write_text(json.dumps(value))
    for kind in ("full", "downsampled_full"):
        frame = pd.read_parquet(market / "tiny" / f"{kind}.parquet")
        bench = pd.read_parquet(market / "tiny" / f"{kind}_benchmark_models.parquet")
        bench = bench[["id", "era", "v52_lgbm_ender20", "v52_lgbm_ender60"]]
        bench.columns = ["id", "era", "v53_lgbm_ender20", "v53_lgbm_ender60"]
        frame.to_parquet(new / f"{kind}.parquet", index=False)
        bench.to_parquet(new / f"{kind}_benchmark_models.parquet", index=False)
        if kind == "full":
            late = frame[frame["era"] >= bench["era"].min()]
            late.to_parquet(new / "late.parquet", index=False)
            for table, name in ((frame, "numbers"), (bench, "numbers_benchmark_models")):
                other = table.rename(columns={"era": "week", "id": "key"}).astype({"week": "int32"})
                other.to_parquet(new / f"{name}.parquet", index=False)
    return made


class Official:
    """The official pipeline's way through one config."""

    def __init__(self, config: Mapping[str, Any], root: Path):
        data, self.model, self.training = config["data"], config["model"], config.get("training", {})
        version = data.get("data_version", "v5.3")
        self.target, self.era, self.id = data["target_col"], data.get("era_col", "era"), data.get("id_col", "id")
        sets = json.loads((root / version / "features.json").read_text())["feature_sets"]
        self.features = sets[data.get("feature_set", "small")]
        columns = [self.era, self.target, *self.features, self.id]
        self.full = pd.read_parquet(root / data.get("full_data_path", f"{version}/full.parquet"), columns=columns)
        if config.get("preprocessing", {}).get("nan_missing_all_twos"):
            missing = (self.full[self.features] == 2).groupby(self.full[self.era]).transform("all")
            self.full[self.features] = self.full[self.features].astype("float32").mask(missing)
        bench = data.get("benchmark_data_path", f"{version}/full_benchmark_models.parquet")
        self.benchmarks = pd.read_parquet(root / bench).set_index(self.id).drop(columns=self.era)
        self.full = self.full.join(self.benchmarks, on=self.id)
        self.score_benchmark = data.get("benchmark_model", f"v{version[1]}{version[3]}_lgbm_ender20")
        cv = self.training.get("cv", {})
        self.folds = oracle_era_folds(
            self.full[self.era],
            cv.get("n_splits", 5),
            cv.get("embargo", data.get("embargo_eras", 13)),
            cv.get("mode", "expanding"),
        )

    def predictions(self) -> pd.DataFrame:
        parts = []
        for fold, (train_eras, validation_eras) in enumerate(self.folds):
            if not train_eras:
                continue
            train, validation = (self.full[self.full[self.era].isin(eras)] for eras in (train_eras, validation_eras))
            size = self.training.get("max_train_samples")
            if size and len(train) > size:
                rng = np.random.default_rng(self.training.get("sample_seed", 1337))
                train = train.iloc[rng.choice(len(train), size=size, replace=False)]
            model = self.fitted(train[self.features], self.labels(train))
            part = validation[[self.id, self.era, self.target]].copy()
            part["prediction"] = model.predict(validation[self.features])
            parts.append(part.assign(cv_fold=fold))
        return pd.concat(parts, ignore_index=True)

    def fitted(self, x: pd.DataFrame, y: pd.Series) -> lgb.LGBMRegressor:
        params = {**self.model["params"], **ONE_ORDER}
        params.pop("silent", None)  # which today's LightGBM does not have
        try:
            return lgb.LGBMRegressor(**params).fit(x, y)
        except lgb.basic.LightGBMError:
            assert params["device_type"] == "gpu"
            return lgb.LGBMRegressor(**{**params, "device_type": "cpu"}).fit(x, y)

    def labels(self, train: pd.DataFrame) -> pd.Series:
        transform = self.model.get("target_transform")
        if not transform:
            return train[self.target]
        y, b = train[self.target].astype("float64"), train[transform["benchmark_col"]]
        eras = train[self.era] if transform.get("per_era", True) else pd.Series(0, train.index)
        if transform["type"] == "subtract_benchmark":
            return y - transform["scale"] * (b - mean(b, eras)) / (mean(b * b, eras) - mean(b, eras) ** 2) ** 0.5
        if transform.get("fit_intercept", True):
            centred, b = y - mean(y, eras), b - mean(b, eras)
        else:
            centred = y
        residual = centred - b * mean(centred * b, eras) / mean(b * b, eras)
        proportion = transform.get("proportion", 1.0)
        return (1 - proportion) * y + proportion * residual

    def scores(self, predictions: pd.DataFrame) -> dict[str, np.ndarray]:
        bench = predictions[self.id].map(self.benchmarks[self.score_benchmark])
        target = predictions[self.target].to_numpy(np.float64)
        return oracle_scores(predictions["prediction"].to_numpy(), target, bench.to_numpy(), predictions[self.era])


def mean(values: pd.Series, groups: pd.Series) -> pd.Series:
    """Of each row's group."""
    return values.groupby(groups).transform("mean")


@pytest.mark.slow
@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("name", CASES)
def test_a_config_gives_what_the_official_pipeline_gives(name: str, engine: str, root: Path, tmp_path: Path) -> None:
    changes, tolerance = ENGINES[engine]
    config = case(name)
    path = tmp_path / "mine.py"
    path.write_text(f"CONFIG = {config!r}\n")
    asked = load_official(path)
    ours = validate(Config, merged(asked.config.to_json(), changes), name)
    plan = Catalog(root).plan("mine", f"train/{name}", ours)
    outcome = InProcessRunner(FitStore(tmp_path / "store"), threads=1).run([plan], ignore)["mine"]
    assert outcome.error is None
    columns = load_columns(plan.index, ours.data, plan.targets, plan.benchmarks)
    results, predictions = tmp_path / "results" / "mine.json", tmp_path / "predictions" / "mine.parquet"
    write_variant(outcome, columns, results, predictions, told=asked.told)

    official = Official(config, root)
    theirs, found = official.predictions(), pd.read_parquet(predictions)
    pd.testing.assert_frame_equal(found.drop(columns="prediction"), theirs.drop(columns="prediction"))
    assert theirs["prediction"].nunique() > 20
    np.testing.assert_allclose(found["prediction"], theirs["prediction"], rtol=0, atol=tolerance)
    told = json.loads(results.read_text())
    assert told["model"] == {"type": "LGBMRegressor"} | config["model"]
    if name == SCORED:
        scores = official.scores(theirs)
        for block, per_era in (("corr", scores["corr"]), ("bmc", scores["bmc"]), ("bmc_last_200_eras", scores["bmc"])):
            for figure in ("mean", "std", "sharpe", "max_drawdown"):
                assert told["metrics"][block][figure] == pytest.approx(oracle_summary(per_era)[figure], abs=1e-7)
