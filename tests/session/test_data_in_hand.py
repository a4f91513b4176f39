"""Data in hand: what notebooks read, cut and transform is what rounds read, cut and transform; nothing is copied."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import Ridge
from sklearn.model_selection import cross_val_score

from numerai_ray import RequestError, era_folds, load_features, load_targets, post_process, transform_target
from numerai_ray.config import CvConfig
from numerai_ray.data import dataset
from numerai_ray.data import eras as era_cuts
from numerai_ray.errors import DataError
from numerai_ray.training.target_transforms import residual_to_benchmark

TARGET, BENCHMARK = "target_ender_20", "v52_lgbm_ender20"


@pytest.fixture(scope="module")
def features(market: Path) -> pd.DataFrame:
    return load_features("tiny", "medium", file="full", data=market)


@pytest.fixture(scope="module")
def labels(market: Path) -> pd.DataFrame:
    return load_targets("tiny", TARGET, benchmarks=[BENCHMARK], file="full", data=market).astype(np.float64)


@pytest.fixture(scope="module")
def file(market: Path) -> pd.DataFrame:
    found = pd.read_parquet(market / "tiny" / "full.parquet")
    return found.set_index("id") if "id" in found else found


def test_features_are_those_of_the_file(features: pd.DataFrame, file: pd.DataFrame, market: Path) -> None:
    own = features.droplevel("era")
    assert own.index.is_unique
    pd.testing.assert_frame_equal(own, file.loc[own.index, own.columns], check_names=False)
    assert features.index.get_level_values("era").is_monotonic_increasing
    two = load_features("tiny", ["small", "medium"], file="full", data=market)
    assert set(two.columns) == set(features.columns) | set(load_features("tiny", "small", data=market).columns)


def test_features_are_a_view_of_what_was_read(market: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[Any] = []
    reading = dataset.load_features

    def kept(*given: Any) -> Any:
        read.append(reading(*given))
        return read[-1]

    monkeypatch.setattr(dataset, "load_features", kept)
    whole = load_features("tiny", "medium", file="full", data=market)
    near = load_features("tiny", "medium", eras=range(20, 30), file="full", data=market)
    for frame, matrix in zip((whole, near), read, strict=True):
        values = frame.to_numpy()
        assert values.dtype == np.int8
        assert all(np.shares_memory(values, column) for column in matrix.columns)
    assert set(near.index.get_level_values("era")) == set(range(20, 30))
    pd.testing.assert_frame_equal(near, whole.loc[20:29])


def test_targets_are_those_of_the_file(labels: pd.DataFrame, features: pd.DataFrame, file: pd.DataFrame) -> None:
    assert labels.index.equals(features.index)
    own = labels.droplevel("era")
    assert np.array_equal(own[TARGET], file.loc[own.index, TARGET].to_numpy(np.float64), equal_nan=True)
    assert labels[BENCHMARK].notna().any()


def test_what_is_not_there_is_named(market: Path) -> None:
    where: Any = {"data": market}
    with pytest.raises(DataError, match="no feature set 'smal'; did you mean 'small'"):
        load_features("tiny", "smal", **where)
    with pytest.raises(DataError, match="has no column 'target_ender'; did you mean 'target_ender_"):
        load_targets("tiny", "target_ender", **where)
    with pytest.raises(DataError, match="holds none of the eras"):
        load_features("tiny", "small", eras=[5000], **where)


def test_folds_are_those_of_rounds_whatever_the_order_of_rows(features: pd.DataFrame) -> None:
    rows = features.sample(frac=1, random_state=1)
    eras = rows.index.get_level_values("era").to_numpy()
    ours = era_folds(rows, n_splits=4, embargo_eras=8)
    theirs = era_cuts.era_folds(eras.tolist(), CvConfig(n_splits=4, embargo_eras=8)).trainable
    assert len(ours) == len(theirs) == 3
    for (train, validation), fold in zip(ours, theirs, strict=True):
        assert set(eras[train]) == set(fold.train_eras)
        assert set(eras[validation]) == set(fold.validation_eras)
        assert len(validation) == np.isin(eras, fold.validation_eras).sum()
        # No label of the training reaches into the validation.
        assert min(fold.validation_eras) - max(eras[train]) > 8
    texts = rows.reset_index()["era"].map("{:04d}".format)
    assert all(
        np.array_equal(a[0], b[0]) for a, b in zip(ours, era_folds(texts, n_splits=4, embargo_eras=8), strict=True)
    )
    scores = cross_val_score(Ridge(), rows, np.arange(len(rows)) % 5, cv=ours)
    assert len(scores) == 3


def test_transforms_are_those_of_fits(labels: pd.DataFrame) -> None:
    shuffled = labels.sample(frac=1, random_state=2)
    found = transform_target(shuffled, "residual_to_benchmark", target=TARGET, benchmark=BENCHMARK, proportion=0.5)
    starts = np.append(0, np.cumsum(labels.groupby(level="era").size().to_numpy()))
    values = [labels[name].to_numpy() for name in (TARGET, BENCHMARK)]
    expected = pd.Series(residual_to_benchmark(*values, starts, proportion=0.5), labels.index)
    assert np.allclose(found.loc[labels.index], expected, rtol=0, atol=1e-12, equal_nan=True)
    ranked = transform_target(shuffled, "rank", target=TARGET)
    assert ranked.isna().equals(shuffled[TARGET].isna())
    assert ranked.groupby(level="era").mean().sub(0.5).abs().max() < 1e-9
    with pytest.raises(RequestError, match="no kind 'ranks'; did you mean 'rank'"):
        transform_target(labels, "ranks", target=TARGET)  # type: ignore[arg-type]
    with pytest.raises(RequestError, match="no column 'target'"):
        transform_target(labels, "rank", target="target")


def test_post_steps_are_those_of_plans(labels: pd.DataFrame) -> None:
    known = labels.dropna().sample(frac=1, random_state=3)
    rng = np.random.default_rng(4)
    frame = known.assign(prediction=known[TARGET] + rng.normal(size=len(known)))
    plain = post_process(frame)
    ranks = frame.groupby(level="era")["prediction"].rank()
    counts = frame.groupby(level="era")["prediction"].transform("size")
    assert np.allclose(plain, (ranks - 0.5) / counts, rtol=0, atol=1e-12)
    neutral = post_process(frame, neutralize=[TARGET])
    before, after = (
        frame.assign(p=each).groupby(level="era")[["p", TARGET]].corr().xs("p", level=1)[TARGET].abs().mean()
        for each in (plain, neutral)
    )
    assert after < before / 3
    half = post_process(frame, blend={BENCHMARK: 0.5})
    other = frame.groupby(level="era")[BENCHMARK].rank().sub(0.5) / counts
    both = 0.5 * (plain + other)
    assert half.groupby(level="era").rank().corr(both.groupby(level="era").rank()) > 0.999
    holes = frame.assign(prediction=frame["prediction"].where(np.arange(len(frame)) % 9 > 0))
    assert post_process(holes).isna().equals(holes["prediction"].isna())
    with pytest.raises(RequestError, match="a column or index 'era'"):
        post_process(frame.reset_index(drop=True))
