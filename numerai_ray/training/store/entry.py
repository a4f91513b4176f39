"""A file of the store: a magic line, a head in JSON that ends with a checksum, and bytes.

The checksum is of the entry's name, the head and the bytes: an entry under another's name is damaged too. That of
entries written before November 2026 is of the bytes alone, and they stay readable.
"""

import hashlib
import json
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

from numerai_ray.errors import EnvironmentFault
from numerai_ray.system.json_text import parse_json
from numerai_ray.system.storage import Place, rename, write_whole

# Stands for the checksum where the checksum is made of what it stands in: the head's last 64 digits.
BLANK = "0" * 64
END = b'"}'
Made = TypeVar("Made")


def write_entry(where: Place, magic: bytes, head: Mapping[str, Any], payload: bytes) -> None:
    """Write an entry whole or not at all.

    Raises:
        EnvironmentFault: it cannot be written.
        TypeError: the head is not JSON.

    """
    text = json.dumps({**head, "sha256": BLANK}).encode()
    text = text.removesuffix(BLANK.encode() + END) + _checksum(where.stem, text, payload) + END
    write_whole(where, magic + len(text).to_bytes(8, "little") + text + payload)


def read_entry(where: Place, magic: bytes, make: Callable[[dict[str, Any], bytes], Made], aside: str) -> Made | None:
    """What ``make`` makes of head and bytes; None where there is no entry.

    One that is damaged, of another shape, or no file, is renamed to ``aside`` and counts as none.

    Raises:
        EnvironmentFault: it cannot be read, so that nobody knows what it is.

    """
    try:
        content = _content(where)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise EnvironmentFault(f"{where}: cannot be read ({error.strerror or error}); check its rights") from error
    found = None if content is None else decoded(magic, where.stem, content)
    if found is not None:
        # Whatever reading a value of another shape raises, that value is not what was written here.
        with suppress(Exception):
            return make(*found)
    set_aside(where, aside)
    return None


def mapping(value: Any) -> dict[str, Any]:
    """``value`` if it is a mapping; raises :class:`TypeError`."""
    if not isinstance(value, dict):
        raise TypeError(f"must be a mapping, but is {type(value).__name__}")
    return value


def set_aside(where: Place, name: str) -> None:
    """Rename a damaged entry, where that can be done."""
    with suppress(OSError, EnvironmentFault):
        rename(where, name)


def decoded(magic: bytes, name: str, content: bytes) -> tuple[dict[str, Any], bytes] | None:
    """Head and bytes; None where any of it is not what was written under this name."""
    start = len(magic) + 8
    size = int.from_bytes(content[len(magic) : start], "little")
    if not content.startswith(magic) or len(content) < start + size:
        return None
    text, payload = content[start : start + size], content[start + size :]
    written = text[-len(BLANK + "..") : -len(END)]
    blank = text[: -len(written) - len(END)] + BLANK.encode() + END
    whole = text.endswith(END) and written == _checksum(name, blank, payload)
    try:
        head = parse_json(text)
        # No new entry passes for an old one: its checksum is of more than its bytes.
        if whole or hashlib.sha256(payload).hexdigest() == head["sha256"]:
            return (head, payload) if isinstance(head, dict) else None
    except (ValueError, KeyError, TypeError):
        pass
    return None


def _checksum(name: str, head: bytes, payload: bytes) -> bytes:
    total = hashlib.sha256(name.encode() + b"\n" + head)
    total.update(payload)
    return total.hexdigest().encode()


def _content(where: Place) -> bytes | None:
    """The file's bytes; None for a folder or a pipe, which reading might wait on for ever."""
    return None if isinstance(where, Path) and where.exists() and not where.is_file() else where.read_bytes()
