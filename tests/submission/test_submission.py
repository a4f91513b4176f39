"""From a finished experiment to a proved pickle, in the pinned environments of Numerai's containers.

Environments are built once and kept in the user's cache folder, so the first run needs the package index.
"""

import json
import pickletools
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bad_requests import Desk
from submission_desk import PYTHONS, exported, needs_python

from numerai_ray.config import Config, apply_overrides, validate
from numerai_ray.errors import RequestError
from numerai_ray.experiment.paths import ExperimentPaths
from numerai_ray.runners.in_process import InProcessRunner
from numerai_ray.runners.ray.fold_tasks import run_on_ray
from numerai_ray.runners.ray.start import RaySettings
from numerai_ray.submission.container.environment import Environment, Limits, run_inside
from numerai_ray.submission.export.assembly import plan_refit
from numerai_ray.submission.export.choice import choose, refit_config
from numerai_ray.submission.export.refit import in_process, refit
from numerai_ray.system.resources import Needs
from numerai_ray.training.catalog import Catalog
from numerai_ray.training.store.fits import FitStore


@pytest.fixture
def paths(finished: Desk) -> ExperimentPaths:
    return ExperimentPaths(finished.exp)


# --- the choice ------------------------------------------------------------------------------------------------


def test_the_winner_is_refitted_on_everything(finished: Desk, paths: ExperimentPaths) -> None:
    choice = choose(paths, "capacity", None)
    assert choice.stage == "final"
    assert choice.config.data.file == "full"
    assembly = plan_refit(choice.config, Catalog(finished.data), FitStore(finished.data / "store"))
    (job,) = assembly.jobs
    assert job.spec.fold.train_eras == assembly.plan.index.eras
    assert choose(paths, "capacity", choice.record.id).config == choice.config


def test_a_refit_asks_for_what_its_fits_ask_for(finished: Desk, paths: ExperimentPaths) -> None:
    config = choose(paths, "capacity", None).config
    own = apply_overrides(config.to_json(), {"model": {"params": {"device_type": "gpu"}, "resources": {"cores": 2}}})
    catalog = Catalog(finished.data, elsewhere=True)  # here the processor would train
    (job,) = plan_refit(validate(Config, own, "test"), catalog, FitStore(finished.data / "store")).jobs
    assert job.needs == Needs(cores=2, gpus=1.0)


def test_a_model_of_ones_own_is_refused_before_anything_is_trained(
    finished: Desk, paths: ExperimentPaths, tmp_path: Path
) -> None:
    (tmp_path / "mine.py").write_text(
        "class Mine:\n  def fit(self, rows): return self\n  def predict(self, rows): return rows.features[:, 0]\n"
    )
    values = choose(paths, "capacity", None).config.to_json() | {"model": {"type": "mine.py:Mine"}}
    with pytest.raises(RequestError, match=r"'mine.py:Mine' is a model of your own and cannot be exported: Numerai's"):
        plan_refit(validate(Config, values, "t"), Catalog(finished.data, tmp_path), FitStore(finished.data / "store"))


def test_a_variant_of_downsampled_data_is_refitted_on_full_data(paths: ExperimentPaths) -> None:
    choice = choose(paths, "capacity", "num_leaves=4")
    assert choice.record.id == "r01-num_leaves=4"
    assert choice.changes == {"model.params.num_leaves": 4}
    assert choice.config.data.file == "full"
    assert refit_config(paths.config("r01-num_leaves=4")) == choice.config


def test_the_winner_of_an_unfinished_experiment(finished: Desk, tmp_path: Path) -> None:
    folder = tmp_path / "capacity"
    shutil.copytree(finished.exp, folder)
    ledger = folder / "results" / "rounds.jsonl"
    ledger.write_bytes(ledger.read_bytes().split(b"\n")[0] + b"\n")
    with pytest.raises(RequestError, match=r"is not finished.*--variant: .*r01-num_leaves=8"):
        choose(ExperimentPaths(folder), "capacity", None)
    with pytest.raises(RequestError, match=r"no variant 'num_leaves=9'.*did you mean"):
        choose(ExperimentPaths(folder), "capacity", "num_leaves=9")


# --- the pickle ------------------------------------------------------------------------------------------------


# Every kind of model, as the winner's ``model`` section; each in two containers, 3.12 where it is here.
MODELS: dict[str, dict[str, Any]] = {
    "lightgbm": {"type": "lightgbm", "params": {"n_estimators": 4, "num_leaves": 4, "min_data_in_leaf": 20}},
    "lightgbm_itself": {"type": "lightgbm", "params": {"n_estimators": 4, "num_leaves": 4, "min_data_in_leaf": 5}},
    "xgboost": {"type": "xgboost", "params": {"n_estimators": 8, "max_depth": 3}},
    "catboost": {"type": "catboost", "params": {"iterations": 8, "depth": 3, "learning_rate": 0.1}},
    "ridge": {"type": "sklearn", "params": {"estimator": "sklearn.linear_model:Ridge", "alpha": 10.0}},
    "forest": {
        "type": "sklearn",
        "params": {
            "estimator": ["sklearn.preprocessing:StandardScaler", "sklearn.ensemble:ExtraTreesRegressor"],
            "extratreesregressor__n_estimators": 8,
        },
        "seeds": [1, 2],
    },
    "mlp": {"type": "mlp", "params": {"hidden": [8, 4], "epochs": 2, "batch_size": 256}},
}


@needs_python
@pytest.mark.slow
@pytest.mark.parametrize("python", PYTHONS[:2])
@pytest.mark.parametrize("name", MODELS)
def test_every_model_in_two_containers(name: str, python: str, finished: Desk, tmp_path: Path) -> None:
    pytest.importorskip({"ridge": "sklearn", "forest": "sklearn", "mlp": "torch"}.get(name, name))
    found = exported(finished, tmp_path / "model.pkl", {"model": None}, python, model=MODELS[name])
    assert found.ok, found.problems
    assert found.agreement is not None
    assert found.agreement.equal, found.agreement
    assert found.live is not None
    assert found.live.arguments == 2
    assert found.live.one_argument == "same predictions"
    assert found.notes == ()
    content = (tmp_path / "model.pkl").read_bytes()
    assert b"numerai_ray" not in content
    assert b"torch" not in content


# What the winner is changed to; each must come out of the container as it comes out of the pipeline.
ENSEMBLE: dict[str, Any] = {
    "data": {"target": {"target_ender_20": 2.0, "target_teager2b_20": 1.0}},
    "ensemble": {
        "members": {"wide": {"model": {"params": {"num_leaves": 7}}}, "gaps": {"data": {"missing": "nan"}}},
        "weights": {"wide": 0.7, "gaps": 0.3},
    },
    "model": {"seeds": [1, 2], "params": {"bagging_fraction": 0.5, "bagging_freq": 1}},
    "post": {"neutralize": {"to": ["small", "benchmark"], "proportion": 0.5}, "blend": {"benchmark": 0.3}},
}
VARIANTS: dict[str, dict[str, Any]] = {
    "a blended, neutralized ensemble of two targets and two seeds": ENSEMBLE,
    "an ensemble on quantiles": apply_overrides(ENSEMBLE, {"ensemble": {"scale": "gauss"}, "post": {"blend": None}}),
    "missing features": {"data": {"missing": "nan"}},
    "a sample of the features": {"model": {"feature_sample": {"fraction": 0.5, "seed": 3}, "seeds": [1, 2]}},
    "another target": {
        "model": {"target_transform": {"type": "residual_to_benchmark"}, "era_weights": {"type": "equal"}}
    },
}


@needs_python
@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "python"),
    [
        *((name, python) for name in VARIANTS for python in PYTHONS[:1]),
        *((next(iter(VARIANTS)), each) for each in PYTHONS[1:2]),
    ],
)
def test_every_kind_of_config(name: str, python: str, finished: Desk, tmp_path: Path) -> None:
    found = exported(finished, tmp_path / "model.pkl", VARIANTS[name], python=python)
    assert found.ok, found.problems
    assert found.agreement is not None
    assert found.agreement.equal, found.agreement
    blended = "benchmark" in json.dumps(VARIANTS[name].get("post", {}))
    assert found.live is not None
    assert ("needs live_benchmark_models" in str(found.live.one_argument)) == blended


@needs_python
@pytest.mark.slow
def test_a_stack_needs_its_folds_and_gets_their_weights(finished: Desk, tmp_path: Path) -> None:
    stacked: dict[str, Any] = {
        "ensemble": {
            "members": {"wide": {"model": {"params": {"num_leaves": 7}}}, "gaps": {"data": {"missing": "nan"}}},
            "stack": {"method": "ridge", "min_fit_eras": 5},
        }
    }
    with pytest.raises(RequestError, match=r"4 of 4 fits are not stored; run the variant on full data first"):
        exported(finished, tmp_path / "model.pkl", stacked)
    choice = choose(ExperimentPaths(finished.exp), "capacity", None)
    config = validate(Config, apply_overrides(choice.config.to_json(), stacked), "test")
    plan = Catalog(finished.data, finished.exp).plan("stacked", "stacked", config)
    InProcessRunner(FitStore(finished.data / "store"), 2).run([plan], lambda _: None)
    found = exported(finished, tmp_path / "model.pkl", stacked)
    assert found.ok, found.problems
    assert found.agreement is not None
    assert found.agreement.equal, found.agreement
    card = json.loads((tmp_path / "model.json").read_text())
    assert set(card["model"]["weights"]) == {"wide", "gaps"}
    assert sum(abs(weight) for weight in card["model"]["weights"].values()) == pytest.approx(1)


@pytest.mark.ray
def test_refits_on_ray_are_those_in_this_process(finished: Desk, tmp_path: Path) -> None:
    config = choose(ExperimentPaths(finished.exp), "capacity", None).config
    jobs = plan_refit(config, Catalog(finished.data, finished.exp), FitStore(finished.data / "store")).jobs
    settings = RaySettings(tmp_path / "tune", tmp_path / "driver.log", dashboard=False)
    (there,) = run_on_ray(refit, jobs, "refit", settings)
    (here,) = in_process(jobs, 1)
    assert there.payload == here.payload
    np.testing.assert_array_equal(there.proof, here.proof)


@needs_python
@pytest.mark.slow
def test_nothing_of_ours_is_inside(model: Path) -> None:
    content = model.read_bytes()
    assert b"numerai_ray" not in content
    named = {
        str(argument).split(" ")[0].split(".")[0]
        for code, argument, _ in pickletools.genops(content)
        if code.name == "GLOBAL"
    }
    texts = [str(argument) for code, argument, _ in pickletools.genops(content) if code.name == "SHORT_BINUNICODE"]
    named |= {text.split(".")[0] for text in texts if text.startswith(("cloudpickle", "numpy", "pandas", "lightgbm"))}
    assert named <= {"cloudpickle", "numpy", "pandas", "lightgbm", "builtins"}


@needs_python
@pytest.mark.slow
def test_the_card_tells_all(model: Path, finished: Desk) -> None:
    card = json.loads(model.with_suffix(".json").read_text())
    assert card["experiment"] == "capacity"
    assert card["data"]["version"] == "v5.2"
    assert card["data"]["features"] == 12
    assert card["data"]["train_rows"] > 1000
    assert card["python"] == PYTHONS[0]
    assert card["libraries"] == ["lightgbm"]
    assert card["pickle"]["size_bytes"] == model.stat().st_size
    assert card["verification"]["ok"]
    assert card["verification"]["equal"]
    assert card["metrics"]["bmc_last_200_eras"]["interval"][0] < card["metrics"]["bmc_last_200_eras"]["mean"]
    assert len(card["fingerprints"]["config"]) == 12
    text = model.with_suffix(".md").read_text()
    for words in ("# capacity", "v5.2", "bmc_last_200_eras", "equal on", card["pickle"]["sha256"]):
        assert words in text
    validate(Config, card["config"], "the card")


@needs_python
@pytest.mark.slow
def test_no_network_and_one_core(environment: Environment, tmp_path: Path) -> None:
    code = (
        "import os, socket\n"
        "print(len(os.sched_getaffinity(0)), os.environ['OMP_NUM_THREADS'], 'NUMERAI_SECRET_KEY' in os.environ)\n"
        "try:\n    socket.create_connection(('1.1.1.1', 80), 2)\nexcept OSError:\n    print('cut off')\n"
        "try:\n    import numerai_ray\nexcept ModuleNotFoundError:\n    print('alone')\n"
    )
    ran = run_inside(environment, ["-c", code], tmp_path, Limits(60, 10**9))
    assert ran.code == 0
    assert ran.output.split("\n")[:3] == ["1 1 False", "cut off", "alone"]


@needs_python
@pytest.mark.slow
@pytest.mark.parametrize(
    ("code", "over"),
    [("x = bytearray(10**9)\nimport time; time.sleep(60)", "memory"), ("import time; time.sleep(60)", "time")],
)
def test_limits_end_a_run(code: str, over: str, environment: Environment, tmp_path: Path) -> None:
    ran = run_inside(environment, ["-c", code], tmp_path, Limits(2, 3 * 10**8))
    assert ran.over == over
    assert ran.seconds < 10
