"""A dataset as Ray objects: chunks, blocks that feature sets share, and the loss of the node that holds them."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from contracts import config, params
from numerai_ray.prepared import prepare

from numerai_ray import resource_plan, shared_dataset
from numerai_ray.dataset import load_features
from numerai_ray.dataset_build import build
from numerai_ray.resource_plan import BINNED_BYTES_PER_VALUE, COLUMN_BYTES_PER_ROW, UNPREPARED_BYTES_PER_VALUE
from numerai_ray.shared_dataset import InputShape, fit_bytes, workload
from numerai_ray.synthetic import MarketSpec, write_market
from numerai_ray.trial_plan import Catalog


@pytest.fixture(scope="module")
def wide(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A market whose chunks are too large for Ray to carry them inside its messages."""
    root = tmp_path_factory.mktemp("wide")
    write_market(MarketSpec(eras=60, rows=600, features=40, seed=2), root / "tiny")
    build(root / "tiny")
    return root


def test_a_worker_puts_together_what_it_is_handed(market: Path) -> None:
    spec = Catalog(market).plan("x", "t/r1/x", config({"data": {"feature_set": "all"}})).fits[-1]
    prepared = prepare(spec, 1)
    loaded = load_features(spec.index, spec.features)
    half = len(spec.features) // 2
    names = (spec.features[:half], spec.features[half:])
    blocks = [load_features(spec.index, part) for part in names]
    chosen = tuple(reversed(spec.features[3:-2]))
    shape = InputShape("key", len(prepared.chunks), chosen, names)
    handed = [prepared.seen, *prepared.chunks, *((np.stack(block.columns), block.seen) for block in blocks)]
    features, copy = shape.put_together(handed)
    assert features is not None
    assert copy is not None
    assert copy.chunks == prepared.chunks
    assert features.names == chosen
    np.testing.assert_array_equal(np.stack(features.columns), np.stack(loaded.select(chosen).columns))
    np.testing.assert_array_equal(features.seen.bits, loaded.select(chosen).seen.bits)
    assert all(any(np.shares_memory(column, array) for array, _ in handed[-2:]) for column in features.columns)
    assert InputShape(None, 0, (), ()).put_together([]) == (None, None)


def test_the_work_of_a_round_is_counted_from_its_fits(market: Path) -> None:
    catalog = Catalog(market)
    medium = catalog.plan("m", "t/r1/m", config(params(num_leaves=100))).fits
    everything = catalog.plan("a", "t/r1/a", config({"data": {"feature_set": "all"}})).fits
    work = workload([*medium, *everything])
    rows = medium[0].index.n_rows
    counts = [len(each[0].features) for each in (medium, everything)]
    assert (work.rows, work.features, work.fits, work.leaves) == (rows, max(counts), 6, 100)
    assert work.shared_bytes == int(BINNED_BYTES_PER_VALUE * rows * sum(counts) + COLUMN_BYTES_PER_ROW * rows)
    assert work.fit_rows is not None
    assert 0.7 * rows < work.fit_rows <= rows
    assert fit_bytes(medium[0]) < fit_bytes(medium[-1]) < work.fit_bytes
    apart = catalog.plan("e", "t/r1/e", config(params(extra_trees=True))).fits  # its features are read themselves
    assert workload(apart).bytes_per_value == UNPREPARED_BYTES_PER_VALUE
    assert workload(apart).shared_bytes == rows * (counts[0] + COLUMN_BYTES_PER_ROW)


def test_small_fits_on_wide_bins_do_not_count_as_large_ones(market: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fits = Catalog(market).plan("m", "t/r1/m", config(params())).fits
    values = [fit.train_rows * len(fit.features) for fit in fits]
    for most in (0, min(values) // 2, max(values) // 2):
        monkeypatch.setattr(resource_plan, "MOST_FOR_WIDE_BYTES", most)
        held = [shared_dataset._bytes_per_value(fit) for fit in fits]
        assert held == [1.0 if value / 2 <= most else 0.5 for value in values]
        assert workload(fits).fit_bytes == pytest.approx(max(map(fit_bytes, fits)), abs=1)


def test_of_rows_to_predict_a_block_counts_where_trees_are_read(market: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def rows(**changes: object) -> tuple[int | None, int]:
        (fit,) = Catalog(market).plan("x", "t/r1/x", config(changes)).fits[-1:]
        return workload([fit]).fit_rows, fit.train_rows

    held, train = rows()
    monkeypatch.setattr(shared_dataset, "BLOCK_ROWS", 100)
    assert held is not None
    assert held > train + 100, "a small market is less than a block"
    assert rows() == (train + 100, train)
    assert rows(**params(objective="huber")) == (train + 100, train)
    for left_to_lightgbm in ({"data": {"missing": "nan"}}, params(objective="poisson"), params(extra_trees=True)):
        assert rows(**left_to_lightgbm) == (held, train)


@pytest.mark.ray
def test_a_lost_node_is_loaded_again(wide: Path) -> None:
    """Bins in chunks and features in blocks, all on a node that then dies: the next one reads them again."""
    code = LOST_NODE.format(market=str(wide), tests=str(Path(__file__).parent))
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    assert "chunks: 4, blocks: 8" in done.stdout
    assert "the same after the loss" in done.stdout


# In a process of its own, because a process talks to one cluster at a time.
LOST_NODE = """
import sys, zlib
sys.path.insert(0, {tests!r})
from pathlib import Path
from numerai_ray.ray_start import RaySettings
import ray
from ray.cluster_utils import Cluster
from contracts import config, params
from numerai_ray import prepared, shared_dataset
from numerai_ray.trial_plan import Catalog

prepared.CHUNK_BYTES = shared_dataset.CHUNK_BYTES = 200_000
cluster = Cluster(initialize_head=True, head_node_args={{"num_cpus": 0, "object_store_memory": 200_000_000}})
holder = cluster.add_node(num_cpus=2, object_store_memory=200_000_000)
ray.init(address=cluster.address, log_to_driver=False)
catalog = Catalog(Path({market!r}))
plans = [
    catalog.plan("bins", "t/r1/bins", config({{"data": {{"feature_set": "all"}}}})),
    catalog.plan("small", "t/r1/small", config({{"data": {{"feature_set": "small"}}, **params(extra_trees=True)}})),
    catalog.plan("all", "t/r1/all", config({{"data": {{"feature_set": "all"}}, **params(extra_trees=True)}})),
]

def chunk_count(spec):  # what the driver expects and the worker makes must agree; workers have the default size
    return 4

shared_dataset.chunk_count = chunk_count

@ray.remote(num_returns=5, max_retries=3)
def in_four(spec, threads):
    import numpy as np
    whole = prepared.prepare(spec, threads)
    return whole.seen, *np.array_split(np.concatenate(whole.chunks), 4)

shared_dataset._prepare = in_four
shared = shared_dataset.SharedDatasets()
shared.open(plans, [fit for plan in plans for fit in plan.fits], 1)
bins, small, everything = (shared.inputs(plan.fits[-1]) for plan in plans)
assert not bins.shape.blocks and len(small.refs) < len(everything.refs), "a smaller set needs fewer blocks"
assert set(small.refs) < set(everything.refs), "and shares them with the larger one"
print(f"chunks: {{bins.shape.chunks}}, blocks: {{len(everything.refs)}}")

@ray.remote(num_cpus=1, max_retries=3)
def digest(shape, *values):
    features, copy = shape.put_together(values)
    parts = [*(copy.chunks if copy else ()), *(features.columns if features else ())]
    return [zlib.crc32(part) for part in parts]

def digests():
    return ray.get([digest.remote(each.shape, *each.refs) for each in (bins, small, everything)], timeout=120)

before = digests()
assert all(before)
cluster.remove_node(holder, allow_graceful=False)
cluster.add_node(num_cpus=2, object_store_memory=200_000_000)
assert digests() == before
print("the same after the loss")
ray.shutdown()
cluster.shutdown()
"""
