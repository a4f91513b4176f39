"""The weekly routine on a server that publishes: every part does its own, and none stops the others."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from live_desk import LiveDesk
from numerai_account import PUBLIC_ID, SECRET, Account
from numerai_server import NumeraiServer

from numerai_ray.cli.commands.schema import schema_of
from numerai_ray.cli.main import run
from numerai_ray.data.download.fetch import EXPERIMENT_FILES


class Desk(LiveDesk):
    """What Numerai publishes, and a finished experiment on what was there at first."""

    def weekly(self, capsys: pytest.CaptureFixture[str], *more: str) -> tuple[int, dict[str, Any]]:
        capsys.readouterr()
        own = ["--data-dir", str(self.data), "--uploads", str(self.exp.parent), "--in-process", "--json", *more]
        code = run(["weekly", str(self.exp), *own])
        value = json.loads(capsys.readouterr().out)
        Draft202012Validator(schema_of("weekly")).validate(value)
        return code, value


@pytest.fixture
def desk(live_desk: LiveDesk, tmp_path: Path) -> Desk:
    """What is in its data root is downloaded, as far as its files tell."""
    desk = Desk(live_desk.copy(tmp_path / "own").root)
    (desk.data / "tiny" / "market_truth.json").unlink()
    return desk


@pytest.fixture
def server(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> Iterator[NumeraiServer]:
    monkeypatch.setenv("NUMERAI_PUBLIC_ID", PUBLIC_ID)
    monkeypatch.setenv("NUMERAI_SECRET_KEY", SECRET)
    with NumeraiServer({f"tiny/{name}": desk.there / name for name in EXPERIMENT_FILES}).running() as server:
        monkeypatch.setenv("NUMERAI_RAY_API_URL", server.url)
        Account(server)
        yield server


def states(value: dict[str, Any]) -> dict[str, str]:
    return {part["name"]: part["state"] for part in value["parts"]}


def test_a_new_week_goes_all_the_way(desk: Desk, server: NumeraiServer, capsys: pytest.CaptureFixture[str]) -> None:
    desk.publish(135)
    code, value = desk.weekly(capsys)
    assert (code, value["failed"], value["alarms"]) == (0, [], [])
    assert set(states(value).values()) == {"done"}
    told = {part["name"]: "\n".join(part["lines"]) for part in value["parts"]}
    assert "validation.parquet" in told["download"]
    assert "full.parquet" in told["build"]
    assert "10 new eras scored (0121–0130)" in told["recheck"]
    assert told["follow"].startswith("ray_one, ray_two: nothing known was promised"), "what is there is not denied"
    assert "## Since the decision" in (desk.exp / "experiment.md").read_text()
    # Nothing new: nothing is done twice.
    code, value = desk.weekly(capsys)
    told = {part["name"]: "\n".join(part["lines"]) for part in value["parts"]}
    assert code == 0
    assert "are up to date" in told["download"]
    assert "no new era to score" in told["recheck"]


def test_what_fails_does_not_stop_the_others(
    desk: Desk, server: NumeraiServer, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    desk.publish(135)
    monkeypatch.setenv("NUMERAI_SECRET_KEY", "another")
    (desk.there / "validation.parquet").write_bytes(b"no parquet")
    (desk.exp / "results" / "rechecks.jsonl").write_text('{"decision": 3}\n')
    code, value = desk.weekly(capsys)
    assert code == 3
    assert value["failed"] == ["download tiny", "recheck small", "follow"]
    assert states(value)["build"] == states(value)["report"] == "done"
    said = {part["name"]: part["lines"][0] for part in value["parts"]}
    assert "rechecks.jsonl, line 1: damaged" in said["recheck"]
    assert "another" not in said["follow"]
    capsys.readouterr()
    assert run(["weekly", str(desk.exp), "--data-dir", str(desk.data), "--in-process", "--no-download"]) == 3
    text = capsys.readouterr().out
    assert "download tiny: skipped" in text
    assert "failed: recheck small, follow; run the same command again" in text


def test_without_a_key_nothing_is_followed(
    desk: Desk, server: NumeraiServer, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("NUMERAI_PUBLIC_ID")
    monkeypatch.delenv("NUMERAI_SECRET_KEY")
    code, value = desk.weekly(capsys)
    assert code == 0
    assert states(value)["follow"] == "skipped"


def test_an_experiment_that_is_not_there_is_a_wrong_request(
    desk: Desk, server: NumeraiServer, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["weekly", str(desk.exp), str(desk.exp.parent / "smal"), "--data-dir", str(desk.data)]) == 2
    assert "no experiment.yaml there; did you mean 'small'" in capsys.readouterr().err
