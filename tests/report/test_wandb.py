"""Weights & Biases: its own library, offline; and what cannot work is one line, and holds nothing up."""

import importlib.util
import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from builders import History, finished_experiment

from numerai_ray.cli.main import run
from numerai_ray.errors import EnvironmentFault
from numerai_ray.report.trackers import WandbTracker
from numerai_ray.report.trackers import weights_and_biases as tracker

needs_wandb = pytest.mark.skipif(importlib.util.find_spec("wandb") is None, reason="needs the extra wandb")


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> History:
    return finished_experiment(tmp_path_factory.mktemp("wandb") / "demo")


def records(data: bytes) -> Iterator[bytes]:
    """What a log in LevelDB's format holds: a header, blocks of 32 KiB, in them (checksum, length, type, bytes)."""
    at, parts = 7, b""
    while at + 7 <= len(data):
        if 32768 - at % 32768 < 7:  # too short for a head: the block's rest is empty
            at += 32768 - at % 32768
            continue
        size, kind = int.from_bytes(data[at + 4 : at + 6], "little"), data[at + 6]
        parts += data[at + 7 : at + 7 + size]
        at += 7 + size
        if kind in (1, 4):  # whole, or the last part
            yield parts
            parts = b""


def held(folder: Path) -> dict[str, dict[str, list[dict[str, Any]]]]:
    """What is in the offline files, by the run's name."""
    from wandb.proto import wandb_internal_pb2  # noqa: PLC0415

    found: dict[str, dict[str, list[dict[str, Any]]]] = {}
    for file in folder.glob("wandb/offline-run-*/*.wandb"):
        own: dict[str, list[dict[str, Any]]] = {"run": [], "history": [], "summary": []}
        for data in records(file.read_bytes()):
            record = wandb_internal_pb2.Record()
            record.ParseFromString(data)
            if (kind := record.WhichOneof("record_type")) == "run":
                own["run"].append({"name": record.run.display_name, "group": record.run.run_group})
            elif kind in ("history", "summary"):
                items = record.history.item if kind == "history" else record.summary.update
                own[kind].append({i.key or "/".join(i.nested_key): json.loads(i.value_json) for i in items})
        found[str(own["run"][0]["name"])] = own
    return found


@needs_wandb
@pytest.mark.slow
def test_offline_every_variant_and_the_rounds_are_there_once(
    finished: History, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setattr(tracker, "new_variants", lambda _: [(finished.records[-1], finished.records[-1].variants[0])])
    for _ in range(2):
        assert run(["track", str(finished.paths.root), "--wandb", "numerai", "--json"]) == 0
        assert json.loads(capsys.readouterr().out)["wandb"] == "numerai"
    runs = held(finished.paths.wandb)
    assert sorted(runs) == ["r05-winner", "rounds"]
    assert len(list(finished.paths.wandb.glob("wandb/offline-run-*"))) == 2, "nothing twice"
    winner = runs["r05-winner"]
    assert winner["run"][0]["group"] == "demo"
    rows = [row for row in winner["history"] if "cumulative_bmc" in row]
    stored = json.loads(finished.paths.results("r05-winner").read_text())["per_era"]
    known = [(int(e), v) for e, v in zip(stored["era"], stored["bmc"], strict=True) if v is not None]
    assert [row["era"] for row in rows] == [era for era, _ in known]
    assert rows[-1]["cumulative_bmc"] == pytest.approx(sum(v for _, v in known))
    metrics = finished.records[-1].variants[0].metrics
    assert metrics is not None
    summary = {name: value for each in winner["summary"] for name, value in each.items()}
    assert summary["bmc_last_200_eras_mean"] == pytest.approx(metrics.primary)
    curve = [(row["round"], row["scout/best_so_far"]) for row in runs["rounds"]["history"] if "scout/primary" in row]
    assert [number for number, _ in curve] == [r.number for r in finished.records if r.stage == "scout"]
    assert [value for _, value in curve] == sorted(value for _, value in curve)


@needs_wandb
@pytest.mark.slow
@pytest.mark.parametrize("silent", [False, True])
def test_a_server_that_is_away_or_silent_is_one_masked_line_once(
    finished: History, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, silent: bool
) -> None:
    import socket  # noqa: PLC0415

    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("WANDB_MODE", "online")
    monkeypatch.setenv("WANDB_API_KEY", "0" * 40)
    with socket.create_server(("127.0.0.1", 0)) as listener:  # takes connections, and says nothing
        port = listener.getsockname()[1] if silent else 9
        monkeypatch.setenv("WANDB_BASE_URL", f"http://me:hush@127.0.0.1:{port}")
        wandb, begun = WandbTracker(finished.paths, "demo", "numerai"), []
        wait = tracker._Writer.wait

        def noted(self: tracker._Writer, seconds: float) -> None:
            wait(self, seconds)
            begun.append(time.monotonic())  # from here on nobody but the server is waited for

        monkeypatch.setattr(tracker._Writer, "wait", noted)
        with pytest.raises(EnvironmentFault) as fault:
            wandb(finished.records)
        assert time.monotonic() - begun[0] < 13
        wandb(finished.records)
    told = str(fault.value)
    assert told.startswith("--wandb: numerai: ")
    assert "track" in told
    assert "\n" not in told
    assert "hush" not in told
    assert "0000" not in told


@pytest.mark.parametrize("command", ["run", "track"])
@pytest.mark.parametrize(("project", "words"), [("a/b/c", "PROJECT or ENTITY/PROJECT"), ("numerai", "'.[wandb]'")])
def test_what_cannot_work_is_refused_before_anything_is_trained(
    finished: History, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], command: str, project, words
) -> None:
    there = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *a: None if name == "wandb" else there(name, *a))
    assert run([command, str(finished.paths.root), "--wandb", project]) == 2
    told = capfd.readouterr()
    assert "--wandb" in told.err
    assert words in told.err


@needs_wandb
@pytest.mark.slow
def test_without_an_account_it_is_said_before_anything_is_trained(
    finished: History, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    for name in ("WANDB_API_KEY", "WANDB_MODE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    monkeypatch.setenv("WANDB_CONFIG_DIR", str(tmp_path))
    assert run(["run", str(finished.paths.root), "--wandb", "numerai"]) == 2
    told = capfd.readouterr().err
    assert "WANDB_MODE=offline" in told
    assert told.count("\n") == 1


def test_a_process_that_dies_is_a_line(finished: History, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with pytest.raises(EnvironmentFault, match=r"--wandb: numerai: .*nothing waits for it"):
        WandbTracker(finished.paths, "demo", "numerai")(finished.records)
