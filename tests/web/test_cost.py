"""What a page that is open asks of the server: the answer once a round, and few looks when nothing changes."""

import asyncio
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from builders import experiment
from dashboard import Client, visit

from numerai_ray.web import live, values


def test_the_answer_is_worked_out_once_a_round(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    history = experiment(tmp_path / "experiments" / "demo")
    history.scout("num_leaves", {7: 0.003})
    made: list[str] = []
    for name in ("experiment_answer", "load_plan", "leaderboard_json"):
        own = getattr(values, name)
        monkeypatch.setattr(values, name, lambda *given, name=name, own=own: made.append(name) or own(*given))

    async def work(client: Client) -> None:
        async def ask(name: str) -> Any:
            async with client.get(f"/api/{name}?exp=demo") as answer:
                assert answer.status == 200, await answer.text()
                return await answer.json()

        async def page() -> list[Any]:
            return await asyncio.gather(*(ask(name) for name in ("status", "overview", "leaderboard", "experiments")))

        first = await page()
        assert first[0]["answer"]["kind"] == first[1]["answer"]["kind"]
        once = ["experiment_answer", "leaderboard_json", "load_plan"]
        assert sorted(made) == once
        history.paths.html.write_text("the report of the round")
        history.paths.notes.write_text('{"at": "2026-11-30T12:00:00+00:00", "text": "a remark"}\n')
        again = await page()
        assert again[0]["page"] is not None, "what changed is told"
        assert len(again[1]["notes"]) == 1
        assert sorted(made) == once
        history.scout("max_depth", {3: 0.0041})
        assert len((await page())[0]["rounds"]) == 2
        assert sorted(made) == sorted([*once, *once])

    visit(history.paths.root.parent, tmp_path, work)


def test_looks_are_rare_while_nothing_changes_and_often_again_when_something_does(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(live, "QUIET_LOOKS", 3)
    slept: list[float] = []
    stamps = iter([0, 0, 0, 0, 0, 1, 1])

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    def look() -> live.Seen:
        try:
            return {"demo": {"stamp": next(stamps), "state": "stopped", "running": None}}
        except StopIteration:
            raise asyncio.CancelledError from None

    async def work() -> None:
        watching = live.Live(look, 100.0)
        watching.join()
        assert watching._task is not None
        await asyncio.wait([watching._task])

    monkeypatch.setattr(live.asyncio, "sleep", sleep)
    asyncio.run(work())
    assert slept == [100.0, 100.0, 100.0, 300.0, 300.0, 100.0, 100.0]


def test_the_server_loads_nothing_that_trains_or_draws() -> None:
    heavy = ["pandas", "ray", "matplotlib", "lightgbm", "optuna", "numba", "sklearn", "numerai_ray.training"]
    code = f"import sys, numerai_ray.web; print([name for name in {heavy} if name in sys.modules])"
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert told.stdout.strip() == "[]"
