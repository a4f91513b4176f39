"""``train`` with an official config gives what a plain pandas + LightGBM loop and numerai-tools give."""

import json
from pathlib import Path

import lightgbm as lgb
import numpy as np
import pandas as pd
import pytest
from official_configs import CONFIG, write_config
from oracles import oracle_scores, oracle_summary

from numerai_ray.cli.main import run
from numerai_ray.models.lightgbm import SAME_TREES


def plain_oof(root: Path, *, nan_missing: bool) -> pd.DataFrame:
    """The plain loop: pandas, folds by hand, LightGBM's scikit-learn interface with the same parameters."""
    features = json.loads((root / "tiny" / "features.json").read_text())["feature_sets"]["medium"]
    columns = ["id", "era", "target_ender_20", *features]
    full = pd.read_parquet(root / "tiny" / "full.parquet", columns=columns)
    if nan_missing:
        missing = (full[features] == 2).groupby(full["era"]).transform("all")
        full[features] = full[features].astype(np.float32).mask(missing)
    eras = sorted(full["era"].unique())
    size = len(eras) // 5
    params = {**CONFIG["model"]["params"], **SAME_TREES, "n_jobs": 1, "verbosity": -1}
    parts = []
    for fold in range(1, 5):
        stop = len(eras) if fold == 4 else (fold + 1) * size
        train = full[full["era"].isin(eras[: fold * size - 13])].dropna(subset=["target_ender_20"])
        validation = full[full["era"].isin(eras[fold * size : stop])]
        model = lgb.LGBMRegressor(**params).fit(train[features], train["target_ender_20"])
        part = validation[["id", "era", "target_ender_20"]].copy()
        part["prediction"] = model.predict(validation[features])
        part["cv_fold"] = fold
        parts.append(part)
    return pd.concat(parts, ignore_index=True)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["config.py", "config.json"])
@pytest.mark.parametrize("nan_missing", [False, True])
def test_train_equals_the_plain_loop(*, market: Path, tmp_path: Path, name: str, nan_missing: bool) -> None:
    config = write_config(tmp_path / name, {"preprocessing": {"nan_missing_all_twos": nan_missing}})
    out, store = tmp_path / "out", tmp_path / "data"
    store.mkdir()
    (store / "tiny").symlink_to(market / "tiny")
    arguments = ["--config", str(config), "--output-dir", str(out), "--data-dir", str(store), "--in-process"]
    assert run(["train", *arguments]) == 0

    ours = pd.read_parquet(out / "predictions" / "small.parquet")
    plain = plain_oof(market, nan_missing=nan_missing)
    # What LightGBM trains itself, as where values are missing, is equal; our engine sums in another order.
    close = 1e-12 if nan_missing else 1e-9
    assert list(ours.columns) == ["id", "era", "target_ender_20", "prediction", "cv_fold"]
    pd.testing.assert_frame_equal(ours[["id", "era", "cv_fold"]], plain[["id", "era", "cv_fold"]], check_dtype=False)
    np.testing.assert_allclose(ours["prediction"], plain["prediction"], rtol=0, atol=close)

    results = json.loads((out / "results" / "small.json").read_text())
    bench = pd.read_parquet(market / "tiny" / "full_benchmark_models.parquet").set_index("id")["v52_lgbm_ender20"]
    joined = plain.join(bench, on="id")
    scores = oracle_scores(
        ours["prediction"].to_numpy(),
        joined["target_ender_20"].to_numpy(np.float64),
        joined["v52_lgbm_ender20"].to_numpy(),
        joined["era"].to_numpy(),
    )
    for block, per_era in (("corr", scores["corr"]), ("bmc", scores["bmc"]), ("bmc_last_200_eras", scores["bmc"])):
        expected = oracle_summary(per_era)
        for figure in ("mean", "std", "sharpe", "max_drawdown"):
            assert results["metrics"][block][figure] == pytest.approx(expected[figure], abs=1e-12), (block, figure)
    expected_corr = np.nanmean(scores["benchmark_corr"])
    assert results["metrics"]["bmc"]["avg_corr_with_benchmark"] == pytest.approx(expected_corr, abs=1e-12)


def residual_labels(frame: pd.DataFrame, proportion: float) -> pd.Series:
    """The official ``residual_to_benchmark``, one era after the other by ``np.polyfit``."""
    parts = []
    for _, era in frame.dropna(subset=["target_ender_20", "v52_lgbm_ender60"]).groupby("era", sort=False):
        y, b = era["target_ender_20"].astype(float), era["v52_lgbm_ender60"]
        slope, intercept = np.polyfit(b, y, 1)
        parts.append((1 - proportion) * y + proportion * (y - slope * b - intercept))
    return pd.concat(parts)


def test_a_target_transform_is_the_official_one(market: Path, tmp_path: Path) -> None:
    """First trained fold against labels made by hand: eras without a benchmark teach nothing."""
    transform = {"type": "residual_to_benchmark", "benchmark_col": "v52_lgbm_ender60", "proportion": 0.75}
    config = write_config(tmp_path / "config.py", {"model": {**CONFIG["model"], "target_transform": transform}})
    out, store = tmp_path / "out", tmp_path / "data"
    store.mkdir()
    (store / "tiny").symlink_to(market / "tiny")
    arguments = ["--config", str(config), "--output-dir", str(out), "--data-dir", str(store), "--in-process"]
    assert run(["train", *arguments]) == 2, "the first fold trains on eras that have no benchmark"
    cv = {"cv": {**CONFIG["training"]["cv"], "n_splits": 3}}
    sections = {"model": {**CONFIG["model"], "target_transform": transform}, "training": cv}
    write_config(tmp_path / "config.py", sections)
    assert run(["train", *arguments]) == 0
    ours = pd.read_parquet(out / "predictions" / "small.parquet").set_index("id")

    features = json.loads((market / "tiny" / "features.json").read_text())["feature_sets"]["medium"]
    columns = ["id", "era", "target_ender_20", *features]
    full = pd.read_parquet(market / "tiny" / "full.parquet", columns=columns).set_index("id")
    bench = pd.read_parquet(market / "tiny" / "full_benchmark_models.parquet").set_index("id")["v52_lgbm_ender60"]
    full = full.join(bench)
    eras = sorted(full["era"].unique())
    size = len(eras) // 3
    labels = residual_labels(full[full["era"].isin(eras[: size - 13])], 0.75)
    params = {**CONFIG["model"]["params"], **SAME_TREES, "n_jobs": 1, "verbosity": -1}
    model = lgb.LGBMRegressor(**params).fit(full.loc[labels.index, features], labels)
    validation = full[full["era"].isin(eras[size : 2 * size])]
    np.testing.assert_allclose(
        ours.loc[validation.index, "prediction"], model.predict(validation[features]), rtol=0, atol=1e-6
    )
    results = json.loads((out / "results" / "small.json").read_text())
    assert results["model"]["target_transform"]["proportion"] == 0.75


def test_official_schema(market: Path, tmp_path: Path) -> None:
    """Every key that a reader of the official results expects, and valid JSON (no NaN)."""
    config = write_config(tmp_path / "config.json", {})
    store = tmp_path / "data"
    store.mkdir()
    (store / "tiny").symlink_to(market / "tiny")
    out = tmp_path / "out"
    arguments = ["--config", str(config), "--output-dir", str(out), "--data-dir", str(store), "--in-process"]
    assert run(["train", *arguments]) == 0

    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} in JSON")

    results = json.loads((out / "results" / "small.json").read_text(), parse_constant=refuse)
    assert {"model", "preprocessing", "data", "benchmark", "output", "metrics", "cv", "training"} <= set(results)
    assert results["model"] == CONFIG["model"], "the config's own words"
    assert results["training"]["cv"] == CONFIG["training"]["cv"]
    assert results["data"]["full_data_path"] == CONFIG["data"]["full_data_path"]
    assert results["data"]["embargo_eras"] == CONFIG["data"]["embargo_eras"]
    assert results["data"]["target"] == "target_ender_20"
    assert results["benchmark"] == {"model": "v52_lgbm_ender20", "file": "tiny/full_benchmark_models.parquet"}
    assert results["output"] == {"output_dir": str(out), "predictions_file": "predictions/small.parquet"}
    assert (out / results["output"]["predictions_file"]).exists()
    figures = {"mean", "std", "sharpe", "max_drawdown"}
    assert set(results["metrics"]["corr"]) == figures
    for block in ("bmc", "bmc_last_200_eras"):
        assert set(results["metrics"][block]) == figures | {"avg_corr_with_benchmark"}
    assert {"n_splits", "embargo", "mode", "min_train_size", "folds_used", "folds"} <= set(results["cv"])
    assert results["cv"]["folds_used"] == len(results["cv"]["folds"]) == 4
    assert results["cv"]["untrained_eras"], "the fold without training eras is reported"
