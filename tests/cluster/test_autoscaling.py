"""A round on a cluster that has no workers yet: Ray's own autoscaler brings them, and takes them away again.

With Ray's simulated provider (`ray.cluster_utils.AutoscalingCluster`), on a host of its own, because that class stops
every Ray that it sees.
"""

import json

import pytest
from hosts import NotPermitted, network
from places import SUPPORT


@pytest.mark.cluster
@pytest.mark.long
def test_workers_come_for_a_round_and_go_after_it() -> None:
    try:
        with network() as net:
            host = net.add("alone", 1, {"NUMERAI_RAY_NODE_WAIT_S": "90"})
            told = json.loads(host.python(ROUND.format(tests=str(SUPPORT)), timeout_s=300).splitlines()[-1])
    except NotPermitted as reason:
        pytest.skip(str(reason))
    assert told["before"] == 0
    # Eight fits of one core each were asked for at once: all three workers that are allowed come, not one after one.
    assert told["most"] == 3
    assert told["equal"]
    assert told["nodes_used"] >= 2
    assert told["after"] == 0, "workers stay, though nothing is asked for"
    assert told["cost"]["nodes"] == 3
    assert 0 < told["cost"]["fit_core_hours"] <= told["cost"]["core_hours"]


ROUND = """
import json, sys, time
sys.path.insert(0, {tests!r})
from pathlib import Path
from ray.cluster_utils import AutoscalingCluster
from numerai_ray.data.files.build import build
from numerai_ray.data.synthetic.files import MarketSpec, write_market

market = Path("/tmp/market")
write_market(MarketSpec(eras=60, rows=60, features=12, seed=5), market / "tiny")
build(market / "tiny")
store = 100_000_000
resources = {{"CPU": 1, "object_store_memory": store}}
worker = {{"resources": resources, "node_config": {{}}, "min_workers": 0, "max_workers": 3}}
class Simulated(AutoscalingCluster):  # its own base file is not in Ray's wheel
    def _generate_config(self, head_resources, worker_node_types, autoscaler_v2=False, **values):
        head = {{"resources": head_resources, "node_config": {{}}, "max_workers": 0}}
        types = {{**worker_node_types, "ray.head.default": head}}
        # All nodes share one address, so nothing is told apart by it, and nothing is set up by ssh.
        how = dict.fromkeys(("use_node_id_as_ip", "disable_node_updaters", "disable_launch_config_check"), True)
        plain = {{"cluster_name": "simulated", "provider": {{"type": "fake_multinode", **how}}}}
        plain |= {{"auth": {{}}, "file_mounts": {{}}}}
        plain |= dict.fromkeys(("cluster_synced_files", "rsync_exclude", "rsync_filter", "initialization_commands"), [])
        plain |= dict.fromkeys(("setup_commands", "head_setup_commands", "worker_setup_commands"), [])
        plain |= dict.fromkeys(("head_start_ray_commands", "worker_start_ray_commands"), [])
        return {{**plain, "head_node_type": "ray.head.default", "available_node_types": types, **values}}

cluster = Simulated(
    head_resources={{"CPU": 0, "object_store_memory": store}},
    worker_node_types={{"worker": worker}},
    idle_timeout_minutes=0.1,
    max_workers=3,
    upscaling_speed=10,
)
cluster.start()

from numerai_ray.runners.ray.start import RaySettings
import ray
from ray.util.state import list_tasks
from contracts import config, ignore, params, same_outcome
from numerai_ray.training.store.fits import FitStore
from numerai_ray.runners.in_process import InProcessRunner
from numerai_ray.runners.ray.placement import alive_nodes
from numerai_ray.training.catalog import Catalog
from numerai_ray.runners.ray.runner import TuneRunner

root = Path("/tmp/run")
settings = RaySettings(root / "tune", root / "log", address="auto")
ray.init(address="auto", log_to_driver=False)
told = {{"before": len(alive_nodes())}}
catalog = Catalog(market)
plans = [
    catalog.plan(f"v{{leaves}}", f"scale/r1/v{{leaves}}", config(params(num_leaves=leaves, n_estimators=2500)))
    for leaves in (4, 8, 16)
]
runner = TuneRunner(FitStore(root / "store"), settings)
outcomes = runner.run(plans, ignore)
told["cost"] = runner.cost.to_json()
told["most"] = runner.cost.nodes
told["nodes_used"] = len({{task.node_id for task in list_tasks(limit=500, detail=True) if "/fold" in task.name}})
deadline = time.monotonic() + 60
while alive_nodes() and time.monotonic() < deadline:
    time.sleep(1)
told["after"] = len(alive_nodes())
runner.close()
reference = InProcessRunner(FitStore(root / "plain"), threads=1).run(plans, ignore)
for trial, outcome in outcomes.items():
    same_outcome(outcome, reference[trial])
told["equal"] = True
cluster.shutdown()
print(json.dumps(told))
"""
