"""Upload records: which model runs which pickle since when, and what its experiment promised; kept beside its card."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from numerai_ray.metrics.sequential import Promise
from numerai_ray.submission.files import UPLOADS, SubmissionFiles, sha256
from numerai_ray.submission.numerai.account import PickleState
from numerai_ray.submission.numerai.upload import UploadOrder
from numerai_ray.system.json_text import read_json, write_json

# Where uploads of a desk are looked for, below the folder that is given.
PATTERNS = (f"*{UPLOADS}", f"*/*{UPLOADS}", f"*/submission/*{UPLOADS}", f"experiments/*/submission/*{UPLOADS}")


@dataclass(frozen=True)
class UploadRecord:
    """One upload. ``promises`` are by score, ``corr`` and ``bmc``, empty where the card held none.

    ``target`` and ``benchmark`` are those that the promised scores were taken against; ``uploaded`` is an ISO time.
    """

    model: str
    model_id: str
    pickle: str
    pickle_id: str
    sha256: str
    uploaded: str
    assigned: bool
    data_version: str = ""
    experiment: str = ""
    variant: str = ""
    target: str = ""
    benchmark: str = ""
    promises: Mapping[str, Promise] = field(default_factory=dict)


_RECORD = TypeAdapter(UploadRecord)


def note_upload(order: UploadOrder, state: PickleState, card: Mapping[str, Any] | None) -> UploadRecord:
    """Add an upload to the record beside the pickle.

    Raises:
        EnvironmentFault: it cannot be written.

    """
    own = dict((card or {}).get("promise") or {})
    record = _RECORD.validate_python(
        {
            "model": order.slot.name,
            "model_id": order.slot.id,
            "pickle": order.pickle.name,
            "pickle_id": state.id,
            "sha256": sha256(order.pickle),
            "uploaded": datetime.now(UTC).isoformat("T", "seconds"),
            "assigned": order.assign,
            "data_version": order.data_version.name,
            "experiment": str((card or {}).get("experiment") or ""),
            "variant": str((card or {}).get("variant") or ""),
            "target": str(own.get("target") or ""),
            "benchmark": str(own.get("benchmark") or ""),
            "promises": {name: own[name] for name in ("corr", "bmc") if own.get(name)},
        }
    )
    path = SubmissionFiles(order.pickle).uploads
    write_json(path, {"uploads": [asdict(each) for each in [*read_uploads(path), record]]})
    return record


def read_uploads(path: Path) -> list[UploadRecord]:
    """Uploads of one pickle, oldest first; what is damaged counts as none."""
    found = []
    listed = read_json(path).get("uploads")
    for each in listed if isinstance(listed, list) else []:
        try:
            found.append(_RECORD.validate_python(each))
        except ValidationError:
            continue
    return found


def uploads_below(folder: Path) -> list[UploadRecord]:
    """Every upload that is recorded in a desk's folder, oldest first."""
    paths = dict.fromkeys(path for pattern in PATTERNS for path in sorted(folder.glob(pattern)))
    return sorted((each for path in paths for each in read_uploads(path)), key=lambda each: each.uploaded)


def newest_of(uploads: Iterable[UploadRecord]) -> dict[str, UploadRecord]:
    """What each model runs now, by its id: the last upload that was assigned to it."""
    return {each.model_id: each for each in uploads if each.assigned}
