"""Tiers of tests: Ray starts in none that is not marked, whoever starts it; what opens Chromium or hosts is marked."""

import os
import re
from pathlib import Path

import pytest
from places import PACKAGE, ROOT

from numerai_ray.errors import EnvironmentFault
from numerai_ray.runners.ray.needs import check_machine

# What a test, or code that it hands to another process, says when it starts Ray, hosts or Chromium.
STARTS = {
    r"\bray\.init\(|\bcluster_utils\b": {"ray", "cluster"},
    r"\bnetwork\(\)": {"cluster"},
    r"\bchromium\(\[": {"browser"},
}


def test_ray_does_not_start_here() -> None:
    with pytest.raises(EnvironmentFault, match="mark-this-test-ray/ray cannot be written"):
        check_machine()


@pytest.mark.ray
def test_ray_starts_where_a_test_is_marked() -> None:
    assert "mark-this-test" not in os.environ.get("RAY_TMPDIR", "")
    check_machine()


@pytest.mark.parametrize("path", sorted((ROOT / "tests").rglob("test_*.py")), ids=lambda path: path.stem)
def test_a_file_that_starts_something_large_has_the_marker(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    marks = {*re.findall(r"pytest\.mark\.(\w+)", text)}
    if path == Path(__file__):
        return
    for start, one_of in STARTS.items():
        assert not re.search(start, text) or marks & one_of, f"{path.name}: mark what matches {start}"


# Beside the folders of packages: from end to end, pages, the house itself, what tests share, and commands.
OTHERS = {"journeys", "docs", "architecture", "support", "cluster", "benchmarks"}


def test_tests_mirror_the_package() -> None:
    packages = {path.parent.name for path in PACKAGE.glob("*/__init__.py")}
    tests = [path.relative_to(ROOT / "tests") for path in (ROOT / "tests").rglob("test_*.py")]
    assert {path.parts[0] for path in tests} <= packages | OTHERS, "a folder of tests is a package's"
    names = [path.name for path in tests]
    assert not {name for name in names if names.count(name) > 1}, "a file's name is enough to find it"
