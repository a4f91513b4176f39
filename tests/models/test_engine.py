"""Which engine grows a fit: by its config and data, and by the rule that its experiment began with."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from contracts import config, ignore, params

from numerai_ray.config import ModelConfig
from numerai_ray.errors import EnvironmentFault
from numerai_ray.models import RULES, engine, engine_of, model_for, rule_here, rule_of
from numerai_ray.models.engine import DEFAULTS, FIVE_VALUES, LEAST_ROWS_A_LEAF, LIGHTGBM, UNFILTERED, refusal
from numerai_ray.models.five_values import FiveValues
from numerai_ray.models.lightgbm import LightGBM, UnfilteredLightGBM
from numerai_ray.runners.in_process import InProcessRunner
from numerai_ray.training.catalog import Catalog
from numerai_ray.training.store.fits import FitStore

MODEL = model_for("lightgbm")


def chosen(model: Mapping[str, Any], missing: str = "keep", rule: Any = FIVE_VALUES) -> engine.Engine:
    made = ModelConfig.model_validate(model)
    return engine_of(made, missing, MODEL.canonical_params(made.params), rule)


# --- by params


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"n_estimators": 2000, "learning_rate": 0.01, "max_depth": 5, "num_leaves": 31, "colsample_bytree": 0.1},
        {"n_estimators": 30_000, "num_leaves": 1024, "max_depth": 10, "min_child_samples": 10_000},
        {"objective": "mse", "boosting_type": "gbdt", "device_type": "cpu", "force_row_wise": True},
        {"subsample": 0.5, "subsample_freq": 1, "reg_alpha": 1, "reg_lambda": 1.5, "min_split_gain": 0.1},
        {"random_state": 5, "bagging_seed": 2, "feature_fraction_seed": 3, "data_random_seed": 4},
        {"drop_seed": 3, "extra_seed": 2, "importance_type": "gain", "deterministic": True},
        {"extra_trees": False, "max_bin": 255, "path_smooth": 0, "boost_from_average": True},
    ],
)
def test_the_fast_engine_takes_squared_error_and_what_lightgbm_has_by_default(given: dict[str, Any]) -> None:
    assert chosen({"params": given}) == engine.Engine(FIVE_VALUES)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"objective": "huber"}, "objective 'huber'"),
        ({"boosting_type": "dart"}, "boosting 'dart'"),
        ({"min_child_samples": LEAST_ROWS_A_LEAF - 1}, "min_data_in_leaf 19, which must be at least 20"),
        ({"extra_trees": True}, "has no extra_trees"),
        ({"max_bin": 3}, "has no max_bin"),
        ({"device_type": "gpu"}, "has no device_type"),
        ({"feature_fraction_bynode": 0.5}, "has no feature_fraction_bynode"),
        ({"monotone_constraints": [1]}, "has no monotone_constraints"),
        ({"num_leaves": True}, "num_leaves True"),
        ({"n_estimators": 2.5}, "num_iterations 2.5"),
        ({"learning_rate": float("nan")}, "learning_rate nan"),
        ({"colsample_bytree": 1.5}, "feature_fraction 1.5"),
        ({"reg_lambda": -1}, "lambda_l2 -1"),
        ({"random_state": "7"}, "seed '7'"),
    ],
)
def test_what_it_does_not_take_is_left_to_lightgbm_and_said(given: dict[str, Any], words: str) -> None:
    found = chosen({"params": given})
    assert found.name == LIGHTGBM
    assert words in found.why
    assert str(found) == f"lightgbm ({found.why})"
    assert refusal(MODEL.canonical_params(given)) == found.why


def test_what_is_as_by_default_is_what_lightgbm_has_by_default() -> None:
    """LightGBM writes all its settings into a model's text."""
    import lightgbm as lgb  # noqa: PLC0415

    rows = np.arange(100.0).reshape(50, 2)
    text = lgb.train({"verbosity": -1, "num_iterations": 1}, lgb.Dataset(rows, rows[:, 0])).model_to_string()
    said = dict(line[1:-1].split(": ", 1) for line in text.splitlines() if line.startswith("[") and ": " in line)
    for name, value in DEFAULTS.items():
        expected = said[name]
        assert (str(value) if isinstance(value, str) else float(value)) == (
            expected if isinstance(value, str) else float(expected)
        ), name


def test_data_and_config_go_before_the_params() -> None:
    assert "data.missing is 'nan'" in chosen({}, missing="nan").why
    assert chosen({"engine": "lightgbm"}) == engine.Engine(LIGHTGBM, "model.engine asks for it")
    assert chosen({"type": "xgboost"}) == engine.Engine("xgboost")


# --- by the rule


def test_each_rule_has_its_engine_and_each_engine_its_model() -> None:
    names = [chosen({}, rule=rule).name for rule in RULES]
    assert names == [FIVE_VALUES, LIGHTGBM, UNFILTERED]
    made = [type(model_for("lightgbm", None, name)) for name in names]
    assert made == [FiveValues, LightGBM, UnfilteredLightGBM]
    assert "numba" in chosen({}, rule="lightgbm").why
    assert chosen({"params": {"objective": "huber"}}, rule="lightgbm").why.endswith("objective 'huber'")
    assert chosen({"type": "sklearn"}, rule="lightgbm_unfiltered") == engine.Engine("sklearn")


def test_an_experiment_goes_on_as_it_began(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "has_numba", lambda: True)
    assert rule_of([]) == rule_here() == FIVE_VALUES
    assert rule_of([{"the data file": "ab"}, {"engine": FIVE_VALUES}]) == UNFILTERED, "an old one has no such entry"
    for rule in RULES:
        assert rule_of([{"engine": rule}, {"engine": "whatever came later"}]) == rule
    with pytest.raises(EnvironmentFault, match=r"began with the engine 'six_values', which this version does not have"):
        rule_of([{"engine": "six_values"}])


def test_without_numba_new_experiments_are_lightgbms_and_others_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "has_numba", lambda: False)
    assert rule_of([]) == rule_here() == LIGHTGBM
    assert rule_of([{"engine": LIGHTGBM}]) == LIGHTGBM
    assert rule_of([{}]) == UNFILTERED
    with pytest.raises(EnvironmentFault, match=r"five_values, which needs numba; install it"):
        rule_of([{"engine": FIVE_VALUES}])


# --- in a plan


def test_the_engine_is_part_of_the_key_and_what_it_is_made_by(market: Path, tmp_path: Path) -> None:
    """One config under each rule, and with the engine named: other fits, each found again by itself alone."""
    plans = {rule: Catalog(market, rule=rule).plan("x", "x", config()) for rule in RULES}
    keys = {rule: [fit.key for fit in plan.fits] for rule, plan in plans.items()}
    assert len({key for each in keys.values() for key in each}) == 3 * len(keys[FIVE_VALUES])
    asked = Catalog(market, rule=FIVE_VALUES).plan("x", "x", config({"model": {"engine": "lightgbm"}}))
    assert [fit.key for fit in asked.fits] == keys[LIGHTGBM], "the same trees, whoever asked for them"
    assert [plan.engines[0].split(" ")[0] for plan in plans.values()] == list(RULES)
    runner = InProcessRunner(FitStore(tmp_path), threads=1)
    outcomes = {rule: runner.run([plan], ignore)["x"] for rule, plan in plans.items()}
    assert not any(fold.stored for outcome in outcomes.values() for fold in outcome.folds)
    fast, plain = outcomes[FIVE_VALUES].prediction, outcomes[LIGHTGBM].prediction
    np.testing.assert_allclose(fast, plain, rtol=0, atol=1e-9)
    made = {rule: FitStore(tmp_path).get(keys[rule][-1]) for rule in RULES}
    assert {rule: found.facts["engine"] for rule, found in made.items() if found} == {rule: rule for rule in RULES}


@pytest.mark.parametrize(
    "changes", [{"data": {"missing": "nan"}}, params(objective="huber"), params(min_child_samples=5)]
)
def test_what_is_left_to_lightgbm_is_the_same_under_both_rules(market: Path, changes: dict[str, Any]) -> None:
    plans = [Catalog(market, rule=rule).plan("x", "x", config(changes)) for rule in RULES[:2]]
    assert {fit.engine.name for plan in plans for fit in plan.fits} == {LIGHTGBM}
    assert [fit.key for fit in plans[0].fits] == [fit.key for fit in plans[1].fits]
