"""Several drivers on one store at the same moment: each fit is trained by one of them, wherever the store lies."""

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from places import SUPPORT
from s3_server import s3_server

# A driver of its own: tells that it is ready, starts on a word, and says what it trained and predicted.
ASK = """
import hashlib, json, sys
sys.path.insert(0, {tests!r})
from pathlib import Path
from contracts import config, ignore, params
from numerai_ray.training.store.fits import FitStore
from numerai_ray.system.storage import place
from numerai_ray.training.catalog import Catalog
from dataclasses import replace

slow = config(params(n_estimators=400, num_leaves=15))
plan = Catalog(Path({market!r})).plan("same", "{name}/r1/same", slow)
store, address = FitStore(place({store!r})), {address!r}
if address is None:
    from numerai_ray.runners.in_process import InProcessRunner
    runner = InProcessRunner(store, 1)
else:
    from numerai_ray.runners.ray.runner import TuneRunner
    from numerai_ray.runners.ray.start import RaySettings
    runner = TuneRunner(store, RaySettings(Path({root!r}) / "tune", Path({root!r}) / "log", address=address))
print("ready", flush=True)
input()
outcome = runner.run([replace(plan, origin="{name}")], ignore)["same"]
runner.close()
assert outcome.error is None, outcome.error
trained = [fold.key for fold in outcome.folds if not fold.stored]
digest = hashlib.sha256(outcome.prediction.tobytes()).hexdigest()
print(json.dumps({{"trained": trained, "digest": digest, "fits": [fold.key for fold in outcome.folds]}}))
"""


def start(name: str, market: Path, store: str, root: Path, address: str | None = None) -> subprocess.Popen[str]:
    values = {
        "tests": str(SUPPORT),
        "market": str(market),
        "store": store,
        "root": str(root / name),
        "address": address,
    }
    return subprocess.Popen(
        [sys.executable, "-c", ASK.format(name=name, **values)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def asked_at_once(drivers: list[subprocess.Popen[str]]) -> list[Mapping[str, Any]]:
    """What each driver says, all of them let go at the same moment."""
    for each in drivers:
        assert each.stdout is not None
        assert each.stdout.readline() == "ready\n", each.communicate()
    for each in drivers:
        assert each.stdin is not None
        each.stdin.write("go\n")
        each.stdin.flush()
    said = []
    for each in drivers:
        out, problems = each.communicate(timeout=200)
        assert each.returncode == 0, out + problems
        said.append(json.loads(out.splitlines()[-1]))
    return said


def check_trained_once(said: list[Mapping[str, Any]]) -> None:
    trained = [key for each in said for key in each["trained"]]
    assert sorted(trained) == sorted(said[0]["fits"]), "each fit is trained by exactly one driver"
    assert len({each["digest"] for each in said}) == 1


@pytest.mark.slow
def test_two_drivers_on_a_store_in_a_bucket(market: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with s3_server() as environment:
        for name, value in (environment | {"NUMERAI_RAY_CACHE": str(tmp_path / "cache")}).items():
            monkeypatch.setenv(name, value)
        drivers = [start(name, market, "s3://numerai/store", tmp_path) for name in ("one", "two")]
        check_trained_once(asked_at_once(drivers))


@pytest.mark.ray
@pytest.mark.long
def test_the_same_fit_asked_for_on_two_nodes_at_once_is_trained_once(market: Path, tmp_path: Path) -> None:
    """Two drivers, a cluster of two raylets, one store: while one node trains a fit, the other waits for it."""
    keeper = subprocess.Popen(
        [sys.executable, "-c", NODES], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )  # fmt: skip
    assert keeper.stdin is not None
    assert keeper.stdout is not None
    try:
        address = keeper.stdout.readline().strip()
        drivers = [start(name, market, str(tmp_path / "store"), tmp_path, address) for name in ("one", "two")]
        check_trained_once(asked_at_once(drivers))
        keeper.stdin.write("nodes\n")
        keeper.stdin.flush()
        nodes = keeper.stdout.readline().strip()
    finally:
        keeper.stdin.close()
        keeper.wait(timeout=60)
    assert nodes == "2", "fits ran on both nodes"


NODES = """
import socket, sys, time
import ray
from ray.cluster_utils import Cluster
from ray.util.state import list_tasks
from ray.util.state.exception import RayStateApiException
with socket.socket() as free:
    free.bind(("127.0.0.1", 0))
    port = free.getsockname()[1]
size = {"num_cpus": 1, "object_store_memory": 100_000_000}
cluster = Cluster(initialize_head=True, head_node_args={**size, "include_dashboard": True, "dashboard_port": port})
cluster.add_node(**size)
print(cluster.address, flush=True)
if sys.stdin.readline():
    ray.init(cluster.address, log_to_driver=False)
    nodes, until = set(), time.monotonic() + 60
    while len(nodes) < 2 and time.monotonic() < until:  # what tasks did is told with a delay, or not on a busy machine
        try:
            # Without an address it asks the Ray that was started last on this machine, which may be another test's.
            tasks = list_tasks(f"http://127.0.0.1:{port}", limit=500)
            nodes = {task.node_id for task in tasks if task.node_id and "/fold" in task.name}
        except RayStateApiException as error:
            print(error, file=sys.stderr)
        time.sleep(0.5)
    print(len(nodes), flush=True)
    sys.stdin.readline()
    ray.shutdown()
cluster.shutdown()
"""
