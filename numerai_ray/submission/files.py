"""Files of a submission: their names, and their checksum."""

import hashlib
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class SubmissionFiles:
    """A pickle and what lies beside it: the proof, and the card as JSON and as text."""

    pickle: Path

    @property
    def proof(self) -> Path:
        return self.pickle.with_suffix(".proof.parquet")

    @property
    def card(self) -> Path:
        return self.pickle.with_suffix(".json")

    @property
    def card_text(self) -> Path:
        return self.pickle.with_suffix(".md")

    @property
    def uploads(self) -> Path:
        """Where the pickle was uploaded to, and what it promised; see `numerai_ray.submission.numerai.record`."""
        return self.pickle.with_suffix(UPLOADS)


UPLOADS = ".uploads.json"


def sha256(path: Path) -> str:
    """Hex digits of a file's SHA-256."""
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()
