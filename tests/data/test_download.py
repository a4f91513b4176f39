"""Downloads through the real numerapi client from a server that does what servers and lines do."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numerai_server import Behaviour, GraphqlError, NumeraiServer, wait_until

from numerai_ray.data.download.fetch import EXPERIMENT_FILES, LocalFile, Step, download
from numerai_ray.data.download.numerai_api import NumeraiApi
from numerai_ray.errors import EnvironmentFault, NumeraiRayError, RequestError
from numerai_ray.system.http import Patience

TRAIN, FEATURES = "v5.2/train.parquet", "v5.2/features.json"
# Waits are counted, not waited for.
QUICK = Patience(tries=4, first_wait_s=1, connect_s=10, stall_s=10, sleep=lambda _s: None)


@pytest.fixture
def server(market: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[NumeraiServer]:
    names = {path.name for path in (market / "tiny").iterdir()} & {
        *EXPERIMENT_FILES,
        "validation_example_preds.parquet",
        "live_example_preds.parquet",
    }
    with NumeraiServer({f"v5.2/{name}": market / "tiny" / name for name in names}).running() as server:
        monkeypatch.setenv("NUMERAI_RAY_API_URL", server.url)
        yield server


def fetch(
    root: Path, *files: str, patience: Patience = QUICK, steps: list[Step] | None = None
) -> tuple[LocalFile, ...]:
    on_step = (lambda _step: None) if steps is None else steps.append
    return download("v5.2", files, root / "v5.2", patience, on_step)


def same(server: NumeraiServer, files: Sequence[LocalFile]) -> bool:
    return all(file.path.read_bytes() == server.files[f"v5.2/{file.name}"].read_bytes() for file in files)


def left_over(root: Path) -> set[str]:
    """Files of a download in progress."""
    return {path.name for path in root.rglob("*") if ".part" in path.name}


def test_all_that_experiments_need(server: NumeraiServer, tmp_path: Path) -> None:
    files = fetch(tmp_path)
    assert tuple(file.name for file in files) == EXPERIMENT_FILES
    assert same(server, files)
    assert not left_over(tmp_path)
    assert {file.status for file in files} == {"downloaded"}
    train, validation = files[1], files[2]
    assert train.eras and validation.eras
    assert train.eras[0] == 1
    assert train.eras[1] + 1 == validation.eras[0]
    assert validation.eras[1] == 120

    server.log.clear()
    assert {file.status for file in fetch(tmp_path)} == {"up to date"}
    for name in EXPERIMENT_FILES:
        assert server.seen(f"v5.2/{name}", probes=True)
        assert not server.seen(f"v5.2/{name}"), "asked for more than one byte"


def test_examples_only_when_asked_for(server: NumeraiServer, tmp_path: Path) -> None:
    wanted = ("live_example_preds", "v5.2/live.parquet", "features.json", "live")
    assert [file.name for file in fetch(tmp_path, *wanted)] == [
        "features.json",
        "live.parquet",
        "live_example_preds.parquet",
    ]


def test_a_broken_line_is_resumed(server: NumeraiServer, tmp_path: Path) -> None:
    server.behave(TRAIN, *[Behaviour(stop_after=20_000)] * 5)  # more often than is tried in a row: each got on
    steps: list[Step] = []
    (train,) = fetch(tmp_path, "train", steps=steps)
    assert same(server, [train])
    requests = server.seen(TRAIN)
    assert [each.range for each in requests] == [None, *(f"bytes={20_000 * n}-" for n in range(1, 6))]
    assert {each.status for each in requests[1:]} == {206}
    assert sum(each.sent for each in requests) == train.size
    assert sum("closed the connection too early" in step.note for step in steps if step.kind == "retry") == 5


def test_an_answer_in_pieces_that_breaks_is_asked_for_again(server: NumeraiServer, tmp_path: Path) -> None:
    server.behave(TRAIN, Behaviour(stop_after=20_000, says_size=False))
    steps: list[Step] = []
    (train,) = fetch(tmp_path, "train", steps=steps)
    assert same(server, [train])
    assert [each.range for each in server.seen(TRAIN)] == [None, None]
    (retry,) = [step.note for step in steps if step.kind == "retry"]
    assert "closed the connection too early" in retry


def test_waits_double_and_end(server: NumeraiServer, tmp_path: Path) -> None:
    waits: list[float] = []
    server.usual[TRAIN] = Behaviour(status=503)
    patience = replace(QUICK, tries=5, longest_wait_s=5, sleep=waits.append)
    with pytest.raises(EnvironmentFault, match=r"train.parquet: .* status 503 \(tried 5 times in a row\); .* goes on"):
        fetch(tmp_path, "train", patience=patience)
    assert waits == [1, 2, 4, 5]


# name -> what a server does to the requests for train.parquet that carry bytes; each ends with the right file
LIES = {
    "ignores Range": Behaviour(honours_range=False),
    "continues at the wrong byte": Behaviour(wrong_start=True),
    "continues another version": Behaviour(etag='"another"'),
    "says no size": Behaviour(says_size=False),
    "weak ETag": Behaviour(etag='W/"weak"'),
}


@pytest.mark.parametrize("name", LIES)
def test_no_file_is_made_of_two(name: str, server: NumeraiServer, tmp_path: Path) -> None:
    server.behave(TRAIN, Behaviour(stop_after=30_000), LIES[name])
    (train,) = fetch(tmp_path, "train")
    assert same(server, [train])
    assert not left_over(tmp_path)


def test_a_new_version_of_the_file_is_not_mixed_with_the_old(
    server: NumeraiServer, tmp_path: Path, market: Path
) -> None:
    older = server.files[TRAIN].read_bytes()[::-1]
    server.usual[TRAIN] = Behaviour(content=older)
    server.behave(TRAIN, Behaviour(content=older, stop_after=30_000), *[Behaviour(status=500)] * 3)
    with pytest.raises(EnvironmentFault, match="500"):
        fetch(tmp_path, "train", patience=replace(QUICK, tries=3))
    assert ".train.parquet.part" in left_over(tmp_path)
    del server.usual[TRAIN]
    (train,) = fetch(tmp_path, "train")
    assert same(server, [train])


@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(
        st.builds(
            Behaviour,
            status=st.sampled_from([200, 200, 200, 500]),
            stop_after=st.none() | st.integers(0, 4000),
            honours_range=st.booleans(),
            wrong_start=st.booleans(),
            says_size=st.booleans(),
            etag=st.sampled_from([None, None, '"other"', 'W/"weak"']),
        ),
        max_size=6,
    )
)
def test_whatever_happens_the_file_is_right(server: NumeraiServer, tmp_path: Path, behaviours: list[Behaviour]) -> None:
    """Whole and right, whatever the server does on the way."""
    here = tmp_path / str(len(list(tmp_path.iterdir())))
    server.behave(FEATURES, *behaviours)
    (features,) = fetch(here, "features", patience=replace(QUICK, tries=20))
    assert same(server, [features])
    assert not left_over(here)


def test_slow_gets_on_and_stalled_ends(server: NumeraiServer, tmp_path: Path) -> None:
    server.behave(TRAIN, Behaviour(bytes_per_s=200_000))
    steps: list[Step] = []
    patience = replace(QUICK, stall_s=0.4)  # the file takes longer
    (train,) = fetch(tmp_path, "train", patience=patience, steps=steps)
    assert same(server, [train])
    moves = [step.done for step in steps if step.kind == "fetch"]
    assert len(moves) > 10
    assert moves == sorted(moves)

    server.usual["v5.2/validation.parquet"] = Behaviour(stall_after=0)
    with pytest.raises(EnvironmentFault, match=r"validation.parquet: it sent nothing for 0.1 s \(tried twice|2 times"):
        fetch(tmp_path, "validation", patience=replace(QUICK, stall_s=0.1, tries=2))


def test_an_expired_address_is_renewed_once(server: NumeraiServer, tmp_path: Path) -> None:
    server.uses_per_url = 1  # looking at the file uses the first one up
    (train,) = fetch(tmp_path, "train")
    assert same(server, [train])
    assert [each.status for each in server.seen(TRAIN)] == [403, 200]

    server.uses_per_url = 0
    server.log.clear()
    with pytest.raises(EnvironmentFault, match=r"live.parquet: .* status 403, for a new address too") as caught:
        fetch(tmp_path, "live")
    assert len(server.seen("dataset")) == 2
    assert "Signature" not in str(caught.value)


def test_a_missing_file_is_said_at_once(server: NumeraiServer, tmp_path: Path) -> None:
    server.usual[TRAIN] = Behaviour(status=404)
    with pytest.raises(EnvironmentFault, match=r"train.parquet: the file server answers with status 404"):
        fetch(tmp_path, "train")
    assert len(server.seen(TRAIN, probes=True)) == 1


@pytest.mark.parametrize("what", ["listDatasets", "dataset", TRAIN])
def test_500_twice_then_well(what: str, server: NumeraiServer, tmp_path: Path) -> None:
    server.behave(what, Behaviour(status=500), Behaviour(status=500))
    assert same(server, fetch(tmp_path, "train"))
    assert [each.status for each in server.seen(what, probes=True)][:3] == [500, 500, 206 if what == TRAIN else 200]


def closed_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def test_nobody_listens(server: NumeraiServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nowhere = f"http://127.0.0.1:{closed_port()}"
    server.answers["dataset"] = lambda _: f"{nowhere}/train?X-Amz-Signature=secret"
    with pytest.raises(EnvironmentFault, match=r"train.parquet: connection refused \(tried 4 times") as caught:
        fetch(tmp_path, "train")
    assert "secret" not in str(caught.value)
    monkeypatch.setenv("NUMERAI_RAY_API_URL", nowhere)
    with pytest.raises(EnvironmentFault, match=rf"{nowhere}: connection refused \(tried 4 times in a row\)"):
        fetch(tmp_path, "train")


# name -> answer of the API to the first request; words of the message
ANSWERS: dict[str, tuple[Behaviour, str]] = {
    "401": (Behaviour(status=401), "answers with status 401"),
    "404": (Behaviour(status=404), "answers with status 404"),
    "502": (Behaviour(status=502), r"status 502 \(tried 4 times in a row\)"),
    "not JSON": (Behaviour(content=b"<html>maintenance</html>"), "its answer cannot be read"),
    "no data": (Behaviour(content=b"{}"), "its answer holds no data"),
    "data null": (Behaviour(content=b'{"data": null}'), "its answer holds no data"),
    "a list": (Behaviour(content=b"[1]"), "its answer holds no data"),
    "not this field": (Behaviour(content=b'{"data": {"other": 1}}'), "lacks what was asked for"),
    "null field": (Behaviour(content=b'{"data": {"listDatasets": null}}'), "lacks what was asked for"),
    "odd errors": (Behaviour(content=b'{"errors": ["the message"]}'), "refuses this request"),
    "silence": (Behaviour(stall_after=0), "no answer within"),
}


@pytest.mark.parametrize("name", ANSWERS)
def test_strange_answers_of_the_api(
    name: str, server: NumeraiServer, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    behaviour, words = ANSWERS[name]
    server.usual["listDatasets"] = behaviour
    patience = replace(QUICK, connect_s=0.1, stall_s=0.1) if name == "silence" else QUICK
    with pytest.raises(NumeraiRayError, match=words) as caught:
        fetch(tmp_path, "train", patience=patience)
    assert server.url in str(caught.value)
    assert capfd.readouterr() == ("", "")  # the client's own log stays off the screen


def test_keys_are_never_shown(server: NumeraiServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NUMERAI_PUBLIC_ID", "PUBLICPART")
    monkeypatch.setenv("NUMERAI_SECRET_KEY", "SECRETPART")

    def refuse(_: object) -> object:
        raise GraphqlError("token PUBLICPART$SECRETPART is not allowed here")

    server.answers["listDatasets"] = refuse
    with pytest.raises(RequestError, match=r"refuses this request: token …\$… is not allowed here"):
        NumeraiApi(QUICK).dataset_names()


def test_unknown_names_list_the_known(server: NumeraiServer, tmp_path: Path) -> None:
    for version in ("v4.3", "v5.0", "v5.3", "signals"):
        server.files[f"{version}/live.parquet"] = server.files["v5.2/live.parquet"]
    server.files["../../etc/passwd"] = server.files[f"..{os.sep}x"] = server.files[TRAIN]
    for wrong, first in (("v5.4", "v5.3, v5.2, v5.0"), ("v52", "v5.2"), ("5.3", "v5.3"), ("..", "")):
        with pytest.raises(
            RequestError, match=f"no data version '{wrong}'; it has, the nearest first: {first}"
        ) as told:
            download(wrong, (), tmp_path / wrong, QUICK)
        assert str(told.value).count("v4.3") == 1
        assert "passwd" not in str(told.value)
    with pytest.raises(RequestError, match=r"v5.2 has no file 'trian'; did you mean 'train'\?; it has: features.json"):
        fetch(tmp_path, "trian")
    with pytest.raises(RequestError, match=r"v5.0 has no file 'features.json'; it has: live.parquet"):
        download("v5.0", (), tmp_path / "v5.0", QUICK)
    assert not list(tmp_path.iterdir())


def test_one_download_at_a_time(server: NumeraiServer, tmp_path: Path) -> None:
    def second(step: Step) -> None:
        if step.kind == "fetch":
            fetch(tmp_path, "live")

    with pytest.raises(EnvironmentFault, match="another process downloads into it"):
        download("v5.2", ("train",), tmp_path / "v5.2", QUICK, second)


def command(root: Path, *arguments: str) -> list[str]:
    start = "from numerai_ray.cli import main; main()"
    return [sys.executable, "-c", start, "data", "download", "--data-dir", str(root), *arguments]


def test_killed_and_resumed(server: NumeraiServer, tmp_path: Path) -> None:
    server.behave(TRAIN, Behaviour(bytes_per_s=40_000))
    part = tmp_path / "v5.2" / ".train.parquet.part"
    with subprocess.Popen(command(tmp_path, "--files", "train")) as process:
        wait_until(lambda: part.exists() and part.stat().st_size > 20_000)
        process.kill()
    assert not (tmp_path / "v5.2" / "train.parquet").exists()
    held = part.stat().st_size
    assert server.files[TRAIN].read_bytes().startswith(part.read_bytes())
    server.log.clear()
    (train,) = fetch(tmp_path, "train")
    assert train.status == "resumed"
    assert same(server, [train])
    assert [(each.range, each.status, each.sent) for each in server.seen(TRAIN)] == [
        (f"bytes={held}-", 206, train.size - held)
    ]
    assert not left_over(tmp_path)


def test_killed_before_the_check(server: NumeraiServer, tmp_path: Path) -> None:
    """All bytes are there, but nobody looked at them: they are checked, not fetched again."""

    def killed(step: Step) -> None:
        if step.kind == "check":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        download("v5.2", ("train",), tmp_path / "v5.2", QUICK, killed)
    server.log.clear()
    (train,) = fetch(tmp_path, "train")
    assert same(server, [train])
    assert not server.seen(TRAIN)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 200 kB."""
    where = tmp_path / "disk"
    where.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=200k", "tmpfs", where], check=False, capture_output=True
    )
    if mounted.returncode:
        pytest.skip("mounting a small disk needs root; test_the_disk_fills_up shows most of it without")
    yield where
    subprocess.run(["umount", where], check=True)


def test_no_room(server: NumeraiServer, small_disk: Path) -> None:
    with pytest.raises(EnvironmentFault, match=r"the files need \d+ kB more, but \d+ kB are free; free some space"):
        fetch(small_disk)
    assert not server.seen(TRAIN)
    assert not left_over(small_disk)

    fetch(small_disk, "train")
    server.usual["v5.2/validation.parquet"] = Behaviour(says_size=False)  # so that nobody could know
    with pytest.raises(EnvironmentFault, match=r"validation.parquet: cannot be written: no space left on device after"):
        fetch(small_disk, "validation")
    assert not left_over(small_disk)  # nothing could go on from it
    assert not (small_disk / "v5.2" / "validation.parquet").exists()


def test_the_disk_fills_up(server: NumeraiServer, tmp_path: Path) -> None:
    """A limit on the size of files stands for the full disk."""
    limited = ["bash", "-c", 'ulimit -f 64; exec "$@"', "bash", *command(tmp_path, "--files", "train")]
    done = subprocess.run(limited, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2, done.stderr
    assert done.stderr.count("\n") == 1, done.stderr
    assert "train.parquet: cannot be written: file too large after" in done.stderr
    assert "it goes on from there" in done.stderr
    assert not (tmp_path / "v5.2" / "train.parquet").exists()
    held = (tmp_path / "v5.2" / ".train.parquet.part").stat().st_size
    assert 0 < held <= 64 * 1024
    server.log.clear()
    (train,) = fetch(tmp_path, "train")
    assert same(server, [train])
    assert server.seen(TRAIN)[0].range == f"bytes={held}-"


def test_the_client_waits_for_the_command_that_needs_it() -> None:
    code = "import sys, numerai_ray.cli; sys.exit('numerapi' in sys.modules or 'requests' in sys.modules)"
    began = time.monotonic()
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=60).returncode == 0
    assert time.monotonic() - began < 30
