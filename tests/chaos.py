"""Chaos: an experiment is killed at random moments, goes on, and ends as if nothing had happened.

``python tests/chaos.py --kills 24`` runs a small experiment undisturbed, then again under kills of the driver, of a
fold's process, of the raylet (the node) and under interrupts, always followed by the same command; and compares the
ledger, the predictions and the report byte for byte, times aside. A stored fit that were trained again would be
written again: no entry of the store may change once it is there.
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
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import yaml

CLI = [sys.executable, "-c", "from numerai_ray.cli import main; main()"]
VICTIMS = ("driver", "worker", "node", "interrupt")
PLAN = {
    "name": "chaos",
    "idea": "An experiment that is killed again and again.",
    "novelty": "None of its rounds is ever decided twice.",
    "baseline": "chaos",
    "data_version": "chaos",
    "market": {"eras": 160, "rows": 120, "features": 40, "seed": 3},
    "search_space": {
        "dimensions": {
            "num_leaves": {"path": "model.params.num_leaves", "values": [3, 7, 15]},
            "n_estimators": {"path": "model.params.n_estimators", "values": [150, 300, 600]},
        }
    },
    "rounds": {"variants": 3, "patience": 1},
    "stages": {stage: {"data": "full", "feature_set": "all"} for stage in ("scout", "confirm", "final")},
    "budget": {"rounds": 2},
}
BASELINE = {
    "data": {"version": "chaos", "file": "full", "feature_set": "all"},
    "cv": {"n_splits": 4},
    "model": {"params": {"n_estimators": 400, "num_leaves": 31, "learning_rate": 0.02, "random_state": 1}},
}


@dataclass
class Chaos:
    """One experiment under kills; ``kills`` counts those that hit something, by victim."""

    root: Path
    random: random.Random
    kills: Counter[str] = field(default_factory=Counter)
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

    def start(self) -> subprocess.Popen[bytes]:
        with (self.root / "log").open("a") as log:
            command = [*CLI, "run", str(self.folder), "--data-dir", str(self.root / "data")]
            return subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)

    def finish(self) -> None:
        """Undisturbed to the end."""
        code = self.start().wait(timeout=300)
        self.look_at_store()
        if code != 0:
            raise AssertionError(f"the run ended with {code}; see {self.root / 'log'}")

    def disturb(self, victim: str, wait_s: float) -> bool:
        """Run, and kill ``victim`` after ``wait_s``; False when there was nothing to kill."""
        process = self.start()
        with suppress(subprocess.TimeoutExpired):
            process.wait(timeout=wait_s)
            return False
        hit = kill(process.pid, victim)
        while not hit and process.poll() is None:  # no fold is training right now: the next one then
            time.sleep(0.02)
            with suppress(psutil.Error):
                hit = kill(process.pid, victim)
        self.kills[victim] += hit
        if victim in ("driver", "interrupt") or not hit:
            code = process.wait(timeout=120)
            if victim == "interrupt" and code != 130:
                raise AssertionError(f"an interrupted run ended with {code}, not 130; see {self.root / 'log'}")
        elif (code := process.wait(timeout=300)) != 0:
            raise AssertionError(f"a run whose {victim} was killed ended with {code}; see {self.root / 'log'}")
        self.look_at_store()
        return hit

    def look_at_store(self) -> None:
        """No entry that was there may have been written again."""
        now = {
            path.name: (path.stat().st_ino, path.stat().st_mtime_ns)
            for path in (self.root / "data" / "store").rglob("*.fit")
        }
        self.retrained += [name for name, was in self.entries.items() if now.get(name) != was]
        self.entries = now


def kill(pid: int, victim: str) -> bool:
    """Kill the driver, or one process below it; False when there is none of the kind."""
    driver = psutil.Process(pid)
    if victim in ("driver", "interrupt"):
        driver.send_signal(signal.SIGKILL if victim == "driver" else signal.SIGINT)
        return True
    for process in driver.children(recursive=True):
        with suppress(psutil.Error):
            title = " ".join(process.cmdline())
            is_fit = title.startswith("ray::chaos/") and "/fold" in title
            if is_fit if victim == "worker" else process.name() == "raylet":
                process.kill()
                return True
    return False


def outcome(folder: Path) -> dict[str, object]:
    """Everything that must not depend on kills: ledger, predictions, report; times aside."""
    ledger = [json.loads(line) for line in (folder / "results" / "rounds.jsonl").read_text().splitlines()]
    for record in ledger:
        for key in ("started", "wall_s", "cost", "estimated_s"):
            record.pop(key, None)
        for variant in record["variants"]:
            del variant["fit_seconds"]
    predictions = {path.name: path.read_bytes() for path in sorted((folder / "predictions").glob("*.parquet"))}
    return {"ledger": ledger, "predictions": predictions, "report": timeless((folder / "experiment.md").read_text())}


def timeless(text: str) -> str:
    """A report without its times: durations (``1 min 20 s``, ``0.3 h``), dates, and what nodes cost."""
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
    wild = Chaos(root / "wild", random.Random(seed))
    wild.prepare()
    while wild.kills.total() < kills:
        victim = victims[wild.kills.total() % len(victims)]
        # Most of a run is its start; what remains of one that went on is shorter.
        wild.disturb(victim, wild.random.uniform(0.05, 0.6) * length_s)
        print(f"{wild.kills.total()} kills: {dict(wild.kills)}", flush=True)
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
    root = Path(tempfile.mkdtemp(prefix="chaos-"))
    done = run(root, options.kills, options.seed, options.victims)
    print(f"{done.kills.total()} kills, {len(done.entries)} fits stored, none trained twice; all outputs equal")
    shutil.rmtree(root)
    return 0


if __name__ == "__main__":
    sys.exit(main())
