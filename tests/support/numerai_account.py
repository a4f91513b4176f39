"""An account at Numerai with models and uploaded pickles, behind the GraphQL server and behind an MCP server.

What happens to the next upload is told by ``fates``: the validation statuses that it goes through, a look each.
"""

import itertools
import re
import socket
import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from numerai_server import GraphqlError, NumeraiServer, Seen

PUBLIC_ID, SECRET = "PUBLICIDFORTESTS", "VerySecretKeyForTests0123456789"
TOKEN = f"Token {PUBLIC_ID}${SECRET}"
LOG = [
    {"timestamp": "2026-11-25T10:00:02Z", "message": "ModuleNotFoundError: No module named 'numerai_ray'"},
    {"timestamp": "2026-11-25T10:00:01Z", "message": "Loading model model.pkl"},
]
PASSES = ("pending", "pending", "validated")
FAILS = ("pending", "failed")


@dataclass
class Account:
    """``models`` by id; ``pickles`` by id; ``fates`` of coming uploads, then they pass."""

    server: NumeraiServer
    models: dict[str, dict[str, Any]] = field(default_factory=dict)
    pickles: dict[str, dict[str, Any]] = field(default_factory=dict)
    fates: deque[tuple[str, ...]] = field(default_factory=deque)
    triggered: list[str] = field(default_factory=list)
    may_add: bool = True
    scopes: frozenset[str] = frozenset({"upload", "read"})
    images: tuple[str, ...] = ("3.11", "3.12", "3.13")
    versions: tuple[str, ...] = ("v5.2",)
    diagnostics: dict[str, Any] = field(default_factory=lambda: {"status": "done", "validationCorrV4Mean": 0.0123})
    rounds: dict[str, list[dict[str, Any]]] = field(default_factory=dict)  # by model, as Numerai answers
    ids: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    def __post_init__(self) -> None:
        self.add("ray_one")
        self.add("ray_two")
        self.models["signals"] = {"id": "signals", "name": "signals", "tournament": 11}
        self.server.admit = self.admit
        self.server.answers |= {
            "account": lambda _: {"models": list(self.models.values()), **self.owner},
            "v2RoundModelPerformances": self.performances,
            "addModel": self.add_model,
            "computePickleDockerImages": lambda _: self.docker_images(),
            "computePickleDataVersions": lambda _: [{"id": f"dv-{each}", "name": each} for each in self.versions],
            "computePickleUploadAuth": self.address,
            "createComputePickleUpload": self.register,
            "computePickles": self.look,
            "assignPickleToModel": self.assign,
            "triggerComputePickleUpload": self.trigger,
            "triggerLogs": lambda _: LOG,
            "diagnosticsTriggerLogs": lambda _: [],
            "submissionUploadAuth": self.address,
            "createSubmission": lambda given: {"id": "submission-1", **self.taken(given)},
            "diagnosticsUploadAuth": self.address,
            "createDiagnostics": lambda given: {"id": "diagnostics-1", **self.taken(given)},
            "diagnostics": lambda _: [{"id": "diagnostics-1", **self.diagnostics}],
        }

    @property
    def owner(self) -> dict[str, Any]:
        token = {"name": "tests", "public_id": PUBLIC_ID, "scopes": sorted(self.scopes)}
        return {"username": "tester", "apiTokens": [token]}

    def performances(self, variables: dict[str, Any]) -> list[dict[str, Any]]:
        assert variables["tournament"] == 8
        return self.rounds.get(variables["modelId"], [])

    def admit(self, seen: Seen) -> None:
        open_to_all = ("dataset", "listDatasets", "v2RoundModelPerformances")
        if seen.what not in open_to_all and seen.headers.get("Authorization") != TOKEN:
            raise GraphqlError(f"Your session is invalid: {seen.headers.get('Authorization')}")

    def add(self, name: str) -> dict[str, Any]:
        model = {"id": f"model-{next(self.ids)}", "name": name, "tournament": 8, "computePickleUpload": None}
        self.models[model["id"]] = model
        return model

    def add_model(self, variables: dict[str, Any]) -> dict[str, Any]:
        if not self.may_add:
            raise GraphqlError("You have reached the limit of models")
        return self.add(variables["name"])

    def docker_images(self) -> list[dict[str, Any]]:
        return [
            {
                "id": f"image-{python}",
                "name": f"Python {python}",
                "image": f"ghcr.io/numerai/numerai_predict_py_{python.replace('.', '_')}",
                "tag": "stable",
                "default": python == "3.12",
            }
            for python in self.images
        ]

    def address(self, variables: dict[str, Any]) -> dict[str, Any]:
        if "upload" not in self.scopes:
            raise GraphqlError("API key lacks the scope upload_submission")
        name = f"{next(self.ids)}-{variables['filename']}"
        return {"filename": name, "url": self.server.upload_url(name)}

    def taken(self, variables: dict[str, Any]) -> dict[str, Any]:
        if variables["filename"] not in self.server.received:
            raise GraphqlError("no such file was uploaded")
        return {}

    def register(self, variables: dict[str, Any]) -> dict[str, Any]:
        self.taken(variables)
        pickle_id = f"pickle-{next(self.ids)}"
        self.pickles[pickle_id] = {
            **variables,
            "fate": deque(self.fates.popleft() if self.fates else PASSES),
            "slots": [],
        }
        return {"id": pickle_id}

    def look(self, variables: dict[str, Any]) -> list[dict[str, Any]]:
        found = []
        for pickle_id, pickle in self.pickles.items():
            by_model = variables.get("modelId") in (None, pickle["modelId"])
            if variables.get("id") not in (None, pickle_id) or not by_model:
                continue
            status = pickle["fate"].popleft() if len(pickle["fate"]) > 1 else pickle["fate"][0]
            runs = [{"id": "run-1", "status": "done", "statuses": [{"status": status, "description": None}]}]
            own = {"assignedModelSlots": pickle["slots"], "triggers": runs if status == "failed" else []}
            statuses = {"validationStatus": status, "diagnosticsStatus": None, "triggerStatus": None}
            found.append({"id": pickle_id, "filename": pickle["filename"], **statuses, **own})
        return found

    def assign(self, variables: dict[str, Any]) -> str:
        pickle, model = self.pickles[variables["pickleId"]], self.models[variables["modelId"]]
        pickle["slots"].append(model["id"])
        model["computePickleUpload"] = {"id": variables["pickleId"], "filename": pickle["filename"]}
        return "true"

    def trigger(self, variables: dict[str, Any]) -> dict[str, Any]:
        self.triggered.append(variables["pickleId"])
        return {"id": variables["pickleId"], "triggerStatus": "queued"}


def live_round(
    number: int, opened: str, scores: dict[str, float], *, resolved: bool = True, stake: float = 10.0
) -> dict[str, Any]:
    """A round as Numerai answers: one score is still that of the day before, amounts are text."""
    payout = f"{1000 + stake * scores.get('canon_bmc', 0.0) - 1000:,.6f}"
    kinds = ("payoutPending", "payoutSettled")[:: 1 if not resolved else -1]
    paid = dict(zip(kinds, (payout, None), strict=True))
    unpaid = dict.fromkeys(kinds)
    listed = [
        {"date": opened, "day": 20, "displayName": name, "percentile": 0.5, "value": value, **unpaid}
        for name, value in scores.items()
    ]
    listed[0] |= paid
    before = {**listed[0], "day": 19, "value": -1.0}
    return {
        "atRisk": f"{stake:.18f}",
        "payoutMultipliers": [],
        "roundPayoutFactor": "0.11",
        "roundNumber": number,
        "roundOpenTime": opened,
        "roundResolveTime": f"{opened[:4]}-12-31T20:00:00Z",
        "roundResolved": resolved,
        "roundTarget": "ender_20",
        "submissionScores": [before, *listed],
    }


@contextmanager
def mcp_server(account: Account, *, token: str = TOKEN) -> Iterator[str]:
    """The account behind Numerai's tools, by the official SDK; gives the server's address."""
    from mcp.server import MCPServer
    from mcp.server.mcpserver import Context
    from mcp.server.mcpserver.exceptions import ToolError

    server = MCPServer("numerai")

    def ask(name: str, variables: dict[str, Any]) -> Any:
        try:
            return account.server.answers[name](variables)
        except GraphqlError as error:
            raise ToolError(str(error)) from None

    def admitted(ctx: Any) -> None:
        if (ctx.headers or {}).get("authorization") != token:
            raise ToolError(f"invalid API token {(ctx.headers or {}).get('authorization')}")

    def check_api_credentials(ctx: Context) -> dict[str, Any]:
        admitted(ctx)
        return {"valid": True}

    def create_model(name: str, tournament: int, ctx: Context) -> dict[str, Any]:
        admitted(ctx)
        return {"addModel": ask("addModel", {"name": name, "tournament": tournament})}

    def graphql_query(query: str, ctx: Context, variables: dict[str, Any] | None = None) -> dict[str, Any]:
        admitted(ctx)
        name = re.search(r"\{\s*(\w+)", query)
        assert name
        return {"data": {name[1]: ask(name[1], variables or {})}}

    def upload_model(  # the tool's own arguments
        operation: str,
        ctx: Context,
        modelId: str | None = None,
        filename: str | None = None,
        pickleId: str | None = None,
        triggerId: str | None = None,
        dockerImageId: str | None = None,
        dataVersionId: str | None = None,
        tournament: int = 8,
    ) -> dict[str, Any]:
        admitted(ctx)
        given = {"modelId": modelId, "filename": filename, "pickleId": pickleId, "triggerId": triggerId}
        given |= {"dockerImageId": dockerImageId, "dataVersionId": dataVersionId, "tournament": tournament}
        field_of = {
            "get_upload_auth": "computePickleUploadAuth",
            "create": "createComputePickleUpload",
            "list": "computePickles",
            "assign": "assignPickleToModel",
            "trigger": "triggerComputePickleUpload",
            "get_logs": "triggerLogs",
        }[operation]
        return {field_of: ask(field_of, given)}

    for tool in (check_api_credentials, create_model, graphql_query, upload_model):
        server.tool()(tool)
    with _served(server.streamable_http_app(streamable_http_path="/mcp", stateless_http=True)) as url:
        yield url


@contextmanager
def _served(app: Any) -> Iterator[str]:
    import uvicorn

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    http = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=port, log_level="critical", lifespan="on"))
    thread = threading.Thread(target=http.run, daemon=True)
    thread.start()
    end = time.monotonic() + 30
    while not http.started:
        assert time.monotonic() < end, "the MCP server does not start"
        time.sleep(0.01)
    try:
        yield f"http://127.0.0.1:{port}/mcp"
    finally:
        http.should_exit = True
        thread.join(20)
