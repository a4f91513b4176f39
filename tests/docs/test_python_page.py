"""The examples of ``python.md`` run as they stand."""

import doctest
from pathlib import Path

import pytest

PAGE = Path(__file__).resolve().parents[2] / "numerai_ray" / "docs" / "python.md"


@pytest.mark.slow
def test_the_examples_run(market: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "tiny").symlink_to(market / "tiny")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("NUMERAI_RAY_DATA", raising=False)
    found = doctest.testfile(str(PAGE), module_relative=False, encoding="utf-8")
    assert found.attempted > 25
    assert found.failed == 0
