"""The account at Numerai: what is asked of it, whichever way, and its answers as records of ours."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from numerai_ray.errors import EnvironmentFault, RequestError, nearest

CLASSIC = 8  # the tournament that takes pickles
PASSED = ("validated", "succeeded", "passed")
FAILED = ("failed", "invalid", "error", "rejected")
# Names of models at Numerai: what their form accepts.
MODEL_NAME = re.compile(r"^[a-z0-9_]{2,20}$")


@dataclass(frozen=True)
class Slot:
    """A model at Numerai; ``pickle`` names the file that runs for it now, None where there is none."""

    id: str
    name: str
    pickle: str | None = None
    pickle_id: str | None = None


@dataclass(frozen=True)
class Offer:
    """A docker image or a data version that a pickle can be run with."""

    id: str
    name: str
    image: str = ""
    default: bool = False


@dataclass(frozen=True)
class Address:
    """Where to send a file; ``url`` is signed, so it is shown to nobody."""

    filename: str
    url: str

    def __repr__(self) -> str:
        return f"Address({self.filename!r})"


@dataclass(frozen=True)
class PickleState:
    """An uploaded pickle; ``runs`` are ids of its runs, newest last, ``said`` what their statuses say."""

    id: str
    filename: str
    validation: str
    diagnostics: str = ""
    trigger: str = ""
    slots: tuple[str, ...] = ()
    runs: tuple[str, ...] = ()
    said: tuple[str, ...] = ()

    @property
    def passed(self) -> bool:
        return self.validation.lower() in PASSED

    @property
    def failed(self) -> bool:
        return self.validation.lower() in FAILED


# A query, its variables, whether it may be sent again -> the value of the query's one field.
Ask = Callable[[str, Mapping[str, Any], bool], Any]


class Numerai(Protocol):
    """Numerai, for an account: refusals are :class:`RequestError`, a network that fails :class:`EnvironmentFault`."""

    def ask(self, query: str, variables: Mapping[str, Any], again: bool, /) -> Any:  # noqa: FBT001
        """The value of a GraphQL query's one field; ``again`` says that it may be sent more than once."""
        ...

    def slots(self) -> tuple[Slot, ...]: ...

    def create_slot(self, name: str) -> Slot: ...

    def images(self) -> tuple[Offer, ...]: ...

    def data_versions(self) -> tuple[Offer, ...]: ...

    def address(self, filename: str, slot: Slot) -> Address: ...

    def register(self, filename: str, slot: Slot, image: Offer, data_version: Offer) -> str:
        """Tell Numerai of a sent file; the pickle's id."""
        ...

    def pickle(self, pickle_id: str, slot: Slot) -> PickleState | None: ...

    def assign(self, pickle_id: str, slot: Slot) -> None: ...

    def trigger(self, pickle_id: str, slot: Slot) -> None: ...

    def logs(self, state: PickleState) -> tuple[str, ...]:
        """Lines of the newest run's log, oldest first; empty where there is none."""
        ...


def find_slot(slots: Sequence[Slot], name: str) -> Slot:
    """The slot of this name or id; raises :class:`RequestError` with the nearest one."""
    found = next((each for each in slots if name in (each.name, each.id)), None)
    found = found or next((each for each in slots if name.lower() == each.name.lower()), None)
    if found is None:
        hint = nearest(name, [each.name for each in slots]) or "; this account has none"
        raise RequestError(f"--model: no model {name!r} in this account{hint}; make one with --new {name}")
    return found


def check_name(name: str, slots: Sequence[Slot]) -> None:
    """Whether a model of this name can be made; raises :class:`RequestError`."""
    if not MODEL_NAME.match(name):
        raise RequestError(f"--new: must be 2 to 20 of a-z, 0-9 and _, but is {name!r}; choose another name")
    if any(each.name.lower() == name for each in slots):
        raise RequestError(f"--new: this account has a model {name!r} already; upload to it with --model {name}")


def image_for(images: Sequence[Offer], python: str, container: str) -> Offer:
    """The docker image of a Python version; ``container`` is how its image is named."""
    for each in images:
        if re.search(rf"\b{re.escape(python)}\b", each.name) or container in each.image:
            return each
    known = ", ".join(each.name for each in images) or "none"
    raise RequestError(
        f"Numerai offers no image of Python {python} now, but {known}; export with one of those --python"
    )


def version_for(versions: Sequence[Offer], name: str) -> Offer:
    """The data version of this name."""
    for each in versions:
        if name in (each.name, each.id):
            return each
    known = [each.name for each in versions]
    raise RequestError(
        f"Numerai does not run pickles on data version {name!r}{nearest(name, known)}; train on one that it offers, or "
        f"name a newer one that has the same features with --data-version"
    )


def text_of(value: Mapping[str, Any], name: str) -> str:
    """A text in an answer; raises :class:`EnvironmentFault` where it is missing."""
    found = value.get(name) if isinstance(value, Mapping) else None
    if not isinstance(found, str) or not found:
        raise EnvironmentFault(f"Numerai's answer lacks {name!r}; try again later")
    return found


def list_of(value: Any) -> list[Any]:
    """A list in an answer; null is an empty one."""
    if value is None:
        return []
    if not isinstance(value, list):
        raise EnvironmentFault("Numerai's answer has another form than expected; try again later")
    return value


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
