"""``export --out`` into a folder that is not there yet."""

from pathlib import Path

import pytest
from bad_requests import Desk

from numerai_ray.cli.main import run


def test_it_is_said_that_the_folder_will_be_made(
    finished: Desk, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "modles" / "a.pkl"
    arguments = ["export", str(finished.exp), "--data-dir", str(finished.data), "--variant", "none", "--out", str(out)]
    assert run(arguments) == 2
    told = capfd.readouterr().err
    assert f"there is no folder {out.parent} yet; it is made with the pickle" in told
    assert not out.parent.exists(), "nothing is made for what is refused"
    out.parent.mkdir()
    assert run(arguments) == 2
    assert "no folder" not in capfd.readouterr().err
