"""One suite, many implementations: what every round runner promises."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from numerai_ray.config import Config, apply_overrides, validate
from numerai_ray.runners.base import Progress, RoundRunner
from numerai_ray.runners.in_process import InProcessRunner
from numerai_ray.system.cluster import Spent
from numerai_ray.training.catalog import Catalog
from numerai_ray.training.outcome import VariantOutcome
from numerai_ray.training.spec import VariantPlan
from numerai_ray.training.store.fits import FitStore
from numerai_ray.training.store.models import ModelStore

SMALL: dict[str, Any] = {
    "data": {"version": "tiny", "file": "full", "feature_set": "medium"},
    "cv": {"n_splits": 4, "embargo_eras": 16},
    "model": {"params": {"n_estimators": 12, "num_leaves": 7, "colsample_bytree": 0.5, "random_state": 3}},
    "score": {"target": "target_ender_20"},
}

HALF_OF = ["small", "benchmark"]
STACKED: dict[str, Any] = {
    "members": {"few": {"model": {"params": {"num_leaves": 3}}}, "other": {"data": {"target": "target_ender_60"}}},
    "stack": {"min_fit_eras": 5},
}

# Fails in the first fold alone, which has the fewest rows.
FRAGILE = """
import numpy as np
class Fragile:
    def fit(self, rows):
        if len(rows.features) < 1200:
            raise ValueError("too few rows")
        return self
    def predict(self, rows):
        return np.nan_to_num(rows.features)[:, 0].astype(float)
"""


def config(changes: Mapping[str, Any] | None = None) -> Config:
    """A complete small config with ``changes`` laid over it."""
    return validate(Config, apply_overrides(SMALL, changes or {}), "test config")


def params(**values: Any) -> dict[str, Any]:
    return {"model": {"params": values}}


def ignore(_: Progress) -> None:
    """Watch nothing."""


def same_outcome(one: VariantOutcome, other: VariantOutcome) -> None:
    """Equal to the last bit, in everything but how long it took and what was stored."""
    assert one.error == other.error
    np.testing.assert_array_equal(one.rows, other.rows)
    np.testing.assert_array_equal(one.prediction, other.prediction)
    np.testing.assert_array_equal(one.fold, other.fold)
    np.testing.assert_array_equal(one.scores.bmc, other.scores.bmc)
    np.testing.assert_array_equal(one.scores.corr, other.scores.corr)
    assert one.metrics == other.metrics
    assert one.eras == other.eras
    untimed = [[replace(fold, seconds=0.0, stored=False) for fold in outcome.folds] for outcome in (one, other)]
    assert untimed[0] == untimed[1]
    assert (one.diagnosis is None) == (other.diagnosis is None)
    for ours, theirs in zip(*(vars(outcome.diagnosis or Config()).values() for outcome in (one, other)), strict=True):
        np.testing.assert_array_equal(ours, theirs)


class RunnerContract(ABC):
    """What a :class:`RoundRunner` promises; the reference is :class:`InProcessRunner` on one thread."""

    @abstractmethod
    def make(self, store: FitStore) -> RoundRunner:
        """A runner over ``store``."""

    @pytest.fixture
    def store(self, tmp_path: Path) -> FitStore:
        return FitStore(tmp_path / "store")

    @pytest.fixture
    def catalog(self, market: Path) -> Catalog:
        return Catalog(market)

    @pytest.fixture
    def reference(self, catalog: Catalog, tmp_path: Path) -> dict[str, VariantOutcome]:
        runner = InProcessRunner(FitStore(tmp_path / "reference"), threads=1)
        return runner.run(self.plans(catalog), ignore)

    def plans(self, catalog: Catalog) -> list[VariantPlan]:
        """A base, a variant, one that shares the base's fits but not its scoring, one with nulls and sampling."""
        return [
            catalog.plan("base", "test/r1/base", config()),
            catalog.plan("leaves", "test/r1/leaves", config(params(num_leaves=4))),
            catalog.plan("scored", "test/r1/scored", config({"score": {"target": "target_ender_60"}})),
            catalog.plan(
                "sampled",
                "test/r1/sampled",
                config({"data": {"missing": "nan"}, "model": {"max_train_samples": 500}}),
            ),
        ]

    def test_outcomes_equal_the_reference(
        self, store: FitStore, catalog: Catalog, reference: dict[str, VariantOutcome]
    ) -> None:
        outcomes = self.make(store).run(self.plans(catalog), ignore)
        assert list(outcomes) == list(reference)
        for trial, outcome in outcomes.items():
            same_outcome(outcome, reference[trial])
        assert outcomes["scored"].metrics != outcomes["base"].metrics
        np.testing.assert_array_equal(outcomes["scored"].prediction, outcomes["base"].prediction)

    def test_predictions_put_together_from_several_fits(
        self, store: FitStore, catalog: Catalog, tmp_path: Path
    ) -> None:
        plans = [
            catalog.plan("base", "test/r3/base", config()),
            catalog.plan("seeds", "test/r3/seeds", config({"model": {"seeds": [3, 4]}})),
            catalog.plan("ranked", "test/r3/ranked", config({"post": {"rank": True}})),
            catalog.plan("neutral", "test/r3/neutral", config({"post": {"neutralize": {"to": HALF_OF}}})),
            catalog.plan("half", "test/r3/half", config({"post": {"neutralize": {"to": HALF_OF, "proportion": 0.5}}})),
            catalog.plan("stacked", "test/r3/stacked", config({"ensemble": STACKED})),
        ]
        plans = [replace(plan, origin="this round") for plan in plans]
        expected = InProcessRunner(FitStore(tmp_path / "expected"), threads=1).run(plans, ignore)
        seen: list[Progress] = []
        outcomes = self.make(store).run(plans, seen.append)
        assert list(outcomes) == list(expected)
        for plan in plans:
            same_outcome(outcomes[plan.id], expected[plan.id])
            assert outcomes[plan.id].diagnosis is not None
            own = [each for each in seen if each.trial == plan.id]
            assert [each.folds_done for each in own] == [1, 2, 3], "told fold by fold, not at the end"
            assert own[-1].primary == pytest.approx(outcomes[plan.id].metrics.primary, abs=1e-15)
        assert not any(fold.stored for fold in outcomes["seeds"].folds)

    def test_order_does_not_matter(
        self, store: FitStore, catalog: Catalog, reference: dict[str, VariantOutcome]
    ) -> None:
        outcomes = self.make(store).run(self.plans(catalog)[::-1], ignore)
        for trial, outcome in outcomes.items():
            same_outcome(outcome, reference[trial])

    def test_nothing_is_trained_twice(
        self, store: FitStore, catalog: Catalog, reference: dict[str, VariantOutcome]
    ) -> None:
        runner = self.make(store)
        plans = self.plans(catalog)
        runner.run(plans[:1], ignore)
        written = {path: path.stat().st_mtime_ns for path in store.root.rglob("*.fit")}
        assert len(written) == len(plans[0].fits)
        outcomes = runner.run(plans, ignore)
        assert all(fold.stored for trial in ("base", "scored") for fold in outcomes[trial].folds)
        assert not any(fold.stored for fold in outcomes["leaves"].folds)
        assert {path: path.stat().st_mtime_ns for path in written} == written
        again = runner.run(plans, ignore)
        for trial, outcome in again.items():
            assert all(fold.stored for fold in outcome.folds)
            same_outcome(outcome, reference[trial])

    def test_models_are_kept_where_the_store_is_asked_to(
        self, store: FitStore, catalog: Catalog, reference: dict[str, VariantOutcome], tmp_path: Path
    ) -> None:
        """Of fits that are new, and of one that is stored already: that one stays as it is, and counts as stored."""
        plans = self.plans(catalog)[:2]
        InProcessRunner(store, threads=1).run(plans[:1], ignore)
        fits = {path: path.stat().st_mtime_ns for path in store.root.rglob("*.fit")}
        outcomes = self.make(replace(store, keep_models=True)).run(plans, ignore)
        expected = FitStore(tmp_path / "expected", keep_models=True)
        InProcessRunner(expected, threads=1).run(plans, ignore)
        found, wanted = (
            {path.name: ModelStore(each.root).get(path.stem).model for path in each.root.rglob("*.model")}
            for each in (store, expected)
        )
        assert found == wanted
        assert len(found) == sum(len(plan.fits) for plan in plans)
        assert {path: path.stat().st_mtime_ns for path in fits} == fits
        assert all(fold.stored for fold in outcomes["base"].folds)
        for name, outcome in outcomes.items():
            same_outcome(outcome, reference[name])

    def test_damaged_entry_is_trained_again(
        self, store: FitStore, catalog: Catalog, reference: dict[str, VariantOutcome]
    ) -> None:
        plans = self.plans(catalog)[:1]
        runner = self.make(store)
        runner.run(plans, ignore)
        victim = store.path(plans[0].fits[1].key)
        victim.write_bytes(victim.read_bytes()[:-9])
        same_outcome(runner.run(plans, ignore)["base"], reference["base"])
        assert victim.exists()

    def test_a_trial_that_fails_leaves_the_others_alone(
        self, store: FitStore, catalog: Catalog, reference: dict[str, VariantOutcome]
    ) -> None:
        # The wrong number of constraints shows only against the real features.
        bad = catalog.plan("bad", "test/r1/bad", config(params(monotone_constraints=[1, 0])))
        seen: list[Progress] = []
        outcomes = self.make(store).run([bad, *self.plans(catalog)[:2]], seen.append)
        assert outcomes["bad"].error is not None
        assert "monotone_constraints" in outcomes["bad"].error
        assert outcomes["bad"].error.startswith("fold ")
        assert any(each.trial == "bad" and each.error for each in seen)
        assert outcomes["bad"].diagnosis is None
        same_outcome(outcomes["leaves"], reference["leaves"])

    def test_tells_progress_fold_by_fold(self, store: FitStore, catalog: Catalog) -> None:
        plans = self.plans(catalog)
        seen: list[Progress] = []
        spent: list[Spent] = []
        runner = self.make(store)

        def note(progress: Progress) -> None:
            seen.append(progress)
            spent.append(runner.spent())

        outcomes = runner.run(plans, note)
        used = [each.core_s for each in spent]
        assert used == sorted(used), "what is used up only grows"
        assert used[-1] <= runner.cost.core_hours * 3600
        assert runner.spent() == Spent(0.0, spent[-1].cores), "between rounds nothing is used"
        for plan in plans:
            own = [each for each in seen if each.trial == plan.id]
            assert {each.folds for each in own} == {len(plan.fits)}
            assert sorted({each.folds_done for each in own})[-1] == len(plan.fits)
            metrics = outcomes[plan.id].metrics
            assert metrics is not None
            assert own[-1].primary == pytest.approx(metrics.primary, abs=1e-15)

    def test_columns_are_those_of_the_file(self, store: FitStore, catalog: Catalog) -> None:
        plan = self.plans(catalog)[0]
        columns = self.make(store).columns(plan)
        assert len(columns.ids) == plan.index.n_rows
        assert set(columns.targets) >= {"target_ender_20"}

    def test_hopeless_variants_stop_whatever_finishes_first(
        self, store: FitStore, catalog: Catalog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("numerai_ray.runners.pruning.LEVEL", 0.9)  # nearly everything that trails is hopeless
        plans = [
            catalog.plan(f"leaves-{leaves}", f"test/r2/leaves-{leaves}", config(params(num_leaves=leaves)))
            for leaves in (7, 2, 3, 4, 5)
        ]
        averaged = config({"model": {"params": {"num_leaves": 2, "n_estimators": 2}, "seeds": [3, 4]}})
        plans.append(catalog.plan("averaged", "test/r2/averaged", averaged))
        plans = [plans[0], *(replace(plan, may_stop=True) for plan in plans[1:])]
        # Who fails, in every fold or in one, changes nothing for the others.
        (tmp_path / "fragile.py").write_text(FRAGILE)
        own = Catalog(catalog.data_root, tmp_path)
        fragile = config({"model": {"type": "fragile.py:Fragile"}})
        fragile = fragile.model_copy(update={"model": fragile.model.model_copy(update={"params": {}})})
        plans.insert(1, own.plan("fragile", "test/r2/fragile", fragile))
        plans.insert(1, catalog.plan("bad", "test/r2/bad", config(params(monotone_constraints=[1, 0]))))
        expected = InProcessRunner(FitStore(tmp_path / "expected"), threads=1).run(plans, ignore)
        seen: list[Progress] = []
        outcomes = self.make(store).run(plans, seen.append)
        assert {trial: (each.pruned, each.error) for trial, each in outcomes.items()} == {
            trial: (each.pruned, each.error) for trial, each in expected.items()
        }
        assert str(outcomes["bad"].error).startswith("fold 1: ")
        assert str(outcomes["fragile"].error).startswith("fold 1: ")
        stopped = {trial for trial, each in outcomes.items() if each.pruned}
        assert {"averaged"} < stopped
        assert plans[0].id not in stopped
        assert all(outcomes[trial].metrics is None and outcomes[trial].error is None for trial in stopped)
        for trial in set(outcomes) - stopped:
            same_outcome(outcomes[trial], expected[trial])
