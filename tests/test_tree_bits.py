"""Trees read a bit a row, out of bins that LightGBM saved: the numbers that LightGBM predicts, to the last bit."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import lightgbm as lgb
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from numerai_ray.feature_matrix import FeatureMatrix, values_seen
from numerai_ray.models import Batch
from numerai_ray.models.bin_columns import BinColumns
from numerai_ray.models.binned_rows import StoredBytes
from numerai_ray.models.boosters import _new, _read_afterwards, _scores, _told_meanwhile, grown, rows_of
from numerai_ray.models.lightgbm import QUIET, SAME_TREES, LightGBM
from numerai_ray.models.shared_bins import SharedBins
from numerai_ray.models.tree_bits import BLOCK_ROWS, read_trees

PLAIN = {"num_leaves": 12, "min_data_in_leaf": 3, "learning_rate": 0.2, "num_iterations": 8}


def features(kinds: list[str], n_rows: int, seed: int) -> FeatureMatrix:
    """Features of five values, of some of them, mostly of one, or of one alone."""
    rng = np.random.default_rng(seed)
    shares = {
        "even": [0.2] * 5,
        "skewed": [0.1, 0.1, 0.6, 0.1, 0.1],
        "last": [0.1, 0.1, 0.1, 0.1, 0.6],
        "three": [0.0, 0.3, 0.0, 0.4, 0.3],
        "two": [0.5, 0.0, 0.0, 0.0, 0.5],
        "constant": [0.0, 0.0, 1.0, 0.0, 0.0],
    }
    columns = tuple(rng.choice(5, n_rows, p=shares[kind]).astype(np.int8) for kind in kinds)
    seen = values_seen(np.array(columns), np.array([0, n_rows]))
    return FeatureMatrix(tuple(f"feature_{i}" for i in range(len(kinds))), columns, seen)


def shared(matrix: FeatureMatrix, folder: Path, params: Mapping[str, Any] | None = None) -> SharedBins:
    path = folder / "bins"
    LightGBM().prepare([matrix], params or {}, 1, path, missing_as_null=False)
    stored = StoredBytes(np.array_split(np.fromfile(path, np.uint8), 3))
    return SharedBins(stored, {**QUIET, **SAME_TREES, "num_threads": 1})


def target(matrix: FeatureMatrix, rows: np.ndarray) -> np.ndarray:
    noise = np.random.default_rng(5).normal(0, 1, matrix.seen.n_rows)
    signal = noise + sum(column * 0.3 for column in matrix.columns[:3]) + (matrix.columns[0] > 2) * matrix.columns[-1]
    return np.abs(signal[rows]).astype(np.float32)


def batches(matrix: FeatureMatrix, cut: int, weights: np.ndarray | None = None) -> tuple[Batch, Batch]:
    """Training rows in two ranges, some of them left out; validation rows in two ranges, from an odd one on."""
    n_rows = matrix.seen.n_rows
    ranges = ((0, cut // 3), (cut // 3 + 7, cut))
    rows = np.concatenate([np.arange(start, stop) for start, stop in ranges])
    keep = np.flatnonzero(rows % 11 != 0)
    train = Batch(None, ranges, False, target(matrix, rows[keep]), keep, weights=None if weights is None else weights)
    return train, Batch(None, ((cut + 1, cut + 40), (cut + 50, n_rows)), False)


def both(
    bins: SharedBins, train: Batch, validation: Batch, params: Mapping[str, Any], lengths: tuple[int, ...]
) -> tuple[list[np.ndarray] | None, list[np.ndarray]]:
    told = {**LightGBM().canonical_params(params), "num_threads": 1}
    rows = rows_of(bins, train)
    read = _read_afterwards(_new(told, rows), bins, validation, lengths)
    return read, _told_meanwhile(_new(told, rows), rows_of(bins, validation), lengths)


def equal(read: list[np.ndarray] | None, told: list[np.ndarray]) -> None:
    assert read is not None, "these are plain trees on plain bins"
    for ours, theirs in zip(read, told, strict=True):
        np.testing.assert_array_equal(ours, theirs)


KINDS = st.lists(st.sampled_from(["even", "skewed", "last", "three", "two", "constant"]), min_size=3, max_size=8)


@settings(max_examples=40, deadline=None)
@given(
    kinds=KINDS.filter(lambda kinds: kinds.count("constant") < len(kinds)),
    seed=st.integers(0, 99),
    params=st.fixed_dictionaries(
        {
            "num_leaves": st.sampled_from([2, 3, 4, 17, 40]),
            "min_data_in_leaf": st.sampled_from([1, 20, 5000]),
            "learning_rate": st.sampled_from([0.01, 0.3]),
            "feature_fraction": st.sampled_from([0.4, 1.0]),
            "bagging_freq": st.sampled_from([0, 1]),
            "bagging_fraction": st.just(0.7),
            "objective": st.sampled_from(["regression", "regression_l1", "huber", "quantile", "fair", "mape"]),
            "boost_from_average": st.booleans(),
        }
    ),
)
def test_the_same_as_lightgbm(
    kinds: list[str], seed: int, params: dict[str, Any], tmp_path_factory: pytest.TempPathFactory
) -> None:
    matrix = features(kinds, 900, seed)
    bins = shared(matrix, tmp_path_factory.mktemp("bins"))
    train, validation = batches(matrix, 601)
    equal(*both(bins, train, validation, {**params, "num_iterations": 7}, (1, 3, 7)))


def test_more_rows_than_a_block_and_more_leaves_than_a_byte_counts(tmp_path: Path) -> None:
    matrix = features(["even"] * 9 + ["skewed"], 2 * BLOCK_ROWS + 9_001, 1)
    bins = shared(matrix, tmp_path)
    train, validation = batches(matrix, 8_500)
    read, told = both(bins, train, validation, {**PLAIN, "num_leaves": 600}, (8,))
    equal(read, told)
    assert len(np.unique(told[0])) > 500


def test_weights_and_a_ladder_out_of_order(tmp_path: Path) -> None:
    matrix = features(["even"] * 5, 900, 2)
    train, validation = batches(matrix, 601)
    train = Batch(None, train.ranges, False, train.target, train.keep, weights=np.linspace(0.1, 2, train.n_rows))
    equal(*both(shared(matrix, tmp_path), train, validation, PLAIN, (8, 2, 5)))


@pytest.mark.parametrize("params", [{"objective": "poisson"}, {"objective": "regression", "reg_sqrt": True}])
def test_what_is_no_plain_sum_is_left_to_lightgbm(tmp_path: Path, params: dict[str, Any]) -> None:
    matrix = features(["even"] * 5, 900, 2)
    bins = shared(matrix, tmp_path)
    train, validation = batches(matrix, 601)
    read, told = both(bins, train, validation, {**PLAIN, **params}, (8,))
    assert read is None
    settings_ = {**LightGBM().canonical_params({**PLAIN, **params}), "num_threads": 1}
    np.testing.assert_array_equal(grown(settings_, bins, train, validation, [8])[0], told[0])


def test_missing_values_and_categories_are_left_to_lightgbm(tmp_path: Path) -> None:
    matrix = features(["even"] * 4, 900, 2)
    plain = shared(matrix, tmp_path)
    assert plain.by_feature is not None
    assert BinColumns(*plain.by_feature, np.arange(5)).plain
    (tmp_path / "bins").unlink()
    settings_ = {**QUIET, **SAME_TREES}
    data = np.array(matrix.columns, np.float32).T
    data[::7, 2] = np.nan
    lgb.Dataset(data, np.zeros(900), params=settings_, categorical_feature=[1]).construct().save_binary(
        tmp_path / "bins"
    )
    other = SharedBins(StoredBytes([np.fromfile(tmp_path / "bins", np.uint8)]), settings_)
    assert other.by_feature is not None
    columns = BinColumns(*other.by_feature, np.arange(5))
    assert [columns.highest(feature) is not None for feature in range(4)] == [True, False, False, True]
    assert not columns.plain
    train, validation = batches(matrix, 601)
    told = {**LightGBM().canonical_params(PLAIN), "num_threads": 1}
    found = grown(told, other, train, validation, [8])[0]
    booster = lgb.train({**told, **QUIET}, rows_of(other, train))
    rows = validation.rows()
    np.testing.assert_array_equal(found, booster.predict(data[rows]))


def test_a_model_in_several_texts(tmp_path: Path) -> None:
    matrix = features(["even"] * 5, 400, 3)
    train, validation = batches(matrix, 301)
    equal(*both(shared(matrix, tmp_path), train, validation, {**PLAIN, "num_iterations": 450}, (199, 201, 450)))


def test_a_model_says_what_it_predicts() -> None:
    rows = np.random.default_rng(0).integers(0, 5, (200, 3)).astype(np.float32)
    for objective, plain in (("regression", True), ("binary", False), ("cross_entropy", False), ("tweedie", False)):
        params = {**QUIET, "objective": objective, "num_iterations": 2, "min_data_in_leaf": 5}
        text = lgb.train(params, lgb.Dataset(rows, (rows[:, 0] > 2) * 1.0)).model_to_string()
        assert (read_trees(text) is not None) == plain
    forest = {**QUIET, "boosting": "rf", "bagging_freq": 1, "bagging_fraction": 0.5, "num_iterations": 2}
    assert read_trees(lgb.train(forest, lgb.Dataset(rows, rows[:, 0])).model_to_string()) is None


def test_scores_of_lightgbm_are_its_predictions(tmp_path: Path) -> None:
    """The reference of these tests is what a user sees."""
    matrix = features(["even", "skewed", "three", "two"], 900, 2)
    bins = shared(matrix, tmp_path)
    train, validation = batches(matrix, 601)
    booster = _new({**LightGBM().canonical_params(PLAIN), "num_threads": 1}, rows_of(bins, train))
    booster.add_valid(rows_of(bins, validation), "validation")
    for _ in range(8):
        booster.update()
    data = np.array(matrix.columns, np.float32).T[validation.rows()]
    np.testing.assert_array_equal(_scores(booster), booster.predict(data))
