"""Sending a file to a signed address: streamed, with its status checked, tried again when that may help.

An address like that is a key to one upload; it is in no message.
"""

import re
from collections.abc import Callable
from pathlib import Path

import requests

from numerai_ray.errors import EnvironmentFault, RequestError
from numerai_ray.network import OnRetry, PassingFault, Patience, network_reason, patiently

# One PUT takes no more at the storage that Numerai uses.
LARGEST_BYTES = 5 * 2**30
OnBytes = Callable[[int, int], None]  # sent so far, all


def put_file(path: Path, url: str, patience: Patience, on_retry: OnRetry, on_bytes: OnBytes) -> None:
    """Send ``path`` to ``url`` with PUT.

    Raises:
        RequestError: the file is larger than one upload may be.
        EnvironmentFault: the address was refused (403: expired or already used), or the network gave up.

    """
    size = path.stat().st_size
    if size > LARGEST_BYTES:
        raise RequestError(
            f"{path}: {size:,} bytes are more than one upload takes ({LARGEST_BYTES:,}); make it smaller"
        )
    patiently(lambda: _put_once(path, url, patience, on_bytes), patience, on_retry)


def _put_once(path: Path, url: str, patience: Patience, on_bytes: OnBytes) -> None:
    try:
        with path.open("rb") as handle:
            # Numerai signs addresses for a request without Content-Type; a stream is sent without one.
            body = _Counted(handle, path.stat().st_size, on_bytes)
            answer = requests.put(url, data=body, timeout=(patience.connect_s, patience.stall_s))
    except requests.RequestException as error:
        raise PassingFault(f"{path.name}: not sent: {network_reason(error, patience)}") from None
    if answer.ok:
        return
    said = f"{path.name}: not taken: the storage answers with status {answer.status_code}{_code(answer.text)}"
    if answer.status_code == 429 or answer.status_code >= 500:
        raise PassingFault(said)
    if answer.status_code == 403:
        raise EnvironmentFault(f"{said}; the address given for it has expired or was used, so run the command again")
    raise EnvironmentFault(f"{said}; run the command again, or try later")


def _code(text: str) -> str:
    """The storage's own word for what is wrong, such as ``AccessDenied``; nothing else of its answer."""
    found = re.search(r"<Code>(\w{1,60})</Code>", text)
    return f" ({found[1]})" if found else ""


class _Counted:
    """A file that tells how much of it was read, and how long it is."""

    def __init__(self, handle: object, size: int, on_bytes: OnBytes):
        self._handle = handle
        self._size = size
        self._sent = 0
        self._on_bytes = on_bytes

    def __len__(self) -> int:
        return self._size

    def read(self, size: int = -1) -> bytes:
        piece: bytes = self._handle.read(size)  # type: ignore[attr-defined]
        self._sent += len(piece)
        self._on_bytes(self._sent, self._size)
        return piece
