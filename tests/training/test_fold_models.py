"""Models of folds: kept when asked for, read back to the last bit, trained once more only where they are lacking."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from contracts import SMALL, config, ignore, params, same_outcome
from desk import Desk

from numerai_ray import Experiment, RequestError
from numerai_ray.cli.main import run
from numerai_ray.config import apply_overrides, validate
from numerai_ray.errors import DataError, FitError
from numerai_ray.runners.in_process import InProcessRunner
from numerai_ray.training.catalog import Catalog
from numerai_ray.training.fitted_fold import fit_of, fold_model
from numerai_ray.training.outcome import VariantOutcome
from numerai_ray.training.spec import VariantPlan
from numerai_ray.training.store.care import Limits, removals
from numerai_ray.training.store.cut import StoreFile
from numerai_ray.training.store.fits import FitStore, StoredFit, is_stored
from numerai_ray.training.store.models import ModelStore

OWN = """
import numpy as np

class Own:
    benchmarks = ("{benchmark}",)

    def __init__(self, seed: int = 0, stubborn: bool = False):
        self.stubborn = stubborn

    def fit(self, rows):
        seen = np.nan_to_num(rows.features, nan=-1.0)
        self.weights = seen.T.astype(float) @ (rows.target - rows.target.mean())
        self.never = (lambda: None) if self.stubborn else None
        return self

    def predict(self, rows):
        benchmark = np.nan_to_num(rows.benchmarks["{benchmark}"])
        return np.nan_to_num(rows.features, nan=-1.0).astype(float) @ self.weights + benchmark
"""
SCALED = ["sklearn.preprocessing:StandardScaler", "sklearn.linear_model:Ridge"]
KINDS: dict[str, dict[str, Any]] = {
    "lightgbm": {"model": {"params": {"subsample": 0.7, "subsample_freq": 1}}},
    "lightgbm by itself": {"model": {"engine": "lightgbm"}},
    "lightgbm with gaps": {"data": {"missing": "nan"}, "model": {"params": {"extra_trees": True}}},
    "lightgbm dart": {"model": {"params": {"boosting": "dart"}}},
    "xgboost": {"model": {"type": "xgboost", "params": {"n_estimators": 8, "max_depth": 4, "subsample": 0.7}}},
    "xgboost with gaps": {"data": {"missing": "nan"}, "model": {"type": "xgboost", "params": {"n_estimators": 5}}},
    "catboost": {"model": {"type": "catboost", "params": {"iterations": 8, "depth": 4, "learning_rate": 0.1}}},
    "forest": {
        "model": {
            "type": "sklearn",
            "params": {"estimator": "sklearn.ensemble:RandomForestRegressor", "n_estimators": 5, "max_depth": 4},
        }
    },
    "pipeline": {"model": {"type": "sklearn", "params": {"estimator": SCALED}}},
    "mlp": {"model": {"type": "mlp", "params": {"hidden": [8, 4], "epochs": 2, "stop_embargo_eras": 2}}},
    "own": {"data": {"missing": "nan"}, "model": {"type": "own.py:Own", "params": {}}},
}
NEEDS = {"xgboost": "xgboost", "catboost": "catboost", "forest": "sklearn", "pipeline": "sklearn", "mlp": "torch"}


def config_of(kind: str) -> Any:
    changes = KINDS[kind]
    values = apply_overrides(SMALL, {"cv": {"n_splits": 3}, **{k: v for k, v in changes.items() if k != "model"}})
    model = changes["model"] if "type" in changes["model"] else apply_overrides(SMALL["model"], changes["model"])
    return validate(type(config()), {**values, "model": model}, kind)


def run_in(store: FitStore, *plans: VariantPlan) -> dict[str, VariantOutcome]:
    return InProcessRunner(store, threads=2).run(plans, ignore)


def entries(store: FitStore, kind: str) -> dict[str, int]:
    return {path.name: path.stat().st_mtime_ns for path in store.root.rglob(f"*.{kind}")}


def kept(store: FitStore) -> dict[str, Any]:
    """Every model of the store by its name, without the seconds that it took."""
    found = {path.stem: ModelStore(store.root).get(path.stem) for path in store.root.rglob("*.model")}
    return {name: each and each.model for name, each in found.items()}


@pytest.fixture
def catalog(market: Path, tmp_path: Path) -> Catalog:
    (tmp_path / "own.py").write_text(OWN.format(benchmark=config().score.benchmark))
    return Catalog(market, tmp_path)


@pytest.fixture
def store(tmp_path: Path) -> FitStore:
    return FitStore(tmp_path / "store", keep_models=True)


@pytest.fixture(scope="module")
def rows(market: Path) -> pd.DataFrame:
    """The whole data file with its benchmarks, as a notebook reads them."""
    folder = market / "tiny"
    table = pd.read_parquet(folder / "full.parquet")
    table = table if "id" in table else table.reset_index()
    benchmarks = pd.read_parquet(folder / "full_benchmark_models.parquet")
    benchmarks = benchmarks.set_index("id") if "id" in benchmarks else benchmarks
    return table.join(benchmarks.drop(columns="era"), on="id")


def of_fold(rows: pd.DataFrame, plan: VariantPlan, fold: int) -> pd.DataFrame:
    eras = fit_of(plan, fold, plan.fits[0].asked.part).fold.validation_eras
    return rows[rows["era"].astype(int).isin(eras)]


@pytest.mark.parametrize("kind", KINDS)
def test_a_model_read_back_predicts_what_is_stored(
    kind: str, catalog: Catalog, store: FitStore, rows: pd.DataFrame
) -> None:
    pytest.importorskip(NEEDS.get(kind.split(maxsplit=1)[0], "numpy"))
    plan = catalog.plan("a", "kept/r1/a", config_of(kind))
    same_outcome(run_in(store, plan)["a"], run_in(FitStore(store.root / "without"), plan)["a"])
    for spec in plan.fits:
        found = store.get(spec.key)
        assert found is not None
        model = fold_model(spec, store)
        assert model.features == spec.features
        np.testing.assert_array_equal(model.predict(of_fold(rows, plan, spec.fold.index)), found.predictions)
        assert type(model.native).__module__.partition(".")[0] != "numerai_ray"


def test_the_longest_model_of_a_ladder_serves_every_length(
    catalog: Catalog, store: FitStore, rows: pd.DataFrame
) -> None:
    def plan(trees: int) -> VariantPlan:
        return catalog.plan(f"t{trees}", f"kept/r1/t{trees}", config(params(n_estimators=trees)))

    plans = [plan(trees) for trees in (3, 9, 6)]
    run_in(store, *plans)
    models = entries(store, "model")
    assert sorted(name.rpartition("-")[2] for name in models) == ["9.model"] * len(plans[0].fits)
    for each in plans:
        spec = each.fits[0]
        stored = store.get(spec.key)
        assert stored is not None
        np.testing.assert_array_equal(
            fold_model(spec, store).predict(of_fold(rows, each, spec.fold.index)), stored.predictions
        )
    fits = entries(store, "fit")
    run_in(store, plan(5))
    assert entries(store, "model") == models, "a shorter one is served by what is there"
    run_in(store, plan(12))
    assert sorted(name.rpartition("-")[2] for name in entries(store, "model")) == ["12.model"] * len(plans[0].fits)
    assert fits.items() <= entries(store, "fit").items()


def test_a_fit_stored_without_its_model_is_trained_once_more_for_it(catalog: Catalog, store: FitStore) -> None:
    plans = [catalog.plan(f"t{trees}", f"kept/r1/t{trees}", config(params(n_estimators=trees))) for trees in (3, 9)]
    first = run_in(FitStore(store.root), *plans)
    fits = entries(store, "fit")
    assert not entries(store, "model")
    assert not any(is_stored(store, spec) for plan in plans for spec in plan.fits)
    again = run_in(store, *plans)
    models = entries(store, "model")
    assert len(models) == len(plans[0].fits)
    assert entries(store, "fit") == fits, "what is stored of a fit stays as it is"
    for name, outcome in again.items():
        same_outcome(outcome, first[name])
        assert all(fold.stored for fold in outcome.folds)
    run_in(store, *plans)
    run_in(FitStore(store.root), *plans)
    assert entries(store, "model") == models


@pytest.mark.parametrize("lost", ["model", "fit"])
def test_what_is_lost_or_damaged_is_made_again(
    lost: str, catalog: Catalog, store: FitStore, rows: pd.DataFrame
) -> None:
    """A damaged model; a model whose fit is not there, as when its writer was killed between the two."""
    plan = catalog.plan("a", "kept/r1/a", config())
    expected = run_in(store, plan)["a"]
    spec = plan.fits[1]
    models = kept(store)
    victim = next(store.root.rglob(f"{spec.family}*.model")) if lost == "model" else store.path(spec.key)
    if lost == "model":
        victim.write_bytes(victim.read_bytes()[:-1])
        with pytest.raises(DataError, match="keep_models: true"):
            fold_model(spec, store)
    else:
        victim.unlink()
    same_outcome(run_in(store, plan)["a"], expected)
    assert kept(store) == models
    fold_model(spec, store).predict(of_fold(rows, plan, spec.fold.index))


def test_a_model_that_cannot_be_pickled_is_no_failed_trial(catalog: Catalog, store: FitStore) -> None:
    model = {"type": "own.py:Own", "params": {"stubborn": True}}
    plan = catalog.plan("a", "kept/r1/a", validate(type(config()), {**SMALL, "model": model}, "own"))
    assert run_in(store, plan)["a"].error is None
    written = entries(store, "model")
    run_in(store, plan)
    assert entries(store, "model") == written, "asked for once"
    with pytest.raises(DataError, match="could not be kept: it cannot be pickled"):
        fold_model(plan.fits[0], store)


def test_a_model_that_comes_out_otherwise_does_not_stand_for_what_is_stored(catalog: Catalog, store: FitStore) -> None:
    plan = catalog.plan("a", "kept/r1/a", config())
    run_in(FitStore(store.root), plan)
    spec = plan.fits[0]
    first = store.get(spec.key)
    assert first is not None
    store.put(spec.key, StoredFit(first.predictions + 1e-9, first.facts))
    fits = entries(store, "fit")
    run_in(store, plan)
    assert entries(store, "fit") == fits
    with pytest.raises(DataError, match="its training is not repeatable"):
        fold_model(spec, store)
    assert is_stored(store, spec), "asked for once"


def test_what_cannot_be_written_down_says_so() -> None:
    from numerai_ray.models.dense import pickled, unpickled  # noqa: PLC0415

    with pytest.raises(FitError, match="cannot be pickled"):
        pickled(lambda: None)
    with pytest.raises(DataError, match="cannot be unpickled"):
        unpickled(b"cnumerai_ray_user_gone\nOwn\n.")


# --- what a notebook asks for ------------------------------------------------------------------------------------

SEEDS = {
    "base": {"model": {"seeds": [3, 4]}},
    "rounds": {"variants": 1, "patience": 1},
    "budget": {"rounds": 1},
}


def forecast_of(desk: Desk, capsys: pytest.CaptureFixture[str]) -> tuple[list[dict[str, Any]], str]:
    """Rounds that `plan` foresees, and its words."""
    capsys.readouterr()
    command = ["plan", str(desk.folder), "--data-dir", str(desk.data), "--no-calibrate"]
    assert run([*command, "--json"]) == 0
    rounds = json.loads(capsys.readouterr().out)["rounds"]
    assert run(command) == 0
    return rounds, " ".join(capsys.readouterr().out.split())


@pytest.mark.slow
def test_an_experiment_hands_out_its_models(
    market: Path, tmp_path: Path, rows: pd.DataFrame, capsys: pytest.CaptureFixture[str]
) -> None:
    """Asked for after all was trained: `plan` says so, every fit is trained once more, and nothing else changes."""
    desk = Desk(tmp_path, market, SEEDS)
    assert desk.run() == 0
    before, fits = desk.untimed(), desk.fits()
    with pytest.raises(DataError, match="no model of fold 1"):
        Experiment.load(desk.folder).model("r01-base", 1, part="seed 3", data=desk.data)
    desk.plan({**SEEDS, "keep_models": True})
    shutil.rmtree(desk.folder / "results")
    foreseen, told = forecast_of(desk, capsys)
    assert foreseen[0]["fits_for_models"] == foreseen[0]["fits_new"] > 0
    assert "are stored without their models, and are trained again for those (keep_models: true)" in told
    assert desk.run() == 0
    assert desk.untimed() == before
    assert desk.fits() == fits
    foreseen, told = forecast_of(desk, capsys)
    assert "without their models" not in told

    experiment = Experiment.load(desk.folder)
    last = experiment.rounds[-1].variants[0].id
    fold = experiment.results(last)["cv"]["folds"][0]
    oof = experiment.oof(last).set_index("id")
    own = rows.set_index("id").loc[oof.index[oof["cv_fold"] == fold["fold"]]].reset_index()
    both = []
    for part in ("seed 3", "seed 4"):
        model = experiment.model(last, fold["fold"], part=part, data=desk.data)
        assert part in repr(model)
        assert model.native.num_trees() == model.spec.length
        ranks = pd.Series(model.predict(own)).groupby(own["era"].to_numpy()).rank(pct=True)
        both.append(ranks)
    mixed = (both[0] + both[1]).groupby(own["era"].to_numpy()).rank()
    stored = oof.loc[own["id"], "prediction"].reset_index(drop=True).groupby(own["era"].to_numpy()).rank()
    np.testing.assert_allclose(mixed, stored)

    assert run(["store", "gc", "--models", "--delete", "--data-dir", str(desk.data)]) == 0
    trained = experiment.model("r01-base", 1, part="seed 3", data=desk.data, train=True)
    assert trained.predict(own).shape == (len(own),)
    for wrong, words in (
        ({"fold": 9}, "no fold 9; its folds are 1, 2, 3"),
        ({"fold": 1}, "several fits make a fold; give part as one of 'seed 3', 'seed 4'"),
        ({"fold": 1, "part": "seed 5"}, "no part 'seed 5'"),
    ):
        with pytest.raises(RequestError, match=words):
            experiment.model(last, data=desk.data, **wrong)  # type: ignore[arg-type]
    for frame, words in (
        (own.drop(columns=trained.features[0]), "rows lack feature"),
        (own.astype({trained.features[0]: float}), "must be whole numbers"),
        (pd.concat([own, own]), "an era comes twice"),
        (own[:0], "at least one"),
    ):
        with pytest.raises(RequestError, match=words):
            trained.predict(frame)
    desk.plan({**SEEDS, "holdout_eras": 4})
    with pytest.raises(DataError, match="holdout_eras are others now"):
        Experiment.load(desk.folder).model(last, 1, part="seed 3", data=desk.data)


# --- care --------------------------------------------------------------------------------------------------------


def test_models_are_counted_and_go_first(catalog: Catalog, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store = FitStore.below(tmp_path, keep_models=True)
    plan = catalog.plan("a", "kept/r1/a", config())
    run_in(store, plan)
    data = ["--data-dir", str(tmp_path)]
    assert run(["store", "info", *data, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["models"] == len(plan.fits)
    assert run(["store", "verify", *data, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["whole"] == 2 * len(plan.fits) + len(list(store.root.rglob("*.look")))
    fits = entries(store, "fit")
    assert run(["store", "gc", "--models", *data]) == 0
    assert f"a model: {len(plan.fits)} files" in capsys.readouterr().out
    assert len(entries(store, "model")) == len(plan.fits)
    assert run(["store", "gc", "--models", "--delete", *data]) == 0
    assert not entries(store, "model")
    assert entries(store, "fit") == fits


def test_beyond_a_size_models_go_before_fits() -> None:
    files = [StoreFile(f"a{i}/a{i}.{kind}", 10, 9.0 - i, kind) for i, kind in enumerate(("fit", "model", "fit"))]
    assert [each.file.kind for each in removals(files, Limits(size_bytes=20))] == ["model"]
    assert [each.file.key for each in removals(files, Limits(size_bytes=10))] == ["a1", "a0"]
