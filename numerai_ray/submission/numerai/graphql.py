"""Numerai by GraphQL, through numerapi's raw queries: what the client itself has no method for, or no checks in."""

from collections.abc import Mapping
from typing import Any

from numerai_ray.submission.numerai.account import (
    CLASSIC,
    Address,
    Ask,
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

MODELS = "query { account { models { id name tournament computePickleUpload { id filename } } } }"
IMAGES = "query { computePickleDockerImages { id name image tag default } }"
DATA_VERSIONS = "query { computePickleDataVersions { id name default } }"
ADD_MODEL = """
mutation($name: String! $tournament: Int!) { addModel(name: $name tournament: $tournament) { id name } }
"""
ADDRESS = """
query($filename: String! $modelId: ID) {
    computePickleUploadAuth(filename: $filename modelId: $modelId) { filename url }
}
"""
REGISTER = """
mutation($filename: String! $tournament: Int! $modelId: String $dataVersionId: String $dockerImageId: String) {
    createComputePickleUpload(filename: $filename tournament: $tournament modelId: $modelId
                              dataVersionId: $dataVersionId dockerImageId: $dockerImageId) { id }
}
"""
PICKLES = """
query($id: ID) {
    computePickles(id: $id) {
        id filename validationStatus diagnosticsStatus triggerStatus assignedModelSlots
        triggers { id status statuses { status description insertedAt } }
    }
}
"""
ASSIGN = "mutation($modelId: String $pickleId: ID) { assignPickleToModel(modelId: $modelId pickleId: $pickleId) }"
TRIGGER = """
mutation($modelId: ID $pickleId: ID) {
    triggerComputePickleUpload(modelId: $modelId pickleId: $pickleId triggerValidation: false) { id triggerStatus }
}
"""
RUN_LOG = "query($triggerId: ID!) { triggerLogs(triggerId: $triggerId) { timestamp message } }"
VALIDATION_LOG = "query($pickleId: ID!) { diagnosticsTriggerLogs(pickleId: $pickleId) { timestamp message } }"


class GraphqlNumerai:
    """``ask(query, variables, may be repeated)`` gives the value of the query's one field."""

    def __init__(self, ask: Ask):
        self.ask = ask

    def slots(self) -> tuple[Slot, ...]:
        return slots_of(self._read(MODELS))

    def create_slot(self, name: str) -> Slot:
        return slot_of(self._write(ADD_MODEL, {"name": name, "tournament": CLASSIC}))

    def images(self) -> tuple[Offer, ...]:
        return offers_of(self._read(IMAGES))

    def data_versions(self) -> tuple[Offer, ...]:
        return offers_of(self._read(DATA_VERSIONS))

    def address(self, filename: str, slot: Slot) -> Address:
        return address_of(self._read(ADDRESS, {"filename": filename, "modelId": slot.id}))

    def register(self, filename: str, slot: Slot, image: Offer, data_version: Offer) -> str:
        variables = {"filename": filename, "tournament": CLASSIC, "modelId": slot.id}
        offers = {"dataVersionId": data_version.id, "dockerImageId": image.id}
        return text_of(self._write(REGISTER, variables | offers), "id")

    def pickle(self, pickle_id: str, slot: Slot) -> PickleState | None:  # noqa: ARG002  another way asks by slot
        found = self._read(PICKLES, {"id": pickle_id}) or []
        return next((state_of(each) for each in found if each.get("id") == pickle_id), None)

    def assign(self, pickle_id: str, slot: Slot) -> None:
        self._write(ASSIGN, {"modelId": slot.id, "pickleId": pickle_id})

    def trigger(self, pickle_id: str, slot: Slot) -> None:
        self._write(TRIGGER, {"modelId": slot.id, "pickleId": pickle_id})

    def logs(self, state: PickleState) -> tuple[str, ...]:
        lines = lines_of(self._read(RUN_LOG, {"triggerId": state.runs[-1]})) if state.runs else ()
        return lines or lines_of(self._read(VALIDATION_LOG, {"pickleId": state.id}))

    def _read(self, query: str, variables: Mapping[str, Any] | None = None) -> Any:
        return self.ask(query, variables or {}, True)  # noqa: FBT003

    def _write(self, query: str, variables: Mapping[str, Any]) -> Any:
        return self.ask(query, variables, False)  # noqa: FBT003
