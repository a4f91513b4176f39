"""The writer beside the rounds: nothing is lost of what is decided last, and a fault of the folder ends the run."""

import threading
from pathlib import Path
from typing import Any

import pytest
from builders import History, experiment

from numerai_ray.errors import EnvironmentFault
from numerai_ray.report import writer as module
from numerai_ray.report.writer import ReportWriter


@pytest.fixture
def history(tmp_path: Path) -> History:
    found = experiment(tmp_path / "demo")
    found.scout("num_leaves", {63: 0.0047})
    return found


def test_no_round_waits_for_a_text_and_one_text_tells_of_several(
    history: History, monkeypatch: pytest.MonkeyPatch
) -> None:
    may_write, written = threading.Event(), []

    def slow(*given: Any) -> None:
        may_write.wait(10)
        written.append(len(given[2]))

    monkeypatch.setattr(module, "write_report_text", slow)
    with ReportWriter(history.loaded, history.paths) as writer:
        writer(history.records)
        while writer._text is None or not writer._text.running():
            pass
        for leaves in (7, 15, 31):
            history.scout("num_leaves", {leaves: 0.004})
            writer(history.records)
        assert written == []
        may_write.set()
    assert written == [1, 4]


def test_the_same_rounds_are_told_of_once(history: History, monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[int] = []
    monkeypatch.setattr(module, "write_report_text", lambda *given: written.append(len(given[2])))
    with ReportWriter(history.loaded, history.paths) as writer:
        writer(history.records)
        writer(history.records)
    assert written == [1]


def test_a_text_that_cannot_be_written_ends_the_run(history: History, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*given: Any) -> None:
        raise EnvironmentFault("no room")

    monkeypatch.setattr(module, "write_report_text", full)
    with pytest.raises(EnvironmentFault, match="no room"), ReportWriter(history.loaded, history.paths) as writer:
        writer(history.records)
