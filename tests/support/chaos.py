"""Chaos: an experiment is killed at random moments, goes on, and ends as if nothing had happened.

``python tests/support/chaos.py --kills 24`` runs a small experiment undisturbed, then again under kills of the driver,
of a fold's process, of all of Ray, of one node of two, and under interrupts, always followed by the same command; and
compares the ledger, the predictions and the report byte for byte, times aside. Every other attempt runs on a cluster of
two nodes (two raylets on this machine) instead of a Ray of its own. A stored fit that were trained again would be
written again: no entry of the store may change once it is there, and the number of those that did is counted.
"""

import argparse
import json
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import yaml

CLI = [sys.executable, "-c", "from numerai_ray.cli import main; main()"]
# The command's own word for it, and that of Ray's core, which may end the process in the middle of its start.
NO_START = (2, 1)
VICTIMS = ("driver", "worker", "node", "interrupt", "ray")
STORE_BYTES = 100_000_000
PLAN = {
    "name": "chaos",
    "idea": "An experiment that is killed again and again.",
    "novelty": "None of its rounds is ever decided twice.",
    "baseline": "chaos",
    "data_version": "chaos",
    "market": {"eras": 120, "rows": 80, "features": 30, "seed": 3},
    "search_space": {
        "dimensions": {
            "num_leaves": {"path": "model.params.num_leaves", "values": [3, 7, 15]},
            "n_estimators": {"path": "model.params.n_estimators", "values": [100, 200, 400]},
        }
    },
    "rounds": {"variants": 3, "patience": 1},
    "stages": {stage: {"data": "full", "feature_set": "all"} for stage in ("scout", "confirm", "final")},
    "budget": {"rounds": 2},
}
BASELINE = {
    "data": {"version": "chaos", "file": "full", "feature_set": "all"},
    "cv": {"n_splits": 4},
    "model": {"params": {"n_estimators": 300, "num_leaves": 31, "learning_rate": 0.02, "random_state": 1}},
}


class Nodes:
    """A cluster of two nodes on this machine: the head stays, the other is killed and replaced."""

    def __init__(self) -> None:
        from ray.cluster_utils import Cluster  # noqa: PLC0415 - the short form has no cluster

        size = {"num_cpus": 1, "object_store_memory": STORE_BYTES}
        self._size = size
        self._cluster = Cluster(initialize_head=True, head_node_args={**size, "include_dashboard": False})
        self._second: Any = self._cluster.add_node(**size)

    @property
    def address(self) -> str:
        return str(self._cluster.address)

    def raylets(self) -> list[psutil.Process]:
        """Of the head and of the other node; below them are the processes of fits."""
        return [raylet_of(node) for node in (self._cluster.head_node, self._second)]

    def kill_second(self) -> None:
        """As when the plug is pulled: everything on it at once."""
        raylet = raylet_of(self._second)
        raylet.suspend()  # starts nothing while its processes are looked up
        for process in [*raylet.children(recursive=True), raylet]:
            with suppress(psutil.Error):
                process.kill()

    def replace_second(self) -> None:
        self._cluster.remove_node(self._second, allow_graceful=False)
        self._second = self._cluster.add_node(**self._size)

    def close(self) -> None:
        self._cluster.shutdown()


def raylet_of(node: Any) -> psutil.Process:
    return psutil.Process(node.all_processes["raylet"][0].process.pid)


@contextmanager
def two_nodes(*, wanted: bool) -> Iterator[Nodes | None]:
    nodes = Nodes() if wanted else None
    try:
        yield nodes
    finally:
        if nodes is not None:
            nodes.close()


@dataclass
class Chaos:
    """One experiment under kills; ``kills`` counts those that hit something, by victim."""

    root: Path
    random: random.Random
    nodes: Nodes | None = None
    kills: Counter[str] = field(default_factory=Counter)
    on_cluster: int = 0
    while_starting: int = 0
    log_begins: int = 0
    entries: dict[str, tuple[int, int]] = field(default_factory=dict)
    retrained: list[str] = field(default_factory=list)

    @property
    def folder(self) -> Path:
        return self.root / "experiments" / "chaos"

    def prepare(self) -> None:
        shutil.rmtree(self.root, ignore_errors=True)
        self.folder.mkdir(parents=True)
        (self.folder.parent / "baselines").mkdir()
        (self.folder.parent / "baselines" / "chaos.yaml").write_text(yaml.safe_dump(BASELINE))
        (self.folder / "experiment.yaml").write_text(yaml.safe_dump(PLAN))
        self.entries.clear()

    def start(self, nodes: Nodes | None = None) -> subprocess.Popen[bytes]:
        where = [] if nodes is None else ["--address", nodes.address]
        with (self.root / "log").open("a") as log:
            self.log_begins = log.tell()
            command = [*CLI, "run", str(self.folder), "--data-dir", str(self.root / "data"), *where]
            return subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)

    def finish(self) -> None:
        """Undisturbed to the end."""
        code = self.start().wait(timeout=300)
        self.look_at_store()
        if code != 0:
            raise AssertionError(f"the run ended with {code}; see {self.root / 'log'}")

    def disturb(self, victim: str, wait_s: float) -> bool:
        """Run, and kill ``victim`` after ``wait_s``; False when there was nothing to kill."""
        nodes = self.cluster_for(victim)
        process = self.start(nodes)
        with suppress(subprocess.TimeoutExpired):
            process.wait(timeout=wait_s)
            return False
        hit = kill(process.pid, victim, nodes)
        while not hit and process.poll() is None:  # no fold is training right now: the next one then
            time.sleep(0.02)
            with suppress(psutil.Error):
                hit = kill(process.pid, victim, nodes)
        self.kills[victim] += hit
        self.on_cluster += hit and nodes is not None
        code = process.wait(timeout=300)
        self.check_end(victim if hit else "nobody", code)
        if nodes is not None and victim == "node" and hit:
            nodes.replace_second()
        self.look_at_store()
        return hit

    def check_end(self, victim: str, code: int) -> None:
        """A run goes on to its end, but where it was killed or stopped, or lost its Ray while that started."""
        log = (self.root / "log").read_bytes()[self.log_begins :].decode(errors="replace")
        ends = {"driver": {-signal.SIGKILL}, "interrupt": {130}}.get(victim, {0})
        if victim == "ray" and code in NO_START and "Ray does not start" in log:
            self.while_starting += 1
            ends = {code}
        if code not in ends or "Traceback" in log:
            raise AssertionError(f"a run whose {victim} was killed ended with {code}; see {self.root / 'log'}")

    def cluster_for(self, victim: str) -> Nodes | None:
        """A node of two is killed on a cluster, all of Ray on this machine; the others in turn here and there."""
        if victim == "node":
            return self.nodes
        return self.nodes if victim != "ray" and self.kills[victim] % 2 else None

    def look_at_store(self) -> None:
        """No entry that was there may have been written again."""
        now = {
            path.name: (path.stat().st_ino, path.stat().st_mtime_ns)
            for path in (self.root / "data" / "store").rglob("*.fit")
        }
        self.retrained += [name for name, was in self.entries.items() if now.get(name) != was]
        self.entries = now


def kill(pid: int, victim: str, nodes: Nodes | None) -> bool:
    """Kill the driver, its node or its Ray, or one fit's process; False when there is none of the kind."""
    driver = psutil.Process(pid)
    if victim in ("driver", "interrupt"):
        driver.send_signal(signal.SIGKILL if victim == "driver" else signal.SIGINT)
        return True
    if victim == "node" and nodes is not None:
        nodes.kill_second()
        return True
    roots = [driver] if nodes is None else nodes.raylets()
    found = (process for root in roots for process in root.children(recursive=True))
    return kill_one(found, is_fit if victim == "worker" else is_raylet)


def kill_one(processes: Iterable[psutil.Process], wanted: Any) -> bool:
    for process in processes:
        with suppress(psutil.Error):
            if wanted(process):
                process.kill()
                return True
    return False


def is_fit(process: psutil.Process) -> bool:
    title = " ".join(process.cmdline())
    return title.startswith("ray::chaos/") and "/fold" in title


def is_raylet(process: psutil.Process) -> bool:
    return bool(process.name() == "raylet")


def outcome(folder: Path) -> dict[str, object]:
    """Everything that must not depend on kills: ledger, predictions, report; times aside."""
    ledger = [json.loads(line) for line in (folder / "results" / "rounds.jsonl").read_text().splitlines()]
    for record in ledger:
        for key in ("started", "wall_s", "cost", "estimated_s", "cores"):  # cores: a node that died is not there
            record.pop(key, None)
        for variant in record["variants"]:
            del variant["fit_seconds"]
    predictions = {path.name: path.read_bytes() for path in sorted((folder / "predictions").glob("*.parquet"))}
    return {"ledger": ledger, "predictions": predictions, "report": timeless((folder / "experiment.md").read_text())}


def timeless(text: str) -> str:
    """A report without its times: durations (``1 min 20 s``, ``0.3 h``), dates, what nodes cost, what was estimated."""
    text = re.sub(r"## Estimate against fact\n.*?(?=\n## )", "", text, flags=re.DOTALL)
    text = "\n".join(line for line in text.splitlines() if not line.startswith("*Time:"))
    text = re.sub(r"\d{4}-\d\d-\d\d[T ]?(\d\d:\d\d(:\d\d)?)?( UTC|[+Z]\S*)?", "DATE", text)
    return re.sub(r"\b\d+(\.\d+)? (s|min|h|seconds|minutes|hours)\b( \d+ (s|min)\b)?", "TIME", text)


def run(root: Path, kills: int, seed: int, victims: Sequence[str] = VICTIMS) -> Chaos:
    """Disturb an experiment until ``kills`` hit, one victim after the other; raises AssertionError on a difference."""
    calm = Chaos(root / "calm", random.Random(seed))
    calm.prepare()
    started = time.monotonic()
    calm.finish()
    length_s = time.monotonic() - started
    with two_nodes(wanted="node" in victims) as nodes:
        wild = Chaos(root / "wild", random.Random(seed), nodes)
        wild.prepare()
        while wild.kills.total() < kills:
            victim = victims[wild.kills.total() % len(victims)]
            # Most of a run is its start; what remains of one that went on is shorter.
            wild.disturb(victim, wild.random.uniform(0.05, 0.6) * length_s)
            also = f"{wild.on_cluster} on two nodes; {wild.while_starting} while Ray started"
            print(f"[{time.monotonic() - started:4.0f} s] {dict(wild.kills)}, {also}", flush=True)
            if (wild.folder / "results" / "rounds.jsonl").exists() and finished(wild.folder):
                compare(calm, wild)
                if wild.kills.total() < kills:
                    wild.prepare()
        wild.finish()
        compare(calm, wild)
    return wild


def finished(folder: Path) -> bool:
    lines = (folder / "results" / "rounds.jsonl").read_text().splitlines()
    return bool(lines) and '"stage": "final"' in lines[-1]


def compare(calm: Chaos, wild: Chaos) -> None:
    wild.finish()  # a finished experiment writes its report again
    expected, found = outcome(calm.folder), outcome(wild.folder)
    for what, value in expected.items():
        if found[what] != value:
            raise AssertionError(f"{what} differs after kills; compare {calm.folder} and {wild.folder}")
    if wild.retrained:
        raise AssertionError(f"trained again although stored: {wild.retrained}")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=24)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--victims", nargs="+", choices=VICTIMS, default=VICTIMS)
    options = parser.parse_args()
    # A shell ignores interrupts for what it starts in the background, and that is passed on.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    root = Path(tempfile.mkdtemp(prefix="chaos-"))
    done = run(root, options.kills, options.seed, options.victims)
    fits = f"{len(done.entries)} fits stored, {len(done.retrained)} trained twice"
    print(f"{done.kills.total()} kills, {fits}; all outputs equal")
    shutil.rmtree(root)
    return 0


if __name__ == "__main__":
    sys.exit(main())
