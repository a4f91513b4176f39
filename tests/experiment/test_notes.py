"""Notes and tags: written by people at any time, and nothing is decided by them."""

import json
from pathlib import Path

import pytest
from builders import finished_experiment, loaded_plan

from numerai_ray.cli.main import run
from numerai_ray.errors import ConfigError, DataError
from numerai_ray.experiment.notes import append_note, read_notes


def test_notes_are_added_and_read_back(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = finished_experiment(tmp_path / "demo").paths.root
    assert run(["note", str(folder), "wider trees drift"]) == 0
    assert run(["note", str(folder), "look at <b>drift</b> again"]) == 0
    capsys.readouterr()
    assert run(["note", str(folder), "--json"]) == 0
    notes = json.loads(capsys.readouterr().out)["notes"]
    assert [each["text"] for each in notes] == ["wider trees drift", "look at <b>drift</b> again"]
    assert all(each["at"].endswith("+00:00") for each in notes)


def test_an_empty_note_is_refused_and_a_cut_line_is_dropped(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = finished_experiment(tmp_path / "demo").paths.root
    assert run(["note", str(folder), "  "]) == 2
    assert "1 to 4,000 characters, but has 0" in capsys.readouterr().err
    path = folder / "notes.jsonl"
    append_note(path, "first")
    path.write_bytes(path.read_bytes() + b'{"at": "2026')
    assert [each.text for each in read_notes(path)] == ["first"]
    append_note(path, "second")
    assert [each.text for each in read_notes(path)] == ["first", "second"]


def test_a_damaged_note_is_named(tmp_path: Path) -> None:
    path = tmp_path / "notes.jsonl"
    path.write_text('{"at": 3, "text": "x"}\n')
    with pytest.raises(DataError, match=r"notes\.jsonl, line 1: must be a note"):
        read_notes(path)


def test_tags_are_in_no_fingerprint(tmp_path: Path) -> None:
    bare, tagged = loaded_plan(tmp_path / "demo"), loaded_plan(tmp_path / "demo", {"tags": ["trees", "small ones"]})
    assert tagged.plan.tags == ["trees", "small ones"]
    assert bare.fingerprint() == tagged.fingerprint()
    assert bare.readable() == tagged.readable(), "a run does not call it an edit"
    with pytest.raises(ConfigError, match=r"tags"):
        loaded_plan(tmp_path / "demo", {"tags": [""]})
