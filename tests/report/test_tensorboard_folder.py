"""TensorBoard's folder where something else is: one line once, and no run is held up."""

from pathlib import Path

import pytest
from builders import History, finished_experiment

from numerai_ray.cli.main import run
from numerai_ray.errors import EnvironmentFault
from numerai_ray.report.trackers import TensorBoardTracker


@pytest.fixture
def finished(tmp_path: Path) -> History:
    return finished_experiment(tmp_path / "demo")


def occupied(history: History, name: str) -> Path:
    """A file in the place of a folder."""
    path = history.paths.tensorboard / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("mine")
    return path


@pytest.mark.parametrize("name", ["", "rounds", ".rounds.partial", ".r01-base.partial"])
def test_a_folder_that_cannot_be_written_is_one_line_once(
    finished: History, name: str, capfd: pytest.CaptureFixture[str]
) -> None:
    path = occupied(finished, name)
    tracker = TensorBoardTracker(finished.paths)
    with pytest.raises(EnvironmentFault, match=r"logs/tensorboard: cannot be written: .* move away") as fault:
        tracker(finished.records)
    assert "\n" not in str(fault.value)
    tracker(finished.records)  # nothing is tried again
    assert path.read_text() == "mine"
    assert run(["track", str(finished.paths.root)]) == 2
    assert capfd.readouterr().err.count("\n") == 1
    path.unlink()
    assert run(["track", str(finished.paths.root)]) == 0
