"""A round's best that waits to be run again: killed or interrupted there, the same command ends as if undisturbed."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import yaml
from desk import PLAN, Desk

from numerai_ray.cli.main import run
from numerai_ray.experiment.decision import is_finished
from numerai_ray.experiment.ledger import read_ledger
from numerai_ray.experiment.paths import ExperimentPaths
from numerai_ray.experiment.records import REPLICATE
from numerai_ray.rounds.replication import FIRST_SEED, pending

pytestmark = pytest.mark.slow

CHANGES: dict[str, Any] = {
    # By the seeds of the plan a tree of four leaves gains on this market.
    "base": {"model": {"params": {"colsample_bytree": 0.3, "learning_rate": 0.1}}},
    "rounds": {"variants": 2, "margin": 1.0e-4, "accept": "replicated", "patience": 1},
    "stages": {stage: {"data": "full", "feature_set": "medium"} for stage in ("scout", "confirm", "final")},
    "budget": {"rounds": 1},
    "search_space": {"dimensions": {"num_leaves": {"path": "model.params.num_leaves", "values": [4, 15]}}},
}
# The command, which ends itself by a signal when the first fit of the second round is stored.
DISTURBED = """
import os, signal, sys
from pathlib import Path
from numerai_ray.cli import main
from numerai_ray.training.store.fits import FitStore
ledger, number, stored, sent = Path(sys.argv.pop(1)), int(sys.argv.pop(1)), FitStore.put, []
signal.signal(signal.SIGINT, signal.default_int_handler)
def put(store, key, fit):
    stored(store, key, fit)
    if ledger.exists() and not sent:
        sent.append(key)
        os.kill(os.getpid(), number)
FitStore.put = put
main()
"""


def desk_in(root: Path, market: Path) -> Desk:
    desk = Desk(root, market)
    (desk.folder / "experiment.yaml").write_text(yaml.safe_dump({**PLAN, **CHANGES}))
    return desk


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory, market: Path) -> Desk:
    desk = desk_in(tmp_path_factory.mktemp("undisturbed"), market)
    assert desk.run() == 0
    return desk


def waiting(desk: Desk) -> bool:
    """Whether one round is decided, and its best waits to be run again."""
    history = read_ledger(ExperimentPaths(desk.folder).ledger)
    return len(history) == 1 and pending(history) is not None


def test_the_second_run_has_fresh_seeds_and_decides(undisturbed: Desk) -> None:
    first, again, *rest = undisturbed.rounds()
    assert (first["kind"], again["kind"], again["stage"]) == ("", REPLICATE, "scout")
    assert (first["decision"]["promoted"], first["decision"]["rule"]) == (False, "replicated/2")
    assert "base kept until fresh seeds show it again" in first["decision"]["reason"]
    assert "run again with fresh seeds: " in again["decision"]["reason"]
    for variant in again["variants"]:
        if variant["role"] in ("base", "variant"):
            config = (undisturbed.folder / "configs" / f"{variant['id']}.yaml").read_text()
            assert f"{FIRST_SEED + 2000}" in config, "seeds of the second round"
            assert variant["fits_new"] > 0
    assert [record["stage"] for record in rest][-1] == "final"
    assert all(record["decision"]["rule"] == "significant/2" for record in rest), (
        "other stages have no seeds to wait for"
    )


@pytest.mark.parametrize(("number", "code"), [(signal.SIGKILL, -signal.SIGKILL), (signal.SIGINT, 130)])
def test_killed_or_interrupted_while_one_is_pending_it_goes_on(
    undisturbed: Desk, tmp_path: Path, market: Path, number: int, code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    desk = desk_in(tmp_path, market)
    ledger = str(desk.folder / "results" / "rounds.jsonl")
    command = [sys.executable, "-c", DISTURBED, ledger, str(int(number)), *desk.arguments("--in-process")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    assert waiting(desk)
    assert (desk.folder / "configs" / "r02-base.yaml").exists(), "it had begun"
    assert run(["status", str(desk.folder), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["answer"]["kind"] == "no change", "what waits is not the answer"
    before = desk.fits()
    assert desk.run() == 0
    assert {name: desk.fits()[name] for name in before} == before, "nothing stored was trained again"
    assert desk.untimed() == undisturbed.untimed()


@pytest.mark.ray
@pytest.mark.long
def test_on_ray_it_is_the_same_and_outlives_its_driver(undisturbed: Desk, tmp_path: Path, market: Path) -> None:
    desk = desk_in(tmp_path, market)
    with desk.start() as process:
        end = time.monotonic() + 300
        # The last file that is written before the round trains.
        while not (desk.folder / "configs" / "r02-num_leaves=4.yaml").exists() and process.poll() is None:
            assert time.monotonic() < end
            time.sleep(0.01)
        process.kill()
    assert waiting(desk)
    with desk.start() as process:
        output, _ = process.communicate(timeout=300)
    assert process.returncode == 0, output
    assert desk.untimed() == undisturbed.untimed()
    assert is_finished(read_ledger(ExperimentPaths(desk.folder).ledger))
