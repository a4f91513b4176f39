"""Where fits run: on nodes of any size, on those that join late, not on those with other versions."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from places import SUPPORT

from numerai_ray.errors import EnvironmentFault
from numerai_ray.runners.ray.placement import check_here, differences, this_environment


def test_what_nodes_must_have_in_common() -> None:
    mine = this_environment()
    assert differences(mine, mine) == []
    check_here(mine)
    check_here(())
    other = tuple((name, "4.6.0" if name == "lightgbm" else value) for name, value in mine)
    assert differences(mine, other) == [f"lightgbm 4.6.0 (driver: {dict(mine)['lightgbm']})"]
    with pytest.raises(EnvironmentFault, match=r"must have the driver's versions.*same image"):
        check_here(other)


@pytest.mark.ray
@pytest.mark.long
def test_nodes_of_a_cluster(market: Path, tmp_path: Path) -> None:
    fake = tmp_path / "fake" / "scipy-0.1.dist-info"
    fake.mkdir(parents=True)
    (fake / "METADATA").write_text("Metadata-Version: 2.1\nName: scipy\nVersion: 0.1\n")
    code = NODES.format(market=str(market), root=str(tmp_path), tests=str(SUPPORT))
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    assert "sized for 2 nodes, 3 slots" in done.stdout
    assert "the late node ran fits: True" in done.stdout
    assert "lost while fits ran: True" in done.stdout
    assert "after the loss equal: True" in done.stdout
    assert re.search(r"refused: node [\d.]+: must have the driver's versions", done.stdout), done.stdout
    assert "scipy 0.1 (driver: " in done.stdout
    assert "left running: True" in done.stdout, "a cluster that somebody else started is left to them"


NODES = """
import os, socket, sys, threading, time
sys.path.insert(0, {tests!r})
from pathlib import Path
from numerai_ray.runners.ray.runner import TuneRunner
from numerai_ray.runners.ray.start import RaySettings
import ray
from ray.cluster_utils import Cluster
from ray.util.state import list_tasks
from contracts import config, ignore, params, same_outcome
from numerai_ray.system.cluster import Spent
from numerai_ray.errors import EnvironmentFault
from numerai_ray.training.store.fits import FitStore
from numerai_ray.runners.in_process import InProcessRunner
from numerai_ray.training.catalog import Catalog

root, store = Path({root!r}), 150_000_000
with socket.socket() as free:
    free.bind(("127.0.0.1", 0))
    port = free.getsockname()[1]
head = {{"num_cpus": 1, "object_store_memory": store, "dashboard_port": port, "include_dashboard": True}}
cluster = Cluster(initialize_head=True, head_node_args=head)
second = cluster.add_node(num_cpus=2, object_store_memory=store)
catalog = Catalog(Path({market!r}))
plans = [
    catalog.plan(f"v{{leaves}}", f"nodes/r1/v{{leaves}}", config(params(num_leaves=leaves, n_estimators=2000)))
    for leaves in (4, 6, 8, 12, 16, 20)
]
runner = TuneRunner(FitStore(root / "store"), RaySettings(root / "tune", root / "log", address=cluster.address))
assert runner.spent() == Spent(0.0, 0), "what a cluster has shows when it is looked at"
seen, outcomes = [], {{}}
running = threading.Thread(
    target=lambda: outcomes.update(runner.run(plans, lambda progress: seen.append(runner.spent())))
)
running.start()
while running.is_alive() and not seen:
    time.sleep(0.1)
late = cluster.add_node(num_cpus=1, object_store_memory=store)

def has_fits(node):
    return any(task.node_id == node.node_id and "/fold" in task.name for task in list_tasks(limit=2000))

while running.is_alive() and not has_fits(late):
    time.sleep(0.2)
print("the late node ran fits:", has_fits(late))
cluster.remove_node(second, allow_graceful=False)
print("lost while fits ran:", running.is_alive())
running.join()
print("sized for 2 nodes, 3 slots" if runner.slots == 3 else f"slots {{runner.slots}}")
reference = InProcessRunner(FitStore(root / "plain"), threads=1).run(plans, ignore)
for trial, outcome in outcomes.items():
    assert outcome.error is None, outcome.error
    same_outcome(outcome, reference[trial])
print("after the loss equal: True")
print("cost", runner.cost)
assert runner.cost.nodes >= 2 and runner.cost.fit_core_hours > 0
assert 3 in {{each.cores for each in seen}} and 0 < seen[-1].core_s <= runner.cost.core_hours * 3600, seen
assert runner.spent().core_s == 0 and runner.spent().cores >= 2, runner.spent()
other = {{"PYTHONPATH": {root!r} + "/fake:" + os.environ.get("PYTHONPATH", "")}}
cluster.add_node(num_cpus=1, object_store_memory=store, env_vars=other)
time.sleep(2)
try:
    runner.run([catalog.plan("new", "nodes/r2/new", config(params(num_leaves=5)))], ignore)
except EnvironmentFault as fault:
    print("refused:", fault)
runner.close()
ray.init(address=cluster.address, log_to_driver=False)
print("left running:", any(node["Alive"] for node in ray.nodes()))
ray.shutdown()
cluster.shutdown()
"""
