"""Numerai's answers as records of ours; the same forms come by GraphQL and by MCP."""

from collections.abc import Mapping
from typing import Any

from numerai_ray.errors import EnvironmentFault
from numerai_ray.submission.numerai import CLASSIC, Address, Offer, PickleState, Slot, list_of, text_of


def slots_of(account: Any) -> tuple[Slot, ...]:
    """Models of the Classic tournament; others take no pickles."""
    models = list_of(account.get("models") if isinstance(account, Mapping) else None)
    return tuple(slot_of(each) for each in models if each.get("tournament", CLASSIC) == CLASSIC)


def slot_of(model: Mapping[str, Any]) -> Slot:
    running = model.get("computePickleUpload") or {}
    return Slot(text_of(model, "id"), text_of(model, "name"), running.get("filename"), running.get("id"))


def offers_of(value: Any) -> tuple[Offer, ...]:
    return tuple(
        Offer(text_of(each, "id"), text_of(each, "name"), str(each.get("image") or ""), bool(each.get("default")))
        for each in list_of(value)
    )


def address_of(value: Any) -> Address:
    url = text_of(value, "url")
    if not url.startswith(("https://", "http://")):
        raise EnvironmentFault("Numerai gave no address to upload to; try again later")
    return Address(text_of(value, "filename"), url)


def state_of(value: Mapping[str, Any]) -> PickleState:
    runs = list_of(value.get("triggers"))
    said = [status for run in runs for status in list_of(run.get("statuses"))]
    return PickleState(
        id=text_of(value, "id"),
        filename=str(value.get("filename") or ""),
        validation=str(value.get("validationStatus") or "pending"),
        diagnostics=str(value.get("diagnosticsStatus") or ""),
        trigger=str(value.get("triggerStatus") or ""),
        slots=tuple(str(each) for each in list_of(value.get("assignedModelSlots"))),
        runs=tuple(text_of(run, "id") for run in runs),
        said=tuple(str(each["description"]) for each in said if each.get("description")),
    )


def lines_of(value: Any) -> tuple[str, ...]:
    """Messages of a log, oldest first."""
    found = [(str(each.get("timestamp") or ""), str(each.get("message") or "").rstrip()) for each in list_of(value)]
    return tuple(message for _, message in sorted(found, key=lambda line: line[0]) if message)
