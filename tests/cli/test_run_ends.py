"""`run --json` ends with `finished` or `error`, whatever ends it, and its exit code says the same."""

import json
from pathlib import Path
from typing import Any

import pytest
from desk import Desk
from jsonschema import Draft202012Validator

from numerai_ray.cli.commands import run as run_command
from numerai_ray.cli.commands.schema import schema_of

SHORT = {"budget": {"rounds": 1}, "base": {"model": {"params": {"n_estimators": 2}}}}


def last_of(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    """The last event; every one is as the schema says, and none but the last ends the run."""
    events = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    for event in events:
        Draft202012Validator(schema_of("run")).validate(event)
    assert [event["event"] for event in events[:-1] if event["event"] in ("finished", "error")] == []
    found: dict[str, Any] = events[-1]
    return found


@pytest.mark.slow
def test_a_whole_experiment_ends_with_finished_and_its_answer(
    tmp_path: Path, market: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    desk = Desk(tmp_path, market, SHORT)
    capsys.readouterr()
    assert desk.run("--json") == 0
    last = last_of(capsys)
    assert (last["event"], last["answer"]["finished"]) == ("finished", True)


def test_a_wrong_request_ends_with_error(tmp_path: Path, market: Path, capsys: pytest.CaptureFixture[str]) -> None:
    desk = Desk(tmp_path, market, {"rounds": {"variants": "many"}})
    capsys.readouterr()
    assert desk.run("--json") == 2
    last = last_of(capsys)
    assert (last["event"], last["exit_code"]) == ("error", 2)
    assert "rounds.variants" in last["error"]


def test_a_base_that_fails_ends_with_error(tmp_path: Path, market: Path, capsys: pytest.CaptureFixture[str]) -> None:
    wrong = {"base": {"model": {"params": {"monotone_constraints": [1, 0]}}}}
    desk = Desk(tmp_path, market, wrong)
    capsys.readouterr()
    assert desk.run("--json") == 3
    last = last_of(capsys)
    assert (last["event"], last["exit_code"]) == ("error", 3)
    assert "monotone_constraints" in last["error"]


def test_an_interrupted_run_ends_with_error(
    tmp_path: Path, market: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(run_command, "run_rounds", interrupted)
    desk = Desk(tmp_path, market, SHORT)
    capsys.readouterr()
    assert desk.run("--json") == 130
    last = last_of(capsys)
    assert (last["event"], last["exit_code"]) == ("error", 130)
    assert "run the same command again" in last["error"]
