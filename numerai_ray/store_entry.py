"""A file of the store: a magic line, a head in JSON, and bytes that the head has the checksum of."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any


def encoded(magic: bytes, head: Mapping[str, Any], payload: bytes) -> bytes:
    """The whole file; raises ``TypeError`` where the head is not JSON."""
    text = json.dumps({**head, "sha256": hashlib.sha256(payload).hexdigest()}).encode()
    return magic + len(text).to_bytes(8, "little") + text + payload


def decoded(magic: bytes, content: bytes) -> tuple[dict[str, Any], bytes] | None:
    """Head and payload; None where any byte of it is not what was written."""
    start = len(magic) + 8
    size = int.from_bytes(content[len(magic) : start], "little")
    if not content.startswith(magic) or len(content) < start + size:
        return None
    payload = content[start + size :]
    try:
        head: dict[str, Any] = json.loads(content[start : start + size])
        return (head, payload) if hashlib.sha256(payload).hexdigest() == head["sha256"] else None
    except (ValueError, KeyError, TypeError):
        return None
