"""LightGBM's names that are known without it: as the installed one has them, and enough for a fit of our engine."""

import subprocess
import sys

import pytest

from numerai_ray.models.engine import DEFAULTS, IDLE, TAKES, refusal
from numerai_ray.models.lightgbm import OURS, LightGBM
from numerai_ray.models.lightgbm_names import NAMES, all_names, main_names

FIT = """
import sys
import numpy as np
from numerai_ray.data.features import FeatureMatrix
from numerai_ray.models import model_for
from numerai_ray.models.protocol import Batch
import numerai_ray.runners.ray.fit_tasks
model = model_for("lightgbm", engine="five_values")
columns = np.random.default_rng(0).integers(0, 5, (3, 500)).astype(np.int8)
batch = Batch(FeatureMatrix(("a", "b", "c"), tuple(columns), None), ((0, 500),), False, columns[0].astype(np.float32))
params = {"n_estimators": 3, "reg_lambda": 1.0, "random_state": 4, "colsample_bytree": 0.7, "objective": "mse"}
found = model.fit_predict(batch, batch, params, 1)
print(len(found.predictions), "lightgbm" in sys.modules, "pandas" in sys.modules)
"""


def test_they_are_those_of_the_installed_lightgbm() -> None:
    known = all_names()
    usual = {*TAKES, *IDLE, *DEFAULTS, *OURS}
    assert dict(NAMES) == {name: main for name, main in known.items() if main in usual}
    assert main_names(["subsample", "seed"]) is NAMES
    assert main_names(["subsample", "cat_smooth"])["cat_smooth"] == "cat_smooth"


def test_a_fit_of_our_engine_does_without_lightgbm_and_pandas() -> None:
    done = subprocess.run([sys.executable, "-c", FIT], capture_output=True, text=True, check=False, timeout=120)
    assert done.stdout.split() == ["500", "False", "False"], done.stderr


CHECK = """
import sys
from numerai_ray.config import ModelConfig
from numerai_ray.models import model_problems
params = {"n_estimators": 2000, "learning_rate": 0.01, "max_depth": 5, "num_leaves": 31, "colsample_bytree": 0.1}
print(model_problems(ModelConfig(type="lightgbm", params=params)), "lightgbm" in sys.modules)
"""


def test_usual_parameters_are_checked_without_lightgbm() -> None:
    done = subprocess.run([sys.executable, "-c", CHECK], capture_output=True, text=True, check=False, timeout=120)
    assert done.stdout.split() == ["[]", "False"], done.stderr


NUMBERS = (-(2**31), -1, 0, 1, 2, 20, 31, 255, 131_072, 131_073, 2**31 - 1, 1e-300, 0.5, 1.0, 1e300, True, "2", None)


@pytest.mark.parametrize("name", sorted(TAKES))
def test_lightgbm_takes_what_is_taken_without_asking_it(name: str) -> None:
    values = [value for value in (*NUMBERS, "gbdt", "mse", "regression") if refusal({name: value}) is None]
    assert values
    asked = {value: LightGBM()._refusal({name: value}) for value in values}
    assert {value: words for value, words in asked.items() if words} == {}


@pytest.mark.parametrize("name", ["n_estimators", "num_iterations", "max_iter"])
def test_a_name_leads_to_its_main_one(name: str) -> None:
    assert main_names([name])[name] == "num_iterations"
