"""Ray's own memory monitor kills fits: the retry is alone on its node, and what never fits is told with numbers."""

import os
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
from places import SUPPORT

GB = 2**30
HELD_GB = 3.0
# Half-way between one fit beside Ray itself (about 1 GB) and two, so that neither Ray's size nor other processes of the
# machine, which the monitor counts too, decide the test.
ROOM_GB = 5.5

GREEDY = f"""
import os
import time
from pathlib import Path
import numpy as np

LOG = Path(os.environ["GREEDY_LOG"])

def note(word):
    with LOG.open("a") as log:
        log.write(word + "\\n")

class Greedy:
    def __init__(self, seed: int = 0, gigabytes: float = {HELD_GB}):
        self.gigabytes = gigabytes

    def fit(self, rows):
        note("started")
        held = [np.ones(2**24) for _ in range(int(self.gigabytes * 8))]
        note("held")
        end = time.monotonic() + 60  # two hold theirs at once, however slowly the second one starts
        while LOG.read_text().split().count("held") < 2 and time.monotonic() < end:
            time.sleep(0.05)
        time.sleep(1)
        self.weights = rows.features.T @ (rows.target - rows.target.mean()) / len(held)
        return self

    def predict(self, rows):
        return rows.features @ self.weights
"""
KILLED = """
import sys
sys.path.insert(0, {tests!r})
from pathlib import Path
from numerai_ray.runners.ray.runner import TuneRunner
from numerai_ray.runners.ray.start import RaySettings
from contracts import SMALL, ignore
from numerai_ray.config import Config, validate
from numerai_ray.training.store.fits import FitStore
from numerai_ray.training.catalog import Catalog

root = Path({root!r})
catalog = Catalog(Path({market!r}), root)

def plan(name, gigabytes):
    model = {{"type": "greedy.py:Greedy", "params": {{"gigabytes": gigabytes}}}}
    values = {{**SMALL, "model": model, "cv": {{"n_splits": 3, "embargo_eras": 16}}}}
    return catalog.plan(name, f"greedy/r1/{{name}}", validate(Config, values, name))

runner = TuneRunner(FitStore(root / "store"), RaySettings(root / "tune", root / "log", dashboard=False))
found = runner.run([plan("fits", {held})], ignore)["fits"]
print("folds:", len(found.folds))
print("fits:", found.error)
print("starts:", Path({starts!r}).read_text().split().count("started"))
print("never:", runner.run([plan("never", {never})], ignore)["never"].error)
runner.close()
"""


@pytest.mark.ray
@pytest.mark.long
def test_fits_that_ray_kills_for_memory(market: Path, tmp_path: Path) -> None:
    memory = psutil.virtual_memory()
    if memory.available < 12 * GB:
        pytest.skip("needs 12 GB that nobody uses")
    (tmp_path / "greedy.py").write_text(GREEDY)
    threshold = (memory.total - memory.available + ROOM_GB * GB) / memory.total
    # Ray's own settings: where its monitor begins to kill, and how often it looks.
    limits = {"RAY_memory_usage_threshold": f"{threshold:.4f}", "RAY_memory_monitor_refresh_ms": "50"}
    starts = limits["GREEDY_LOG"] = str(tmp_path / "starts")
    places = {"tests": str(SUPPORT), "root": str(tmp_path), "market": str(market), "starts": starts}
    code = KILLED.format(**places, held=HELD_GB, never=3 * HELD_GB)
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=280, check=False, env=os.environ | limits
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    said = dict(line.split(": ", 1) for line in done.stdout.splitlines() if ": " in line)
    assert said["fits"] == "None", done.stdout
    assert int(said["starts"]) > int(said["folds"]), "two at once were too many, so one was killed and tried again"
    for words in ("fold", "ran out of memory 4 times", "alone on their node", "the estimate is", "smaller feature_set"):
        assert words in said["never"], done.stdout
