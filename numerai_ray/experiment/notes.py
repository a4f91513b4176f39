"""Notes: ``notes.jsonl``, what people wrote about an experiment, one dated note a line, only ever added to."""

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from numerai_ray.errors import DataError, RequestError
from numerai_ray.experiment.ledger import append_line
from numerai_ray.system.files import open_own
from numerai_ray.system.json_text import parse_json

# A note is a remark; what is longer belongs into a document of its own.
MOST_CHARACTERS = 4000


@dataclass(frozen=True)
class Note:
    """One note; ``at`` is when it was written (ISO, UTC)."""

    at: str
    text: str


def read_notes(path: Path) -> list[Note]:
    """All notes, oldest first; none where there is no file. A last line cut short by a crash does not count.

    Raises:
        DataError: a line is damaged, or the file cannot be read.

    """
    if not path.exists():
        return []
    try:
        with open_own(path, "rb") as handle:
            lines = handle.read().split(b"\n")
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}); check its rights") from error
    notes = []
    for number, line in enumerate(lines[:-1], start=1):
        try:
            found = parse_json(line)
            at, text = found["at"], found["text"]
        except (ValueError, KeyError, TypeError):
            at = text = None
        if not isinstance(at, str) or not isinstance(text, str):
            raise DataError(f"{path}, line {number}: must be a note with `at` and `text`; mend or remove the line")
        notes.append(Note(at, text))
    return notes


def append_note(path: Path, text: str) -> Note:
    """Add a note with the time of now.

    Raises:
        RequestError: it is empty, or longer than :data:`MOST_CHARACTERS`.
        EnvironmentFault: it cannot be written.

    """
    plain = text.strip()
    if not 0 < len(plain) <= MOST_CHARACTERS:
        raise RequestError(f"TEXT must have 1 to {MOST_CHARACTERS:,} characters, but has {len(plain):,}; write a note")
    note = Note(datetime.now(UTC).isoformat("T", "seconds"), plain)
    append_line(path, note)
    return note
