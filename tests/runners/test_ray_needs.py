"""What Ray needs: each lack is found before Ray starts, and named with the variable that helps."""

import os
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from numerai_ray.errors import EnvironmentFault
from numerai_ray.runners.ray import needs as ray_needs
from numerai_ray.runners.ray.needs import check_machine, own_token, token_file, token_hint, use_token

VARIABLES = ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH", "RAY_TMPDIR", "TMPDIR")


@pytest.fixture(autouse=True)
def bare(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A home of its own, none of the variables."""
    for name in VARIABLES:
        monkeypatch.setenv(name, "")  # put back at the end, whatever the code sets
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


def no_loopback(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(101, "Network is unreachable")

    monkeypatch.setattr(socket, "create_connection", refuse)


def a_file(path: Path) -> Path:
    path.write_text("")
    return path


LACKS: dict[str, tuple[Callable[[pytest.MonkeyPatch, Path], object], tuple[str, ...]]] = {
    "a long folder": (
        lambda patch, _: patch.setenv("RAY_TMPDIR", f"/tmp/{'x' * 60}"),
        ("at most 43 characters", "RAY_TMPDIR", "--in-process"),
    ),
    "a long TMPDIR": (lambda patch, _: patch.setenv("TMPDIR", f"/tmp/{'x' * 60}"), ("43", "RAY_TMPDIR")),
    "no folder": (lambda patch, _: patch.setenv("RAY_TMPDIR", "/proc/x"), ("/proc/x/ray cannot be written",)),
    "a home that cannot be written": (
        lambda patch, tmp: patch.setenv("HOME", str(a_file(tmp / "home"))),
        ("/.ray/auth_token", "RAY_AUTH_TOKEN_PATH", "--in-process"),
    ),
    "no loopback": (no_loopback, ("127.0.0.1", "unreachable", "ip link set lo up", "--in-process")),
}


@pytest.mark.parametrize("lack", LACKS)
def test_what_keeps_ray_from_starting_is_named_with_what_helps(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, lack: str
) -> None:
    spoil, words = LACKS[lack]
    spoil(monkeypatch, tmp_path)
    with pytest.raises(EnvironmentFault) as fault:
        check_machine()
    for each in words:
        assert each in str(fault.value)


def test_a_folder_of_the_length_that_is_allowed_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    """The longest path below it, as Ray makes it, is exactly what the system takes."""
    below = "/session_2026-11-30_18-12-50_759505_4194303/sockets/plasma_store"
    assert len(below) == ray_needs.LONGEST_BELOW
    folder = Path("/tmp") / ("x" * (43 - len("/tmp//ray"))) / "ray"
    assert len(f"{folder}{below}") == 107
    ray_needs._check_folder(folder)
    folder.rmdir()
    folder.parent.rmdir()


@pytest.mark.parametrize("there", [False, True])
@pytest.mark.parametrize("named", [False, True])
def test_nobody_else_reads_ray_s_token(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, there: bool, named: bool
) -> None:
    if named:
        monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", str(tmp_path / "other" / "token"))
    file = token_file()
    if there:
        file.parent.mkdir()
        file.write_text("kept")
        file.chmod(0o644)
    own_token()
    assert file.stat().st_mode & 0o777 == 0o600
    assert (file.read_text() == "kept") == there
    assert len(file.read_text()) == (4 if there else 64)
    assert [each.name for each in file.parent.iterdir()] == [file.name]
    own_token()
    assert (file.read_text() == "kept") == there


@pytest.mark.parametrize(("name", "value"), [("RAY_AUTH_MODE", "disabled"), ("RAY_AUTH_TOKEN", "abc")])
def test_no_token_is_made_where_none_is_wanted(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(name, value)
    own_token()
    assert not token_file().exists()


def test_a_dashboard_s_address_comes_with_where_its_token_is(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert token_hint() == ""
    use_token()
    assert token_hint() == "", "there is none"
    own_token()
    use_token()
    assert token_hint() == f" (asks for the token in {tmp_path}/.ray/auth_token)"
    monkeypatch.setenv("RAY_AUTH_TOKEN", "hush")
    assert token_hint() == " (asks for the token in $RAY_AUTH_TOKEN)"
    assert "RAY_AUTH_MODE" in os.environ
