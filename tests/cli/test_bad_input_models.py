"""Wrong parameters of every library: named, in the library's own words, before the first round; and what fits take."""

import importlib.util
from pathlib import Path
from typing import Any

import pytest
from bad_requests import Desk, make_market, refuse, set_desk

LIBRARY = {"xgboost": "xgboost", "catboost": "catboost", "sklearn": "sklearn", "mlp": "torch"}
RIDGE = {"estimator": "sklearn.linear_model:Ridge"}
AT = "$.base.model.params"

# name -> (model, its params, words of the message)
PARAMS: dict[str, tuple[str, dict[str, Any], tuple[str, ...]]] = {
    "xgboost, unknown": ("xgboost", {"max_dept": 3}, (f"{AT}.max_dept", "did you mean 'max_depth'?")),
    "xgboost, text": ("xgboost", {"max_depth": "deep"}, (f"{AT}.max_depth", "XGBoost says", "'deep'")),
    "xgboost, too large": ("xgboost", {"subsample": 1.5}, (f"{AT}.subsample", "XGBoost says", "is 1.5")),
    "xgboost, objective": ("xgboost", {"objective": "reg:cubed"}, (f"{AT}.objective", "XGBoost says", "reg:cubed")),
    "xgboost, method": ("xgboost", {"tree_method": "magic"}, (f"{AT}.tree_method", "XGBoost says", "magic")),
    "xgboost, no trees": ("xgboost", {"n_estimators": 0}, (f"{AT}.n_estimators", "at least 1", "is 0")),
    "xgboost, device": ("xgboost", {"device": "tpu"}, (f"{AT}.device", "XGBoost says", "tpu")),
    "catboost, unknown": ("catboost", {"dept": 3}, (f"{AT}.dept", "did you mean 'depth'?")),
    "catboost, too large": ("catboost", {"depth": 40}, (f"{AT}.depth", "CatBoost says", "is 40")),
    "catboost, negative": ("catboost", {"l2_leaf_reg": -3.0}, (f"{AT}.l2_leaf_reg", "CatBoost says", "is -3.0")),
    "catboost, loss": ("catboost", {"loss_function": "RMSEE"}, (f"{AT}.loss_function", "CatBoost says", "RMSEE")),
    "catboost, device": ("catboost", {"task_type": "TPU"}, (f"{AT}.task_type", "CatBoost says", "TPU")),
    "catboost, leak": ("catboost", {"od_type": "Iter"}, (f"{AT}.od_type", "would leak")),
    "sklearn, none": ("sklearn", {"alpha": 1.0}, (f"{AT}.estimator", "module:Class", "None")),
    "sklearn, misspelt": ("sklearn", {"estimator": "sklearn.linear_model:Rigde"}, (f"{AT}.estimator", "Rigde")),
    "sklearn, unknown": ("sklearn", {**RIDGE, "alhpa": 1.0}, (f"{AT}.alhpa", "did you mean 'alpha'?")),
    "sklearn, negative": ("sklearn", {**RIDGE, "alpha": -1.0}, (f"{AT}.alpha", "scikit-learn says", "-1.0")),
    "sklearn, text": ("sklearn", {**RIDGE, "solver": "magic"}, (f"{AT}.solver", "scikit-learn says", "magic")),
    "sklearn, threads": (
        "sklearn",
        {"estimator": "sklearn.ensemble:RandomForestRegressor", "n_jobs": 4},
        (f"{AT}.n_jobs", "threads come from the machine"),
    ),
    "sklearn, a classifier": (
        "sklearn",
        {"estimator": "sklearn.linear_model:LogisticRegression"},
        (f"{AT}.estimator", "must be a regressor"),
    ),
    "mlp, unknown": ("mlp", {"hiden": [8]}, (f"{AT}.hiden", "did you mean 'hidden'?")),
    "mlp, too large": ("mlp", {"dropout": 1.0}, (f"{AT}.dropout", "must be less than 1", "is 1.0")),
    "mlp, text": ("mlp", {"epochs": "ten"}, (f"{AT}.epochs", "valid integer", "'ten'")),
    "mlp, device": ("mlp", {"device": "tpu"}, (f"{AT}.device", "'tpu'")),
    "lightgbm, device": ("lightgbm", {"device_type": "tpu"}, (f"{AT}.device_type", "LightGBM says", "tpu")),
    "a file that is not there": ("mine.py:Mine", {}, ("$.base.model.type", "mine.py", "No such file")),
    "a class that is not there": ("ridge.py:Rigde", {}, ("$.base.model.type", "did you mean 'Ridge'?")),
    "own, unknown": ("ridge.py:Ridge", {"alhpa": 1.0}, (f"{AT}.alhpa", "did you mean 'alpha'?")),
    "own, refused": ("ridge.py:Ridge", {"alpha": -1.0}, (f"{AT}.alpha", "ridge.py:Ridge says", "alpha is negative")),
    "own, resources": ("ridge.py:Greedy", {}, ("$.base.model.type", "ridge.py:Greedy, resources.gpu", "'gpus'")),
}
OWN = """
class Ridge:
    def __init__(self, alpha: float = 1.0):
        if alpha < 0:
            raise ValueError("alpha is negative")

    def fit(self, rows):
        return self

class Greedy(Ridge):
    resources = {"gpu": 1}
"""
RESOURCES: dict[str, tuple[Any, tuple[str, ...]]] = {
    "unknown": ({"gpu": 1}, ("$.base.model.resources.gpu", "did you mean 'gpus'?")),
    "one and a half": ({"gpus": 1.5}, ("$.base.model.resources", "a fraction of one or a whole number", "1.5")),
    "no core": ({"cores": 0}, ("$.base.model.resources.cores", "greater than or equal to 1", "is 0")),
    "half a core": ({"cores": 0.5}, ("$.base.model.resources.cores", "integer", "0.5")),
    "no memory": ({"memory_gb": 0}, ("$.base.model.resources.memory_gb", "greater than 0", "is 0")),
    "a number": (2, ("$.base.model.resources", "is 2")),
}


@pytest.fixture(scope="module")
def market(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_market(tmp_path_factory.mktemp("market"))


@pytest.fixture
def desk(tmp_path: Path, market: Path, monkeypatch: pytest.MonkeyPatch) -> Desk:
    monkeypatch.chdir(tmp_path)
    desk = set_desk(tmp_path, market)
    (desk.exp / "ridge.py").write_text(OWN)
    return desk


@pytest.mark.parametrize("name", PARAMS)
def test_wrong_parameters(name: str, desk: Desk, capfd: pytest.CaptureFixture[str]) -> None:
    model, params, words = PARAMS[name]
    library = LIBRARY.get(model)
    if library is not None and importlib.util.find_spec(library) is None:
        pytest.skip(f"{library} is not installed")
    space = {"dimensions": {"features": {"path": "data.feature_set", "values": ["small"]}}}
    free = {stage: {"feature_set": None} for stage in ("scout", "confirm", "final")}
    desk.write_plan({"base.model": {"type": model, "params": params}, "search_space": space, "stages": free})
    refuse(desk, capfd, desk.run_arguments(), words)


@pytest.mark.parametrize("name", RESOURCES)
def test_wrong_resources(name: str, desk: Desk, capfd: pytest.CaptureFixture[str]) -> None:
    said, words = RESOURCES[name]
    desk.write_plan({"base.model.resources": said})
    refuse(desk, capfd, desk.run_arguments(), words)


def test_a_round_does_not_vary_resources(desk: Desk, capfd: pytest.CaptureFixture[str]) -> None:
    changes = {"search_space.dimensions.num_leaves.path": "model.resources.cores"}
    desk.write_plan(changes)
    refuse(desk, capfd, desk.run_arguments(), ("num_leaves.path", "a round may vary", "'model.resources.cores'"))
