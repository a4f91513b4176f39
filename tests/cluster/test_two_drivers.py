"""Two drivers on one cluster do not take each other's trials away.

Tune keeps trainables in the cluster under the driver's job, which a process remembers of the first Ray that it was
on: on its next Ray, where jobs are counted anew, that is another driver's number, and what that driver takes away
when it ends, it takes away from both ("Unknown trainable").
"""

import subprocess
import sys
from pathlib import Path

import pytest
from places import SUPPORT


@pytest.mark.ray
@pytest.mark.long
def test_a_driver_that_ends_leaves_the_trials_of_another_one_alone(market: Path, tmp_path: Path) -> None:
    code = "\n".join([COMMON, LASTING]).format(market=str(market), root=str(tmp_path), tests=str(SUPPORT))
    (tmp_path / "passing.py").write_text(
        "\n".join([COMMON, PASSING]).format(market=str(market), root=str(tmp_path), tests=str(SUPPORT))
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    assert "one job for both: True" in done.stdout
    assert "is not shown" not in (tmp_path / "lasting.log").read_text()


COMMON = """
import subprocess, sys
sys.path.insert(0, {tests!r})
from pathlib import Path
from numerai_ray.runners.ray.runner import TuneRunner
from numerai_ray.runners.ray.start import RaySettings
import ray
from contracts import config, ignore, params
from numerai_ray.training.store.fits import FitStore
from numerai_ray.training.catalog import Catalog

root, catalog = Path({root!r}), Catalog(Path({market!r}))

def plans(label, sizes):
    return [catalog.plan(f"v{{size}}", f"two/{{label}}/v{{size}}", config(params(num_leaves=size))) for size in sizes]

def runner(name, address=None):
    settings = RaySettings(root / name, root / f"{{name}}.log", address=address, dashboard=False)
    return TuneRunner(FitStore(root / f"store-{{name}}"), settings)
"""

PASSING = """
passing = runner("passing", sys.argv[1])
passing.run(plans("other", (4, 5)), ignore)
print(ray.get_runtime_context().get_job_id(), flush=True)
sys.stdin.readline()
"""

LASTING = """
from ray.cluster_utils import Cluster
from ray.tune.registry import _global_registry

alone = runner("alone")
alone.run(plans("alone", (4,)), ignore)
alone.close()
cluster = Cluster(initialize_head=True, head_node_args={{"num_cpus": 2, "object_store_memory": 150_000_000}})
pipes = {{"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}}
passing = subprocess.Popen([sys.executable, str(root / "passing.py"), cluster.address], **pipes)
job = passing.stdout.readline().strip()
lasting = runner("lasting", cluster.address)
told = []

def end_the_other(progress):
    if not told:
        passing.communicate("\\n")
        told.append(progress)

outcomes = lasting.run(plans("first", (4, 5, 6, 7, 8, 9)), end_the_other)
assert all(outcome.error is None for outcome in outcomes.values())
print("one job for both:", job == _global_registry.prefix and bool(told))
lasting.close()
cluster.shutdown()
"""
