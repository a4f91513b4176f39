"""The server of tools, with the official SDK's client: every tool, pages, errors, resources, prompts, confirmations."""

import base64
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio
import mcp_types as types
import pytest
from desk import Desk
from jsonschema import Draft202012Validator
from mcp import Client
from mcp.shared.exceptions import MCPError

from numerai_ray.cli.commands.schema import schema_of
from numerai_ray.cli.main import run
from numerai_ray.mcp_server import server as served
from numerai_ray.mcp_server.answers import MOST_CHARACTERS, answer
from numerai_ray.mcp_server.server import Desk as ServerDesk
from numerai_ray.mcp_server.server import made_server
from numerai_ray.mcp_server.tools import TOOLS, command_line, offered
from numerai_ray.session.skills import skills

EXP = "experiments/small"


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory, market: Path) -> Desk:
    """Two rounds of an experiment."""
    made = Desk(tmp_path_factory.mktemp("served"), market)
    assert made.run("--rounds", "2") == 0
    assert run(["report", str(made.folder)]) == 0  # draws here what the server's own process would draw
    return made


def at(desk: Desk, **settings: Any) -> ServerDesk:
    return ServerDesk(desk.data.parent, str(desk.data), **settings)


def call(desk: ServerDesk, *calls: tuple[str, dict[str, Any]], **settings: Any) -> list[types.CallToolResult]:
    """Answers of one client, one after the other."""

    async def ask() -> list[types.CallToolResult]:
        async with Client(made_server(desk), **settings) as client:
            return [await client.call_tool(name, given) for name, given in calls]

    return anyio.run(ask)


def text(result: types.CallToolResult) -> str:
    (content,) = result.content
    assert isinstance(content, types.TextContent)
    return content.text


def test_tools_are_listed_with_strict_inputs(desk: Desk) -> None:
    async def ask() -> Any:
        async with Client(made_server(at(desk))) as client:
            return (await client.list_tools()).tools

    tools = {each.name: each for each in anyio.run(ask)}
    wanted = "data_info plan_new plan_check forecast run status wait round leaderboard answer report per_era compare"
    assert {
        *wanted.split(),
        "config_diff",
        "export",
        "verify",
        "store_info",
        "history",
        "queue",
        "evaluate",
        "ensemble",
        "recheck",
        "follow",
    } <= set(tools)
    assert "upload" not in tools
    assert "upload" in offered(allow_upload=True)
    for each in tools.values():
        Draft202012Validator.check_schema(each.input_schema)
        assert each.input_schema["additionalProperties"] is False
        assert each.description
    assert tools["status"].annotations.read_only_hint
    assert not tools["run"].annotations.read_only_hint


@pytest.mark.parametrize(
    ("tool", "given", "command"),
    [
        ("status", {"experiment": EXP}, ["status", EXP]),
        ("leaderboard", {"experiment": EXP, "top": 2}, ["leaderboard", EXP, "--top", "2"]),
        ("report", {"experiment": EXP}, ["report", EXP]),
        ("compare", {"experiments": [EXP]}, ["compare", EXP]),
        ("history", {}, ["history"]),
        ("store_info", {}, ["store", "info", "--data-dir", "data"]),
        ("data_info", {}, ["data", "info", "--data-dir", "data"]),
        ("plan_check", {"experiment": EXP}, ["plan", EXP, "--no-calibrate", "--data-dir", "data"]),
    ],
)
def test_an_answer_is_the_command_s_own_json(
    tool: str, given: dict[str, Any], command: list[str], desk: Desk, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    (result,) = call(at(desk), (tool, given))
    assert not result.is_error, text(result)
    value = json.loads(text(result))
    assert value == result.structured_content
    monkeypatch.chdir(desk.data.parent)
    capsys.readouterr()
    assert run([*command, "--json"]) == 0
    own = json.loads(capsys.readouterr().out)
    entry = offered(allow_upload=False)[tool]
    assert set(own) <= set(value)
    paged = list(reversed(own[entry.page]))[: entry.per_page] if entry.latest else own.get(entry.page)
    if entry.page:
        assert value[entry.page] == paged
        assert value["paging"]["total"] == len(own[entry.page])
    schema = schema_of(" ".join(word for word in entry.command if not word.startswith("-")))
    Draft202012Validator(schema).validate({key: each for key, each in value.items() if key in own})


def test_the_answer_is_that_of_status(desk: Desk) -> None:
    answer, status = (
        json.loads(text(each))
        for each in call(at(desk), ("answer", {"experiment": EXP}), ("status", {"experiment": EXP}))
    )
    assert answer == status["answer"]
    Draft202012Validator(schema_of("answer")).validate(answer)


def test_lists_come_in_pages(desk: Desk) -> None:
    first, second, wrong = call(
        at(desk),
        ("per_era", {"experiment": EXP, "variant": "base", "limit": 3}),
        ("per_era", {"experiment": EXP, "variant": "base", "limit": 3, "offset": 3}),
        ("leaderboard", {"experiment": EXP, "limit": 0}),
    )
    if first.is_error:  # `base` ran in both rounds
        assert "give one of" in text(first)
        name = text(first).split("give one of ")[1].split(",")[0]
        first, second = call(
            at(desk),
            ("per_era", {"experiment": EXP, "variant": name, "limit": 3}),
            ("per_era", {"experiment": EXP, "variant": name, "limit": 3, "offset": 3}),
        )
    eras = [row["era"] for each in (first, second) for row in json.loads(text(each))["rows"]]
    assert len(eras) == 6
    assert eras == sorted(eras, reverse=True)
    assert wrong.is_error
    assert text(wrong) == "limit: must be 1 or more, but is 0"


def test_what_differs_between_two_configurations(desk: Desk) -> None:
    (result,) = call(
        at(desk), ("config_diff", {"experiment": EXP, "variant": "num_leaves=3", "other": "num_leaves=15"})
    )
    assert json.loads(text(result))["differs"] == {"model.params.num_leaves": [3, 15]}


@pytest.mark.parametrize(
    ("tool", "given", "words"),
    [
        (
            "status",
            {"experiment": "experiments/smal"},
            "error: experiments/smal: no experiment.yaml there; did you mean",
        ),
        ("leaderboard", {"experiment": EXP, "stage": "final"}, "--stage must be one that ran (scout)"),
        ("status", {"experiment": "../elsewhere"}, "experiment: must lie below"),
        ("status", {"experiment": "/etc"}, "experiment: must lie below"),
        ("export", {"experiment": EXP, "out": "/tmp/model.pkl"}, "out: must lie below"),
        ("compare", {"experiments": [EXP, "../x"]}, "experiments: must lie below"),
        ("status", {"experimnt": EXP}, "unknown input 'experimnt'; did you mean 'experiment'?"),
        ("status", {}, "'experiment' is a required property"),
        ("leaderboard", {"experiment": EXP, "top": "two"}, "top: 'two' is not of type 'integer'"),
        ("stats", {}, "no tool 'stats'; did you mean 'status'?"),
        ("upload", {"pickle": "model.pkl"}, "no tool 'upload'"),
        ("history", {"outcome": "--json"}, "no outcome '--json'"),
        ("plan_new", {"experiment": "experiments/x", "idea": "short", "novelty": "--what is this"}, "at least 10 char"),
    ],
)
def test_errors_are_the_commands_own(tool: str, given: dict[str, Any], words: str, desk: Desk) -> None:
    (result,) = call(at(desk), (tool, given))
    assert result.is_error
    assert words in text(result)
    assert "Traceback" not in text(result)


def test_a_value_never_becomes_a_flag() -> None:
    for tool in TOOLS:
        given = {
            each.name: ["--help"] if each.type == "strings" else "--help"
            for each in tool.inputs
            if each.flag or each.path
        }
        words = command_line(tool, given, None)
        places = words[words.index("--") :] if "--" in words else []
        assert "--help" not in words[: len(words) - len(places)]


def test_long_answers_are_cut_and_say_so() -> None:
    tool = offered(allow_upload=False)["leaderboard"]
    value = {"rows": [{"id": "x" * 100, "eras": list(range(1000))} for _ in range(100)]}
    shown = answer(tool, value, {})
    assert len(json.dumps(shown)) <= MOST_CHARACTERS
    assert shown["paging"]["total"] == 100
    assert "ask for less" in shown["cut"]


def test_resources_are_docs_plans_reports_and_plots_as_images(desk: Desk) -> None:
    async def ask() -> Any:
        async with Client(made_server(at(desk))) as client:
            listed = (await client.list_resources()).resources
            return listed, {each.uri: (await client.read_resource(each.uri)).contents[0] for each in listed}

    listed, read = anyio.run(ask)
    uris = {each.uri for each in listed}
    assert {"numerai-ray://docs/agents", "numerai-ray://schemas/plan"} <= uris
    assert "# " in read["numerai-ray://experiments/small/report"].text
    plots = [read[each] for each in uris if "/plots/" in each]
    assert plots
    assert all(each.mime_type == "image/png" for each in plots)
    assert all(base64.b64decode(each.blob).startswith(b"\x89PNG") for each in plots)


@pytest.mark.parametrize(
    ("uri", "words"),
    [
        ("numerai-ray://docs/nothing", "numerai-ray://docs/nothing: no such resource; list them"),
        ("file:///etc/passwd", "no such resource"),
        ("numerai-ray://experiments/vanished/plan", "cannot be read: it is a directory, not a file"),
    ],
)
def test_a_resource_that_cannot_be_read_says_why(
    uri: str, words: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "experiments/vanished/experiment.yaml").mkdir(parents=True)

    async def ask() -> str:
        async with Client(made_server(ServerDesk(tmp_path))) as client:
            with pytest.raises(MCPError) as caught:
                await client.read_resource(uri)
            return caught.value.message

    assert words in anyio.run(ask)
    assert "Traceback" not in capfd.readouterr().err


def test_a_prompt_that_is_not_there_says_which_are(desk: Desk) -> None:
    async def ask() -> str:
        async with Client(made_server(at(desk))) as client:
            with pytest.raises(MCPError) as caught:
                await client.get_prompt("numerai-nothing")
            return caught.value.message

    assert "numerai-nothing: no such prompt; there are numerai-" in anyio.run(ask)


def test_prompts_are_the_skills(desk: Desk) -> None:
    async def ask() -> Any:
        async with Client(made_server(at(desk))) as client:
            names = [each.name for each in (await client.list_prompts()).prompts]
            return {name: await client.get_prompt(name) for name in names}

    found = anyio.run(ask)
    assert {name: each.messages[0].content.text for name, each in found.items()} == {
        each.name: each.text for each in skills()
    }


def person(action: str, content: dict[str, Any] | None, asked: list[str]) -> Callable[..., Any]:
    async def answers(_: Any, params: types.ElicitRequestFormParams) -> types.ElicitResult:
        asked.append(params.message)
        return types.ElicitResult(action=action, content=content)  # type: ignore[arg-type]

    return answers


@pytest.mark.parametrize("mode", ["auto", "legacy"])
@pytest.mark.parametrize(
    ("action", "content", "sent"),
    [("accept", {"send": True}, True), ("accept", {"send": False}, False), ("decline", None, False)],
)
def test_an_upload_asks_the_client_s_user(
    mode: str, action: str, content: dict[str, Any] | None, sent: bool, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines: list[Any] = []

    async def command(arguments: Any, _: Path) -> Any:
        lines.append(arguments)
        return {"id": "p1"}

    monkeypatch.setattr(served, "answer_of", command)
    asked: list[str] = []
    (result,) = call(
        at(desk, allow_upload=True),
        ("upload", {"pickle": "model.pkl", "model": "mine"}),
        mode=mode,
        elicitation_callback=person(action, content, asked),
    )
    assert asked == ["Send model.pkl to Numerai, to the model mine? It may replace what runs there."]
    assert result.is_error is not sent
    assert lines == ([["upload", "--yes", "--model=mine", "--json", "--", "model.pkl"]] if sent else [])
    if not sent:
        assert text(result) == "upload: the user did not agree; nothing was sent"


@pytest.mark.parametrize("mode", ["auto", "legacy"])
def test_without_somebody_to_ask_nothing_is_sent(mode: str, desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    async def command(arguments: Any, _: Path) -> Any:
        raise AssertionError(arguments)

    monkeypatch.setattr(served, "answer_of", command)
    try:
        (result,) = call(at(desk, allow_upload=True), ("upload", {"pickle": "model.pkl"}), mode=mode)
    except BaseException as error:  # the client's own refusal, perhaps in a group
        assert "licitation" in repr(error)
    else:
        assert result.is_error
        assert "cannot be asked" in text(result)
