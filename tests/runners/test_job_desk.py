"""A cluster's job server that takes connections and says nothing: neither Ray's client nor ours waits for it long."""

import importlib
import socket
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from numerai_ray.errors import EnvironmentFault
from numerai_ray.runners.ray import needs

PATIENCE_S = 0.2


@pytest.fixture
def jobs(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The module, without the token that it sets for its whole process: Ray of other tests would start with it."""
    monkeypatch.setattr(needs, "use_token", lambda: None)
    return importlib.import_module("numerai_ray.runners.ray.jobs")


@pytest.fixture
def silent() -> Iterator[str]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"


def test_a_silent_job_server_is_one_message(jobs: Any, silent: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs, "ANSWER_S", PATIENCE_S)
    with pytest.raises(EnvironmentFault, match=r"no Ray job server answers \(no answer within 0\.2 s\).*ssh -N -L"):
        jobs.JobDesk(silent)


def test_a_head_that_falls_silent_is_no_longer_watched(jobs: Any, silent: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("ANSWER_S", "POLL_S", "GONE_S"):
        monkeypatch.setattr(jobs, name, PATIENCE_S)

    def never() -> None:
        address = silent.removeprefix("http://").split(":")
        with socket.create_connection((address[0], int(address[1])), 30) as connection:
            connection.recv(1)

    monkeypatch.setattr(jobs, "JobSubmissionClient", lambda _: SimpleNamespace(list_jobs=never))
    mine = jobs.JobDesk("http://head:8265")
    with pytest.raises(EnvironmentFault, match="job a may go on without this terminal"):
        mine.follow("a", print)
    with pytest.raises(EnvironmentFault, match=r"no answer within 0\.2 s; try again"):
        mine.submit(jobs.Job("a", "true", Path()))
