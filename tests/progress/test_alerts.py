"""Alerts: a webhook is told rounds and the end of a run, and never holds one up."""

import json
import threading
import time
from collections.abc import Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from builders import finished_experiment
from desk import Desk

from numerai_ray.cli.main import run
from numerai_ray.errors import EnvironmentFault
from numerai_ray.progress.alerts import MOST_WAITING, Alerts, alerting

SECRET = "B0/very-secret-key"


class Webhook(ThreadingHTTPServer):
    """Keeps what it is told; answers with ``code``."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.told: list[dict[str, Any]] = []
        self.code = 200

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/services/{SECRET}"


class _Handler(BaseHTTPRequestHandler):
    server: Webhook

    def do_POST(self) -> None:
        content = self.rfile.read(int(self.headers["Content-Length"]))
        assert self.headers["Content-Type"] == "application/json"
        self.server.told.append(json.loads(content))
        self.send_response(self.server.code)
        self.end_headers()

    def log_message(self, *_: object) -> None: ...


@pytest.fixture
def webhook() -> Iterator[Webhook]:
    server = Webhook()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def test_a_run_tells_its_rounds_and_its_end(tmp_path: Path, market: Path, webhook: Webhook) -> None:
    desk = Desk(tmp_path, market)
    assert desk.run("--rounds", "2", "--notify", webhook.url) == 0
    assert [each["event"] for each in webhook.told] == ["round_decided", "round_decided", "run_ended"]
    first, second, end = webhook.told
    record = desk.rounds()[1]
    assert (second["round"], second["winner"], second["gain"]) == (
        2,
        record["decision"]["winner"],
        record["decision"]["gain"],
    )
    assert first["text"].startswith(f"{first['experiment']}: round 1 (scout, ")
    assert "stopped, the same command goes on; best: r0" in end["text"]


def test_a_webhook_that_refuses_costs_a_note_without_its_address(
    tmp_path: Path, market: Path, webhook: Webhook, capfd: pytest.CaptureFixture[str]
) -> None:
    webhook.code = 500
    desk = Desk(tmp_path, market)
    assert desk.run("--rounds", "1", "--notify", webhook.url) == 0
    shown = capfd.readouterr()
    assert "note: --notify: 2 messages to 127.0.0.1 did not arrive (it answers 500)" in shown.out + shown.err
    assert SECRET not in shown.out + shown.err
    kept = [path for path in tmp_path.rglob("*") if path.is_file() and SECRET.encode() in path.read_bytes()]
    assert not kept, "it is written nowhere"


def test_a_run_that_fails_tells_why(webhook: Webhook) -> None:
    notes: list[str] = []
    password = "http://me:a-password@host/x"
    with pytest.raises(EnvironmentFault), alerting(webhook.url, "demo", notes.append):
        raise EnvironmentFault(f"the disk of {password} is full")
    (told,) = webhook.told
    assert told["event"] == "run_failed"
    assert told["text"] == "demo: ended early: EnvironmentFault: the disk of http://***@host/x is full"
    assert not notes


def test_a_webhook_that_hangs_holds_nothing_up(tmp_path: Path) -> None:
    history = finished_experiment(tmp_path / "demo").records
    hanging = threading.Event()

    def send(url: str, value: Mapping[str, Any]) -> None:
        del url, value
        hanging.wait(20)

    alerts = Alerts("https://host/key", "demo", send)
    began = time.monotonic()
    for _ in range(MOST_WAITING):
        for record in history:
            alerts.round_decided(record)
    note = alerts.close(0.2)
    assert time.monotonic() - began < 5
    assert note is not None
    assert note == f"--notify: {MOST_WAITING * len(history)} messages to host did not arrive (no answer within 0.2 s)"
    hanging.set()


@pytest.mark.parametrize("url", ["ftp://host/x", "hooks.example/x", "https://", "http://[bad/x", "http://host:99999/x"])
def test_what_is_no_webhook_is_refused_at_once(
    tmp_path: Path, market: Path, url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    desk = Desk(tmp_path, market)
    assert run(["run", str(desk.folder), "--data-dir", str(market), "--in-process", "--notify", url]) == 2
    shown = capsys.readouterr().err
    assert "--notify must be the URL of a webhook" in shown
    assert not desk.folder.joinpath("results").exists()
