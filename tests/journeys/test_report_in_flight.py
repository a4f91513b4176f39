"""A driver that is killed while it writes a report beside the next round: the same command ends as if nothing was."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest
from chaos import outcome
from desk import CLI, Desk

# The nth text of the report is torn: a part of it lies there as an unfinished file, and the driver is gone.
TORN = """
import os, signal, sys
from numerai_ray.report import writer
left, plain = [int(sys.argv.pop(1))], writer.write_text
def torn(path, text):
    if path.name == "experiment.md":
        left[0] -= 1
        if left[0] == 0:
            part = path.with_name(f".{path.name}.torn.partial")
            part.write_text(text[: len(text) // 2])
            os.utime(part, (1, 1))
            os.kill(os.getpid(), signal.SIGKILL)
    plain(path, text)
writer.write_text = torn
from numerai_ray.cli import main
main()
"""


def ended(desk: Desk, where: list[str]) -> int:
    return subprocess.run([*CLI, *desk.arguments(*where)], check=False, capture_output=True).returncode


@pytest.mark.parametrize(
    "where",
    [
        pytest.param(["--in-process"], marks=pytest.mark.slow, id="in-process"),
        pytest.param([], marks=[pytest.mark.ray, pytest.mark.long], id="ray"),
    ],
)
def test_a_report_that_was_torn_by_a_kill_is_written_again(tmp_path: Path, market: Path, where: list[str]) -> None:
    calm, wild = Desk(tmp_path / "calm", market), Desk(tmp_path / "wild", market)
    assert ended(calm, where) == 0
    for text in (1, 2):
        killed = subprocess.run(
            [sys.executable, "-c", TORN, str(text), *wild.arguments(*where)], check=False, capture_output=True
        )
        assert killed.returncode == -signal.SIGKILL
    assert ended(wild, where) == 0
    assert outcome(wild.folder) == outcome(calm.folder)
    assert not list(wild.folder.glob(".*.partial"))
