"""The dashboard's answers: the commands' own JSON, to those who may ask, and nothing changes by asking."""

import asyncio
import hashlib
import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from builders import experiment, finished_experiment
from dashboard import Client, asked, visit

from numerai_ray.cli.commands.schema import schema_of
from numerai_ray.cli.main import run
from numerai_ray.experiment.ledger import append_ledger, read_ledger
from numerai_ray.experiment.lock import experiment_lock
from numerai_ray.experiment.notes import append_note
from numerai_ray.experiment.paths import ExperimentPaths
from numerai_ray.web import Access
from numerai_ray.web.server import STATIC

TOKEN = "a-token-of-24-characters"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two experiments, as ``experiments/`` holds them: read-only."""
    root = tmp_path_factory.mktemp("dashboard") / "experiments"
    done = finished_experiment(root / "capacity")
    append_note(done.paths.notes, "look at <b>drift</b>")
    for record in done.records:
        for each in record.variants:
            if each.role != "benchmark":
                done.paths.config(each.id).parent.mkdir(exist_ok=True)
                changed = {"model": {"params": {"num_leaves": len(each.id)}}, "score": {"target": "target_ender_20"}}
                done.paths.config(each.id).write_text(json.dumps(changed))
    experiment(root / "depth", {"tags": ["trees"]}).scout("max_depth", {3: 0.003, 8: 0.0045})
    (root / "baselines").mkdir()
    baseline = (root / "baseline.yaml").read_text()
    (root / "baselines" / "small_lgbm_ender20.yaml").write_text(baseline)
    return root


def printed(capsys: pytest.CaptureFixture[str], *arguments: str) -> Any:
    capsys.readouterr()
    assert run([*arguments, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_answers_are_what_commands_print(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    one = str(folder / "capacity")
    status, board, eras = asked(
        folder,
        tmp_path,
        "/api/status?exp=capacity",
        "/api/leaderboard?exp=capacity",
        "/api/per-era?exp=capacity&id=r01-base",
    )
    assert status == (200, printed(capsys, "status", one))
    assert board == (200, printed(capsys, "leaderboard", one, "--top", "1000"))
    stored = json.loads((folder / "capacity" / "results" / "r01-base.json").read_text())["per_era"]
    assert eras == (200, stored)
    described = set(schema_of("results")["$defs"]["results"]["properties"]["per_era"]["properties"])
    assert set(eras[1]) in (described, described - {"mmc"}), "MMC stands there where the meta model does"


def test_the_list_has_state_best_gain_tags_and_data(folder: Path, tmp_path: Path) -> None:
    ((code, value),) = asked(folder, tmp_path, "/api/experiments")
    assert code == 200
    capacity, depth = value["experiments"]
    assert (capacity["key"], capacity["state"], capacity["best"]["id"]) == ("capacity", "finished", "r05-winner")
    assert (depth["state"], depth["tags"], depth["rounds"]) == ("stopped", ["trees"], 1)
    assert (depth["data_version"], depth["last_era"]) == ("v5.2", 1121)
    (decided,) = read_ledger(folder / "depth" / "results" / "rounds.jsonl")
    assert depth["headline"]["gain"] == pytest.approx(decided.decision.gain, abs=1e-12)
    assert depth["headline"]["low"] < depth["headline"]["gain"] < depth["headline"]["high"]
    assert capacity["error"] is None
    assert capacity["notes"] == 1


def test_overview_diff_log_and_comparison(folder: Path, tmp_path: Path) -> None:
    (folder / "capacity" / "logs").mkdir(exist_ok=True)
    (folder / "capacity" / "logs" / "r01-base.log").write_text("a line\n" * 20_000 + "the end")
    overview, diff, log, none, both = asked(
        folder,
        tmp_path,
        "/api/overview?exp=capacity",
        "/api/diff?exp=capacity&first=r01-base&second=r05-winner",
        "/api/log?exp=capacity&id=r01-base",
        "/api/log?exp=capacity",
        "/api/compare?exp=capacity&id=r05-winner&exp=depth&id=r01-max_depth%3D8",
    )
    assert [panel["dimension"] for panel in overview[1]["sweeps"]] == ["num_leaves", "learning_rate", "max_depth"]
    assert overview[1]["notes"][0]["text"] == "look at <b>drift</b>"
    assert diff[1]["rows"] == [{"path": "model.params.num_leaves", "first": 8, "second": 10}]
    assert diff[1]["same"] == 1
    assert log[1]["lines"][-1] == "the end"
    assert (log[1]["bytes"], log[1]["shown"]) == (140_007, 65_536)
    assert none[1]["lines"] is None
    rows = both[1]["rows"]
    assert both[1]["eras"] == {"count": 231, "first": 201, "last": 1121}
    assert rows[0]["to_first"] is None
    delta = rows[1]["to_first"]
    assert delta["low"] < delta["mean"] < delta["high"]
    assert delta["mean"] == pytest.approx(rows[1]["primary"] - rows[0]["primary"], abs=1e-12)


def test_nothing_changes_by_asking_and_only_get_is_answered(folder: Path, tmp_path: Path) -> None:
    def state() -> dict[str, str]:
        files = (path for path in folder.rglob("*") if path.is_file())
        return {
            str(path): hashlib.sha256(path.read_bytes()).hexdigest() + str(path.stat().st_mtime_ns) for path in files
        }

    names = ("status", "leaderboard", "overview", "log", "experiments", "per-era", "diff", "compare", "nothing")
    before = state()

    async def work(client: Client) -> None:
        for name in names:
            for method in ("GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "PROPFIND"):
                address = f"/api/{name}?exp=capacity&id=r01-base&first=r01-base&second=r05-winner"
                async with client.request(method, address, data=b"x" if method == "POST" else None) as answer:
                    assert (answer.status == 405) == (method not in ("GET", "HEAD")), (name, method, answer.status)
                    assert answer.status < 500

    visit(folder, tmp_path, work)
    assert state() == before


def test_unknown_experiments_variants_and_paths(folder: Path, tmp_path: Path) -> None:
    found = asked(
        folder,
        tmp_path,
        "/api/status?exp=../capacity",
        "/api/status",
        "/api/per-era?exp=capacity&id=../../../../etc/passwd",
        "/api/log?exp=capacity&id=..",
        "/api/compare?exp=capacity",
        "/static/..%2f..%2fserver.py",
        "/static/server.py",
        "/nowhere",
        "/api/compare?" + "&".join(["exp=capacity&id=r01-base"] * 13),
    )
    assert [code for code, _ in found] == [404, 404, 422, 422, 422, 404, 404, 404, 422]
    assert "no such variant" in found[2][1]["error"]


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        ({"Host": "localhost:1"}, 200),
        ({"Host": "[::1]:8000"}, 200),
        ({"Host": "evil.example"}, 403),
        ({"Host": "localhost.evil.example"}, 403),
        ({"Host": "localhost@evil.example"}, 403),
        ({"Host": "127.0.0.1:80", "Origin": "http://127.0.0.1:80"}, 200),
        ({"Host": "127.0.0.1:80", "Origin": "http://evil.example"}, 403),
        ({"Host": "127.0.0.1:80", "Origin": "null"}, 403),
        ({"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors"}, 403),
        ({"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}, 200),
        ({"Host": "me.example"}, 200),
    ],
)
def test_other_sites_get_nothing(folder: Path, tmp_path: Path, headers: dict[str, str], code: int) -> None:
    access = Access(names=frozenset({"me.example"}))
    ((found, _),) = asked(folder, tmp_path, "/api/status?exp=depth", access=access, **headers)
    assert found == code


def test_every_answer_has_the_policy_and_no_script_stands_in_the_page(folder: Path, tmp_path: Path) -> None:
    async def work(client: Client) -> None:
        for address in (
            "/",
            "/static/app.js",
            "/api/experiments",
            "/api/status?exp=no",
            "/nowhere",
            "/report?exp=depth",
        ):
            async with client.get(address) as answer:
                policy = answer.headers["Content-Security-Policy"]
                assert "default-src 'none'" in policy
                assert "unsafe-inline" not in policy or "sandbox" in policy
                assert answer.headers["X-Content-Type-Options"] == "nosniff"

    visit(folder, tmp_path, work)
    page = (STATIC / "index.html").read_text()
    assert "<script>" not in page
    assert "style=" not in page
    for each in STATIC.iterdir():
        text = each.read_text()
        assert "innerHTML" not in text
        assert "insertAdjacentHTML" not in text
        assert set(re.findall(r"https?://([\w.]+)", text)) <= {"www.w3.org"}, each.name
        assert len(text.splitlines()) <= 400


def test_a_token_is_asked_for_and_becomes_a_cookie(folder: Path, tmp_path: Path) -> None:
    access = Access(token=TOKEN)

    async def work(client: Client) -> None:
        async with client.get("/api/experiments") as answer:
            assert answer.status == 401
        async with client.get("/?token=wrong") as answer:
            assert answer.status == 401
            assert TOKEN not in await answer.text()
        async with client.get("/api/experiments", headers={"Authorization": f"Bearer {TOKEN}"}) as answer:
            assert answer.status == 200
        async with client.get(f"/?token={TOKEN}", allow_redirects=False) as answer:
            assert answer.status == 303
            assert "HttpOnly" in answer.headers["Set-Cookie"]
            assert "SameSite=Strict" in answer.headers["Set-Cookie"]
        async with client.get("/api/experiments") as answer:
            assert answer.status == 200

    visit(folder, tmp_path, work, access)
    assert TOKEN not in repr(access)


def test_beyond_loopback_a_token_is_demanded(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("NUMERAI_RAY_DASHBOARD_TOKEN", raising=False)
    assert run(["dashboard", str(folder), "--no-open", "--host", "0.0.0.0"]) == 2
    assert "asks for a token; set $NUMERAI_RAY_DASHBOARD_TOKEN" in capsys.readouterr().err
    monkeypatch.setenv("NUMERAI_RAY_DASHBOARD_TOKEN", "short")
    assert run(["dashboard", str(folder), "--no-open"]) == 2
    assert "at least 16 characters" in capsys.readouterr().err
    monkeypatch.delenv("NUMERAI_RAY_DASHBOARD_TOKEN")
    assert run(["dashboard", str(folder / "none"), "--no-open"]) == 2
    assert "no such folder" in capsys.readouterr().err
    assert run(["dashboard", str(folder), "--no-open", "--path-prefix", "x y"]) == 2


def test_it_works_below_a_path(folder: Path, tmp_path: Path) -> None:
    access = Access(prefix="/user/me/proxy/8700")
    below, cut_off, bare = asked(
        folder,
        tmp_path,
        "/user/me/proxy/8700/api/experiments",
        "/api/experiments",
        "/user/me/proxy/8700",
        access=access,
    )
    assert below == cut_off
    assert bare[0] == 302
    assert '"/' not in (STATIC / "index.html").read_text().replace('"#/"', ""), "every address of the page is relative"


def test_events_tell_what_changed_and_closed_pages_are_forgotten(tmp_path: Path) -> None:
    history = experiment(tmp_path / "experiments" / "demo")
    paths = ExperimentPaths(tmp_path / "experiments" / "demo")
    history.scout("num_leaves", {7: 0.003})

    async def work(client: Client) -> list[dict[str, Any]]:
        seen: list[dict[str, Any]] = []

        async def told(until: Callable[[dict[str, Any]], bool]) -> None:
            while not (seen and until(seen[-1])):
                line = await asyncio.wait_for(stream.content.readline(), 10)
                if line.startswith(b"data: "):
                    seen.append(json.loads(line[6:]))

        async with client.get("/api/events") as stream:
            await told(lambda event: event["state"] == "stopped")
            append_ledger(paths.ledger, replace(history.records[0], number=2))
            await told(lambda event: bool(event["changed"]))
            with experiment_lock(paths.lock):
                await told(lambda event: event["state"] == "running")
            await told(lambda event: event["state"] == "stopped")
            append_note(paths.notes, "hello")
            await told(lambda event: bool(event["changed"]))
        return seen

    seen = visit(tmp_path / "experiments", tmp_path, work)
    assert {event["key"] for event in seen} == {"demo"}
