"""What is said of a variant beside its scores: right, in results JSON, at a row group's memory, and never decisive."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from contracts import SMALL, config, ignore
from numerai_tools.scoring import feature_neutral_corr as official_fnc

from numerai_ray.config import Config, validate
from numerai_ray.data.dataset import load_columns, load_features
from numerai_ray.data.era_slabs import era_slabs
from numerai_ray.experiment.diagnostics_output import correlations_of_round
from numerai_ray.experiment.paths import ExperimentPaths
from numerai_ray.experiment.variant_output import results_json
from numerai_ray.metrics.importance import by_group, feature_groups, importance_of, mean_importance
from numerai_ray.runners.in_process import InProcessRunner
from numerai_ray.system.json_text import to_json
from numerai_ray.training.catalog import Catalog
from numerai_ray.training.diagnostics import diagnose_fold
from numerai_ray.training.outcome import VariantOutcome
from numerai_ray.training.store.fits import FitStore

OTHERS = {
    "xgboost": {"n_estimators": 5, "max_depth": 3},
    "catboost": {"iterations": 5, "depth": 3, "learning_rate": 0.1},
    "sklearn": {"estimator": "sklearn.linear_model:Ridge"},
}


def run(market: Path, root: Path, *changes) -> list[VariantOutcome]:
    catalog, runner = Catalog(market, root), InProcessRunner(FitStore(root / "store"), 1)
    plans = [catalog.plan(f"v{i}", f"t/r1/v{i}", config(each)) for i, each in enumerate(changes)]
    return list(runner.run(plans, ignore).values())


@pytest.fixture(scope="module")
def outcome(market: Path, tmp_path_factory: pytest.TempPathFactory) -> VariantOutcome:
    return run(market, tmp_path_factory.mktemp("one"), {})[0]


def test_exposures_and_neutral_corr_are_the_slow_ones_era_by_era(outcome: VariantOutcome) -> None:
    look, plan = outcome.diagnosis, outcome.plan
    assert look is not None
    assert look.eras == outcome.eras
    features = load_features(plan.index, tuple(dict.fromkeys((*plan.diagnosed.features, *plan.diagnosed.neutral_to))))
    columns = load_columns(plan.index, plan.config.data, ["target_ender_20"], [])
    starts = plan.index.starts_of(outcome.eras)
    slow = []
    for place in range(len(outcome.eras)):
        rows = outcome.rows[starts[place] : starts[place + 1]]
        x = pd.DataFrame({n: c[rows].astype(float) for n, c in zip(features.names, features.columns, strict=True)})
        p = pd.Series(outcome.prediction[starts[place] : starts[place + 1]], name="p")
        exposure = x[list(plan.diagnosed.features)].corrwith(p.rank())
        slow.append(exposure.to_numpy())
        sizes = exposure.abs()
        assert look.strongest[place] == pytest.approx(sizes.max(), abs=1e-12)
        assert look.mean[place] == pytest.approx(sizes.mean(), abs=1e-12)
        assert plan.diagnosed.features[look.feature[place]] == sizes.idxmax()
    np.testing.assert_allclose(look.exposure, np.nanmean(slow, axis=0), atol=1e-12)
    np.testing.assert_array_equal(look.corr, outcome.scores.corr)
    # Equal rows of a few features have equal rests, whose order is rounding: without ties there is one answer.
    first = slice(0, plan.index.starts_of(plan.folds.trainable[0].validation_eras)[-1])
    apart = outcome.prediction[first] + np.random.default_rng(0).normal(0, 1e-3, first.stop)
    neutral = diagnose_fold(plan, 0, [apart], columns)[0].neutral_corr
    for place in range(len(neutral)):
        own = slice(starts[place], starts[place + 1])
        rows, named = outcome.rows[own], pd.Index(range(own.stop - own.start), name="id")
        there = {n: c[rows].astype(float) for n, c in zip(features.names, features.columns, strict=True)}
        x = pd.DataFrame(there, index=named)[list(plan.diagnosed.neutral_to)]
        target = pd.Series(columns.targets["target_ender_20"][rows].astype(float), named, name="t")
        fnc = official_fnc(pd.DataFrame({"p": apart[own]}, index=named), x, target).iloc[0]
        assert neutral[place] == pytest.approx(fnc, abs=1e-8)


def test_results_have_every_part_and_are_json(outcome: VariantOutcome) -> None:
    value = json.loads(to_json(results_json(outcome, "o", "p", {"v9": 0.5})))["diagnostics"]
    assert set(value) == {
        "eras", "feature_exposure", "feature_neutral_corr", "churn", "per_era", "importance", "correlation_with",
    }  # fmt: skip
    assert value["correlation_with"] == {"v9": 0.5}
    assert set(value["feature_exposure"]["per_feature"]) == set(outcome.plan.diagnosed.features)
    shares = value["importance"]["per_feature"]
    assert sum(shares.values()) == pytest.approx(1, abs=1e-4)
    groups = value["importance"]["by_group"]
    for name, members in outcome.plan.diagnosed.groups.items():
        assert groups.get(name, 0) == pytest.approx(sum(shares.get(each, 0) for each in members))
    assert value["churn"] == {"mean": None, "turnover": None, "n_eras": 0, "common_ids": 0.0}
    assert value["feature_neutral_corr"]["neutral_to"] == "fncv3_features"


def test_a_failed_variant_is_not_looked_at(market: Path, tmp_path: Path) -> None:
    (bad,) = run(market, tmp_path, {"model": {"params": {"monotone_constraints": [1, 0]}}})
    assert bad.error is not None
    assert bad.diagnosis is None


@pytest.mark.parametrize("kind", OTHERS)
def test_each_library_tells_what_mattered(market: Path, tmp_path: Path, kind: str) -> None:
    pytest.importorskip(kind)
    own = validate(Config, {**SMALL, "model": {"type": kind, "params": OTHERS[kind]}}, kind)
    plan = Catalog(market).plan("v", "t/r1/v", own)
    found = InProcessRunner(FitStore(tmp_path), 1).run([plan], ignore)["v"]
    for fold in found.folds:
        assert fold.importance is not None
        assert len(fold.importance.values) == len(plan.fits[0].features)
        assert sum(fold.importance.values) == pytest.approx(1, abs=1e-4)


def test_a_ladder_tells_of_each_rung_what_a_fit_of_that_length_tells(market: Path, tmp_path: Path) -> None:
    rungs = [{"model": {"params": {"n_estimators": trees}}} for trees in (3, 9)]
    together = run(market, tmp_path / "together", *rungs)
    for rung, outcome in zip(rungs, together, strict=True):
        (alone,) = run(market, tmp_path / f"alone{rung['model']['params']['n_estimators']}", rung)
        assert [fold.importance for fold in outcome.folds] == [fold.importance for fold in alone.folds]
    assert together[0].folds[0].importance != together[1].folds[0].importance


def test_a_users_model_may_tell_and_must_then_tell_of_every_feature(market: Path, tmp_path: Path) -> None:
    text = (
        "class Mean:\n"
        "  def __init__(self, count: int = 0): self.count = count\n"
        "  def fit(self, rows): self.k = self.count or rows.features.shape[1]; return self\n"
        "  def predict(self, rows): return rows.features.mean(axis=1)\n"
        "  def importance(self): return [1.0] * self.k\n"
    )
    (tmp_path / "mean.py").write_text(text)
    for params in ({}, {"count": 3}):
        own = validate(Config, {**SMALL, "model": {"type": "mean.py:Mean", "params": params}}, "t")
        plan = Catalog(market, tmp_path).plan("v", "t/r1/v", own)
        found = InProcessRunner(FitStore(tmp_path / f"s{len(params)}"), 1).run([plan], ignore)["v"]
        if params:
            assert "importance must have one number a feature" in (found.error or "")
        else:
            assert len(set(found.folds[0].importance.values)) == 1  # type: ignore[union-attr]


def test_fits_kept_before_there_were_importances_are_read(market: Path, tmp_path: Path) -> None:
    catalog, store = Catalog(market), FitStore(tmp_path)
    plan = catalog.plan("v", "t/r1/v", config())
    first = InProcessRunner(store, 1).run([plan], ignore)["v"]
    for spec in plan.fits[:2]:
        fit = store.get(spec.key)
        assert fit is not None
        store.put(spec.key, replace(fit, facts={k: v for k, v in fit.facts.items() if k != "importance"}))
    again = InProcessRunner(store, 1).run([plan], ignore)["v"]
    told = results_json(again, "o", "p")["diagnostics"]["importance"]
    assert (told["fits"], told["silent_fits"]) == (len(plan.fits) - 2, 2)
    assert again.metrics == first.metrics


def test_slabs_are_the_features_whatever_the_row_groups(market: Path, tmp_path: Path) -> None:
    plan = Catalog(market).plan("v", "t/r1/v", config())
    names = plan.diagnosed.features
    whole = load_features(plan.index, names)
    table = pq.read_table(plan.index.path)
    for size in (25, 100, 10**6):  # eras have 60 rows
        path = tmp_path / f"{size}.parquet"
        pq.write_table(table, path, row_group_size=size)
        index = replace(plan.index, path=path)
        for era, slab in zip(index.eras[::3], era_slabs(index, names, index.eras[::3]), strict=True):
            ((start, stop),) = index.row_ranges([era])
            np.testing.assert_array_equal(slab, whole.slab(slice(start, stop)))


def test_churn_where_ids_stay_with_their_stocks(market: Path, tmp_path: Path, outcome: VariantOutcome) -> None:
    """The market with the ids of every era numbered anew: the same stocks, era after era."""
    index, data = outcome.plan.index, outcome.plan.config.data
    places = []
    for path in (index.path, index.benchmark_path):
        table = pq.read_table(path)
        eras = table.column("era").to_pandas()
        names = pa.array("s" + eras.groupby(eras).cumcount().astype(str))
        places.append(tmp_path / path.name)
        pq.write_table(table.set_column(table.schema.get_field_index("id"), "id", names), places[-1])
    index = replace(index, path=places[0], benchmark_path=places[1])
    columns = load_columns(index, data, ["target_ender_20"], [])
    assert columns.ids_persist
    plan = replace(outcome.plan, index=index)
    fold = plan.folds.trainable[0]
    size = plan.index.starts_of(fold.validation_eras)[-1]
    look = diagnose_fold(plan, 0, [outcome.prediction[:size]], columns)[0]
    first, second = (slice(*plan.index.starts_of(fold.validation_eras)[i : i + 2]) for i in (0, 1))
    a, b = (pd.Series(outcome.prediction[rows], columns.ids[: rows.stop - rows.start]) for rows in (first, second))
    assert np.isnan(look.churn[0])
    n = min(len(a), len(b))
    slow = 1 - a.reset_index(drop=True)[:n].corr(b.reset_index(drop=True)[:n], method="spearman")
    assert look.churn[1] == pytest.approx(slow, abs=1e-12)
    assert look.common[1] == n
    assert 0 < look.turnover[1] <= 1


def test_likeness_of_a_round_counts_earlier_variants_and_only_those_of_the_same_rows(market, tmp_path) -> None:
    one, two = run(market, tmp_path, {}, {"model": {"params": {"num_leaves": 3}}})
    paths = ExperimentPaths(tmp_path / "exp")
    columns = load_columns(one.plan.index, one.plan.config.data, ["target_ender_20"], [])
    for name, rows in (("r01-kept", slice(None)), ("r01-other", slice(1, None))):
        ids = columns.ids[one.rows].astype(str)[rows]
        paths.predictions(name).parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(pa.table({"id": ids, "prediction": -one.prediction[rows]}), paths.predictions(name))
    known = ["r01-kept", "r01-other", "r01-gone"]
    found = correlations_of_round({"one": one, "two": two}, known, paths, columns)
    assert set(found) == {"one", "two", "r01-kept"}
    assert found["one"]["r01-kept"] == pytest.approx(-1)
    assert found["one"]["two"] == found["two"]["one"]
    assert 0 < found["one"]["two"] < 1
    assert correlations_of_round({}, known, paths, None) == {}


def test_importances_add_up_over_fits_and_groups() -> None:
    one, two = importance_of("gain", [3, 1]), importance_of("gain", [0, -2])
    assert importance_of("gain", [0, 0]) is None
    assert importance_of("gain", [np.inf, 1]) is None
    assert one is not None
    assert two is not None
    shares = mean_importance([(("a", "b"), one, 1.0), (("b", "c"), two, 1.0)])
    assert shares == {"c": 0.5, "a": 0.375, "b": 0.125}
    sets = {"small": ["a"], "all": ["a", "b", "c"], "rain": ["a", "b"], "fncv3_features": ["c"], "faith": ["x"]}
    assert set(feature_groups(sets)) == {"rain", "faith"}
    assert by_group(shares, feature_groups(sets)) == {"rain": 0.5, "no group": 0.5}


def test_an_importance_that_fails_says_whose(market: Path, tmp_path: Path) -> None:
    (tmp_path / "bad.py").write_text(
        "class Bad:\n  def fit(self, rows): return self\n  def predict(self, rows): return rows.features[:, 0]\n"
        "  def importance(self): raise RuntimeError('no trees')\n"
    )
    own = validate(Config, {**SMALL, "model": {"type": "bad.py:Bad"}}, "t")
    plan = Catalog(market, tmp_path).plan("v", "t/r1/v", own)
    found = InProcessRunner(FitStore(tmp_path / "s"), 1).run([plan], ignore)["v"]
    assert "bad.py:Bad, importance: RuntimeError: no trees" in (found.error or "")
