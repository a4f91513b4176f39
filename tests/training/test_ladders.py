"""One fit, the longest, stands for all lengths: equal to separate fits to the last bit, and trained once."""

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from contracts import config, ignore, params, same_outcome

from numerai_ray.config import apply_overrides
from numerai_ray.errors import FitError
from numerai_ray.models.lightgbm import LightGBM
from numerai_ray.runners.in_process import InProcessRunner
from numerai_ray.training.batches import carry_out, trainings
from numerai_ray.training.catalog import Catalog
from numerai_ray.training.spec import FitSpec, VariantPlan
from numerai_ray.training.store.fits import FitStore, StoredFit

LENGTHS = (3, 9, 20)
KINDS: dict[str, dict[str, Any]] = {
    "plain": {},
    "bagging": {"bagging_fraction": 0.5, "bagging_freq": 3},
    "features of each node": {"bagging_fraction": 0.5, "bagging_freq": 3, "feature_fraction_bynode": 0.5},
    "random thresholds": {"extra_trees": True},
    "own objective": {"objective": "l1"},
    "nothing left to split": {"min_data_in_leaf": 3000},
}


def ladder(catalog: Catalog, lengths: Sequence[int] = LENGTHS, **more: Any) -> list[VariantPlan]:
    return [
        catalog.plan(f"trees-{trees}", f"ladder/r1/trees-{trees}", config(params(n_estimators=trees, **more)))
        for trees in lengths
    ]


@pytest.fixture
def catalog(market: Path) -> Catalog:
    return Catalog(market)


# Bags are drawn also where features of each node are.
@pytest.mark.parametrize("kind", [pytest.param(k, marks=[pytest.mark.slow] if k == "bagging" else []) for k in KINDS])
def test_each_length_is_what_a_fit_of_its_own_gives(catalog: Catalog, tmp_path: Path, kind: str) -> None:
    plans = ladder(catalog, **KINDS[kind])
    assert len(trainings(spec for plan in plans for spec in plan.fits)) == len(plans[0].fits)
    together = InProcessRunner(FitStore(tmp_path / "together"), threads=2).run(plans, ignore)
    for plan in plans:
        alone = InProcessRunner(FitStore(tmp_path / plan.id), threads=1).run([plan], ignore)
        same_outcome(together[plan.id], alone[plan.id])


@pytest.mark.parametrize("kind", [{"data": {"missing": "nan"}}, {"model": {"engine": "lightgbm"}}])
def test_lengths_are_read_whatever_grows_the_trees(catalog: Catalog, tmp_path: Path, kind: dict[str, Any]) -> None:
    plans = [
        catalog.plan(f"t{trees}", "own/r1/x", config(apply_overrides(params(n_estimators=trees), kind)))
        for trees in LENGTHS
    ]
    together = InProcessRunner(FitStore(tmp_path / "together"), threads=1).run(plans, ignore)
    for plan in plans:
        same_outcome(together[plan.id], InProcessRunner(FitStore(tmp_path / plan.id), 1).run([plan], ignore)[plan.id])


def test_only_the_length_may_differ(catalog: Catalog) -> None:
    plans = [*ladder(catalog), *ladder(catalog, (5,), learning_rate=0.2), *ladder(catalog, (6,), boosting="dart")]
    groups = trainings(spec for plan in plans for spec in plan.fits)
    folds = len(plans[0].fits)
    assert sorted(len(each.specs) for each in groups) == [1] * 2 * folds + [3] * folds
    assert [spec.length for spec in groups[0].specs] == list(LENGTHS)
    assert LightGBM().length({"boosting": "rf"}) is None
    # The costliest first, whatever the order in which they are asked for.
    costs = [each.longest.cost for each in groups]
    assert costs == sorted(costs, reverse=True)


def test_a_stored_length_is_not_trained_for_again(catalog: Catalog, tmp_path: Path) -> None:
    store = FitStore(tmp_path)
    short, *longer = ladder(catalog)
    runner = InProcessRunner(store, threads=1)
    runner.run([short], ignore)
    outcomes = runner.run([short, *longer], ignore)
    assert all(fold.stored for fold in outcomes[short.id].folds)
    assert not any(fold.stored for plan in longer for fold in outcomes[plan.id].folds)
    again = runner.run(ladder(catalog)[1:2], ignore)
    assert all(fold.stored for outcome in again.values() for fold in outcome.folds)


def fits_of(specs: Sequence[FitSpec]) -> list[StoredFit]:
    return [StoredFit(np.array([float(spec.length or 0)]), {}) for spec in specs]


def test_a_rung_that_fails_leaves_the_others_alone(catalog: Catalog, tmp_path: Path) -> None:
    (training, *_) = trainings(plan.fits[0] for plan in ladder(catalog))

    def diverges(specs: Sequence[FitSpec]) -> list[StoredFit]:
        if any((spec.length or 0) > 10 for spec in specs):
            raise FitError("the model predicts NaN or infinity")
        return fits_of(specs)

    trained = carry_out(training, FitStore(tmp_path), diverges)
    assert [isinstance(trained.fits[spec.key], FitError) for spec in training.specs] == [False, False, True]
    assert FitStore(tmp_path).has(training.specs[0].key)
    assert not FitStore(tmp_path).has(training.longest.key)


ASK = """
import sys, time
from pathlib import Path
import numpy as np
from numerai_ray.training.store.fits import claimed
from numerai_ray.training.store.fits import FitStore, StoredFit

root, key = Path(sys.argv[1]), "ab" * 32
store = FitStore(root)
print("ready", flush=True)
input()
with claimed(root, key):
    if store.get(key) is None:
        time.sleep(0.3)
        print("trained", flush=True)
        store.put(key, StoredFit(np.zeros(1), {}))
"""


def test_two_that_ask_at_the_same_moment_train_once(tmp_path: Path) -> None:
    """Processes are what claims keep apart; the runs of one process are threads that take turns already."""
    command = [sys.executable, "-c", ASK, str(tmp_path / "store")]
    askers = [subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    for each in askers:
        assert each.stdout is not None
        assert each.stdout.readline() == "ready\n"
    for each in askers:
        assert each.stdin is not None
        each.stdin.write("go\n")
        each.stdin.flush()
    said = sorted(each.communicate(timeout=60)[0] for each in askers)
    assert [each.returncode for each in askers] == [0, 0]
    assert said == ["", "trained\n"]
