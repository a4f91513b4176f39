"""The fuzzer's first mutations; the long form is a command (see ``tests/support/fuzz.py``)."""

from collections.abc import Iterator
from pathlib import Path

import fuzz
import fuzz_plans
import pytest
from fuzz import FindingError, Ground, alone, ground, try_one

from numerai_ray.data import dataset

COUNTS = {"plan": 25, "config": 6, "command": 20, "parquet": 40}  # half a minute in all

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ground]:
    with alone():
        yield ground(tmp_path_factory.mktemp("ground"))


@pytest.mark.parametrize("kind", COUNTS)
def test_mutations_are_refused_or_carried_out_right(kind: str, start: Ground) -> None:
    ends = [try_one(kind, number, start) for number in range(COUNTS[kind])]
    assert {*ends} == {"accepted", "refused"}, "both are looked at"


@pytest.mark.parametrize(
    ("broken", "told"),
    [
        (lambda column: dataset_eras(column) + 1, "rows differ"),  # a wrong answer
        (lambda column: column.no_such_method(), "AttributeError"),  # a traceback
    ],
)
def test_the_fuzzer_finds(broken: object, told: str, start: Ground, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dataset, "era_numbers", broken)
    findings = []
    for number in range(12):
        try:
            try_one("parquet", number, start)
        except FindingError as finding:
            findings.append(str(finding))
    assert any(told in each for each in findings)


dataset_eras = dataset.era_numbers


def test_what_takes_too_long_is_a_finding(start: Ground, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fuzz, "LONGEST_S", 0.0)
    with pytest.raises(FindingError, match=r"took \d+ s, twice"):
        try_one("parquet", 0, start)


def test_a_mutation_is_made_of_its_number(start: Ground, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """So that a finding can be tried again."""
    seen: list[bytes] = []
    monkeypatch.setattr(fuzz_plans, "command", lambda desk, _: seen.append(desk.plan.read_bytes()))
    monkeypatch.setattr(fuzz_plans, "told", lambda _: False)
    for _ in range(2):
        for number in range(5):
            try_one("plan", number, start)
    assert seen[:5] == seen[5:]
    assert len({*seen}) == 5
