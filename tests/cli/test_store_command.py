"""``numerai-ray store``: what lies there, what may go, what is damaged; nothing is removed unasked."""

import json
import os
import re
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from places import PAGES, ROOT

from numerai_ray.cli.main import run
from numerai_ray.training.store.care import DAY_S, Limits, StoreFiles, removals
from numerai_ray.training.store.cut import StoreFile
from numerai_ray.training.store.fits import FitStore, StoredFit

KEYS = [f"{number:02x}" + "0" * 62 for number in range(5)]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A data root with five fits, the oldest five days old, a damaged one and a writer's remains."""
    store = FitStore(tmp_path / "store")
    for position, key in enumerate(KEYS):
        store.put(key, StoredFit(np.full(1000, float(position)), {"made_by": "lightgbm 4.7.0"}))
        written = time.time() - (5 - position) * DAY_S
        os.utime(store.path(key), (written, written))
    (tmp_path / "store" / "aa").mkdir()
    (tmp_path / "store" / "aa" / "x.damaged").write_bytes(b"rubbish")
    partial = tmp_path / "store" / "aa" / ".x.fit.abc.partial"
    partial.write_bytes(b"half")
    os.utime(partial, (0, 0))
    return tmp_path


def answer(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 0) -> dict[str, Any]:
    assert run(["store", *arguments, "--json"]) == code
    value: dict[str, Any] = json.loads(capsys.readouterr().out)
    return value


def fits(root: Path) -> list[str]:
    return sorted(path.stem for path in (root / "store").rglob("*.fit"))


def test_info_counts_sizes_and_ages(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    value = answer(capsys, "info", "--data-dir", str(root))
    assert value["fits"] == 5
    assert value["bytes"] == sum(path.stat().st_size for path in (root / "store").rglob("*.fit"))
    assert value["oldest_days"] == pytest.approx(5, abs=0.01)
    assert value["newest_days"] == pytest.approx(1, abs=0.01)
    assert (value["damaged"], value["partial"]) == (1, 1)
    assert run(["store", "info", "--data-dir", str(root)]) == 0
    shown = capsys.readouterr().out
    assert "5 fits" in shown
    assert "store gc --delete" in shown


def test_gc_names_and_removes_only_when_asked(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = sorted((root / "store").rglob("*"))
    value = answer(capsys, "gc", "--older-than", "3", "--data-dir", str(root))
    assert {reason: each["files"] for reason, each in value["why"].items()} == {
        "damaged": 1,
        "left behind by a writer that died": 1,
        "older than asked": 3,
    }
    assert sorted((root / "store").rglob("*")) == before
    assert run(["store", "gc", "--data-dir", str(root)]) == 0
    assert "add --delete" in capsys.readouterr().out
    answer(capsys, "gc", "--older-than", "3", "--delete", "--data-dir", str(root))
    assert fits(root) == KEYS[3:]
    assert not list((root / "store").rglob("*.damaged"))
    assert run(["store", "gc", "--delete", "--data-dir", str(root)]) == 0
    assert "nothing to remove" in capsys.readouterr().out


def test_gc_keeps_the_newest_up_to_a_size() -> None:
    files = [StoreFile(f"{key[:2]}/{key}.fit", 10, (5 - i) * DAY_S, "fit") for i, key in enumerate(KEYS)]
    assert [each.file.key for each in removals(files, Limits(size_bytes=25))] == KEYS[:3]
    assert [each.file.key for each in removals(files, Limits(days=4, size_bytes=30))] == KEYS[:2]
    assert not list(removals(files, Limits(size_bytes=50)))
    assert [each.file.key for each in removals(files, Limits(size_bytes=0))] == KEYS


def test_what_a_writer_is_at_right_now_stays() -> None:
    assert not list(removals([StoreFile("aa/.x.fit.abc.partial", 10, 5.0, "partial")], Limits(days=0)))


def test_a_file_from_the_future_is_new(root: Path) -> None:
    store = FitStore(root / "store")
    os.utime(store.path(KEYS[0]), (time.time() + 9 * DAY_S,) * 2)
    ages = {file.key: file.age_s for file in StoreFiles(store, time.time()) if file.kind == "fit"}
    assert ages[KEYS[0]] == 0.0


def test_verify_sets_damage_aside(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    value = answer(capsys, "verify", "--data-dir", str(root))
    assert value["whole"] == 5
    assert value["damaged"] == []
    assert value["models"] == {"lightgbm 4.7.0": 5}
    path = FitStore(root / "store").path(KEYS[2])
    path.write_bytes(path.read_bytes()[:-1] + b"!")
    value = answer(capsys, "verify", "--data-dir", str(root), code=3)
    assert value["damaged"] == [KEYS[2]]
    assert KEYS[2] not in fits(root)
    assert run(["store", "verify", "--data-dir", str(root)]) == 0


def test_verify_says_what_it_could_not_read(
    root: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    path, read = FitStore(root / "store").path(KEYS[2]), Path.read_bytes

    def refused(self: Path) -> bytes:
        if self == path:
            raise PermissionError(13, "Permission denied")
        return read(self)

    monkeypatch.setattr(Path, "read_bytes", refused)
    value = answer(capsys, "verify", "--data-dir", str(root), code=3)
    assert (value["whole"], value["damaged"]) == (4, [])
    assert value["unread"] == [f"{path}: cannot be read (Permission denied); check its rights"]
    assert run(["store", "verify", "--data-dir", str(root)]) == 3
    assert f"not read: {path}" in capsys.readouterr().out


def test_a_folder_that_cannot_be_read_is_told(
    root: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a word a whole part of a store was taken for nothing."""
    scan = os.scandir

    def refused(folder: Any) -> Any:
        if str(folder).endswith("/02"):
            raise PermissionError(13, "Permission denied", str(folder))
        return scan(folder)

    monkeypatch.setattr(os, "scandir", refused)
    assert run(["store", "verify", "--data-dir", str(root)]) == 2
    assert "02: cannot be read (Permission denied)" in capsys.readouterr().err


def test_a_folder_in_an_entrys_place_is_found_and_goes(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = FitStore(root / "store").path(KEYS[2])
    path.unlink()
    (path / "inside").mkdir(parents=True)
    assert answer(capsys, "verify", "--data-dir", str(root), code=3)["damaged"] == [KEYS[2]]
    answer(capsys, "gc", "--delete", "--data-dir", str(root))
    assert not list((root / "store").rglob("*.damaged"))


def test_an_empty_store_is_no_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert answer(capsys, "info", "--data-dir", str(tmp_path))["fits"] == 0
    assert run(["store", "verify", "--data-dir", str(tmp_path)]) == 0
    assert run(["store", "gc", "--delete", "--data-dir", str(tmp_path)]) == 0


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["gc", "--older-than", "-1"], "must be 0 or more, but is -1"),
        (["gc", "--keep-gb", "many"], "as an integer"),
        (["prune"], "No such command"),
    ],
)
def test_wrong_requests_are_refused(
    root: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], words: str
) -> None:
    before = fits(root)
    assert run(["store", *arguments, "--data-dir", str(root)]) == 2
    assert words in " ".join(capsys.readouterr().err.split())
    assert fits(root) == before


def test_every_command_of_the_page_runs(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = (PAGES / "reuse.md").read_text(encoding="utf-8")
    commands = [line.split()[1:] for line in page.splitlines() if line.startswith("numerai-ray ")]
    assert len(commands) == 4
    for command in commands:
        assert run([str(root) if word == "data" else word for word in command]) == 0


def test_every_fault_of_the_page_names_tests_that_exist() -> None:
    page = (PAGES / "reuse.md").read_text(encoding="utf-8")
    faults = [line for line in page.split("## Faults")[1].splitlines() if line.startswith("| ")][1:]
    assert len(faults) > 15
    for line in faults:
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        assert len(cells) == 4, line
        assert all(cells), line
        named = re.findall(r"`([^`]+)`", cells[3])
        assert named, f"no test shows {cells[0]!r}"
        for each in named:
            file, _, name = each.partition("::")
            found = [ROOT / file] if "/" in file else [*(ROOT / "tests").rglob(file)]
            assert len(found) == 1, f"no such test file, or several: {file}"
            text = found[0].read_text(encoding="utf-8")
            assert not name or f"def {name}(" in text, each


def test_a_missing_data_root_is_one_message(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["store", "info", "--data-dir", str(tmp_path / "none")]) == 2
    assert "no such folder" in capsys.readouterr().err
