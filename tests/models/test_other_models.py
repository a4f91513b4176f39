"""XGBoost, CatBoost, scikit-learn, the MLP and users' models: one contract, for any threads, with named problems."""

import importlib.util
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from numerai_ray.config import ModelConfig
from numerai_ray.data.features import FeatureMatrix, values_seen
from numerai_ray.errors import ConfigError, FitError
from numerai_ray.models import Batch, Ladder, ModelSource, Rungs, model_for, model_problems
from numerai_ray.models.dense import FEWEST_ROWS, MOST_ROWS, ROWS_AT_ONCE, prediction_change, rows_of
from numerai_ray.models.reports import listening
from numerai_ray.models.user import find_source

ROWS_AN_ERA, ERAS, FEATURES = 150, 60, 12
STARTS = np.arange(ERAS + 1) * ROWS_AN_ERA
needs_torch = pytest.mark.skipif(importlib.util.find_spec("torch") is None, reason="PyTorch is not installed")

RIDGE = """
import numpy as np

class Ridge:
    def __init__(self, alpha: float = 1.0, seed: int = 0):
        self.alpha = alpha

    def fit(self, rows):
        x = rows.features - 2
        self.weights = np.linalg.solve(x.T @ x + self.alpha * np.eye(x.shape[1]), x.T @ rows.target)
        return self

    def predict(self, rows):
        return (rows.features - 2) @ self.weights
"""
SOURCE = ModelSource("ridge.py", RIDGE)
MODELS = {
    "xgboost": {"n_estimators": 30, "max_depth": 4, "eta": 0.1, "colsample_bytree": 0.5, "seed": 3},
    "catboost": {"iterations": 30, "depth": 4, "learning_rate": 0.1, "rsm": 0.5, "random_seed": 3},
    "sklearn": {"estimator": "sklearn.ensemble:RandomForestRegressor", "n_estimators": 10, "random_state": 3},
    "mlp": {"hidden": [16], "epochs": 12, "batch_size": 256, "learning_rate": 0.01, "seed": 3},
    "ridge.py:Ridge": {"alpha": 2.0},
}
EVERY = [pytest.param(name, marks=needs_torch if name == "mlp" else ()) for name in MODELS]
SEEDED = [pytest.param(name, marks=needs_torch if name == "mlp" else ()) for name in MODELS if ":" not in name]


def matrix() -> FeatureMatrix:
    values = np.random.default_rng(0).integers(0, 5, (FEATURES, ERAS * ROWS_AN_ERA)).astype(np.int8)
    values[0, : 20 * ROWS_AN_ERA] = 2
    return FeatureMatrix(tuple(f"f{i}" for i in range(FEATURES)), tuple(values), values_seen(values, STARTS))


def batch(features: FeatureMatrix, first: int, last: int, *, nulls: bool = False, **changes) -> Batch:
    noise = np.random.default_rng(1).normal(0, 0.3, ERAS * ROWS_AN_ERA)
    labels = ((features.columns[2] - 2.0) / 10 + (features.columns[3] > 2) * 0.2 + noise).astype(np.float32)
    rows = slice(first * ROWS_AN_ERA, last * ROWS_AN_ERA)
    eras = np.repeat(np.arange(1, ERAS + 1, dtype=np.int32), ROWS_AN_ERA)[rows]
    values = {"target": labels[rows], "eras": eras, **changes}
    return Batch(features, ((rows.start, rows.stop),), missing_as_null=nulls, **values)


def model(name: str):
    return model_for(name, SOURCE if ":" in name else None)


@pytest.mark.parametrize("name", EVERY)
def test_predictions_are_the_same_for_any_threads_and_again(name) -> None:
    features = matrix()
    train, validation = batch(features, 0, 40), batch(features, 45, 60, target=None)
    first = model(name).fit_predict(train, validation, MODELS[name], 1).predictions
    assert first.shape == (15 * ROWS_AN_ERA,)
    assert first.dtype == np.float64
    for threads in (1, 2, 3):
        np.testing.assert_array_equal(
            model(name).fit_predict(train, validation, MODELS[name], threads).predictions, first
        )


@pytest.mark.parametrize("name", EVERY)
def test_the_signal_is_found(name) -> None:
    features = matrix()
    train, validation = batch(features, 0, 40), batch(features, 45, 60)
    found = model(name).fit_predict(train, validation, MODELS[name], 2).predictions
    assert np.corrcoef(found, validation.target)[0, 1] > 0.25


# Models of every kind, those too that have no importances of their own; all must find the two features of the labels.
TELLING = {
    "gain": ("xgboost", MODELS["xgboost"]),
    "prediction change": ("catboost", MODELS["catboost"]),
    "impurity": ("sklearn", MODELS["sklearn"]),
    "coefficient": ("sklearn", {"estimator": ["sklearn.preprocessing:StandardScaler", "sklearn.linear_model:Ridge"]}),
    "gradient": ("mlp", MODELS["mlp"]),
    "permutation": ("sklearn", {"estimator": "sklearn.ensemble:HistGradientBoostingRegressor", "max_iter": 10}),
    "permutation of components": (
        "sklearn",
        {"estimator": ["sklearn.decomposition:PCA", "sklearn.linear_model:Ridge"], "pca__svd_solver": "full"},
    ),
}


@pytest.mark.parametrize(
    "kind", [pytest.param(each, marks=needs_torch if each == "gradient" else ()) for each in TELLING]
)
def test_what_mattered_is_told_alike_for_any_threads(kind: str) -> None:
    name, params = TELLING[kind]
    features = matrix()
    train, validation = batch(features, 0, 40), replace(batch(features, 45, 60), target=None)
    found = [model(name).fit_predict(train, validation, params, threads).importance for threads in (1, 2)]
    assert found[0] == found[1]
    assert found[0].kind == kind.split(" of ", maxsplit=1)[0]
    assert len(found[0].values) == FEATURES
    assert set(np.argsort(found[0].values)[-2:]) == {2, 3}


def test_a_permutation_looks_at_few_rows_of_many_and_costs_one_more_prediction() -> None:
    asked: list[int] = []

    def predict(rows: np.ndarray) -> np.ndarray:
        asked.append(len(rows))
        return 2.0 * rows[:, 0] - rows[:, 1]

    for n, k in ((50_000, 20), (3_000, 30), (40, 5), (1, 3)):
        asked.clear()
        x = np.random.default_rng(0).integers(0, 5, (n, k)).astype(np.float32)
        found = prediction_change(predict, x)
        assert sum(asked) <= max(n, (FEWEST_ROWS + 1) * (k + 1)) + MOST_ROWS
        assert (found[2:] == 0).all()
        assert found[0] == pytest.approx(4 * found[1], rel=0.7) if n > 40 else True
        assert max(asked) <= ROWS_AT_ONCE
    assert (found == 0).all(), "one row has no other to take a value of"


@pytest.mark.parametrize("name", SEEDED)
def test_seeds_decide(name) -> None:
    features = matrix()
    train, validation = batch(features, 0, 40), batch(features, 45, 60)
    own = model(name)
    found = [own.fit_predict(train, validation, own.with_seed(MODELS[name], seed), 1).predictions for seed in (3, 4)]
    assert not np.array_equal(*found)
    assert own.canonical_params(own.with_seed(MODELS[name], 3)) == own.canonical_params(MODELS[name])


TOLD = {"xgboost": "trees", "catboost": "trees", "mlp": "epochs"}


@pytest.mark.parametrize("name", [pytest.param(n, marks=needs_torch if n == "mlp" else ()) for n in TOLD])
def test_a_fit_tells_how_far_it_is(name) -> None:
    """To whoever listens, from whatever thread the library calls back; what is trained does not change."""
    told: list[tuple[int, int, str]] = []
    model, features = model_for(name), matrix()
    params = MODELS[name]
    total = params.get("n_estimators") or params.get("iterations") or params["epochs"]
    train, validation = batch(features, 0, 40), batch(features, 45, 60)
    with listening(lambda *word: told.append(word)):
        heard = model.fit_predict(train, validation, params, 2).predictions
    first = 0 if name == "mlp" else 1
    assert told == [(done, total, TOLD[name]) for done in range(first, first + len(told))]
    assert len(told) == total or name == "mlp"
    assert len(told) > 1
    np.testing.assert_array_equal(heard, model.fit_predict(train, validation, params, 2).predictions)


@pytest.mark.parametrize("name", ["xgboost", "catboost", "sklearn"])
def test_weights_of_nothing_are_rows_left_out(name) -> None:
    """Rows of weight 0 teach nothing: their labels may be anything."""
    features = matrix()
    train = batch(features, 0, 40)
    weights = np.ones(len(train.target))
    weights[::3] = 0.0
    other = np.where(weights == 0, np.float32(0.5), train.target)
    validation = batch(features, 45, 60)
    params = {"xgboost": {"max_depth": 3, "n_estimators": 5}}.get(name, MODELS[name])
    found = []
    for target in (train.target, other):
        own = batch(features, 0, 40, target=target, weights=weights)
        found.append(model(name).fit_predict(own, validation, params, 1).predictions)
    assert np.abs(found[0] - found[1]).mean() < 0.02


@pytest.mark.parametrize("name", ["xgboost", "catboost"])
def test_a_ladder_reads_one_fit_at_every_length(name) -> None:
    features = matrix()
    train, validation = batch(features, 0, 40), batch(features, 45, 60)
    own = model(name)
    assert isinstance(own, Ladder)
    assert own.length(MODELS[name]) == 30
    lengths = (4, 11, 30)
    found = [each.predictions for each in own.fit_predict_lengths(train, validation, Rungs(MODELS[name], lengths), 2)]
    for length, prediction in zip(lengths, found, strict=True):
        alone = own.fit_predict(train, validation, own.at_length(MODELS[name], length), 1).predictions
        np.testing.assert_array_equal(prediction, alone)


def test_no_ladder_where_the_step_depends_on_the_length() -> None:
    assert model("catboost").length({"iterations": 10}) is None
    assert model("xgboost").length({"booster": "dart"}) is None


def test_rows_are_read_only_and_missing_features_are_nan() -> None:
    features = matrix()
    keep = np.arange(0, 30 * ROWS_AN_ERA, 7)
    target = np.zeros(len(keep), np.float32)
    rows = rows_of(batch(features, 0, 30, nulls=True, keep=keep, target=target, eras=None), 1)
    expected = np.array(features.columns, np.float32).T[: 30 * ROWS_AN_ERA]
    expected[: 20 * ROWS_AN_ERA, 0] = np.nan
    np.testing.assert_array_equal(rows.features, expected[keep])
    assert not rows.features.flags.writeable


@pytest.mark.parametrize(
    ("name", "params", "where", "words"),
    [
        ("xgboost", {"max_dept": 3}, "max_dept", "did you mean 'max_depth'"),
        ("xgboost", {"max_depth": "deep"}, "max_depth", "XGBoost says"),
        ("xgboost", {"subsample": 1.5}, "subsample", "XGBoost says"),
        ("xgboost", {"eta": 0.1, "learning_rate": 0.2}, "learning_rate", "same as 'eta'"),
        ("xgboost", {"n_jobs": 4}, "n_jobs", "threads come from the machine"),
        ("xgboost", {"booster": "gblinear"}, "booster", "take a model of sklearn"),
        ("xgboost", {"n_estimators": 0}, "n_estimators", "at least 1"),
        ("xgboost", {"device": "cudaa"}, "device", "XGBoost says"),
        ("xgboost", {"tree_method": "gpu_hist"}, "tree_method", "XGBoost says"),
        ("xgboost", {"objective": "reg:squared"}, "objective", "XGBoost says"),
        ("catboost", {"dept": 3}, "dept", "did you mean 'depth'"),
        ("catboost", {"depth": 40}, "depth", "CatBoost says"),
        ("catboost", {"thread_count": 2}, "thread_count", "threads come from the machine"),
        ("catboost", {"task_type": "GPUU"}, "task_type", "CatBoost says"),
        ("catboost", {"loss_function": "RMSEE"}, "loss_function", "CatBoost says"),
        ("lightgbm", {"device_type": "cudaa"}, "device_type", "LightGBM says: Unknown device type cudaa"),
        ("sklearn", {}, "estimator", "module:Class"),
        ("sklearn", {"estimator": "sklearn.linear_model:Rigde"}, "estimator", "Rigde"),
        ("sklearn", {"estimator": "sklearn.linear_model:LogisticRegression"}, "estimator", "must be a regressor"),
        ("sklearn", {"estimator": "sklearn.linear_model:Ridge", "alhpa": 1.0}, "alhpa", "did you mean 'alpha'"),
        ("sklearn", {"estimator": "sklearn.linear_model:Ridge", "alpha": -1.0}, "alpha", "scikit-learn says"),
        ("ridge.py:Ridge", {"alpa": 1.0}, "alpa", "did you mean 'alpha'"),
    ],
)
def test_wrong_params_are_named(name, params, where, words) -> None:
    problem = model_problems(ModelConfig(type=name, params=params), SOURCE if ":" in name else None)[0]
    assert problem.path == f"$.model.params.{where}"
    assert words in problem.message


@pytest.mark.parametrize(
    ("name", "params"),
    [
        ("lightgbm", {"num_leafs": 3, "learning_rate": -1.0}),
        ("xgboost", {"n_jobs": 3, "subsample": 2.0}),
        ("xgboost", {"subsample": 2.0, "max_dept": 3}),
        ("catboost", {"dept": 3, "l2_leaf_reg": -1.0}),
        ("sklearn", {"estimator": "sklearn.linear_model:Ridge", "alhpa": 1.0, "tol": -1.0}),
    ],
)
def test_an_unknown_param_and_a_wrong_value_are_told_at_once(name, params) -> None:
    found = [each.path.rsplit(".", 1)[-1] for each in model_problems(ModelConfig(type=name, params=params))]
    assert found == list(params)[-2:]


@needs_torch
@pytest.mark.parametrize(
    ("params", "where", "words"),
    [
        ({"hiden": [3]}, "hiden", "did you mean 'hidden'"),
        ({"dropout": 1.0}, "dropout", "must be less than 1, but is 1.0"),
        ({"device": "cudaa"}, "device", "but is 'cudaa'"),
        ({"hidden": []}, "hidden", "at least 1 item"),
        ({"epochs": "ten"}, "epochs", "but is 'ten'"),
    ],
)
def test_wrong_params_of_the_mlp_are_named(params, where, words) -> None:
    problem = model_problems(ModelConfig(type="mlp", params=params))[0]
    assert problem.path == f"$.model.params.{where}"
    assert words in problem.message


def test_a_pipeline_of_estimators() -> None:
    params = {"estimator": ["sklearn.preprocessing:StandardScaler", "sklearn.linear_model:Ridge"], "ridge__alpha": 9.0}
    assert model_problems(ModelConfig(type="sklearn", params=params)) == []
    features = matrix()
    train, validation = batch(features, 0, 40), batch(features, 45, 60)
    weighted = batch(features, 0, 40, weights=np.linspace(0.1, 2, len(train.target)))
    found = [model("sklearn").fit_predict(each, validation, params, 1).predictions for each in (train, weighted)]
    assert not np.array_equal(*found)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("x = 1", "no class 'Ridge'"),
        ("raise ValueError('no')", "raised ValueError: no"),
        ("class Ridge: pass", "no method fit(rows)"),
    ],
)
def test_what_is_wrong_with_a_users_file_is_said(text, words) -> None:
    (problem,) = model_problems(ModelConfig(type="ridge.py:Ridge"), ModelSource("ridge.py", text))
    assert words in problem.message


def test_a_users_file_is_looked_for_beside_the_experiment(tmp_path: Path) -> None:
    (tmp_path / "ridge.py").write_text(RIDGE)
    assert find_source("ridge.py:Ridge", tmp_path).text == RIDGE
    with pytest.raises(ConfigError, match="cannot be found"):
        find_source("other.py:Ridge", tmp_path)
    with pytest.raises(ConfigError, match="no module 'nowhere_at_all'"):
        find_source("nowhere_at_all:Ridge", tmp_path)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("return None", "must return something with predict"),
        ("raise RuntimeError('tired')", "fit: RuntimeError: tired"),
        ("self.n = 3; return self", "one number a row"),
    ],
)
def test_what_a_users_model_does_wrong_is_a_fit_error(body, words) -> None:
    head, tail = (
        "import numpy as np\nclass Ridge:\n  def fit(self, rows):",
        "  def predict(self, rows): return np.zeros(3)",
    )
    text = f"{head}\n    {body}\n{tail}"
    features = matrix()
    with pytest.raises(FitError, match=words):
        own = model_for("ridge.py:Ridge", ModelSource("ridge.py", text))
        own.fit_predict(batch(features, 0, 4), batch(features, 5, 6), {}, 1)


def test_rows_lie_as_a_library_reads_them_and_are_the_same() -> None:
    columns = tuple(np.random.default_rng(1).integers(0, 5, (3, 50)).astype(np.int8))
    batch = Batch(
        FeatureMatrix(("a", "b", "c"), columns, values_seen(columns, np.array([0, 50]))),
        ((0, 20), (30, 50)),
        False,
        None,
    )
    by_row, by_column = rows_of(batch, 1).features, rows_of(batch, 1, "F").features
    assert by_row.flags.c_contiguous
    assert by_column.flags.f_contiguous
    assert np.array_equal(by_row, by_column)
    kept = replace(batch, keep=np.arange(0, 40, 2))
    assert rows_of(kept, 1, "F").features.flags.f_contiguous
    assert np.array_equal(rows_of(kept, 1).features, rows_of(kept, 1, "F").features)
