"""Seconds around the fits: what a user waits for besides training, against the limits, in one table.

    python tests/benchmarks/seconds_around_fits.py               everything; half an hour, on a quiet machine
    python tests/benchmarks/seconds_around_fits.py --short       small sizes of what is about scale: minutes
    python tests/benchmarks/seconds_around_fits.py start store   of start rounds idle plan cluster report listing store

What a run's seconds went into is read from its own timeline (``run --profile``). Ray's own start is measured alone, in
the same run, and taken out. Exits 1 where a limit is missed.
"""

import argparse
import compileall
import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "support"))

import itertools

from builders import finished_experiment
from places import ROOT

from numerai_ray.experiment.paths import ExperimentPaths
from numerai_ray.training.store.fits import FitStore, StoredFit

CLI = [sys.executable, "-m", "numerai_ray"]
HERE = Path(__file__).resolve().parent


@dataclass(frozen=True)
class Figure:
    """One line of the table; ``most`` is a limit from above, else from below."""

    name: str
    value: float
    limit: float
    unit: str = "s"
    most: bool = True

    @property
    def holds(self) -> bool:
        return self.value <= self.limit if self.most else self.value >= self.limit

    def line(self) -> str:
        sign = "<=" if self.most else ">="
        told = "ok" if self.holds else "MISSED"
        return f"{self.name:62}{self.value:>10.3f} {sign} {self.limit:<8g} {self.unit:8} {told}"


class Desk:
    """The quickstart in a folder of its own; the market and the compiled kernels outlive an experiment."""

    def __init__(self, root: Path):
        self.root, self.data = root, root / "data"
        for name in ("experiments/baselines", "search_spaces"):
            shutil.copytree(ROOT / name, root / name)
        self.folder = root / "experiments" / "quickstart"
        self.paths = ExperimentPaths(self.folder)

    def fresh(self, *, stored: bool = False) -> None:
        """The plan alone; ``stored`` leaves the fits in the store."""
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)
        shutil.copy(ROOT / "experiments" / "quickstart" / "experiment.yaml", self.folder)
        for entry in [] if stored else self.data.glob("store/[0-9a-f][0-9a-f]"):
            shutil.rmtree(entry)

    def run(self, *options: str) -> float:
        """Seconds of the whole command."""
        return took([*CLI, "run", str(self.folder), "--data-dir", str(self.data), *options], self.root)

    def spans(self) -> list[dict[str, Any]]:
        """Of the last run with --profile: name, seconds since its start, duration, thread."""
        events = json.loads(self.paths.timeline.read_text())["traceEvents"]
        lanes = {each["tid"]: each["args"]["name"] for each in events if each["ph"] == "M"}
        return [
            {"name": each["name"], "at": each["ts"] / 1e6, "s": each["dur"] / 1e6, "lane": lanes[each["tid"]]}
            for each in events
            if each["ph"] == "X"
        ]


def as_installed() -> None:
    """Whatever this shell forbids, modules are compiled once, as those of an installed program are."""
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    compileall.compile_dir(ROOT / "numerai_ray", quiet=2)


def took(command: list[str], folder: Path = ROOT) -> float:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    began = time.perf_counter()
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)}: exit code {done.returncode}\n{done.stderr}")
    return time.perf_counter() - began


def usual(measure: Callable[[], float], times: int = 5) -> float:
    """The median."""
    return statistics.median(measure() for _ in range(times))


def ray_alone() -> float:
    """Seconds that Ray takes to start here, imported already, with what a run starts it with."""
    code = (
        "import time, ray; began = time.perf_counter(); "
        "ray.init(address='local', include_dashboard=True, log_to_driver=False); print(time.perf_counter() - began)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return float(done.stdout.split()[-1])


def covered(spans: list[dict[str, Any]], start: float, stop: float) -> float:
    """Seconds between ``start`` and ``stop`` in which at least one fit ran."""
    total, reached = 0.0, start
    for each in sorted(spans, key=lambda one: one["at"]):
        begin, end = max(each["at"], reached), min(each["at"] + each["s"], stop)
        if end > begin:
            total, reached = total + end - begin, end
    return total


def ends_of_rounds(spans: list[dict[str, Any]]) -> list[float]:
    return [each["at"] + each["s"] for each in spans if each["name"] == "ledger"]


def start(desk: Desk) -> Iterator[Figure]:
    """From the command to the first score, and what commands that only read take."""
    desk.fresh()
    desk.run("--rounds", "1")  # the market, and compiled kernels
    ray = ray_alone()
    desk.fresh()
    desk.run("--rounds", "1", "--profile")
    spans = desk.spans()
    first = min(each["at"] + each["s"] for each in spans if each["name"] == "fit")
    own = next(each["s"] for each in spans if each["name"] == "Ray")
    print(f"Ray alone {ray:.2f} s; in the run {own:.2f} s; first score {first:.2f} s after the command's start")
    yield Figure("first score besides Ray's own start", first - ray, 5)
    yield Figure("--help", usual(lambda: took([*CLI, "--help"])), 0.3)
    yield Figure("status", usual(lambda: took([*CLI, "status", str(desk.folder)])), 0.6)


def rounds(desk: Desk) -> Iterator[Figure]:
    """A whole quickstart on Ray: what its rounds take besides fits, new and stored, and once it is finished."""
    desk.fresh()
    desk.run("--profile")
    spans = desk.spans()
    fits, ends = [each for each in spans if each["name"] == "fit"], ends_of_rounds(spans)
    between = [stop - begin - covered(fits, begin, stop) for begin, stop in itertools.pairwise(ends)]
    yield Figure("a round besides its fits, after the first (median)", statistics.median(between), 0.7)
    yield Figure("a command on a finished experiment", usual(desk.run), 0.6)
    desk.fresh(stored=True)
    desk.run("--profile")
    ends = ends_of_rounds(desk.spans())
    stored = [stop - begin for begin, stop in itertools.pairwise(ends)]
    yield Figure("a round whose fits are all stored, after the first (median)", statistics.median(stored), 1)


def idle(root: Path) -> Iterator[Figure]:
    """Cores that nothing ran on while fits waited, in a round of 384,000 rows x 400 features."""
    from round_memory import RATES, make_data, write_experiment  # noqa: PLC0415, which takes as_installed from here

    data, folder = root / "w" / "data", root / "w" / "experiments" / "w"
    make_data(data, (320, 1200, 400), root / "w.log")
    write_experiment(folder, RATES, 300)
    took([*CLI, "run", str(folder), "--data-dir", str(data), "--rounds", "1"])
    (share,) = re.findall(r"core-seconds \((\d+)%\)", ExperimentPaths(folder).driver_log.read_text())
    yield Figure("idle core-seconds while fits waited, 384,000 rows x 400", int(share), 5, "%")


def plan(desk: Desk) -> Iterator[Figure]:
    """``plan`` with its calibration, nothing known before."""
    desk.fresh()
    seconds = took([*CLI, "plan", str(desk.folder), "--data-dir", str(desk.data)], desk.root)
    yield Figure("plan, nothing measured before", seconds, 15)


def cluster() -> Iterator[Figure]:
    """Fits a second where fits are nothing: 64 variants x 4 folds on four simulated nodes."""
    done = subprocess.run(
        [sys.executable, str(HERE / "control_plane.py")], capture_output=True, text=True, check=False, cwd=ROOT
    )
    found = re.search(r"fits a second: ([\d.]+) overall", done.stdout)
    if found is None:
        raise SystemExit(f"control_plane.py tells no fits a second\n{done.stdout}\n{done.stderr}")
    yield Figure("control plane, 64 variants x 4 folds on four nodes", float(found[1]), 50, "fits/s", most=False)


def report(variants: int) -> Iterator[Figure]:
    """All pictures, text and page of so many variants, from nothing, in a process of its own."""
    done = subprocess.run(
        [sys.executable, str(HERE / "report_size.py"), "--variants", str(variants)],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
    )
    found = re.search(r"variants: ([\d.]+) s .*?, (\d+) MB", done.stdout)
    if found is None:
        raise SystemExit(f"report_size.py tells no figures\n{done.stdout}\n{done.stderr}")
    yield Figure(f"report of {variants:,} variants", float(found[1]), 10)
    yield Figure(f"report of {variants:,} variants, peak memory", float(found[2]), 400, "MB")


def listing(root: Path, experiments: int) -> Iterator[Figure]:
    """``history`` over so many finished experiments below one root."""
    below = root / "many"
    made = finished_experiment(below / "e00000")
    for number in range(1, experiments):
        folder = below / f"e{number:05d}"
        (folder / "results").mkdir(parents=True)
        shutil.copy(made.paths.plan, folder)
        shutil.copy(made.paths.ledger, folder / "results")
        (folder / ".lock").touch()  # as a run leaves it
    time.sleep(3)  # files of this moment are not trusted yet
    command = [*CLI, "history", str(below), "--json"]
    print(f"{experiments:,} experiments listed for the first time in {took(command):.1f} s")
    yield Figure(f"{experiments:,} experiments listed", usual(lambda: took(command)), 2)


def store(root: Path, entries: int) -> Iterator[Figure]:
    """One entry of so many, and what may go of them: told in a process of its own, for its memory."""
    kept = FitStore(root / "store")
    fit = StoredFit(np.zeros(8), {"seconds": 1.0, "train_rows": 1, "dropped_rows": 0})
    keys = [f"{number * 2654435761 % 2**32:08x}{number:024x}" for number in range(entries)]
    first = keys[0]
    kept.put(first, fit)
    whole = kept.path(first).read_bytes()
    for key in keys:
        path = Path(str(kept.path(key)))
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(whole)  # under another's name they are damaged, which only reading would tell
    for key in keys[:200]:
        kept.put(key, fit)
    began = time.perf_counter()
    assert all(kept.get(key) is not None for key in keys[:200])
    yield Figure(f"an entry read of {entries:,}", (time.perf_counter() - began) / 200 * 1000, 1, "ms")
    half = len(whole) * entries // 2
    code = (
        "import resource, sys, time; from pathlib import Path; from numerai_ray.training.store.care import *; "
        "from numerai_ray.training.store.fits import FitStore; began = time.perf_counter(); "
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss; "
        f"files = StoreFiles(FitStore(Path({str(kept.root)!r})), time.time()); "
        f"n = sum(1 for _ in removals(files, Limits(size_bytes={half}))); "
        "print(n, time.perf_counter() - began, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    count, seconds, more = told.stdout.split()
    print(f"gc finds the {int(count):,} that go so that half of the size stays in {float(seconds):.1f} s")
    yield Figure(f"gc over {entries:,} entries, memory that it takes", float(more) / 1024, 50, "MB")


def main() -> int:
    names = ["start", "rounds", "idle", "plan", "cluster", "report", "listing", "store"]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", help="of " + ", ".join(names), default=[])
    parser.add_argument("--short", action="store_true", help="a hundredth of experiments and entries, 200 variants")
    asked = parser.parse_args()
    found: list[Figure] = []
    as_installed()
    with tempfile.TemporaryDirectory(prefix="numerai-ray-seconds-") as folder:
        root = Path(folder)
        desk = Desk(root)
        small = 100 if asked.short else 1
        parts: dict[str, Callable[[], Iterator[Figure]]] = {
            "start": lambda: start(desk),
            "rounds": lambda: rounds(desk),
            "idle": lambda: idle(root),
            "plan": lambda: plan(desk),
            "cluster": cluster,
            "report": lambda: report(200 if asked.short else 2_000),
            "listing": lambda: listing(root, 10_000 // small),
            "store": lambda: store(root, 1_000_000 // small),
        }
        for name in asked.parts or names:
            for figure in parts[name]():
                found.append(figure)
                print(figure.line(), flush=True)
    print("\n".join(["", *(each.line() for each in found)]))
    return 0 if all(each.holds for each in found) else 1


if __name__ == "__main__":
    sys.exit(main())
