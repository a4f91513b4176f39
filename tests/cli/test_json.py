"""Every command's JSON is what its documented schema says, and ``agents.md`` says the same to agents."""

import json
import re
import shlex
from pathlib import Path
from typing import Any

import click
import pytest
import typer
from desk import Desk
from jsonschema import Draft202012Validator
from official_configs import write_config
from places import ROOT
from whole_program import app

from numerai_ray import Experiment
from numerai_ray.cli.commands.schema import schema_of, schemas
from numerai_ray.cli.main import run

AGENTS = (ROOT / "numerai_ray" / "docs" / "agents.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory, market: Path) -> Desk:
    """Two rounds of an experiment, without Ray, its models kept."""
    made = Desk(tmp_path_factory.mktemp("json"), market, {"keep_models": True})
    assert made.run("--rounds", "2") == 0
    return made


def check(name: str, value: Any) -> None:
    Draft202012Validator(schema_of(name)).validate(value)


def commands(group: click.Command, path: tuple[str, ...] = ()) -> list[tuple[str, click.Command]]:
    if isinstance(group, click.Group) or hasattr(group, "commands"):
        return [each for name, sub in group.commands.items() for each in commands(sub, (*path, name))]  # type: ignore[attr-defined]
    return [(" ".join(path), group)]


@pytest.mark.slow
def test_the_schemas_are_schemas() -> None:
    for name in schemas()["$defs"]:
        Draft202012Validator.check_schema(schema_of(name))


def test_every_command_with_json_has_a_schema_and_a_line_for_agents() -> None:
    found = commands(typer.main.get_command(app))
    speaking = {name for name, command in found if any("--json" in p.opts for p in command.params)}
    assert speaking, "the commands were not found"
    missing = speaking - set(schemas()["$defs"])
    assert not missing, f"describe {sorted(missing)} in numerai_ray/docs/schemas.json"
    (table,) = re.findall(r"## The answers\n(.*?)\n## ", AGENTS, re.S)
    told = {name for row in re.findall(r"^\| (`[^|]*) \|", table, re.M) for name in re.findall(r"`([^`]+)`", row)}
    assert told - {"status --watch"} == speaking, "the table of numerai_ray/docs/agents.md"


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("status", []),
        ("leaderboard", ["--top", "2"]),
        ("report", []),
        ("compare", []),
        ("compare", ["--benchmarks"]),
        ("track", []),
    ],
)
def test_reading_commands(desk: Desk, capsys: pytest.CaptureFixture[str], name: str, arguments: list[str]) -> None:
    data = ["--data-dir", str(desk.data)] if "--benchmarks" in arguments else []
    capsys.readouterr()
    assert run([name, str(desk.folder), *arguments, *data, "--json"]) == 0
    check(name, json.loads(capsys.readouterr().out))


def test_before_the_first_round(tmp_path: Path, market: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fresh = Desk(tmp_path, market)
    assert run(["status", str(fresh.folder), "--json"]) == 0
    value = json.loads(capsys.readouterr().out)
    check("status", value)
    assert value["state"] == "not started"
    for name in ("leaderboard", "report", "compare", "track"):
        assert run([name, str(fresh.folder)]) == 2
        assert "no round is decided yet; start with" in capsys.readouterr().err


def test_run_speaks_events_and_status_can_be_watched(
    tmp_path: Path, market: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fresh = Desk(tmp_path, market)
    assert fresh.run("--rounds", "1", "--json") == 0
    events = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    for event in events:
        check("run", event)
    assert {event["event"] for event in events} == {"round_started", "progress", "round_decided", "finished"}
    assert run(["status", str(fresh.folder), "--watch", "--json"]) == 0
    (line,) = capsys.readouterr().out.splitlines()
    assert json.loads(line)["rounds"] == 1
    assert json.loads(line)["state"] == "stopped"
    assert run(["status", str(fresh.folder), "--watch"]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "stopped"


def test_plain_lines_where_there_is_no_terminal(
    tmp_path: Path, market: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fresh = Desk(tmp_path, market)
    assert fresh.run("--rounds", "1") == 0
    out = capsys.readouterr().out
    lines = out.splitlines()
    (record,) = fresh.rounds()
    ran = [v["name"] for v in record["variants"] if v["role"] in ("base", "variant")]
    assert lines[0].startswith("round 1, scout: varying ")
    assert [line.split(": ")[0].strip() for line in lines[1 : len(ran) + 1]] == ran
    assert record["decision"]["reason"] in out
    assert not set("\x1b\r") & set(out)


def test_the_ledger_and_the_results_are_what_the_schema_says(desk: Desk) -> None:
    for record in desk.rounds():
        check("ledger", record)
        for variant in record["variants"]:
            if variant["role"] != "benchmark":
                check("results", json.loads((desk.folder / "results" / f"{variant['id']}.json").read_text()))


def test_a_plan(desk: Desk, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["plan", str(desk.folder), "--data-dir", str(desk.data), "--no-calibrate", "--json"]) == 0
    check("plan", json.loads(capsys.readouterr().out))


def test_a_round_speaks_events(tmp_path: Path, market: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fresh = Desk(tmp_path, market)
    own = ["--vary", "model.params.num_leaves=9,12", "--data-dir", str(fresh.data), "--in-process", "--json"]
    assert run(["round", str(fresh.folder), *own]) == 0
    events = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    for event in events:
        check("round", event)
    assert [events[0]["event"], events[-1]["event"]] == ["round_started", "round_decided"]


def test_a_config_of_ones_own(desk: Desk, market: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = write_config(tmp_path / "own.json", {})
    own = ["--output-dir", str(tmp_path / "out"), "--data-dir", str(desk.data), "--in-process", "--json"]
    capsys.readouterr()
    assert run(["train", "--config", str(config), *own]) == 0
    check("train", json.loads(capsys.readouterr().out))


def test_data_info(market: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["data", "info", "--data-dir", str(market), "--json"]) == 0
    check("data info", json.loads(capsys.readouterr().out))


@pytest.mark.parametrize("name", ["store info", "store gc", "store verify"])
def test_store_commands(desk: Desk, capsys: pytest.CaptureFixture[str], name: str) -> None:
    assert run([*name.split(), "--data-dir", str(desk.data), "--json"]) == 0
    check(name, json.loads(capsys.readouterr().out))


def test_the_schema_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["schema", "status"]) == 0
    assert json.loads(capsys.readouterr().out) == schema_of("status")
    assert run(["schema"]) == 0
    assert set(json.loads(capsys.readouterr().out)["$defs"]) == set(schemas()["$defs"])
    assert run(["schema", "statsu"]) == 2
    assert "did you mean 'status'?" in capsys.readouterr().err


# --- what agents are told ----------------------------------------------------------------------------------------


def test_the_commands_for_agents_run(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(desk.folder.parent.parent)
    blocks = re.findall(r"```bash\n(.*?)```", AGENTS, re.S)
    told = [shlex.split(line) for block in blocks for line in block.splitlines() if line.startswith("numerai-ray")]
    assert [line[1] for line in told] == [
        "history",
        "data",
        "plan",
        "run",
        "status",
        "leaderboard",
        "report",
        "compare",
    ]
    for line in told:
        words = [each.replace("experiments/NAME", "experiments/small") for each in line[1:]]
        local = ["--in-process", "--accept-suspect"] if words[0] == "run" else []
        assert run([*words, *local]) == 0, (words, capsys.readouterr().err)


def test_the_tables_for_agents_name_the_keys_of_the_schemas() -> None:
    for name, keys in re.findall(r"^\| `([a-z -]+)` \| (.*) \|$", AGENTS, re.MULTILINE):
        defined = schemas()["$defs"].get(name)
        if defined is None or "properties" not in defined:
            continue
        listed = re.findall(r"`(\w+)`", keys)
        assert set(defined["properties"]) <= set(listed), name
    events = re.findall(r"^\| `(\w+)` \| [^|]+ \|[^|]+\|$", AGENTS, re.MULTILINE)
    shapes = json.dumps(schemas()["$defs"]["run"])
    assert {"round_started", "progress", "running", "dashboard", "round_decided"} <= set(events)
    assert all(f'"const": "{event}"' in shapes for event in events)


def test_the_python_for_agents_runs(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(desk.folder.parent.parent)
    (code,) = re.findall(r"```python\n(.*?)```", AGENTS, re.S)
    names: dict[str, Any] = {}
    exec(code.replace("experiments/NAME", "experiments/small"), names)
    assert isinstance(names["experiment"], Experiment)
    assert not names["experiment"].table().empty
