"""Server: speaks the Model Context Protocol over stdio, with the official SDK."""

import asyncio
import base64
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import mcp_types as types
from jsonschema import Draft202012Validator
from mcp.server import Server, ServerRequestContext
from mcp.server.stdio import stdio_server
from mcp.shared.exceptions import MCPError
from mcp_types.version import MODERN_PROTOCOL_VERSIONS

from numerai_ray.errors import NumeraiRayError, RequestError, nearest
from numerai_ray.mcp_server.answers import answer
from numerai_ray.mcp_server.commands import Background, answer_of, as_text
from numerai_ray.mcp_server.reading import READINGS
from numerai_ray.mcp_server.resources import find, readable
from numerai_ray.mcp_server.tools import Tool, command_line, offered
from numerai_ray.session.skills import skills
from numerai_ray.system.files import plain_file

Context = ServerRequestContext[Any]
INSTRUCTIONS = (
    "Numerai research as rounds of one-variable experiments. Begin with the prompt numerai-experiment. Order: history, "
    "data_info, plan_new, plan_check, run, wait, answer, leaderboard, report. Errors name the line to change."
)
WAIT_S, LONGEST_WAIT_S = 50.0, 600.0


@dataclass
class Desk:
    """What a server works with: the folder that everything is below, the data, and what it started.

    ``to_confirm`` are calls that wait for their user's word, by a token that is good for one of them.
    """

    root: Path
    data_dir: str | None = None
    allow_upload: bool = False
    background: Background = field(init=False)
    tools: Mapping[str, Tool] = field(init=False)
    to_confirm: dict[str, tuple[str, dict[str, Any]]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.root = self.root.resolve()
        self.background = Background(self.root)
        self.tools = offered(allow_upload=self.allow_upload)


def serve(desk: Desk) -> None:
    """Serve one client on stdin and stdout, until it closes them."""

    async def run() -> None:
        server = made_server(desk)
        async with stdio_server() as (read, write):
            await server.run(read, write, server.create_initialization_options())

    asyncio.run(run())


class Handlers:
    """What each request of the protocol is answered with, at one desk."""

    def __init__(self, desk: Desk):
        self.desk = desk

    async def list_tools(self, _: Context, __: types.PaginatedRequestParams | None) -> types.ListToolsResult:
        return types.ListToolsResult(tools=[_tool(each) for each in self.desk.tools.values()])

    async def call_tool(
        self, context: Context, call: types.CallToolRequestParams
    ) -> types.CallToolResult | types.InputRequiredResult:
        try:
            tool, given = _checked(self.desk, call)
            if tool.effect == "sends":
                asked = await _confirmed(self.desk, context, call, given)
                if asked is not None:
                    return asked
            value = answer(tool, await _answered(self.desk, tool, given), given)
        except NumeraiRayError as error:
            return types.CallToolResult(content=[types.TextContent(text=str(error))], is_error=True)
        return types.CallToolResult(content=[types.TextContent(text=as_text(value))], structured_content=value)

    async def list_resources(self, _: Context, __: types.PaginatedRequestParams | None) -> types.ListResourcesResult:
        listed = [
            types.Resource(uri=each.uri, name=each.uri, description=each.about, mime_type=each.mime_type)
            for each in readable(self.desk.root)
        ]
        return types.ListResourcesResult(resources=listed)

    async def read_resource(self, _: Context, asked: types.ReadResourceRequestParams) -> types.ReadResourceResult:
        content: types.TextResourceContents | types.BlobResourceContents
        with _refusals(asked.uri):
            found = find(self.desk.root, asked.uri)
            whole = plain_file(found.file).read_bytes()
            if found.mime_type.startswith("image/"):
                blob = base64.b64encode(whole).decode()
                content = types.BlobResourceContents(uri=asked.uri, mime_type=found.mime_type, blob=blob)
            else:
                text = whole.decode(errors="replace")
                content = types.TextResourceContents(uri=asked.uri, mime_type=found.mime_type, text=text)
        return types.ReadResourceResult(contents=[content])

    async def list_prompts(self, _: Context, __: types.PaginatedRequestParams | None) -> types.ListPromptsResult:
        listed = [types.Prompt(name=each.name, description=each.description) for each in skills()]
        return types.ListPromptsResult(prompts=listed)

    async def get_prompt(self, _: Context, asked: types.GetPromptRequestParams) -> types.GetPromptResult:
        found = next((each for each in skills() if each.name == asked.name), None)
        if found is None:
            names = ", ".join(each.name for each in skills())
            raise MCPError(types.INVALID_PARAMS, f"{asked.name}: no such prompt; there are {names}")
        message = types.PromptMessage(role="user", content=types.TextContent(text=found.text))
        return types.GetPromptResult(description=found.description, messages=[message])


@contextmanager
def _refusals(uri: str) -> Iterator[None]:
    """Why ``uri`` cannot be read reaches the client: of any other error the SDK tells it nothing."""
    try:
        yield
    except NumeraiRayError as error:
        raise MCPError(types.INVALID_PARAMS, str(error)) from error
    except OSError as error:
        raise MCPError(types.INTERNAL_ERROR, f"{uri}: cannot be read: {error.strerror or error}") from error


def made_server(desk: Desk) -> Server[Any]:
    """The protocol's side of a desk."""
    own = Handlers(desk)
    return Server(
        "numerai-ray",
        version=_version(),
        instructions=INSTRUCTIONS,
        on_list_tools=own.list_tools,
        on_call_tool=own.call_tool,
        on_list_resources=own.list_resources,
        on_read_resource=own.read_resource,
        on_list_prompts=own.list_prompts,
        on_get_prompt=own.get_prompt,
    )


def _tool(tool: Tool) -> types.Tool:
    hints = types.ToolAnnotations(
        read_only_hint=tool.effect == "reads", destructive_hint=False, open_world_hint=tool.effect == "sends"
    )
    return types.Tool(name=tool.name, description=tool.about, input_schema=tool.schema(), annotations=hints)


def _checked(desk: Desk, call: types.CallToolRequestParams) -> tuple[Tool, dict[str, Any]]:
    """The tool and its inputs, after a look at both: what an agent gets wrong is said, with what would be right."""
    tool = desk.tools.get(call.name)
    if tool is None:
        raise RequestError(f"no tool {call.name!r}{nearest(call.name, desk.tools)}")
    given = dict(call.arguments or {})
    known = [each.name for each in tool.all_inputs()]
    problems = [f"{tool.name}: unknown input {each!r}{nearest(each, known)}" for each in given if each not in known]
    problems += [
        f"{'.'.join(map(str, each.path)) or tool.name}: {each.message}"
        for each in Draft202012Validator(tool.schema()).iter_errors({key: given[key] for key in given if key in known})
    ]
    if problems:
        raise RequestError("\n".join(problems))
    for each in tool.inputs:
        if each.path and each.name in given:
            value = given[each.name]
            several = value if isinstance(value, list) else [value]
            placed = [str(_below(desk.root, each.name, one).relative_to(desk.root)) for one in several]
            given[each.name] = placed if isinstance(value, list) else placed[0]
    return tool, given


def _below(root: Path, name: str, value: str) -> Path:
    """A path of the request, which must not lead out of the root."""
    path = (root / value).resolve()
    if not path.is_relative_to(root):
        raise RequestError(f"{name}: must lie below {root}, but is {value}; the server was started for that folder")
    return path


async def _answered(desk: Desk, tool: Tool, given: dict[str, Any]) -> Any:
    named = [given["experiment"]] if "experiment" in given else given.get("experiments", [])
    folder = desk.root / named[0] if named else desk.root
    if tool.own:
        return READINGS[tool.own](folder, given)
    arguments = command_line(tool, given, desk.data_dir)
    if tool.effect == "runs":
        # A plan that will not do is refused here, with its lines; a run would say so to nobody.
        for each in named:
            await answer_of(command_line(desk.tools["plan_check"], {"experiment": each}, desk.data_dir), desk.root)
        return await desk.background.start(folder, arguments)
    if tool.name == "wait":
        seconds = min(float(given.get("timeout_s", WAIT_S)), LONGEST_WAIT_S)
        await desk.background.wait(folder, seconds, for_round=given.get("until") == "round")
    value = await answer_of(arguments, desk.root)
    if tool.name in ("status", "wait"):
        return {**value, "last_run": desk.background.last_run(folder)}
    return value


async def _confirmed(
    desk: Desk, context: Context, call: types.CallToolRequestParams, given: dict[str, Any]
) -> types.InputRequiredResult | None:
    """Ask the client's user; None when they said yes.

    Raises:
        RequestError: they did not, or cannot be asked.

    """
    where = given.get("model") or given.get("new") or "a model slot"
    question = f"Send {given['pickle']} to Numerai, to the model {where}? It may replace what runs there."
    wanted = {
        "type": "object",
        "properties": {"send": {"type": "boolean", "title": "Send it to Numerai"}},
        "required": ["send"],
    }
    token = call.request_state
    if token is not None:
        if desk.to_confirm.pop(token, None) != (call.name, given):
            raise RequestError("upload: this confirmation is not of this call; call it again")
        said = (call.input_responses or {}).get("send")
        _agreed(said)
        return None
    if context.protocol_version in MODERN_PROTOCOL_VERSIONS:
        token = secrets.token_urlsafe()
        desk.to_confirm[token] = (call.name, given)
        form = types.ElicitRequestFormParams(message=question, requested_schema=wanted)
        return types.InputRequiredResult(input_requests={"send": types.ElicitRequest(params=form)}, request_state=token)
    try:
        said = await context.session.elicit_form(question, wanted, context.request_id)
    except Exception as error:  # a client that cannot ask says so in many ways
        raise RequestError(f"upload: the user cannot be asked ({error}); run `numerai-ray upload` in a shell") from None
    _agreed(said)
    return None


def _agreed(said: Any) -> None:
    if not (isinstance(said, types.ElicitResult) and said.action == "accept" and (said.content or {}).get("send")):
        raise RequestError("upload: the user did not agree; nothing was sent")


def _version() -> str:
    try:
        return version("numerai-ray")
    except PackageNotFoundError:
        return "0"
