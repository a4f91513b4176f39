"""Our engine beside LightGBM on the same batches: the same predictions, whatever rows are left out."""

import sys
from dataclasses import replace
from typing import Any

import lightgbm as lgb
import numpy as np
import pytest

from numerai_ray.data.features import FeatureMatrix, values_seen
from numerai_ray.errors import EnvironmentFault
from numerai_ray.models import Batch, Compiled, Ladder, Rungs, model_for
from numerai_ray.models import five_values as module
from numerai_ray.models.five_values import LEAST_SHARE, FittedForest

pytest.importorskip("numba")

EQUAL = 1e-9
ROWS, FEATURES = 1800, 12
PARAMS = {"n_estimators": 25, "num_leaves": 8, "colsample_bytree": 0.4, "learning_rate": 0.1, "random_state": 5}
MODEL = model_for("lightgbm", None, "five_values")
LIGHTGBM = model_for("lightgbm")

# name -> the row ranges and the positions within them that are trained on
KEPT: dict[str, tuple[tuple[tuple[int, int], ...], np.ndarray | None]] = {
    "from the start": (((0, 900),), None),
    "from the middle": (((300, 1300),), None),
    "two pieces": (((0, 500), (700, 1100)), None),
    "without some labels": (((0, 900),), np.flatnonzero(np.arange(900) % 7 != 0)),
    "two pieces, without some labels": (((100, 500), (700, 1100)), np.flatnonzero(np.arange(800) % 7 != 0)),
    "two pieces far apart": (((0, 300), (1000, 1300)), None),
    "a few of many": (((0, 1300),), np.flatnonzero(np.arange(1300) % 3 == 0)),
}


@pytest.fixture(scope="module")
def features() -> FeatureMatrix:
    """Random; one feature is always the same, another hardly ever anything else, and one lacks a value early on."""
    values = np.random.default_rng(0).integers(0, 5, (FEATURES, ROWS)).astype(np.int8)
    values[0] = 2
    values[1] = 1
    values[1, ::400] = 4
    values[2, :900] = np.minimum(values[2, :900], 3)
    for column in values:
        column.flags.writeable = False  # as they come out of Ray's store
    seen = values_seen(values, np.arange(0, ROWS + 1, 90))
    return FeatureMatrix(tuple(f"f{i}" for i in range(FEATURES)), tuple(values), seen)


def training(features: FeatureMatrix, name: str = "from the start", *, weighted: bool = False) -> Batch:
    ranges, keep = KEPT[name]
    rng = np.random.default_rng(1)
    signal = features.columns[3] - features.columns[4] + (features.columns[2] > 2) * 2.0
    labels = (signal / 10 + rng.normal(0, 0.3, ROWS)).astype(np.float32)
    weights = np.repeat(rng.uniform(0.2, 3, ROWS // 90), 90) if weighted else None
    rows = np.concatenate([np.arange(*each) for each in ranges])
    rows = rows if keep is None else rows[keep]
    return Batch(
        features,
        ranges,
        missing_as_null=False,
        target=labels[rows],
        keep=keep,
        weights=None if weights is None else weights[rows],
    )


def validation(features: FeatureMatrix) -> Batch:
    return Batch(features, ((1350, 1500), (1560, ROWS)), missing_as_null=False)


def close(one: np.ndarray, other: np.ndarray) -> None:
    np.testing.assert_allclose(one, other, rtol=0, atol=EQUAL)
    assert np.ptp(other) > 0.05, "predictions that tell nothing are no evidence"


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("name", KEPT)
def test_predicts_what_lightgbm_predicts(features: FeatureMatrix, name: str, weighted: bool, threads: int) -> None:
    train, asked = training(features, name, weighted=weighted), validation(features)
    expected = LIGHTGBM.fit_predict(train, asked, PARAMS, 1).predictions
    close(MODEL.fit_predict(train, asked, PARAMS, threads).predictions, expected)


@pytest.mark.parametrize(
    "params",
    [
        {"subsample": 0.5, "subsample_freq": 2},
        {"max_depth": 2},
        pytest.param({"reg_alpha": 0.5, "reg_lambda": 5}, marks=pytest.mark.slow),  # kernels of its own are compiled
        {"min_child_samples": 200},
        pytest.param({"min_split_gain": 0.3, "min_child_weight": 30}, marks=pytest.mark.slow),  # and here
        {"colsample_bytree": 1.0},
        {"feature_fraction_seed": 8, "bagging_seed": 9, "data_random_seed": 4},
        {"boosting_type": "gbdt", "objective": "rmse", "max_bin": 255, "force_row_wise": True},
    ],
)
def test_params_mean_what_they_mean_to_lightgbm(features: FeatureMatrix, params: dict[str, Any]) -> None:
    train, asked, settings = training(features), validation(features), {**PARAMS, **params}
    close(
        MODEL.fit_predict(train, asked, settings, 2).predictions,
        LIGHTGBM.fit_predict(train, asked, settings, 1).predictions,
    )


@pytest.mark.parametrize("name", ["from the start", "two pieces, without some labels", "a few of many"])
def test_predicting_while_training_is_predicting_afterwards(features: FeatureMatrix, name: str) -> None:
    train, asked = training(features, name), validation(features)
    together = MODEL.fit_predict(train, asked, PARAMS, 2).predictions
    np.testing.assert_array_equal(together, MODEL.fit(train, PARAMS, 1).predict(asked, 1))


def test_a_ladder_is_read_where_separate_fits_end(features: FeatureMatrix) -> None:
    assert isinstance(MODEL, Ladder)
    train, asked, lengths = training(features), validation(features), (1, 3, 25)
    assert MODEL.length(PARAMS) == 25
    results = MODEL.fit_predict_lengths(train, asked, Rungs(PARAMS, lengths), 2)
    read = [each.predictions for each in results]
    for length, found in zip(lengths, results, strict=True):
        shorter = MODEL.at_length(PARAMS, length)
        alone = MODEL.fit_predict(train, asked, shorter, 1)
        np.testing.assert_array_equal(found.predictions, alone.predictions)
        np.testing.assert_array_equal(found.importance.values, alone.importance.values)
        close(found.predictions, LIGHTGBM.fit_predict(train, asked, shorter, 1).predictions)
    np.testing.assert_array_equal(MODEL.fit(train, PARAMS, 1).predict(asked, 1, 3), read[1])


def test_it_tells_what_lightgbm_tells(features: FeatureMatrix) -> None:
    """What each feature gained, and the model, which others read as LightGBM's own."""
    train, asked = training(features), validation(features)
    told, models = [], []
    for each in (MODEL, LIGHTGBM):
        found = each.fit_predict(train, asked, PARAMS, 1)
        told.append(found.importance)
        models.append(found.model)
    assert told[0].kind == told[1].kind
    np.testing.assert_allclose(told[0].values, told[1].values, rtol=1e-5)
    ours, expected = models[0], models[0].predict(asked, 1)
    assert isinstance(ours, FittedForest)
    assert isinstance(ours.native, lgb.Booster)
    assert ours.native.feature_name() == list(features.names)
    plain = MODEL.plain(ours)
    assert isinstance(plain, str)
    restored = MODEL.restored(plain)
    np.testing.assert_array_equal(restored.predict(asked, 1), expected)
    np.testing.assert_array_equal(restored.predict(asked, 1, 4), ours.predict(asked, 1, 4))
    again = MODEL.restored(MODEL.plain(restored))
    np.testing.assert_array_equal(again.predict(asked, 1), expected)


@pytest.mark.parametrize(("share", "read"), [(LEAST_SHARE + 0.05, "where they lie"), (LEAST_SHARE - 0.05, "as copies")])
def test_few_rows_of_a_span_are_copied_together(features: FeatureMatrix, share: float, read: str) -> None:
    """A span that is mostly left out would cost its rows at every tree; one that is mostly used costs no copy."""
    whole, stop = training(features), int(900 * share)
    keep = np.sort(np.random.default_rng(2).permutation(898)[: stop - 2]) + 1
    keep = np.concatenate([[0], keep, [899]])
    labels = np.random.default_rng(3).normal(size=len(keep)).astype(np.float32)
    train = replace(whole, target=labels, keep=keep)
    rows = module._training_rows(train)
    shared = [np.shares_memory(ours, given) for ours, given in zip(rows.columns, features.columns, strict=True)]
    assert all(shared) if read == "where they lie" else not any(shared)
    assert (rows.used is None) == (read == "as copies")
    assert len(rows.target) == (900 if read == "where they lie" else len(keep))
    close(
        MODEL.fit_predict(train, whole, PARAMS, 1).predictions,
        LIGHTGBM.fit_predict(train, whole, PARAMS, 1).predictions,
    )


def test_a_whole_span_is_no_copy_and_marks_nothing(features: FeatureMatrix) -> None:
    for name in ("from the start", "from the middle"):
        rows = module._training_rows(training(features, name))
        assert rows.used is None
        assert all(map(np.shares_memory, rows.columns, features.columns))


def test_equal_models_have_equal_canonical_params() -> None:
    one = MODEL.canonical_params({"colsample_bytree": 0.1, "n_estimators": 9, "random_state": 1})
    other = MODEL.canonical_params(
        {"num_iterations": 9, "seed": 1, "feature_fraction": 0.1, "force_row_wise": True, "deterministic": False}
    )
    assert one == other == {"objective": "regression", "feature_fraction": 0.1, "num_iterations": 9, "seed": 1}
    assert MODEL.libraries == (), "LightGBM's version decides nothing of these trees"


def test_without_numba_it_is_said_what_to_do(features: FeatureMatrix, monkeypatch: pytest.MonkeyPatch) -> None:
    """A node that lacks what the driver has."""
    monkeypatch.setitem(sys.modules, "numerai_ray.trees.growing", None)
    monkeypatch.delattr("numerai_ray.trees.growing", raising=False)
    assert isinstance(MODEL, Compiled)
    for action in (MODEL.warm_up, lambda: MODEL.fit(training(features), PARAMS, 1)):
        with pytest.raises(EnvironmentFault, match=r"needs numba.*model\.engine: lightgbm"):
            action()
