"""Examples of the public names run as they stand, on the small market."""

import doctest
from pathlib import Path

import pytest

import numerai_ray


@pytest.mark.parametrize("name", numerai_ray.__all__)
def test_every_public_name_has_an_example_that_runs(
    name: str, market: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "tiny").symlink_to(market / "tiny")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NUMERAI_RAY_DATA", str(tmp_path / "data"))
    finder = doctest.DocTestFinder(recurse=False)
    (test,) = finder.find(getattr(numerai_ray, name), name, globs={})
    assert test.examples, f"{name} has no example"
    said: list[str] = []
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS | doctest.IGNORE_EXCEPTION_DETAIL)
    assert runner.run(test, out=said.append).failed == 0, "".join(said)
