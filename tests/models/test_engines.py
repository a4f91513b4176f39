"""Which engine grows a fit: planned once, said where a person looks, kept by an experiment that is under way."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bad_requests import Desk
from contracts import config, params

from numerai_ray import Experiment
from numerai_ray.config import Config, ModelConfig, validate
from numerai_ray.errors import EnvironmentFault
from numerai_ray.experiment.ledger import read_ledger
from numerai_ray.experiment.paths import ExperimentPaths
from numerai_ray.models import engine, rule_of
from numerai_ray.runners.in_process import InProcessRunner
from numerai_ray.training.catalog import Catalog
from numerai_ray.training.store.fits import FitStore

KEYS_OF_OLD = {"the base config": "x", "the data file": "y"}  # what origins had before there were engines


def keys(catalog: Catalog, changes: dict[str, Any]) -> list[str]:
    return [fit.key for fit in catalog.plan("x", "t/r1/x", config(changes)).fits]


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, "five_values"),
        (params(subsample=0.5, bagging_freq=1, reg_alpha=1.0, max_depth=3), "five_values"),
        ({"model": {"era_weights": {"type": "recency", "half_life_eras": 20}}}, "five_values"),
        ({"model": {"engine": "lightgbm"}}, "lightgbm (model.engine asks for it)"),
        (
            {"data": {"missing": "nan"}},
            "lightgbm (data.missing is 'nan', and the fast engine takes whole numbers alone)",
        ),
        (params(objective="huber"), "lightgbm (the fast engine does not take objective 'huber')"),
        (params(extra_trees=True), "lightgbm (the fast engine has no extra_trees)"),
        (
            params(min_data_in_leaf=5),
            "lightgbm (the fast engine does not take min_data_in_leaf 5, which must be at least 20)",
        ),
    ],
)
def test_the_engine_follows_from_config_and_data(market: Path, changes: dict[str, Any], expected: str) -> None:
    plan = Catalog(market).plan("x", "t/r1/x", config(changes))
    assert plan.engines == (expected,)
    assert {type(fit.model).__name__ for fit in plan.fits} == {
        "FiveValues" if expected == "five_values" else "LightGBM"
    }


def test_each_engine_and_draw_has_keys_of_its_own(market: Path) -> None:
    fast, slow, old = (keys(Catalog(market, rule=rule), {}) for rule in engine.RULES)
    asked = keys(Catalog(market), {"model": {"engine": "lightgbm"}})
    assert slow == asked
    assert not {*fast} & {*slow}
    assert not {*fast, *slow} & {*old}
    # What LightGBM does not grow is keyed as it was.
    other = config().model_copy(update={"model": ModelConfig(type="xgboost")})
    plans = [Catalog(market, rule=rule).plan("x", "t/r1/x", other) for rule in engine.RULES]
    assert len({plan.fits[0].key for plan in plans}) == 1


def test_an_experiment_goes_on_as_it_began(monkeypatch: pytest.MonkeyPatch) -> None:
    assert rule_of([]) == "five_values"
    assert rule_of([KEYS_OF_OLD]) == "lightgbm_unfiltered"
    assert rule_of([{**KEYS_OF_OLD, "engine": "lightgbm"}, {**KEYS_OF_OLD, "engine": "lightgbm"}]) == "lightgbm"
    with pytest.raises(EnvironmentFault, match=r"the engine 'six', which this version does not have"):
        rule_of([{"engine": "six"}])
    monkeypatch.setattr(engine, "find_spec", lambda _: None)
    assert rule_of([]) == "lightgbm"
    with pytest.raises(EnvironmentFault, match=r"five_values, which needs numba; install it"):
        rule_of([{"engine": "five_values"}])


def test_without_numba_the_plan_says_what_trains(market: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "find_spec", lambda _: None)
    plan = Catalog(market).plan("x", "t/r1/x", config())
    assert plan.engines == ("lightgbm (numba, which the fast engine needs, was not installed when this was planned)",)


def test_both_engines_predict_alike_through_a_runner(market: Path, tmp_path: Path) -> None:
    """Folds, unknown labels, a ladder and weights, as rounds have them."""
    changes: dict[str, Any] = {
        "model": {"era_weights": {"type": "equal"}},
    }
    found = []
    for rule in ("five_values", "lightgbm"):
        catalog = Catalog(market, rule=rule)
        plans = [catalog.plan(f"n{n}", f"t/r1/n{n}", config(laid(changes, n))) for n in (5, 12)]
        outcomes = InProcessRunner(FitStore(tmp_path / rule), 2).run(plans, lambda _: None)
        assert not any(each.error for each in outcomes.values())
        found.append([outcomes[plan.id].prediction for plan in plans])
    for ours, theirs in zip(*found, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-9)


def laid(changes: dict[str, Any], trees: int) -> dict[str, Any]:
    model = {**changes["model"], **params(n_estimators=trees)["model"]}
    return {**changes, "model": model}


@pytest.mark.slow
def test_results_plan_and_report_name_the_engine(finished: Desk) -> None:
    paths = ExperimentPaths(finished.exp)
    record = read_ledger(paths.ledger)[0]
    assert record.origin["engine"] == "five_values"
    results = json.loads(paths.results(record.variants[0].id).read_text())
    assert results["engines"] == ["five_values"]
    assert "grown by the engine `five_values`" in paths.report.read_text()


def test_an_experiment_of_the_version_before_goes_on_with_its_own_fits(finished: Desk, tmp_path: Path) -> None:
    """Its ledger names no engine: what it is asked for next is keyed as it always was."""
    folder = tmp_path / "older"
    shutil.copytree(finished.exp, folder)
    paths = ExperimentPaths(folder)
    lines = [json.loads(line) for line in paths.ledger.read_text().splitlines()]
    for line in lines:
        del line["origin"]["engine"]
    paths.ledger.write_text("".join(json.dumps(line) + "\n" for line in lines))
    rule = rule_of([each.origin for each in read_ledger(paths.ledger)])
    own = Experiment.load(folder).config(read_ledger(paths.ledger)[0].variants[0].id)
    plan = Catalog(finished.data, rule=rule).plan("x", "t/r1/x", validate(Config, own, "own"))
    assert plan.engines == ("lightgbm_unfiltered (this experiment began before there was another)",)
    assert plan.fits[0].model.canonical_params({})["feature_pre_filter"] is False
