"""What short rounds tell of long ones: time by steps and rows, by cores, by what is stored; measured once."""

from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from desk import BASELINE, Desk

from numerai_ray.cli.main import run
from numerai_ray.config import Config, apply_overrides, validate
from numerai_ray.errors import FitError
from numerai_ray.rounds.calibrate import calibrate
from numerai_ray.rounds.time_model import (
    STORED_ROUND_S,
    Calibration,
    Speed,
    after_key,
    expected,
    filled,
    predicted_rows,
    speed_key,
)
from numerai_ray.runners.in_process import InProcessRunner
from numerai_ray.training.catalog import Catalog
from numerai_ray.training.spec import FitSpec, VariantPlan, steps_of
from numerai_ray.training.store.fits import FitStore


def config(**changes: Any) -> Config:
    return validate(Config, apply_overrides(BASELINE, changes), "test")


def trees(count: int) -> Config:
    return config(model={"params": {"n_estimators": count}})


def every_fit(fit: FitSpec) -> bool:
    del fit
    return True


def no_fit(fit: FitSpec) -> bool:
    del fit
    return False


def all_known(plans: list[VariantPlan], speed: Speed) -> Calibration:
    speeds = {speed_key(fit): speed for plan in plans for fit in plan.fits}
    return Calibration(speeds, {}, round_s=2.0, start_s=7.0, cores=2)


@pytest.mark.parametrize(
    ("seconds", "lanes", "ends"),
    [
        ([4.0, 3.0, 2.0, 1.0], (2, 1), 5.0),
        ([4.0, 1.0, 1.0, 1.0], (2, 1), 4.0),
        ([4.0, 4.0, 4.0], (2, 1), 8.0),
        ([5.0], (1, 2), 3.0),  # a second thread brings two thirds
    ],
)
def test_fits_fill_the_cores_in_their_order(seconds: list[float], lanes: tuple[int, int], ends: float) -> None:
    assert filled(seconds, lanes) == pytest.approx(ends)


def test_a_round_is_its_start_its_fits_and_nothing_that_is_there(market: Path) -> None:
    catalog = Catalog(market)
    one, longer = (catalog.plan(f"t{count}", "t", trees(count)) for count in (100, 400))
    known = all_known([one], Speed(fixed_s=1.0, step_s=0.01, row_step_s=0.0))
    told = expected(known, [one], every_fit, 2)
    assert told is not None
    assert told.seconds == pytest.approx(2.0 + 2 * 2.0)  # 3 fits of 2 s on two cores
    assert (told.in_all(started=True), told.in_all(started=False)) == (told.seconds + 7.0, told.seconds)
    # a ladder is its longest fit: 3 of 1 + 4 s
    ladder = expected(known, [one, longer], every_fit, 2)
    assert ladder is not None
    assert ladder.seconds == pytest.approx(2.0 + 2 * 5.0)
    # one fit is missing, and has both cores
    last = one.fits[-1].key
    rest = expected(known, [one], lambda fit: fit.key == last, 2)
    assert rest is not None
    assert rest.seconds == pytest.approx(2.0 + 2.0 / (5 / 3), abs=1e-3)
    nothing = expected(known, [one], no_fit, 2)
    assert nothing is not None
    assert nothing.in_all(started=True) == STORED_ROUND_S
    assert expected(Calibration(), [one], every_fit, 2) is None, "nothing was measured"
    assert expected(known, [], every_fit, 2) is None, "there is nothing to do"


def test_rows_that_are_predicted_take_their_time(market: Path) -> None:
    plan = Catalog(market).plan("t", "t", trees(10))
    known = Calibration({"lightgbm/1/x": Speed(0.0, 0.0, 0.0)}, {after_key(plan): 0.001}, cores=2)
    told = expected(known, [plan], no_fit, 2)
    assert told is not None
    assert told.seconds == pytest.approx(STORED_ROUND_S + 0.001 * predicted_rows(plan) / 2, abs=1e-3)


def test_models_that_were_not_measured_are_told_from_their_like(market: Path) -> None:
    plan = Catalog(market).plan("t", "t", trees(10))
    mine, other = Speed(1.0, 0.0, 0.0), Speed(100.0, 0.0, 0.0)
    speeds = {"five_values/7/x": mine, "mlp/7/x": other, "lightgbm/15/x": other}
    told = expected(Calibration(speeds, cores=1), [plan], every_fit, 0)
    assert told is not None
    assert told.seconds == pytest.approx(3.0)


def test_what_another_engine_grows_is_not_its_like(market: Path) -> None:
    """They differ several times in speed, whatever their parameters have in common."""
    fast = Catalog(market).plan("t", "t", trees(10))
    slow = Catalog(market).plan("t", "t", config(model={"params": {"objective": "huber"}}))
    known = all_known([fast], Speed(1.0, 0.0, 0.0))
    features = len(fast.fits[0].features)
    known = replace(known, speeds={**known.speeds, f"lightgbm/{features + 1}/x": Speed(100.0, 0.0, 0.0)})
    told = [expected(known, [plan], every_fit, 1) for plan in (fast, slow)]
    assert [each.seconds if each else None for each in told] == pytest.approx([2.0 + 3.0, 2.0 + 300.0])


@pytest.mark.parametrize(
    ("model", "found"),
    [
        ({"type": "lightgbm", "params": {"num_trees": 30}}, ("num_iterations", 30.0)),
        ({"type": "xgboost", "params": {"num_boost_round": 30}}, ("n_estimators", 30.0)),
        ({"type": "catboost", "params": {"iterations": 30}}, ("iterations", 30.0)),
        ({"type": "mlp", "params": {"epochs": 3}}, ("epochs", 3.0)),
        ({"type": "sklearn", "params": {"estimator": "sklearn.linear_model:Ridge"}}, None),
    ],
)
def test_trees_and_epochs_are_known_by_their_names(model: dict[str, Any], found: Any, market: Path) -> None:
    if model["type"] == "mlp":
        pytest.importorskip("torch")
    own = validate(Config, {**BASELINE, "model": model}, "test")
    plan = Catalog(market).plan("t", "t", own)
    assert steps_of(plan.fits[0].model, own.model.params) == found
    assert plan.fits[0].steps == (100.0 if found is None else found[1])


def test_short_rounds_are_run_once_and_keep_nothing(market: Path, tmp_path: Path) -> None:
    catalog = Catalog(market)
    neutral = config(post={"neutralize": {"to": "all", "proportion": 0.5}})
    seeds = config(model={"seeds": [1, 2]})
    store = FitStore(tmp_path / "store")

    def opened() -> AbstractContextManager[Any]:
        return nullcontext(InProcessRunner(store, 1))

    def refused() -> AbstractContextManager[Any]:
        raise AssertionError("all of it is known")

    known = calibrate(catalog, [trees(50), trees(60), neutral, seeds], Calibration(), opened)
    (speed,) = known.speeds.values()  # neither length nor seed nor what follows makes another speed
    assert speed.fixed_s + speed.step_s + speed.row_step_s > 0  # which of them is noise where a tree takes no time
    assert len(known.after) == 2 + 1, "plain, neutralized, of two seeds"
    assert all(each > 0 for each in known.after.values())
    assert [*tmp_path.rglob("*.fit")] == []
    assert calibrate(catalog, [trees(70), neutral], known, refused) == known


def test_configs_of_several_files_are_measured_together(market: Path, tmp_path: Path) -> None:
    catalog, runner = Catalog(market), InProcessRunner(FitStore(tmp_path / "store"), 1)
    full = config(data={"file": "full"})
    known = calibrate(catalog, [trees(50), full], Calibration(), lambda: nullcontext(runner))
    assert len(known.speeds) == 2
    assert len(known.after) == 1


def test_what_went_by_of_the_start_before_the_first_round_is_told_too(market: Path, tmp_path: Path) -> None:
    runner = InProcessRunner(FitStore(tmp_path / "store"), 1)
    runner.ahead_s = 40.0  # as of a Ray that was up before anybody waited for it
    known = calibrate(Catalog(market), [trees(50)], Calibration(), lambda: nullcontext(runner))
    assert 40.0 <= known.start_s < 60.0


def test_a_short_fit_that_fails_says_why(market: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    desk = Desk(tmp_path, market)
    (desk.folder / "own.py").write_text(
        "class Own:\n    def fit(self, rows):\n        raise ValueError('no luck today')\n"
    )
    plan = yaml.safe_load((desk.folder / "experiment.yaml").read_text())
    plan["base"] = {"model": {"type": "own.py:Own", "params": {}}}
    plan["search_space"] = {"dimensions": {"target": {"path": "data.target", "values": ["target_ender_60"]}}}
    baseline = tmp_path / "experiments" / "baselines" / "tiny.yaml"
    baseline.write_text(yaml.safe_dump({**BASELINE, **plan["base"]}))
    (desk.folder / "experiment.yaml").write_text(yaml.safe_dump(plan))
    assert run(["plan", str(desk.folder), "--data-dir", str(desk.data), "--in-process"]) == 3
    assert "no luck today" in capsys.readouterr().err
    assert issubclass(FitError, Exception)
