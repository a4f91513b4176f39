"""Experiments in object storage: shown from a copy, fresh while a run goes on elsewhere, nothing written there."""

import json
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from builders import experiment
from dashboard import Client, visit_sources
from google_server import google_server
from s3_server import s3_server

from numerai_ray.experiment.mirror import ResultsMirror, mirrored
from numerai_ray.system.storage import files_below, place
from numerai_ray.web import sources

SERVERS = {"s3": partial(s3_server, "numerai"), "gs": google_server}


@pytest.fixture(params=SERVERS)
def url(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A folder of a bucket."""
    with SERVERS[request.param]() as environment:
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        yield f"{request.param}://numerai/experiments"


def test_a_run_elsewhere_is_watched_through_its_copy(url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "REFETCH_S", 0.0)
    history = experiment(tmp_path / "there" / "demo")
    history.scout("num_leaves", {7: 0.003})
    copy = place(f"{url}/demo")
    ResultsMirror(history.paths.root, copy).push()

    async def work(client: Client) -> list[Any]:
        async def ask(address: str) -> Any:
            async with client.get(address) as answer:
                assert answer.status == 200, await answer.text()
                return await answer.json()

        seen = [await ask("/api/experiments")]
        before = {each.name for each in files_below(copy)}
        with mirrored(history.paths.root, copy):
            seen.append(await ask("/api/experiments"))
            history.scout("max_depth", {3: 0.0041})
            ResultsMirror(history.paths.root, copy).push()
            async with client.get("/api/events") as stream:
                while b'"state":"running"' not in (line := await stream.content.readline()):
                    assert line, "the stream ended"
        seen.append(await ask("/api/status?exp=demo"))
        assert {each.name for each in files_below(copy)} - before == {"results/r02-max_depth=3.json"}
        return seen

    first, during, after = visit_sources([url], tmp_path / "cache", work)
    assert [(each["key"], each["state"], each["rounds"]) for each in first["experiments"]] == [("demo", "stopped", 1)]
    assert during["experiments"][0]["state"] == "running"
    assert after["experiment"] == f"{url}/demo"
    assert (len(after["rounds"]), after["state"]) == (2, "stopped")


def test_a_copy_whose_plan_names_its_own_baseline_has_an_answer(url: str, tmp_path: Path) -> None:
    history = experiment(tmp_path / "there" / "demo", {"baseline": "mine"})
    history.scout("num_leaves", {7: 0.003})
    history.paths.config("any").parent.mkdir(exist_ok=True)
    config = history.loaded.baseline_config("scout").to_json()
    for each in history.records[0].variants:
        history.paths.config(each.id).write_text(json.dumps(config))
    ResultsMirror(history.paths.root, place(f"{url}/demo")).push()

    async def work(client: Client) -> list[Any]:
        found = []
        for name in ("status", "overview"):
            async with client.get(f"/api/{name}?exp=demo") as answer:
                found.append(await answer.json())
        return found

    status, overview = visit_sources([url], tmp_path / "cache", work)
    assert overview["error"] is None
    assert overview["answer"]["kind"] == status["answer"]["kind"]
    assert overview["data_version"] == "v5.2"
