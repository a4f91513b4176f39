"""Numerai through its MCP server, as agents reach it: the tools ``create_model``, ``upload_model``, ``graphql_query``.

The key travels in the ``Authorization`` header alone, never as an argument of a tool: arguments are logged by many
clients and servers. What the tools have no operation for is asked with ``graphql_query``.
"""

import asyncio
import json
import os
import re
from collections.abc import Mapping
from typing import Any

from numerai_ray.errors import EnvironmentFault, RequestError
from numerai_ray.submission.numerai.account import (
    CLASSIC,
    Address,
    Offer,
    PickleState,
    Slot,
    address_of,
    lines_of,
    offers_of,
    slot_of,
    slots_of,
    state_of,
    text_of,
)
from numerai_ray.submission.numerai.graphql import DATA_VERSIONS, IMAGES, MODELS, VALIDATION_LOG
from numerai_ray.system.services import install_hint

MCP_URL = "https://api-tournament.numer.ai/mcp"
URL_VARIABLE = "NUMERAI_RAY_MCP_URL"
KEY_VARIABLE = "NUMERAI_MCP_AUTH"
_SECONDS = 120.0


def authorization(keys: tuple[str, str] | None) -> str:
    """Value of the header: ``$NUMERAI_MCP_AUTH`` if set, else made of numerapi's keys.

    Raises:
        RequestError: there is no key.

    """
    given = os.environ.get(KEY_VARIABLE, "").strip()
    if given:
        return given if given.startswith("Token ") else f"Token {given}"
    if keys is None:
        raise RequestError(
            f"no API key: set NUMERAI_PUBLIC_ID and NUMERAI_SECRET_KEY, or ${KEY_VARIABLE} as 'Token ID$SECRET' "
            f"(Numerai, account settings, create an MCP key)"
        )
    return f"Token {keys[0]}${keys[1]}"


class McpNumerai:
    """A connection for each call: uploads take few of them, and nothing is left open in between."""

    def __init__(self, header: str, url: str | None = None):
        self._header = header
        self.url = url or os.environ.get(URL_VARIABLE) or MCP_URL

    def check(self) -> None:
        """Whether the server is there and takes the key."""
        self._call("check_api_credentials", {})

    def ask(self, query: str, variables: Mapping[str, Any], again: bool, /) -> Any:  # noqa: ARG002, FBT001  never is
        """The value of a query's one field."""
        found = re.search(r"\{\s*(\w+)", query)
        return self._query(query, found[1] if found else "", variables)

    def slots(self) -> tuple[Slot, ...]:
        return slots_of(self._query(MODELS, "account"))

    def create_slot(self, name: str) -> Slot:
        answer = self._call("create_model", {"name": name, "tournament": CLASSIC})
        return slot_of(_inner(answer, "addModel", "createModel", "model"))

    def images(self) -> tuple[Offer, ...]:
        return offers_of(self._query(IMAGES, "computePickleDockerImages"))

    def data_versions(self) -> tuple[Offer, ...]:
        return offers_of(self._query(DATA_VERSIONS, "computePickleDataVersions"))

    def address(self, filename: str, slot: Slot) -> Address:
        answer = self._upload("get_upload_auth", modelId=slot.id, filename=filename)
        return address_of(_inner(answer, "computePickleUploadAuth"))

    def register(self, filename: str, slot: Slot, image: Offer, data_version: Offer) -> str:
        own = {"dockerImageId": image.id, "dataVersionId": data_version.id, "tournament": CLASSIC}
        answer = self._upload("create", modelId=slot.id, filename=filename, **own)
        return text_of(_inner(answer, "createComputePickleUpload"), "id")

    def pickle(self, pickle_id: str, slot: Slot) -> PickleState | None:
        answer = _inner(self._upload("list", modelId=slot.id), "computePickles")
        found = answer if isinstance(answer, list) else []
        return next((state_of(each) for each in found if each.get("id") == pickle_id), None)

    def assign(self, pickle_id: str, slot: Slot) -> None:
        answer = _inner(self._upload("assign", modelId=slot.id, pickleId=pickle_id), "assignPickleToModel")
        if str(answer).lower() in ("false", "none"):
            raise RequestError(f"Numerai did not assign the pickle to {slot.name}; assign it by hand at numer.ai")

    def trigger(self, pickle_id: str, slot: Slot) -> None:
        self._upload("trigger", modelId=slot.id, pickleId=pickle_id)

    def logs(self, state: PickleState) -> tuple[str, ...]:
        if state.runs:
            answer = self._upload("get_logs", pickleId=state.id, triggerId=state.runs[-1])
            lines = lines_of(_inner(answer, "triggerLogs", "logs"))
            if lines:
                return lines
        return lines_of(self._query(VALIDATION_LOG, "diagnosticsTriggerLogs", {"pickleId": state.id}))

    def _upload(self, operation: str, **arguments: Any) -> Any:
        return self._call("upload_model", {"operation": operation, **arguments})

    def _query(self, query: str, field: str, variables: Mapping[str, Any] | None = None) -> Any:
        answer = self._call("graphql_query", {"query": query, "variables": dict(variables or {})})
        return _inner(_inner(answer, "data"), field)

    def _call(self, tool: str, arguments: Mapping[str, Any]) -> Any:
        try:
            import mcp  # noqa: F401, PLC0415  an extra
        except ImportError:
            raise EnvironmentFault(f"--via mcp needs the MCP client: {install_hint('mcp')}") from None
        try:
            return asyncio.run(self._session(tool, arguments))
        except (RequestError, EnvironmentFault):
            raise
        except BaseExceptionGroup as group:
            raise self._fault(tool, _first(group)) from None
        except Exception as error:  # whatever the client's transports raise; its text may hold the header
            raise self._fault(tool, error) from None

    async def _session(self, tool: str, arguments: Mapping[str, Any]) -> Any:
        from mcp import Client  # noqa: PLC0415
        from mcp.client.streamable_http import streamable_http_client  # noqa: PLC0415
        from mcp.shared._httpx_utils import create_mcp_http_client  # noqa: PLC0415

        async with create_mcp_http_client(headers={"Authorization": self._header}) as http:
            transport = streamable_http_client(self.url, http_client=http)
            async with Client(transport, read_timeout_seconds=_SECONDS) as client:
                result = await client.call_tool(tool, dict(arguments))
        answer = _content(result)
        if result.is_error:
            raise RequestError(f"{self.url}: Numerai refuses {tool}: {self._without_key(str(answer))[:300]}")
        return answer

    def _fault(self, tool: str, error: BaseException) -> EnvironmentFault:
        status = getattr(getattr(error, "response", None), "status_code", None)
        found = status or re.search(r"\b(4\d\d|5\d\d)\b", str(error))
        number = str(status or (found[1] if isinstance(found, re.Match) else ""))
        if number in ("401", "403"):
            return EnvironmentFault(f"{self.url}: refuses the API key (status {number}); check it and its scopes")
        why = f"status {number}" if number else self._without_key(str(error) or type(error).__name__)[:200]
        return EnvironmentFault(f"{self.url}: {tool} failed: {why}; check ${URL_VARIABLE} and the connection")

    def _without_key(self, text: str) -> str:
        for part in re.split(r"[ $]", self._header):
            if len(part) > 3 and part != "Token":
                text = text.replace(part, "…")
        return text


def _content(result: Any) -> Any:
    """A tool's answer: its structured content, else its text read as JSON, else the text."""
    structured = getattr(result, "structured_content", None)
    if isinstance(structured, dict):
        return structured.get("result", structured)
    texts = [block.text for block in result.content if getattr(block, "text", None) is not None]
    joined = "\n".join(texts)
    try:
        return json.loads(joined)
    except ValueError:
        return joined


def _inner(answer: Any, *fields: str) -> Any:
    """What lies under the first of ``fields`` that is there; answers come with and without their field's name."""
    if isinstance(answer, Mapping) and answer.get("errors"):
        messages = [str(each.get("message", each)) for each in answer["errors"]]
        raise RequestError(f"Numerai refuses this request: {'; '.join(messages)[:300]}")
    for field in fields:
        if isinstance(answer, Mapping) and field in answer:
            return answer[field]
    return answer


def _first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    inner = group.exceptions[0]
    return _first(inner) if isinstance(inner, BaseExceptionGroup) else inner
