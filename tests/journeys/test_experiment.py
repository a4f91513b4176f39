"""Whole experiments through the command line: end to end, in steps, interrupted, killed, edited, failing."""

import json
import os
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pandas as pd
import psutil
import pytest
import yaml
from desk import CLI, Desk

from numerai_ray.cli.main import run

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory, market: Path) -> Desk:
    """The experiment, run to its end in one go without Ray."""
    desk = Desk(tmp_path_factory.mktemp("undisturbed"), market)
    assert desk.run() == 0
    return desk


def test_whole_experiment(undisturbed: Desk, capsys: pytest.CaptureFixture[str]) -> None:
    rounds = undisturbed.rounds()
    assert [record["stage"] for record in rounds][-2:] == ["confirm", "final"]
    assert {record["dimension"] for record in rounds} >= {"num_leaves", "learning_rate"}
    assert [record["number"] for record in rounds] == list(range(1, len(rounds) + 1))
    for record in rounds:
        roles = [variant["role"] for variant in record["variants"]]
        assert roles[0] == "base"
        assert "benchmark" in roles
        assert "baseline" in roles, "the base differs from the baseline here, so the baseline has a row of its own"
        assert record["decision"]["reason"]
        for variant in record["variants"]:
            if variant["role"] == "benchmark":
                continue
            for name in (f"configs/{variant['id']}.yaml", f"results/{variant['id']}.json"):
                assert (undisturbed.folder / name).exists(), name
            oof = pd.read_parquet(undisturbed.folder / "predictions" / f"{variant['id']}.parquet")
            assert list(oof.columns) == ["id", "era", "target_ender_20", "prediction", "cv_fold"]
            assert oof["id"].is_unique
            assert oof["prediction"].notna().all()
    fingerprints = [v["fingerprint"] for r in rounds for v in r["variants"] if v["role"] == "variant"]
    assert len(fingerprints) == len(set(fingerprints)), "no config is ever run twice"

    before = (undisturbed.folder / "results" / "rounds.jsonl").read_bytes()
    fits = undisturbed.fits()
    assert undisturbed.run() == 0
    assert (undisturbed.folder / "results" / "rounds.jsonl").read_bytes() == before
    assert undisturbed.fits() == fits
    assert "experiment.md" in capsys.readouterr().out


def test_every_variant_changes_one_variable(undisturbed: Desk) -> None:
    """Checked on the configs as written, by a reader that knows nothing of the scheduler."""

    def flat(tree: dict[str, Any], prefix: str = "") -> dict[str, Any]:
        found: dict[str, Any] = {}
        for key, value in tree.items():
            found |= flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value}
        return found

    paths = {
        "num_leaves": {"model.params.num_leaves"},
        "learning_rate": {"model.params.learning_rate", "model.params.n_estimators"},
    }
    seen = 0
    for record in undisturbed.rounds():
        if record["stage"] != "scout":
            continue
        configs = {
            variant["id"]: flat(yaml.safe_load((undisturbed.folder / "configs" / f"{variant['id']}.yaml").read_text()))
            for variant in record["variants"]
            if variant["role"] in ("base", "variant")
        }
        base = configs.pop(record["variants"][0]["id"])
        for config in configs.values():
            assert {key for key in base if base[key] != config[key]} == paths[record["dimension"]]
            seen += 1
    assert seen >= 4


def test_in_steps_is_the_same(undisturbed: Desk, tmp_path: Path, market: Path) -> None:
    desk = Desk(tmp_path, market)
    for number in range(1, 20):
        assert desk.run("--rounds", "1") == 0
        assert len(desk.rounds()) == min(number, len(undisturbed.rounds()))
        if desk.rounds()[-1]["stage"] == "final":
            break
    assert desk.untimed() == undisturbed.untimed()


def test_ledger_cut_short_by_a_crash(undisturbed: Desk, tmp_path: Path, market: Path) -> None:
    desk = Desk(tmp_path, market)
    assert desk.run("--rounds", "2") == 0
    ledger = desk.folder / "results" / "rounds.jsonl"
    ledger.write_bytes(ledger.read_bytes()[:-40])
    fits = desk.fits()
    assert desk.run() == 0
    assert {name: desk.fits()[name] for name in fits} == fits, "nothing stored was trained again"
    assert desk.untimed() == undisturbed.untimed()


def test_a_failing_variant_is_reported_and_the_rest_saved(
    tmp_path: Path, market: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    constraints = {"path": "model.params.monotone_constraints", "values": [[1, -1], [0, 1]]}
    leaves = {"path": "model.params.num_leaves", "values": [3]}
    dimensions = {"constraints": constraints, "num_leaves": leaves}
    desk = Desk(
        tmp_path, market, {"search_space": {"dimensions": dimensions}, "rounds": {"margin": 1.0, "patience": 4}}
    )
    assert desk.run("--rounds", "4") == 3
    assert {record["dimension"] for record in desk.rounds()} >= {"constraints", "num_leaves"}
    failed = [v for r in desk.rounds() for v in r["variants"] if v["error"]]
    assert len(failed) == 2, "around the same base, what failed is not offered again"
    assert all("monotone_constraints" in variant["error"] for variant in failed)
    assert "monotone_constraints" in (desk.folder / "experiment.md").read_text()
    assert "monotone_constraints" in capsys.readouterr().out


def test_a_failing_base_records_nothing_and_can_be_mended(
    tmp_path: Path, market: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    broken = {"base": {"model": {"params": {"monotone_constraints": [1, 0]}}}}
    desk = Desk(tmp_path, market, broken)
    assert desk.run() == 3
    error = capsys.readouterr().err
    assert "the base failed" in error
    assert "monotone_constraints" in error
    assert desk.rounds() == []
    desk.plan({})
    assert desk.run("--rounds", "1") == 0


def test_results_of_another_base_are_not_mixed(
    tmp_path: Path, market: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    desk = Desk(tmp_path, market)
    assert desk.run("--rounds", "1") == 0
    desk.plan({"base": {"model": {"params": {"min_data_in_leaf": 30}}}})
    for asked in (desk.run, lambda: run(["plan", str(desk.folder), "--data-dir", str(desk.data), "--in-process"])):
        assert asked() == 2
        assert "the base config changed since round 1" in capsys.readouterr().err
    desk.plan({"rounds": {"patience": 1}, "budget": {"rounds": 2}})
    assert desk.run("--rounds", "1") == 0, "what decides no result may change between runs"


def test_reading_commands_speak_json(undisturbed: Desk, capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    folder = str(undisturbed.folder)
    for command in (["status", folder], ["report", folder], ["compare", folder, folder]):
        assert run([*command, "--json"]) == 0
        value = json.loads(capsys.readouterr().out)
        assert run(command) == 0
        assert capsys.readouterr().out.strip()
        if command[0] == "status":
            assert value["finished"] is True
            assert len(value["rounds"]) == len(undisturbed.rounds())
        if command[0] == "compare":
            assert {row["configuration"] for row in value["rows"]} >= {"winner"}
            assert all(isinstance(row["bmc"], float) for row in value["rows"])


def test_json_events(tmp_path: Path, market: Path, capsys: pytest.CaptureFixture[str]) -> None:
    desk = Desk(tmp_path, market)
    assert desk.run("--rounds", "1", "--json") == 0
    events = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [event["event"] for event in (events[0], *events[-2:])] == ["round_started", "round_decided", "finished"]
    assert {event["event"] for event in events} == {"round_started", "progress", "round_decided", "finished"}
    assert events[-2]["decision"]["reason"]


@pytest.mark.ray
def test_interrupted_and_killed_it_goes_on(undisturbed: Desk, tmp_path: Path, market: Path) -> None:
    """Ray itself killed, then Ctrl-C (exit 130), then SIGKILL: the same command ends as if undisturbed."""
    desk = Desk(tmp_path, market)
    process = desk.start()
    wait_for_fits(desk, 1, process)
    for child in psutil.Process(process.pid).children():
        if child.name() == "raylet":
            child.kill()
    started = desk.fits()
    assert started
    wait_for_fits(desk, len(started) + 12, process)
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=90)
    assert process.returncode == 130, output
    assert "Ray on this machine is gone (raylet): starting over" in output
    assert "run the same command again to go on" in output
    assert "Traceback" not in output
    interrupted = desk.fits()
    assert {name: interrupted[name] for name in started} == started, "nothing stored was trained again"

    # Without Ray, whose start is most of a run this small; tests/support/chaos.py kills drivers of rounds on Ray.
    process = desk.start("--in-process")
    wait_for_fits(desk, len(interrupted) + 1, process)
    process.kill()
    process.communicate()
    killed = desk.fits()
    assert {name: killed[name] for name in interrupted} == interrupted, "nothing stored was trained again"
    assert not [path for path in desk.folder.rglob("*.json") if path.stat().st_size == 0]

    assert desk.run() == 0
    assert {name: desk.fits()[name] for name in killed} == killed, "nothing stored was trained again"
    assert desk.untimed() == undisturbed.untimed()


def wait_for_fits(desk: Desk, number: int, process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 90
    while len(desk.fits()) < number and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.02)


@pytest.mark.ray
def test_second_driver_refuses(tmp_path: Path, market: Path) -> None:
    desk = Desk(tmp_path, market)
    first = desk.start()
    try:
        deadline = time.monotonic() + 60
        while not (desk.folder / "logs" / "progress.json").exists() and time.monotonic() < deadline:
            time.sleep(0.05)
        second = subprocess.run([*CLI, *desk.arguments("--in-process")], capture_output=True, text=True, check=False)
        assert second.returncode == 2
        assert f"process {first.pid}" in second.stderr
        status = subprocess.run(
            [*CLI, "status", str(desk.folder), "--json"], capture_output=True, text=True, check=True
        )
        assert json.loads(status.stdout)["running"]["round"] >= 1
    finally:
        os.kill(first.pid, signal.SIGINT)
        first.communicate(timeout=90)
    assert first.returncode in (130, 0)
