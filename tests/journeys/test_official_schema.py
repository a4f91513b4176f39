"""A program that knows only the official pipeline's schema reads an experiment's folder.

Nothing of ours is imported by the reader: it was written from the description of the official results JSON,
predictions parquet and folder layout alone, and recomputes what the results say.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from desk import Desk
from numerai_tools.scoring import correlation_contribution, numerai_corr

SUMMARY = {"mean", "std", "sharpe", "max_drawdown"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, market: Path) -> Path:
    desk = Desk(tmp_path_factory.mktemp("official"), market)
    assert desk.run("--rounds", "1") == 0
    return desk.folder


def results(folder: Path) -> list[dict[str, Any]]:
    """What the official tools list: every results file with a model in it."""
    found = [json.loads(path.read_text()) for path in sorted((folder / "results").glob("*.json"))]
    return [each for each in found if "model" in each]


def predictions(folder: Path, result: dict[str, Any]) -> pd.DataFrame:
    file = Path(result["output"]["predictions_file"])
    return pd.read_parquet(file if file.is_absolute() else folder / file)


def summary(scores: pd.Series) -> dict[str, float]:
    total = scores.cumsum()
    return {
        "mean": scores.mean(),
        "std": scores.std(ddof=0),
        "sharpe": scores.mean() / scores.std(ddof=0),
        "max_drawdown": (total.cummax() - total).max(),
    }


def test_results_have_the_official_blocks(folder: Path) -> None:
    found = results(folder)
    assert len(found) >= 3
    for each in found:
        # and beside the official ones what the market's meta model makes possible
        assert set(each["metrics"]) == {"corr", "bmc", "bmc_last_200_eras"} | {"mmc", "payout"}
        assert set(each["metrics"]["corr"]) == SUMMARY
        for block in ("bmc", "bmc_last_200_eras"):
            assert set(each["metrics"][block]) == SUMMARY | {"avg_corr_with_benchmark"}
        assert each["model"]["type"] == "LGBMRegressor"
        assert each["model"]["params"]["n_estimators"] > 0
        assert {"data_version", "feature_set"} <= set(each["data"])
        assert {"missing_value", "nan_missing_all_twos"} <= set(each["preprocessing"])
        cv = each["cv"]
        assert {"n_splits", "embargo", "mode", "min_train_size", "folds_used"} <= set(cv)
        assert len(cv["folds"]) == cv["folds_used"]
        assert {"output_dir", "predictions_file"} <= set(each["output"])
        assert "training" in each
        assert "benchmark" in each


def test_predictions_are_out_of_fold_and_complete(folder: Path) -> None:
    for each in results(folder):
        frame = predictions(folder, each)
        first, second, target, *rest = frame.columns
        assert [first, second, *rest] == ["id", "era", "prediction", "cv_fold"]
        assert target.startswith("target_")
        assert frame["id"].is_unique
        assert frame["prediction"].notna().all()
        assert frame["era"].str.fullmatch(r"\d{4}").all()
        for fold in each["cv"]["folds"]:
            part = frame[frame["cv_fold"] == fold["fold"]]
            assert len(part) == fold["val_rows"]
            assert part["era"].nunique() == fold["val_eras"]
            assert part["era"].min() == fold["val_era_range"][0]


def test_the_metrics_are_those_of_the_predictions(folder: Path, market: Path) -> None:
    """Recomputed with numerai-tools from the two files that the results name."""
    each = results(folder)[0]
    frame = predictions(folder, each).set_index("id")
    target = frame.columns[1]
    benchmark, name = pd.read_parquet(market / each["benchmark"]["file"]), each["benchmark"]["model"]
    benchmark = benchmark if benchmark.index.name == "id" else benchmark.set_index("id")
    joined = frame.join(benchmark[[name]])
    corr = frame.groupby("era").apply(lambda era: numerai_corr(era[["prediction"]], era[target])["prediction"])
    known = joined.dropna(subset=[name])
    bmc = known.groupby("era").apply(
        lambda era: correlation_contribution(era[["prediction"]], era[name], era[target])["prediction"]
    )
    for block, scores in (("corr", corr), ("bmc", bmc), ("bmc_last_200_eras", bmc.tail(200))):
        for key, value in summary(scores).items():
            assert each["metrics"][block][key] == pytest.approx(value, abs=1e-9), (block, key)


def test_the_folder_is_laid_out_as_the_official_tools_expect(folder: Path) -> None:
    for name in ("configs", "results", "predictions", "logs", "plots"):
        assert (folder / name).is_dir() or name == "plots"
    assert (folder / "experiment.md").read_text().startswith("# ")
    names = {path.stem for path in (folder / "predictions").glob("*.parquet")}
    assert names == {Path(each["output"]["predictions_file"]).stem for each in results(folder)}
    assert not np.any([path.stat().st_size == 0 for path in folder.rglob("*.json")])
