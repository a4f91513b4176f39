"""LightGBM as we use it: the plain library's trees, for any threads."""

from pathlib import Path

import lightgbm as lgb
import numpy as np
import pandas as pd
import pytest

from numerai_ray.config import ModelConfig
from numerai_ray.data.features import FeatureMatrix, values_seen
from numerai_ray.errors import FitError
from numerai_ray.models import Batch, Rungs, model_for, model_problems
from numerai_ray.models.lightgbm import SAME_TREES

ROWS_AN_ERA, ERAS, FEATURES = 90, 20, 12
PARAMS = {"n_estimators": 25, "num_leaves": 8, "colsample_bytree": 0.4, "learning_rate": 0.1, "random_state": 5}
MODEL = model_for("lightgbm")


def matrix(*, missing_eras: int = 0) -> FeatureMatrix:
    """Random features; feature 0 is missing in the first ``missing_eras``, feature 1 never takes the value 4 there."""
    rng = np.random.default_rng(0)
    values = rng.integers(0, 5, (FEATURES, ERAS * ROWS_AN_ERA)).astype(np.int8)
    early = missing_eras * ROWS_AN_ERA
    values[0, :early] = 2
    values[1, :early] = np.minimum(values[1, :early], 3)
    starts = np.arange(ERAS + 1) * ROWS_AN_ERA
    return FeatureMatrix(tuple(f"f{i}" for i in range(FEATURES)), tuple(values), values_seen(values, starts))


def target(features: FeatureMatrix) -> np.ndarray:
    rng = np.random.default_rng(1)
    signal = features.columns[2] - features.columns[3] + (features.columns[1] > 2) * 2.0
    return (signal / 10 + rng.normal(0, 0.3, len(features.columns[0]))).astype(np.float32)


def batch(features: FeatureMatrix, eras: range, labels: np.ndarray, *, missing_as_null: bool = False) -> Batch:
    start, stop = eras.start * ROWS_AN_ERA, eras.stop * ROWS_AN_ERA
    return Batch(features, ((start, stop),), missing_as_null, labels[start:stop])


def plain(features: FeatureMatrix, train: Batch, validation: Batch) -> np.ndarray:
    """What LightGBM's own scikit-learn interface makes of the same rows as a pandas frame."""

    def frame(each: Batch) -> pd.DataFrame:
        start, stop = each.ranges[0]
        table = pd.DataFrame(np.stack(features.columns)[:, start:stop].T, columns=list(features.names))
        if each.missing_as_null:
            eras = np.repeat(np.arange(ERAS), ROWS_AN_ERA)[start:stop]
            missing = (table == 2).groupby(eras).transform("all")
            table = table.astype(np.float32).mask(missing)
        return table

    model = lgb.LGBMRegressor(**PARAMS, **SAME_TREES, verbosity=-1, n_jobs=1)
    return np.asarray(model.fit(frame(train), train.target).predict(frame(validation)))


@pytest.mark.parametrize("missing_as_null", [False, True])
@pytest.mark.parametrize("missing_eras", [0, 12])
@pytest.mark.parametrize("threads", [1, 2, 3])
def test_equals_the_plain_library(*, missing_as_null: bool, missing_eras: int, threads: int) -> None:
    """Also where a window lacks values that other eras have, and where a feature is missing in all of it."""
    features = matrix(missing_eras=missing_eras)
    labels = target(features)
    train = batch(features, range(10), labels, missing_as_null=missing_as_null)
    validation = batch(features, range(14, 20), labels, missing_as_null=missing_as_null)
    expected = plain(features, train, validation)
    fitted = MODEL.fit(train, PARAMS, threads)
    np.testing.assert_array_equal(fitted.predict(validation, threads), expected)
    np.testing.assert_array_equal(MODEL.fit_predict(train, validation, PARAMS, threads).predictions, expected)


@pytest.mark.parametrize(
    "params",
    [
        {"objective": "regression_l1"},
        {"objective": "huber"},
        {"objective": "poisson"},
        {"boosting_type": "dart"},
        {"boosting_type": "rf", "bagging_fraction": 0.5, "bagging_freq": 1},
        {"bagging_fraction": 0.5, "bagging_freq": 2},
        {"min_data_in_leaf": 5000},
        {"n_estimators": 3, "learning_rate": 1.0, "num_leaves": 200, "min_data_in_leaf": 1},
    ],
)
def test_predicting_while_training_is_predicting_afterwards(params: dict[str, object]) -> None:
    features = matrix()
    labels = np.abs(target(features))
    train, validation = batch(features, range(12), labels), batch(features, range(14, 20), labels)
    settings = {**PARAMS, **params}
    together = MODEL.fit_predict(train, validation, settings, 2).predictions
    np.testing.assert_array_equal(together, MODEL.fit(train, settings, 1).predict(validation, 1))


def test_dropped_rows_and_several_ranges_train_on_exactly_the_rest() -> None:
    features = matrix()
    labels = target(features)
    ranges = ((0, 300), (600, 900))
    keep = np.flatnonzero(np.arange(600) % 7 != 0)
    rows = np.r_[0:300, 600:900][keep]
    train = Batch(features, ranges, missing_as_null=False, target=labels[rows], keep=keep)
    np.testing.assert_array_equal(train.rows(), rows)
    validation = batch(features, range(12, 20), labels)
    direct = lgb.train(
        {**MODEL.canonical_params(PARAMS), "verbosity": -1, "num_threads": 1},
        lgb.Dataset(np.stack(features.columns)[:, rows].T.astype(np.float32), labels[rows], params=dict(SAME_TREES)),
    )
    start, stop = validation.ranges[0]
    expected = direct.predict(np.stack(features.columns)[:, start:stop].T.astype(np.float32))
    np.testing.assert_array_equal(MODEL.fit(train, PARAMS, 2).predict(validation, 2), expected)


def test_a_ladder_is_read_where_separate_fits_end() -> None:
    features = matrix()
    labels = target(features)
    train, validation = batch(features, range(12), labels), batch(features, range(14, 20), labels)
    params = {**PARAMS, "objective": "huber"}
    read = [each.predictions for each in MODEL.fit_predict_lengths(train, validation, Rungs(params, (3, 25)), 2)]
    for length, prediction in zip((3, 25), read, strict=True):
        alone = MODEL.fit_predict(train, validation, MODEL.at_length(params, length), 1).predictions
        np.testing.assert_array_equal(prediction, alone)
    assert np.abs(read[0] - read[1]).max() > 0.01


def test_features_that_no_split_can_use_are_not_drawn_from() -> None:
    """As LightGBM has it by default; what began when all were drawn from goes on so."""
    features = matrix()
    features.columns[0][:] = 3
    features.columns[5][:-1] = 1  # one row is too few for a leaf
    labels = target(features)
    train, validation = batch(features, range(12), labels), batch(features, range(14, 20), labels)
    expected = plain(features, train, validation)
    np.testing.assert_array_equal(MODEL.fit_predict(train, validation, PARAMS, 1).predictions, expected)
    unfiltered = model_for("lightgbm", None, "lightgbm_unfiltered")
    assert unfiltered.canonical_params(PARAMS) == {**MODEL.canonical_params(PARAMS), "feature_pre_filter": False}
    assert np.abs(unfiltered.fit_predict(train, validation, PARAMS, 1).predictions - expected).max() > 1e-3


def test_equal_models_have_equal_canonical_params() -> None:
    one = MODEL.canonical_params({"colsample_bytree": 0.1, "n_estimators": 9, "random_state": 1})
    other = MODEL.canonical_params({"num_iterations": 9, "seed": 1, "feature_fraction": 0.1})
    assert one == other
    assert one["objective"] == "regression"
    assert MODEL.canonical_params({"force_row_wise": True}).get("force_col_wise") is None


def test_an_estimators_arguments_that_decide_no_tree_are_taken() -> None:
    params = {"n_estimators": 9, "importance_type": "gain"}
    assert model_problems(ModelConfig(params=params)) == []
    assert MODEL.canonical_params(params) == MODEL.canonical_params({"n_estimators": 9})


@pytest.mark.parametrize(
    ("params", "name", "words"),
    [
        ({"num_leafs": 31}, "num_leafs", "did you mean 'num_leaves'"),
        ({"n_jobs": 4}, "n_jobs", "threads come from the machine"),
        ({"colsample_bytree": 0.1, "feature_fraction": 0.2}, "feature_fraction", "same as 'colsample_bytree'"),
        ({"num_leaves": 1}, "num_leaves", "LightGBM says"),
        ({"num_leaves": "many"}, "num_leaves", "LightGBM says"),
        ({"feature_pre_filter": False}, "feature_pre_filter", "by default"),
        ({"early_stopping_rounds": 5}, "early_stopping_rounds", "would leak"),
        ({"objective": "multiclass", "num_class": 3}, "objective", "one prediction a row"),
        ({"data_sample_strategy": "goss"}, "data_sample_strategy", "number of threads"),
        ({"boosting_type": "goss"}, "boosting_type", "number of threads"),
        ({"device_type": "cudaa"}, "device_type", "Unknown device type"),
    ],
)
def test_wrong_params_are_named(params: dict[str, object], name: str, words: str) -> None:
    problem = model_problems(ModelConfig(params=params))[0]
    assert problem.path == f"$.model.params.{name}"
    assert words in problem.message


def test_a_parameter_is_not_told_to_be_itself() -> None:
    """Arguments of the estimator alone are not among the names that are offered."""
    (problem,) = model_problems(ModelConfig(params={"class_weight": "balanced"}))
    assert "no such parameter" in problem.message
    assert "class_weight" not in problem.message


def test_unknown_model_offers_the_known_ones() -> None:
    (problem,) = model_problems(ModelConfig(type="lightgmb"))
    assert problem.path == "$.model.type"
    assert "did you mean 'lightgbm'" in problem.message


def test_what_only_the_data_can_tell_is_a_fit_error() -> None:
    features = matrix()
    labels = target(features)
    params = {**PARAMS, "monotone_constraints": [1]}
    assert model_problems(ModelConfig(params=params)) == []
    with pytest.raises(FitError, match="monotone_constraints"):
        MODEL.fit(batch(features, range(5), labels), params, 1)


def test_forced_library_names_exist() -> None:
    """The private alias table that parameter checks rest on is still there, and knows what we set."""
    source = Path(lgb.__file__).parent / "basic.py"
    assert "_get_all_param_aliases" in source.read_text(encoding="utf-8")
    assert model_problems(ModelConfig(params={"subsample": 0.5, "subsample_freq": 1, "reg_lambda": 1.0})) == []
