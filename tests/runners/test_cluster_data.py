"""Where data and fits go on a cluster whose data are in a bucket: past the driver, and fits to where the data are."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from places import SUPPORT
from s3_server import s3_server

from numerai_ray.data.files.build import build
from numerai_ray.data.synthetic.files import write_market
from numerai_ray.data.synthetic.market import MarketSpec
from numerai_ray.system.storage import files_below, place, upload


@pytest.mark.ray
@pytest.mark.slow
def test_data_in_a_bucket_reach_the_nodes_and_fits_go_to_the_data(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_market(MarketSpec(eras=60, rows=600, features=40, seed=2), tmp_path / "data" / "tiny")
    build(tmp_path / "data" / "tiny")
    with s3_server() as environment:
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        for each in files_below(tmp_path / "data"):
            if not each.name.split("/")[-1].startswith("."):
                upload(tmp_path / "data" / each.name, place("s3://numerai/data") / each.name)
        code = ON_NODES.format(root=str(tmp_path), tests=str(SUPPORT))
        variables = {**os.environ, "NUMERAI_RAY_CACHE": str(tmp_path / "cache")}
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, timeout=300, check=False, env=variables
        )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    told = json.loads(done.stdout.splitlines()[-1])
    nodes, driver = set(told["nodes"]), told["driver"]
    # The driver's node holds none of the shared data, and loads none of it: 0 bytes went through it.
    assert told["shared_bytes"] > 1_000_000
    assert driver not in told["holders"], "shared data lie in the driver's object store"
    assert set(told["loaded_on"]) <= nodes
    # A fit goes to the node that has most of its bytes, though the other one is as idle.
    assert told["alone"] == [told["has_most"]] * len(told["alone"])
    # With more fits than one node takes, both work, and both then hold the data.
    assert set(told["together"]) == nodes
    assert nodes <= set(told["holders_after"])
    assert driver not in told["holders_after"]
    # A model that asks for a GPU is on the node that has one.
    assert set(told["gpu_fits"]) == {told["gpu"]}


# In a process of its own, because a process talks to one cluster at a time.
ON_NODES = """
import json, socket, sys
sys.path.insert(0, {tests!r})
from pathlib import Path
from numerai_ray.runners.ray.start import RaySettings
import ray
from ray.cluster_utils import Cluster
from ray.util.state import list_tasks
from contracts import config, ignore, params, same_outcome
from numerai_ray.data.eras import Folds
from numerai_ray.training.store.fits import FitStore
from numerai_ray.runners.in_process import InProcessRunner
from numerai_ray.training.spec import Diagnosed
from numerai_ray.system.storage import place
from numerai_ray.training.catalog import Catalog
from numerai_ray.runners.ray.runner import TuneRunner
from dataclasses import replace

root, store = Path({root!r}), 150_000_000
with socket.socket() as free:  # the list of tasks is the dashboard's, and its usual port may be somebody else's
    free.bind(("127.0.0.1", 0))
    dashboard = {{"include_dashboard": True, "dashboard_port": free.getsockname()[1]}}
cluster = Cluster(initialize_head=True, head_node_args={{"num_cpus": 0, "object_store_memory": store, **dashboard}})
nodes = [cluster.add_node(num_cpus=1, object_store_memory=store) for _ in range(2)]
catalog, local = Catalog(place("s3://numerai/data")), Catalog(root / "data")
wide = {{"data": {{"feature_set": "all"}}}}

def plan(name, label, changes, of=catalog, fits=None):
    made = of.plan(name, label + name, config({{**wide, **changes}}))
    if fits is None:
        return made
    # Nobody looks at them: a look on the other node would bring the targets there, which then has as much as the first.
    return replace(made, fits=made.fits[-fits:], folds=Folds(made.folds.trainable[-fits:], ()), diagnosed=Diagnosed())

def where(label):
    return [task.node_id for task in list_tasks(limit=2000, detail=True) if task.name.startswith(label)]

def shared():
    held = runner._shared
    return [*held._blocks.values(), *held._columns.values()]

def holders():
    found = ray.experimental.get_object_locations(shared())
    return found, sorted({{node for each in found.values() for node in each["node_ids"]}})

settings = RaySettings(root / "tune", root / "log", address=cluster.address)
runner = TuneRunner(FitStore(place("s3://numerai/store")), settings)
told = {{"nodes": [each.node_id for each in nodes], "driver": cluster.head_node.node_id}}
runner.run([plan("first", "data/r1/", params(num_leaves=4), fits=1)], ignore)
(told["has_most"],) = where("data/r1/first/fold")
found, told["holders"] = holders()
told["shared_bytes"] = sum(each["object_size"] for each in found.values())
for number in (2, 3, 4):  # alone each time: both nodes are idle
    runner.run([plan("one", f"data/r{{number}}/", params(num_leaves=4 + number), fits=1)], ignore)
told["alone"] = [node for number in (2, 3, 4) for node in where(f"data/r{{number}}/one/fold")]
def many(of):
    sizes = (9, 11, 13)
    return [plan(f"v{{size}}", "data/r5/", params(num_leaves=size, n_estimators=300), of) for size in sizes]

outcomes = runner.run(many(catalog), ignore)
reference = InProcessRunner(FitStore(root / "plain"), threads=1).run(many(local), ignore)
for trial, outcome in outcomes.items():
    same_outcome(outcome, reference[trial])
told["together"] = where("data/r5/")
told["holders_after"] = holders()[1]
told["loaded_on"] = where("load ")
gpu = cluster.add_node(num_cpus=1, num_gpus=1, object_store_memory=store)
told["gpu"] = gpu.node_id
asks = {{"model": {{"params": {{"num_leaves": 6}}, "resources": {{"gpus": 1}}}}}}
outcome = runner.run([plan("gpu", "data/r6/", asks)], ignore)["gpu"]
assert outcome.error is None, outcome.error
told["gpu_fits"] = where("data/r6/gpu/fold")
runner.close()
cluster.shutdown()
print(json.dumps(told))
"""
