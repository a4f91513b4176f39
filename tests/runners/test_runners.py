"""Both runners under one contract, and what only the one on Ray does."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from typing import Never

import pytest
import ray
from contracts import RunnerContract, config, ignore, params, same_outcome
from places import SUPPORT

from numerai_ray.data.dataset import Columns
from numerai_ray.runners.in_process import InProcessRunner, StoredFirst
from numerai_ray.runners.ray.runner import TuneRunner
from numerai_ray.runners.ray.shared_data import FeatureBlock
from numerai_ray.runners.ray.start import RaySettings
from numerai_ray.training.catalog import Catalog
from numerai_ray.training.store.fits import FitStore


class TestStoredFirst(RunnerContract):
    def make(self, store: FitStore) -> StoredFirst:
        runner = InProcessRunner(store, threads=2)
        return StoredFirst(store, 2, lambda: runner)

    def test_stored_round_makes_no_runner(self, store: FitStore, catalog: Catalog) -> None:
        plans = self.plans(catalog)
        InProcessRunner(store, threads=1).run(plans, ignore)

        def never() -> Never:
            raise AssertionError("nothing is to be trained")

        runner = StoredFirst(store, 2, never)
        outcomes = runner.run(plans, ignore)
        assert all(fold.stored for outcome in outcomes.values() for fold in outcome.folds)
        runner.close()


def test_the_front_of_a_stored_round_does_not_import_ray() -> None:
    code = "import sys, numerai_ray.cli.commands.run, numerai_ray.runners.in_process; print('ray' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "False"


class TestInProcess(RunnerContract):
    def make(self, store: FitStore) -> InProcessRunner:
        return InProcessRunner(store, threads=2)


@pytest.fixture(scope="module")
def ray_session(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RaySettings]:
    """Settings under which the first runner starts Ray and the others find it running."""
    logs = tmp_path_factory.mktemp("ray")
    settings = RaySettings(logs / "tune", logs / "driver.log", dashboard=False)
    yield settings
    TuneRunner(FitStore(logs / "unused"), settings).close()


@pytest.mark.ray
class TestTune(RunnerContract):
    @pytest.fixture(autouse=True)
    def _settings(self, ray_session: RaySettings) -> None:
        self.settings = ray_session

    def make(self, store: FitStore) -> TuneRunner:
        return TuneRunner(store, self.settings)

    def test_tune_sees_every_trial_and_its_metrics(self, store: FitStore, catalog: Catalog) -> None:
        plans = [
            catalog.plan(f"leaves-{leaves}", f"seen/r1/leaves-{leaves}", config(params(num_leaves=leaves)))
            for leaves in (3, 5)
        ]
        runner = self.make(store)
        runner.run(plans, ignore)
        runner._showing.end(60)
        folder = self.settings.trial_dir / "seen-r1"
        assert sorted(path.name for path in folder.iterdir() if path.is_dir()) == ["leaves-3", "leaves-5"]
        assert not list(folder.rglob("error.txt")), "a trial that fails is only not shown, so nothing else would tell"
        (state,) = folder.glob("experiment_state-*.json")
        shown = [json.loads(metadata)["last_result"] for _, metadata in json.loads(state.read_text())["trial_data"]]
        assert [each["folds_done"] for each in shown] == [len(plan.fits) for plan in plans]

    def test_workers_read_one_copy(self, store: FitStore, catalog: Catalog) -> None:
        """What a worker gets lies in the object store: read-only, and not its own."""
        plans = self.plans(catalog)[:1]
        runner = self.make(store)
        runner.run(plans, ignore)

        @ray.remote
        def own_bytes(columns: Columns, *blocks: FeatureBlock) -> int:
            features = [array for values, seen in blocks for array in (values, seen.bits)]
            arrays = [*features, columns.ids, *columns.targets.values()]
            return sum(array.nbytes for array in arrays if array.flags.owndata or array.flags.writeable)

        shared = runner._shared
        inputs = shared.inputs(plans[0].fits[0])
        assert len(inputs.refs) == len(inputs.shape.blocks) > 0
        assert ray.get(own_bytes.remote(shared.columns(plans[0]), *inputs.refs)) == 0

    def test_worker_killed_in_a_fit_is_replaced(self, store: FitStore, market: Path) -> None:
        """A fold's process dies (out of memory, say): Ray runs the fold again, and nothing differs."""
        slow = config(params(n_estimators=1500, num_leaves=31))
        plan = Catalog(market).plan("slow", "killed/r1/slow", slow)
        killer = subprocess.Popen([sys.executable, "-c", KILL_FIRST_FIT, str(os.getpid())])
        outcome = self.make(store).run([plan], ignore)["slow"]
        assert killer.wait(timeout=60) == 0, "no fit was seen running, so nothing was killed"
        reference = InProcessRunner(FitStore(store.root.parent / "plain"), threads=1).run([plan], ignore)["slow"]
        same_outcome(outcome, reference)


@pytest.mark.ray
def test_the_costliest_fits_start_first_whatever_memory_they_need(market: Path, tmp_path: Path) -> None:
    """On one core fits run one after the other: what lies in the store tells in which order. No look comes between."""
    code = IN_ORDER.format(market=str(market), work=str(tmp_path), tests=str(SUPPORT))
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    costs, tasks = json.loads(done.stdout.splitlines()[-1])
    assert len(costs) == 9
    assert [kind for kind, _ in groupby(tasks)] == ["fold", "diagnose"]
    assert tasks.count("diagnose") == 3, "each fold is looked at once, for all variants"
    assert costs == sorted(costs, reverse=True)
    assert len(set(costs)) == 6, "two variants cost the same, and one more"


IN_ORDER = """
import json, os, sys, time
from pathlib import Path
sys.path.insert(0, {tests!r})
os.sched_setaffinity(0, [min(os.sched_getaffinity(0))])
from contracts import config, ignore, params
from numerai_ray.training.store.fits import FitStore
from numerai_ray.runners.ray.start import RaySettings
from numerai_ray.training.catalog import Catalog
from numerai_ray.runners.ray.runner import TuneRunner
import ray
catalog, work = Catalog(Path({market!r})), Path({work!r})
plans = [
    catalog.plan(f"v{{rate}}-{{leaves}}", "order/r1/v", config(params(learning_rate=rate, num_leaves=leaves)))
    for rate, leaves in ((.1, 4), (.2, 4), (.1, 16))
]
store = FitStore(work / "store")
runner = TuneRunner(store, RaySettings(work / "tune", work / "driver.log", dashboard=False))
runner.run(plans, ignore)
told, until = [], time.monotonic() + 30
while len(told) < 12 and time.monotonic() < until:  # Ray tells with a delay
    time.sleep(0.5)
    told = [(each["ts"], each["cat"]) for each in ray.timeline() if each["cat"].startswith("task::order/")]
runner.close()
kinds = [cat.rpartition("/")[2].rstrip("0123456789 ") for _, cat in sorted(told)]
fits = {{fit.key: fit.cost for plan in plans for fit in plan.fits}}
written = {{path.stem: path.stat().st_mtime_ns for path in store.root.rglob("*.fit")}}
print(json.dumps([[fits[key] for key in sorted(fits, key=written.get)], kinds]))
"""


# Waits for a Ray worker that runs a fit, below the given process, and kills it.
KILL_FIRST_FIT = """
import os, signal, sys, time
import psutil
deadline = time.monotonic() + 50
while time.monotonic() < deadline:
    for process in psutil.Process(int(sys.argv[1])).children(recursive=True):
        try:
            title = " ".join(process.cmdline())
            if title.startswith("ray::killed/") and "/fold" in title:
                os.kill(process.pid, signal.SIGKILL)
                sys.exit(0)
        except (psutil.Error, ProcessLookupError):
            pass
    time.sleep(0.02)
sys.exit(1)
"""
