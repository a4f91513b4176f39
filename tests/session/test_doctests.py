"""Examples of the public names run as they stand, on the small market."""

import doctest
from operator import attrgetter
from pathlib import Path

import pytest

import numerai_ray
import numerai_ray.errors  # whose kinds are named with it

# What others read that stand alone: the ensemble is one of the experiment's variants.
FIRST = "Experiment"
ALONE = [*(name for name in numerai_ray.__all__ if name not in (FIRST, "Ensemble")), "errors.DataError"]


@pytest.fixture(scope="module")
def folder(market: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("examples")
    (made / "data").mkdir()
    (made / "data" / "tiny").symlink_to(market / "tiny")
    return made


@pytest.fixture(scope="module")
def first(folder: Path) -> str:
    """What the experiment's example got wrong, after it ran in the folder."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.delenv("NUMERAI_RAY_DATA", raising=False)
        return wrong_in(FIRST)


def wrong_in(name: str) -> str:
    """What the examples of a public name print that they do not say; "" for nothing."""
    finder = doctest.DocTestFinder(recurse=False)
    (test,) = finder.find(attrgetter(name)(numerai_ray), name, globs={})
    assert test.examples, f"{name} has no example"
    said: list[str] = []
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS | doctest.IGNORE_EXCEPTION_DETAIL)
    runner.run(test, out=said.append)
    return "".join(said)


@pytest.mark.parametrize("name", ALONE)
def test_every_public_name_has_an_example_that_runs(name: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    monkeypatch.delenv("NUMERAI_RAY_DATA", raising=False)
    assert wrong_in(name) == ""


@pytest.mark.slow
def test_an_experiment_and_the_ensemble_of_it(first: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert first == ""
    monkeypatch.chdir(folder)
    monkeypatch.delenv("NUMERAI_RAY_DATA", raising=False)
    assert wrong_in("Ensemble") == ""
