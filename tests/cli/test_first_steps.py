"""First steps in an empty folder: nothing was tried yet, and a market to practise on is made."""

import json
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from numerai_ray.cli.commands.schema import schema_of
from numerai_ray.cli.main import run


def test_before_the_first_experiment_nothing_was_tried(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(["history", "experiments", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"root": "experiments", "experiments": []}
    assert run(["history"]) == 0
    assert "numerai-ray new experiments/NAME" in capsys.readouterr().out
    assert run(["history", "experimnts"]) == 2
    assert "no such folder" in capsys.readouterr().err


def test_a_market_is_made_and_built_with_its_files_as_json(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    size = ["--eras", "40", "--rows", "50", "--features", "10"]
    assert run(["data", "synth", "--out", "data", "--version", "practice", *size, "--json"]) == 0
    made = json.loads(capsys.readouterr().out)
    Draft202012Validator(schema_of("data synth")).validate(made)
    assert made["folder"] == "data/practice"
    assert all(Path(each["path"]).is_file() and each["fresh"] for each in made["files"])
    assert run(["data", "build", "--json"]) == 0
    built = json.loads(capsys.readouterr().out)
    Draft202012Validator(schema_of("data build")).validate(built)
    assert [each["path"] for each in built["files"]] == [each["path"] for each in made["files"]]
    assert not any(each["fresh"] for each in built["files"])
