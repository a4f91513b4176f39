"""Only our own files are added to or locked, whatever somebody else put in their place."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ledger_lines import decided

from numerai_ray.errors import EnvironmentFault
from numerai_ray.experiment.ledger import append_ledger
from numerai_ray.experiment.lock import experiment_lock, lock_holder
from numerai_ray.runners.ray.fit_tasks import forget_lone_retries, lone_retry
from numerai_ray.system.files import own_temporary_folder
from numerai_ray.training.store.fits import claimed


def lock(path: Path) -> None:
    with experiment_lock(path):
        pass


def claim(path: Path) -> None:
    with claimed(path.parent, "ab" * 32):
        pass


def ledger(path: Path) -> None:
    append_ledger(path, decided(1))


WRITERS: dict[str, Callable[[Path], Any]] = {".lock": lock, ".claims": claim, "rounds.jsonl": ledger}


@pytest.mark.parametrize("name", WRITERS)
def test_a_link_in_the_place_of_a_file_is_not_written_through(name: str, tmp_path: Path) -> None:
    other, path = tmp_path / "other", tmp_path / "experiment" / name
    other.write_text("somebody's own\n")
    path.parent.mkdir()
    path.symlink_to(other)
    with pytest.raises(EnvironmentFault) as refusal:
        WRITERS[name](path)
    assert str(refusal.value).startswith(f"{path}: cannot be written: it is a symbolic link")
    assert "remove it" in str(refusal.value)
    assert other.read_text() == "somebody's own\n"


@pytest.mark.parametrize("name", WRITERS)
def test_a_pipe_in_the_place_of_a_file_is_not_waited_for(name: str, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / name)
    with pytest.raises(EnvironmentFault, match="cannot be written"):
        WRITERS[name](tmp_path / name)


def test_who_asks_for_the_holder_waits_for_no_pipe(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / ".lock")
    with pytest.raises(EnvironmentFault, match=r"\.lock: cannot be read: it is no file"):
        lock_holder(tmp_path / ".lock")


@pytest.fixture
def shared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The shared temporary folder, as it is found by a process that starts now."""
    folder = tmp_path / "shared"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    return folder


def test_locks_lie_in_a_folder_of_this_user_alone(shared: Path) -> None:
    folder = own_temporary_folder()
    assert folder == shared / f"numerai-ray-{os.getuid()}"
    assert folder.stat().st_mode & 0o777 == 0o700
    folder.chmod(0o777)
    assert own_temporary_folder() == folder
    assert folder.stat().st_mode & 0o777 == 0o700


def a_link(place: Path) -> None:
    (place.parent / "theirs").mkdir()
    place.symlink_to(place.parent / "theirs")


def a_file(place: Path) -> None:
    place.touch()


def of_another_user(place: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root gives folders away")
    place.mkdir(mode=0o777)
    os.chown(place, 12345, 12345)


HOLDS = """
import fcntl, sys
handle = open(sys.argv[1], "a")
fcntl.flock(handle, fcntl.LOCK_EX)
print("held", flush=True)
sys.stdin.read()
"""


@pytest.mark.parametrize("make", [a_link, a_file, of_another_user])
def test_another_user_neither_holds_nor_empties_our_locks(
    make: Callable[[Path], None], shared: Path, tmp_path: Path
) -> None:
    """Whoever is first in the shared folder could hold a lock there for ever, or let us empty a file of ours."""
    place = shared / f"numerai-ray-{os.getuid()}"
    make(place)
    theirs = place / "room-a-run" if place.is_dir() else shared / "room-a-run"
    command = [sys.executable, "-c", HOLDS, str(theirs)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        with lone_retry("a-run", "ab" * 32) as alone:
            assert not alone
            found = own_temporary_folder()
            assert found is not None
            assert found.is_relative_to(tmp_path / "home")
            assert sorted(path.name for path in found.iterdir()) == [f"a-run-{'ab' * 8}", "room-a-run"]
        forget_lone_retries("a-run")
        assert not list(found.iterdir())
        other.communicate("")
