"""An experiment on two nodes whose data, fit store and results are on Google's storage protocol (fake-gcs-server)."""

import hashlib
import json
import subprocess
import sys
from pathlib import Path

import pytest
from desk import CLI, Desk
from google_server import google_server

from numerai_ray.system.storage import files_below, place, upload

NODES = """
import sys
from ray.cluster_utils import Cluster
size = {"num_cpus": 1, "object_store_memory": 100_000_000}
cluster = Cluster(initialize_head=True, head_node_args=size)
cluster.add_node(**size)
print(cluster.address, flush=True)
sys.stdin.readline()
cluster.shutdown()
"""
BUDGET = {"budget": {"rounds": 1}}


@pytest.mark.ray
@pytest.mark.long
def test_an_experiment_with_everything_in_a_google_bucket(
    tmp_path: Path, market: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    alone, desk = Desk(tmp_path / "alone", market, BUDGET), Desk(tmp_path / "cluster", market, BUDGET)
    assert alone.run() == 0
    data, results = "gs://numerai/data", "gs://numerai/results/small"
    with google_server() as environment:
        for name, value in (environment | {"NUMERAI_RAY_CACHE": str(tmp_path / "cache")}).items():
            monkeypatch.setenv(name, value)
        for each in files_below(market / "tiny"):
            if not each.name.startswith("."):
                upload(market / "tiny" / each.name, place(f"{data}/tiny") / each.name)
        with subprocess.Popen(
            [sys.executable, "-c", NODES], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as nodes:
            assert nodes.stdout is not None
            address = nodes.stdout.readline().strip()
            where = ["--address", address, "--data-dir", data, "--results", results, "--accept-suspect"]
            run = command("run", str(desk.folder), *where)
            assert run.returncode == 0, run.stdout + run.stderr
            nodes.communicate("\n")
        stored = [each.name for each in files_below(place(f"{data}/store")) if each.name.endswith(".fit")]
        assert len(stored) == len(alone.fits())
        status = command("status", str(desk.folder), "--results", results, "--json")
        rounds = json.loads(status.stdout)["rounds"]
        assert len(rounds) == len(alone.rounds())
        assert max(each["cost"].get("nodes", 0) for each in rounds) == 2
        copies = {
            each.name: place(f"{results}/predictions") / each.name
            for each in files_below(place(f"{results}/predictions"))
        }
        ours = {path.name: digest(path.read_bytes()) for path in (alone.folder / "predictions").glob("*.parquet")}
        assert ours
        assert {name: digest(copy.read_bytes()) for name, copy in copies.items()} == ours


def command(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*CLI, *arguments], capture_output=True, text=True, timeout=240, check=False)


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
