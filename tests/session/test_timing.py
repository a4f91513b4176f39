"""What a run says of its own seconds: a table a round in its log, and with --profile a trace of all of it."""

import json
from pathlib import Path

import pytest
from desk import Desk

from numerai_ray.cli.main import run
from numerai_ray.experiment.paths import ExperimentPaths

NAMES = {"imports", "plan", "data", "fit", "scores", "diagnostics", "predictions written", "statistics", "ledger"}


def test_a_run_says_what_its_seconds_went_into(
    tmp_path: Path, market: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    desk = Desk(tmp_path, market)
    paths = ExperimentPaths(desk.folder)
    asked = ["run", str(desk.folder), "--data-dir", str(desk.data), "--in-process", "--rounds", "1", "--json"]
    assert run([*asked, "--profile"]) == 0
    told = capsys.readouterr()
    events = json.loads(paths.timeline.read_text())["traceEvents"]
    assert {*NAMES, "report"} <= {each["name"] for each in events}
    assert all(json.loads(line) for line in told.out.splitlines())  # the table is no event
    assert "fit " in told.err and "(all)" in told.err
    log = paths.driver_log.read_text()
    assert log.startswith("round 1, seconds since the one before was decided:")
    assert all(f"\n{name} " in log for name in NAMES)
    paths.timeline.unlink()
    assert run(asked) == 0
    assert "round 2, seconds" in paths.driver_log.read_text()
    assert not paths.timeline.exists()
