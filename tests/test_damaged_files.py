"""Files of an experiment that are damaged: named with their line, restored from what is left, or made again."""

import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from test_results import decided, variant

from numerai_ray.errors import DataError
from numerai_ray.results import ExperimentPaths, append_ledger, read_ledger, to_json

# The ledger


@pytest.fixture
def ledger(tmp_path: Path) -> Path:
    return ExperimentPaths(tmp_path).ledger


def without(key: str) -> str:
    return json.dumps({name: item for name, item in json.loads(to_json(decided(2))).items() if name != key})


def flattened() -> str:
    value = json.loads(to_json(decided(2, variant("a"))))
    value["variants"][0]["metrics"]["corr"] = 0.02
    return json.dumps(value)


def other_type(*path: str | int, value: Any) -> str:
    """A line whose value at ``path`` is of another type."""
    line = json.loads(to_json(decided(2, variant("a"))))
    at = line
    for key in path[:-1]:
        at = at[key]
    at[path[-1]] = value
    return json.dumps(line)


OTHER_TYPES = [
    ("number", "2"),
    ("wall_s", "long"),
    ("wall_s", None),
    ("base_changes", [1]),
    ("variants", 5),
    ("variants", {}),
    ("variants", 0, "id", 7),
    ("variants", 0, "role", "king"),
    ("variants", 0, "metrics", "good"),
    ("variants", 0, "metrics", "bmc", "n_eras", 1.5),
    ("variants", 0, "metrics", "bmc_last", "mean", "0.1"),
    ("variants", 0, "evidence", {"to_base": 1, "to_best": None}),
    ("variants", 0, "flags", "suspect"),
    ("decision", "winner", 1),
    ("decision", "gain", "large"),
    ("decision", "promoted", "yes"),
    ("origin", {"the base config": 1}),
    ("importances", {"leaves": "most"}),
    ("notes", [1]),
    ("notes", None),
]


@pytest.mark.parametrize(
    "line",
    [
        "",
        "not json",
        to_json(decided(2))[:-5],
        "[1, 2]",
        "5",
        without("decision"),
        without("number"),
        flattened(),
        json.dumps({**json.loads(to_json(decided(2))), "colour": "red"}),
        "\udcff",
        "[" * 100_000,
        '{"number": ' + "[" * 500 + "]" * 500 + "}",
        to_json(decided(3)),  # a line before it is lost, and the next round would write over another's files
        to_json(replace(decided(2), stage="scouting")),
        *(other_type(*path, value=value) for *path, value in OTHER_TYPES),
    ],
)
def test_a_damaged_line_in_the_middle_is_named(ledger: Path, line) -> None:
    append_ledger(ledger, decided(1))
    with ledger.open("ab") as handle:
        handle.write(line.encode(errors="surrogateescape") + b"\n")
    append_ledger(ledger, decided(3))
    before = ledger.read_bytes()
    with pytest.raises(DataError) as refusal:
        read_ledger(ledger)
    assert str(refusal.value).startswith(f"{ledger}, line 2: damaged (")
    assert "restore the file, or remove this line and those after it" in str(refusal.value)
    assert ledger.read_bytes() == before


@pytest.mark.parametrize("make", [Path.mkdir, os.mkfifo])
def test_a_ledger_that_is_no_file_is_one_message(ledger: Path, make: Any) -> None:
    ledger.parent.mkdir()
    make(ledger)
    with pytest.raises(DataError, match=r"rounds\.jsonl"):
        read_ledger(ledger)
