"""The parts of an experiment on hosts of our own: an S3 server, a laptop, a head, workers; and what must come out."""

import json
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import yaml
from hosts import Host, Network

S3 = {
    "AWS_ENDPOINT_URL": "http://10.77.0.9:9000",
    "AWS_REGION": "us-east-1",
    "AWS_ACCESS_KEY_ID": "cluster",
    "AWS_SECRET_ACCESS_KEY": "cluster-secret",
    "AWS_EC2_METADATA_DISABLED": "true",
}
HEAD = "10.77.0.1"
DATA, RESULTS = "s3://numerai/data", "s3://numerai/results/spread"
EXPERIMENT = "/tmp/work/experiments/spread"
STORE_BYTES = 100_000_000


@dataclass
class Stage:
    """What runs where. ``trees`` makes a fit long enough to be interrupted; ``ray`` are settings of Ray's own."""

    net: Network
    trees: int
    rounds: int
    ray: Mapping[str, str] = field(default_factory=dict)
    laptop: Host = field(init=False)
    head: Host = field(init=False)
    began: float = field(default_factory=time.monotonic)

    def say(self, text: str) -> None:
        print(f"[{time.monotonic() - self.began:5.0f} s] {text}", flush=True)

    def set(self) -> None:
        """The S3 server with a bucket, and the laptop with the experiment and a data root of its own."""
        s3 = self.net.add("s3", 9)
        s3.start(sys.executable, "-m", "moto.server", "-H", "0.0.0.0", "-p", "9000", log="/tmp/s3.log")
        self.laptop = self.net.add("laptop", 8, S3)
        put = "from urllib.request import *; urlopen(Request('http://10.77.0.9:9000/numerai', method='PUT'))"
        wait_until(lambda: self.laptop.run(sys.executable, "-c", put, check=False).returncode == 0, 60, "no S3 server")
        self.laptop.run("mkdir", "-p", EXPERIMENT, "/tmp/work/experiments/baselines")
        self.write(f"{EXPERIMENT}/experiment.yaml", self.plan())
        self.write("/tmp/work/experiments/baselines/spread.yaml", self.baseline())
        self.say("made: S3 server, laptop")

    def write(self, path: str, value: Mapping[str, object]) -> None:
        self.laptop.run(sys.executable, "-c", f"open({path!r}, 'w').write({yaml.safe_dump(value)!r})")

    def plan(self) -> Mapping[str, object]:
        leaves = {"path": "model.params.num_leaves", "values": [4, 8, 16]}
        rate = {"path": "model.params.learning_rate", "values": [0.02, 0.1]}
        small = {"feature_set": "medium"}
        return {
            "idea": "A cluster of hosts finds what one machine finds.",
            "novelty": "No two hosts share a disk or a memory.",
            "baseline": "spread",
            "data_version": "hosts",
            "market": {"eras": 160, "rows": 120, "features": 40, "seed": 3},
            "search_space": {"dimensions": {"num_leaves": leaves, "learning_rate": rate}},
            "rounds": {"variants": 3},
            "stages": {"scout": small | {"data": "full"}, "confirm": small, "final": small},
            "budget": {"rounds": self.rounds},
        }

    def baseline(self) -> Mapping[str, object]:
        params = {"n_estimators": self.trees, "learning_rate": 0.05, "num_leaves": 6, "min_data_in_leaf": 20}
        return {"cv": {"n_splits": 4, "embargo_eras": 8}, "model": {"params": params | {"colsample_bytree": 0.5}}}

    def reference(self) -> None:
        """The same experiment on the laptop alone; its data then goes to the bucket, its results nowhere."""
        self.laptop.run("cp", "-r", "/tmp/work", "/tmp/alone")
        run = ["run", "/tmp/alone/experiments/spread", "--data-dir", "/tmp/data", "--in-process"]
        self.laptop.numerai_ray(*run, timeout_s=600)
        copy = (
            "from pathlib import Path; from numerai_ray.system.storage import place, upload, files_below;"
            "root = Path('/tmp/data/hosts');"
            f"[upload(root / f.name, place('{DATA}/hosts') / f.name)"
            " for f in files_below(root) if not f.name.startswith('.')]"
        )
        self.laptop.python(copy)
        self.say("ran alone on the laptop; its data is in the bucket")

    def start_head(self) -> None:
        self.head = self.net.add("head", 1, {**S3, **self.ray})
        where = ["--node-ip-address", HEAD, "--port", "6379", "--dashboard-host", "0.0.0.0"]
        self.head.ray("start", "--head", *where, "--num-cpus", "0", "--object-store-memory", str(STORE_BYTES))
        self.say("head is up")

    def start_worker(self, name: str, last: int) -> Host:
        worker = self.net.add(name, last, S3)
        where = ["--address", f"{HEAD}:6379", "--node-ip-address", worker.address]
        worker.ray("start", *where, "--num-cpus", "1", "--object-store-memory", str(STORE_BYTES))
        self.say(f"{name} is up")
        return worker

    def submit(self, *extra: str) -> "subprocess.Popen[bytes]":
        """The laptop hands the experiment over and follows it."""
        where = ["--address", f"http://{HEAD}:8265", "--data-dir", DATA, "--results", RESULTS]
        command = [sys.executable, "-m", "numerai_ray", "submit", EXPERIMENT, *where, *extra]
        return self.laptop.start(*command, log="/tmp/submit.log")

    def close_laptop(self) -> None:
        """The command that follows is gone at once, as when a laptop's battery ends; then ask what it was about."""
        self.laptop.run("sh", "-c", "kill -9 $(cat /tmp/submit.log.pid)")
        rounds = self.status()["rounds"]
        self.say(f"the follower was killed; status reads {len(rounds)} rounds through the results URL")

    def submit_again(self) -> "subprocess.Popen[bytes]":
        """The same command finds the job that runs, and follows it."""
        follower = self.submit()
        known = "runs already"
        wait_until(lambda: known in self.laptop.read("/tmp/submit.log"), 60, "the job was not found running",
                   lambda: self.laptop.read("/tmp/submit.log"))  # fmt: skip
        self.say("the same command follows the job that went on")
        return follower

    def status(self) -> dict[str, Any]:
        done = self.laptop.run(
            sys.executable, "-m", "numerai_ray", "status", EXPERIMENT, "--results", RESULTS, "--json", check=False
        )
        if done.returncode:
            raise RuntimeError(done.stderr)
        found: dict[str, Any] = json.loads(done.stdout)
        return found

    def fits_stored(self) -> int:
        """How many fits are in the store: what the cluster has finished for good."""
        code = f"from numerai_ray.system.storage import *; print(len(files_below(place('{DATA}/store'))))"
        return int(self.laptop.python(code))

    def fits_by_node(self) -> dict[str, int]:
        """How many fits each node ran, as the head's task list knows."""
        code = (
            "import collections, json; from ray.util.state import list_nodes, list_tasks;"
            "ip = {node.node_id: node.node_ip for node in list_nodes(limit=100)};"
            "fits = [t for t in list_tasks(limit=5000) if '/fold' in t.name and t.state == 'FINISHED'];"
            "print(json.dumps(collections.Counter(ip.get(t.node_id, 'lost') for t in fits)))"
        )
        found: dict[str, int] = json.loads(self.head.python(code).splitlines()[-1])
        return found

    def wait_for_fits(self, count: int, follower: "subprocess.Popen[bytes]", limit_s: float = 240) -> int:
        def there() -> bool:
            assert follower.poll() is None, "the job ended early:\n" + self.laptop.read("/tmp/submit.log")
            return self.fits_stored() >= count

        wait_until(there, limit_s, f"fewer than {count} fits", lambda: self.laptop.read("/tmp/submit.log"))
        return self.fits_stored()

    def wait_for_node(self, address: str, follower: "subprocess.Popen[bytes]", limit_s: float = 240) -> dict[str, int]:
        """Wait until a node has finished a fit; fits by node."""
        shares: dict[str, int] = {}

        def there() -> bool:
            assert follower.poll() is None, "the job ended early:\n" + self.laptop.read("/tmp/submit.log")
            shares.update(self.fits_by_node())
            return address in shares

        wait_until(there, limit_s, f"{address} got no fit", lambda: str(shares))
        return shares

    def wait_for_end(self, follower: "subprocess.Popen[bytes]", limit_s: float = 600) -> None:
        try:
            code = follower.wait(limit_s)
        except subprocess.TimeoutExpired:
            code = -1
        log = self.laptop.read("/tmp/submit.log")
        assert code == 0, (
            f"submit ended with {code}:\n{log}\n{self.head.run('sh', '-c', LAST_WORDS, check=False).stdout}"
        )

    def check_results(self) -> None:
        """Everything equals what one machine found, predictions to the byte."""
        self.laptop.python(
            f"from pathlib import Path; from numerai_ray.experiment.mirror import ResultsMirror as M; "
            f"from numerai_ray.system.storage import place; M(Path('/tmp/got'), place('{RESULTS}')).fetch()"
        )
        there = sums(self.laptop, "/tmp/alone/experiments/spread/predictions")
        got = sums(self.laptop, "/tmp/got/predictions")
        assert there, "the reference has no predictions"
        assert got == there, f"predictions differ: {got} {there}"
        decided = [
            decisions(self.laptop.read(f"{root}/results/rounds.jsonl"))
            for root in ("/tmp/alone/experiments/spread", "/tmp/got")
        ]
        assert decided[0] == decided[1], decided
        report = self.laptop.numerai_ray("report", EXPERIMENT, "--results", RESULTS).stdout.splitlines()[0]
        assert "## Final" in self.laptop.read(report)
        self.say(
            f"equal to the byte: predictions of {len(got)} variants; equal: {len(decided[0])} decisions; report made"
        )


LAST_WORDS = "tail -n 30 /tmp/ray/session_latest/logs/job-driver-*.log"


def sums(host: Host, folder: str) -> dict[str, str]:
    out = host.run("sh", "-c", f"cd {folder} && sha256sum *.parquet").stdout
    return {line.split()[1]: line.split()[0] for line in out.splitlines()}


def decisions(ledger: str) -> list[object]:
    rounds = [json.loads(line) for line in ledger.splitlines()]
    return [
        (each["number"], each["stage"], each["decision"], [v["metrics"] for v in each["variants"]]) for each in rounds
    ]


def wait_until(
    true: Callable[[], bool], limit_s: float, otherwise: str, details: Callable[[], str] | None = None
) -> None:
    deadline = time.monotonic() + limit_s
    while not true():
        if time.monotonic() > deadline:
            raise AssertionError(f"{otherwise} within {limit_s:.0f} s\n{details() if details else ''}")
        time.sleep(1)
