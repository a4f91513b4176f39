"""A dataset as Ray objects: blocks that feature sets share, and the loss of the node that holds them."""

import math
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from contracts import config, params
from places import SUPPORT

from numerai_ray.data.dataset import load_features
from numerai_ray.data.files.build import build
from numerai_ray.data.synthetic.files import write_market
from numerai_ray.data.synthetic.market import MarketSpec
from numerai_ray.runners.ray import shared_data as shared_dataset
from numerai_ray.runners.ray.shared_data import (
    InputShape,
    SharedDatasets,
    blocks_of,
    fit_bytes,
    read_ahead,
    read_block,
    workload,
)
from numerai_ray.system import resources as resource_plan
from numerai_ray.system.resources import COLUMN_BYTES_PER_ROW, FitSize
from numerai_ray.training.catalog import Catalog


@pytest.fixture(scope="module")
def wide(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A market whose blocks are too large for Ray to carry them inside its messages."""
    root = tmp_path_factory.mktemp("wide")
    write_market(MarketSpec(eras=60, rows=600, features=40, seed=2), root / "tiny")
    build(root / "tiny")
    return root


def test_a_worker_puts_together_what_it_is_handed(market: Path) -> None:
    spec = Catalog(market).plan("x", "t/r1/x", config({"data": {"feature_set": "all"}})).fits[-1]
    loaded = load_features(spec.index, spec.features)
    half = len(spec.features) // 2
    names = (spec.features[:half], spec.features[half:])
    handed = [read_block(spec.index, part) for part in names]
    chosen = tuple(reversed(spec.features[3:-2]))
    features = InputShape(chosen, names).put_together(handed)
    assert features.names == chosen
    np.testing.assert_array_equal(np.stack(features.columns), np.stack(loaded.select(chosen).columns))
    np.testing.assert_array_equal(features.seen.bits, loaded.select(chosen).seen.bits)
    assert all(any(np.shares_memory(column, array) for array, _ in handed) for column in features.columns)


def test_feature_sets_share_their_blocks(market: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each feature once, whatever the order of the fits, and however many sets it is in."""
    catalog = Catalog(market)
    small, medium, everything = (
        catalog.plan(name, f"t/r1/{name}", config({"data": {"feature_set": name}})).fits
        for name in ("small", "medium", "all")
    )
    monkeypatch.setattr(resource_plan, "BLOCK_BYTES", 7 * small[0].index.n_rows)
    blocks = blocks_of([*small, *everything, *medium])
    names = [name for _, block in blocks for name in block]
    assert sorted(names) == sorted(everything[0].features)
    assert max(len(block) for _, block in blocks) == 7
    assert blocks == blocks_of([*everything, *medium, *small])
    assert sorted(name for _, block in blocks_of(small) for name in block) == sorted(small[0].features)


def test_the_driver_reads_ahead_so_much_and_nothing_twice(market: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fits = Catalog(market).plan("x", "t/r1/x", config({"data": {"feature_set": "all"}})).fits
    a_feature = fits[0].index.n_rows
    monkeypatch.setattr(resource_plan, "BLOCK_BYTES", 7 * a_feature)
    first, second, *_ = blocks_of(fits)
    shared = SharedDatasets()
    for room, expected in ((6, []), (7, [first]), (20, [first, second]), (10**6, list(blocks_of(fits)))):
        monkeypatch.setattr(shared_dataset, "AHEAD_BYTES", room * a_feature)
        assert list(read_ahead(fits, shared)) == expected
    monkeypatch.setattr(shared, "holds", {first}.__contains__)
    monkeypatch.setattr(shared_dataset, "AHEAD_BYTES", 7 * a_feature)
    (found,) = read_ahead(fits, shared).items()
    assert found[0] == second
    np.testing.assert_array_equal(found[1][0], np.stack(load_features(fits[0].index, second[1]).columns))


def test_the_work_of_a_round_is_counted_from_its_fits(market: Path) -> None:
    catalog = Catalog(market)
    medium = catalog.plan("m", "t/r1/m", config(params(num_leaves=100))).fits
    everything = catalog.plan("a", "t/r1/a", config({"data": {"feature_set": "all"}})).fits
    huber = catalog.plan("h", "t/r1/h", config(params(objective="huber"))).fits
    work = workload([*medium, *everything, *huber])
    rows, most = medium[0].index.n_rows, len(everything[0].features)
    assert (work.rows, work.features, work.fits) == (rows, most, 9)
    assert work.shared_bytes == rows * (most + COLUMN_BYTES_PER_ROW), "the features of all sets, each once"
    assert work.fit_bytes == max(map(fit_bytes, [*medium, *everything, *huber]))
    assert fit_bytes(medium[0]) < fit_bytes(medium[-1])
    assert workload(medium).shared_bytes == rows * (len(medium[0].features) + COLUMN_BYTES_PER_ROW)


def test_the_size_of_a_fit_follows_from_its_fold_and_config(market: Path) -> None:
    def size(**changes: object) -> FitSize:
        return Catalog(market).plan("x", "t/r1/x", config(changes)).fits[-1].size

    plain = size()
    assert plain.engine == "five_values"
    assert plain.span == plain.rows > plain.predicted > 0, "an expanding window is one piece"
    assert (plain.drawn, plain.leaves, plain.weighted) == (math.ceil(plain.features / 2), 7, False)
    assert replace(size(**params(colsample_bytree=0.1, num_leaves=63)), drawn=0) == replace(plain, leaves=63, drawn=0)
    assert size(**params(colsample_bytree=0.1)).drawn == math.ceil(plain.features / 10)
    assert size(model={"era_weights": {"type": "equal"}}) == replace(plain, weighted=True)
    sampled = size(model={"era_sample": {"every": 2}})
    assert sampled.rows < 0.6 * plain.rows
    assert sampled.span > 0.95 * plain.span, "what lies between is there, too"
    asked = {"model": {"engine": "lightgbm"}}
    for left_to_lightgbm in ({"data": {"missing": "nan"}}, params(objective="poisson"), asked):
        assert size(**left_to_lightgbm) == replace(plain, engine="lightgbm")


@pytest.mark.ray
def test_a_lost_node_is_loaded_again(wide: Path) -> None:
    """Features in blocks, and columns, all on a node that then dies: the next one reads them again."""
    code = LOST_NODE.format(market=str(wide), tests=str(SUPPORT))
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    assert "blocks: 8" in done.stdout
    assert "the same after the loss" in done.stdout


# In a process of its own, because a process talks to one cluster at a time.
LOST_NODE = """
import sys, zlib
sys.path.insert(0, {tests!r})
from pathlib import Path
from numerai_ray.runners.ray.start import RaySettings
import ray
from ray.cluster_utils import Cluster
from contracts import config
from numerai_ray.runners.ray import shared_data as shared_dataset
from numerai_ray.system import resources as resource_plan
from numerai_ray.training.catalog import Catalog

resource_plan.BLOCK_BYTES = 200_000
cluster = Cluster(initialize_head=True, head_node_args={{"num_cpus": 0, "object_store_memory": 200_000_000}})
holder = cluster.add_node(num_cpus=2, object_store_memory=200_000_000)
ray.init(address=cluster.address, log_to_driver=False)
catalog = Catalog(Path({market!r}))
plans = [catalog.plan(name, "t/r1/" + name, config({{"data": {{"feature_set": name}}}})) for name in ("small", "all")]
shared = shared_dataset.SharedDatasets()
shared.open(plans, [fit for plan in plans for fit in plan.fits])
small, everything = (shared.inputs(plan.fits[-1]) for plan in plans)
assert len(small.refs) < len(everything.refs), "a smaller set needs fewer blocks"
assert set(small.refs) < set(everything.refs), "and shares them with the larger one"
print(f"blocks: {{len(everything.refs)}}")

@ray.remote(num_cpus=1, max_retries=3)
def digest(shape, columns, *values):
    features = shape.put_together(values)
    parts = [*features.columns, *columns.targets.values()]
    return [zlib.crc32(part) for part in parts]

def digests():
    columns = shared.columns(plans[0])
    return ray.get([digest.remote(each.shape, columns, *each.refs) for each in (small, everything)], timeout=120)

before = digests()
assert all(before)
assert shared.shared_bytes() > 40 * 36_000
cluster.remove_node(holder, allow_graceful=False)
cluster.add_node(num_cpus=2, object_store_memory=200_000_000)
assert digests() == before
print("the same after the loss")
ray.shutdown()
cluster.shutdown()
"""
