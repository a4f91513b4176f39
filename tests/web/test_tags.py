"""What a page has is not made or sent again: answers have tags, and a tag that still holds gets a line."""

import asyncio
import json
import os
from pathlib import Path
from typing import Any

import pytest
from builders import History, experiment
from dashboard import Client, visit

from numerai_ray.experiment.lock import experiment_lock
from numerai_ray.web import values

ASKED = {
    "status": "/api/status?exp=demo",
    "leaderboard": "/api/leaderboard?exp=demo",
    "overview": "/api/overview?exp=demo",
    "per-era": "/api/per-era?exp=demo&id=r01-base",
    "diff": "/api/diff?exp=demo&first=r01-base&second=r01-num_leaves%3D7",
    "log": "/api/log?exp=demo",
}


@pytest.fixture
def history(tmp_path: Path) -> History:
    found = experiment(tmp_path / "experiments" / "demo")
    found.scout("num_leaves", {7: 0.003})
    for name in ("r01-base", "r01-num_leaves=7"):
        found.paths.config(name).parent.mkdir(exist_ok=True)
        found.paths.config(name).write_text("model: {type: lightgbm}\n")
    found.paths.driver_log.parent.mkdir()
    found.paths.driver_log.write_text("ran\n")
    return found


def changed(history: History, tmp_path: Path, change: Any) -> set[str]:
    """Which answers a page gets again after ``change``."""

    async def ask(client: Client, name: str, tag: str | None) -> tuple[int, str | None, Any]:
        async with client.get(ASKED[name], headers={"If-None-Match": tag} if tag else {}) as answer:
            body = await answer.read()
            assert answer.headers["Cache-Control"] == "no-store"
            return answer.status, answer.headers.get("ETag"), json.loads(body) if body else None

    async def work(client: Client) -> set[str]:
        first = {name: await ask(client, name, None) for name in ASKED}
        assert {code for code, _, _ in first.values()} == {200}
        again = {name: await ask(client, name, tag) for name, (_, tag, _) in first.items()}
        assert {(code, body) for code, _, body in again.values()} == {(304, None)}
        change()
        after = {name: await ask(client, name, tag) for name, (_, tag, _) in first.items()}
        for name, (code, _, body) in after.items():
            plain = (await ask(client, name, None))[2]
            assert (first[name][2] if code == 304 else body) == plain, "what the page holds is what it would get"
        return {name for name, (code, _, _) in after.items() if code == 200}

    found: set[str] = visit(history.paths.root.parent, tmp_path, work)
    return found


def test_a_decided_round_changes_what_tells_of_rounds(history: History, tmp_path: Path) -> None:
    found = changed(history, tmp_path, lambda: history.scout("max_depth", {3: 0.0041}))
    assert found == {"status", "leaderboard", "overview"}


@pytest.mark.parametrize(
    ("file", "wanted"),
    [
        ("results/r01-base.json", {"per-era"}),
        ("configs/r01-base.yaml", {"diff"}),
        ("logs/driver.log", {"log"}),
        ("report.html", {"status"}),
        ("notes.jsonl", {"status", "overview"}),
    ],
)
def test_a_file_changes_what_is_made_of_it(history: History, tmp_path: Path, file: str, wanted: set[str]) -> None:
    path = history.paths.root / file
    if file == "notes.jsonl":
        text = '{"at": "2026-11-30T12:00:00+00:00", "text": "a remark"}\n'
    else:
        text = (path.read_text() if path.exists() else "a page") + "\n"
    found = changed(history, tmp_path, lambda: path.write_text(text))
    assert found == wanted


def test_a_file_of_the_same_size_is_told_by_its_time(history: History, tmp_path: Path) -> None:
    path = history.paths.results("r01-base")
    value = json.loads(path.read_text())
    known = next(at for at, each in enumerate(value["per_era"]["bmc"]) if each is not None)

    def change() -> None:
        before = path.stat()
        digits = str(value["per_era"]["bmc"][known])
        other = digits[:-1] + ("1" if digits[-1] != "1" else "2")
        path.write_text(path.read_text().replace(digits, other, 1))
        assert path.stat().st_size == before.st_size
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns + 1))

    assert changed(history, tmp_path, change) == {"per-era"}


def test_the_running_round_is_of_the_status_alone(history: History, tmp_path: Path) -> None:
    with experiment_lock(history.paths.lock):
        trial = {"variant": "base", "folds_done": 1, "folds": 4, "primary": None, "error": None}
        running = {"round": 2, "stage": "scout", "trials": [trial]}
        write = history.paths.progress.write_text
        assert changed(history, tmp_path, lambda: write(json.dumps({"running": running}))) == {"status"}


def test_a_known_answer_is_not_made(history: History, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[str] = []
    own = values.per_era_json
    monkeypatch.setattr(values, "per_era_json", lambda *given: made.append("again") or own(*given))

    async def work(client: Client) -> None:
        async with client.get(ASKED["per-era"]) as answer:
            tag = answer.headers["ETag"]
        await asyncio.gather(*(client.get(ASKED["per-era"], headers={"If-None-Match": tag}) for _ in range(5)))

    visit(history.paths.root.parent, tmp_path, work)
    assert made == ["again"]


def test_what_cannot_be_read_has_no_tag(history: History, tmp_path: Path) -> None:
    async def work(client: Client) -> None:
        for address in ("/api/status?exp=none", "/api/per-era?exp=demo&id=..", "/api/per-era?exp=demo&id=none"):
            async with client.get(address, headers={"If-None-Match": '"x", *'}) as answer:
                assert answer.status in (404, 422)
                assert "ETag" not in answer.headers

    visit(history.paths.root.parent, tmp_path, work)
