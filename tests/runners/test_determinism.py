"""Predictions do not depend on threads, fits at once, placement, order or restarts: every model, every way."""

import importlib.util
import subprocess
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from contracts import SMALL, ignore, same_outcome
from every_model import EVERY, MODELS, NEEDS, Outcomes, plans_of, reference
from places import SUPPORT

from numerai_ray.config import Config, validate
from numerai_ray.models.sklearn import Sklearn
from numerai_ray.runners.in_process import InProcessRunner
from numerai_ray.training.catalog import Catalog
from numerai_ray.training.spec import VariantPlan
from numerai_ray.training.store.fits import FitStore


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("reference")


def on_threads(threads: int) -> Callable[[Sequence[VariantPlan], Path], Outcomes]:
    return lambda plans, folder: InProcessRunner(FitStore(folder), threads).run(plans, ignore)


def in_reverse(plans: Sequence[VariantPlan], folder: Path) -> Outcomes:
    return InProcessRunner(FitStore(folder), 2).run(plans[::-1], ignore)


def at_once(plans: Sequence[VariantPlan], folder: Path) -> Outcomes:
    """Each variant beside the other in one process: random state that they shared would mix."""

    def alone(plan: VariantPlan) -> Outcomes:
        return InProcessRunner(FitStore(folder / plan.id), 2).run([plan], ignore)

    with ThreadPoolExecutor(len(plans)) as pool:
        return {trial: outcome for found in pool.map(alone, plans) for trial, outcome in found.items()}


def restarted(plans: Sequence[VariantPlan], folder: Path) -> Outcomes:
    """Every second fit is there from an attempt that was killed; the others come from another start."""
    store = FitStore(folder)
    InProcessRunner(store, 4).run(plans, ignore)
    for spec in [spec for plan in plans for spec in plan.fits][::2]:
        store.path(spec.key).unlink()
    return InProcessRunner(store, 2).run(plans, ignore)


WAYS: dict[str, Callable[[Sequence[VariantPlan], Path], Outcomes]] = {
    "1 thread again": on_threads(1),
    "2 threads": on_threads(2),
    "4 threads": on_threads(4),
    "in reverse": in_reverse,
    "at once": at_once,
    "restarted": restarted,
}


# What two fits share shows when they are grown at once, and an order of sums on more threads.
QUICK_WAYS = ("4 threads", "at once")


@pytest.mark.parametrize(
    "way", [pytest.param(way, marks=[] if way in QUICK_WAYS else pytest.mark.slow) for way in WAYS]
)
@pytest.mark.parametrize("name", EVERY)
def test_the_same_predictions_to_the_last_bit(name: str, way: str, market: Path, root: Path, tmp_path: Path) -> None:
    expected = reference(name, market, root)
    found = WAYS[way](plans_of(name, market), tmp_path)
    assert set(found) == set(expected)
    for trial, outcome in found.items():
        assert outcome.error is None
        same_outcome(outcome, expected[trial])


@pytest.mark.parametrize("name", EVERY)
def test_the_seed_decides(name: str, market: Path, root: Path) -> None:
    """Or the matrix would compare what cannot differ."""
    one, other = reference(name, market, root).values()
    assert (one.prediction != other.prediction).any()


@pytest.mark.skipif(importlib.util.find_spec("sklearn") is None, reason="sklearn is not installed")
def test_an_estimator_without_a_seed_draws_the_same_each_time(market: Path, tmp_path: Path) -> None:
    config = validate(Config, {**SMALL, "model": {"type": "sklearn", "params": MODELS["sklearn"]}}, "test config")
    plan = Catalog(market).plan("a", "same/r1/a", config)
    one, other = (InProcessRunner(FitStore(tmp_path / name), 2).run([plan], ignore)["a"] for name in ("one", "other"))
    same_outcome(one, other)
    # What was stored of such an estimator when it drew as it liked is not taken for this.
    forest = {"estimator": "sklearn.ensemble:ExtraTreesRegressor"}
    for given, seed in (({}, 0), ({"random_state": None}, 0), ({"random_state": 7}, 7)):
        assert Sklearn().canonical_params({**forest, **given}) == {**forest, "random_state": seed}


@pytest.mark.ray
@pytest.mark.slow
def test_the_same_predictions_wherever_ray_places_the_fits(market: Path, tmp_path: Path) -> None:
    """All models in one round, on two nodes of different sizes: two fits at once on one, one on the other."""
    names = [name for name in MODELS if name not in NEEDS or importlib.util.find_spec(NEEDS[name])]
    code = PLACED.format(market=str(market), root=str(tmp_path), tests=str(SUPPORT), names=names)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    assert f"equal: {2 * len(names)} variants" in done.stdout


# In a process of its own, because a process talks to one cluster at a time.
PLACED = """
import sys
sys.path.insert(0, {tests!r})
from pathlib import Path
from numerai_ray.runners.ray.runner import TuneRunner
from numerai_ray.runners.ray.start import RaySettings
from ray.cluster_utils import Cluster
from contracts import ignore, same_outcome
from numerai_ray.training.store.fits import FitStore
from every_model import plans_of, reference

market, root = Path({market!r}), Path({root!r})
cluster = Cluster(initialize_head=True, head_node_args={{"num_cpus": 2, "object_store_memory": 150_000_000}})
cluster.add_node(num_cpus=1, object_store_memory=150_000_000)
plans = [plan for name in {names!r} for plan in plans_of(name, market)]
runner = TuneRunner(FitStore(root / "store"), RaySettings(root / "tune", root / "log", address=cluster.address))
found = runner.run(plans, ignore)
runner.close()
cluster.shutdown()
for name in {names!r}:
    for trial, outcome in reference(name, market, root / "reference").items():
        assert outcome.error is None and found[trial].error is None, (outcome.error, found[trial].error)
        same_outcome(found[trial], outcome)
print("equal:", len(found), "variants")
"""
