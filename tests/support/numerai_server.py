"""A server on this machine that speaks what the numerapi client asks of Numerai: GraphQL, and files behind signed URLs.

A GraphQL request is answered by the function that stands in ``answers`` under the name of its first field; add one to
teach the server another. Files are what ``files`` holds. What goes wrong is told by a :class:`Behaviour`: once
(``behave``) or always (``usual``). ``log`` holds every request in order.
"""

import hashlib
import json
import re
import sys
import threading
import time
from collections import defaultdict, deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

PROBE = "bytes=0-0"
_PIECE_BYTES = 4096


@dataclass(frozen=True)
class Behaviour:
    """How one answer departs from the right one; bytes count from the start of the answer's body."""

    status: int = 200
    stop_after: int | None = None  # bytes, then the connection closes
    stall_after: int | None = None  # bytes, then silence
    bytes_per_s: float | None = None
    content: bytes | None = None  # other bytes in the file's place
    etag: str | None = None  # another one than the content's
    honours_range: bool = True
    wrong_start: bool = False  # answers a Range with 206, but from the file's first byte
    says_size: bool = True  # else chunked, with nothing that a resumed download could be checked by


@dataclass
class Seen:
    """One request and its answer; ``what`` is a file's name or a GraphQL field."""

    what: str
    headers: Mapping[str, str]
    status: int = 0
    sent: int = 0  # bytes of the body

    @property
    def range(self) -> str | None:
        return self.headers.get("Range")


class GraphqlError(Exception):
    """Answered as ``{"errors": [{"message": …}]}``."""


class NumeraiServer:
    """``url`` is the API's; ``files`` maps names such as ``v5.2/train.parquet`` to paths."""

    def __init__(self, files: Mapping[str, Path]):
        self.files = dict(files)
        self.answers: dict[str, Callable[[dict[str, Any]], Any]] = {
            "listDatasets": lambda _: sorted(self.files),
            "dataset": self._dataset,
        }
        self.log: list[Seen] = []
        self.admit: Callable[[Seen], None] = lambda _: None  # raises GraphqlError for whom it does not let in
        self.received: dict[str, bytes] = {}  # files sent by PUT, by name
        self.usual: dict[str, Behaviour] = {}
        self.uses_per_url: int | None = None  # then an address has expired
        self._next: dict[str, deque[Behaviour]] = defaultdict(deque)
        self._uses: dict[str, int] = {}
        self._lock = threading.Lock()
        self.closing = threading.Event()
        self._http = _QuietServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"numerai": self}))
        self.url = f"http://127.0.0.1:{self._http.server_address[1]}"

    def behave(self, what: str, *behaviours: Behaviour) -> None:
        """The next answers about ``what``, in place of any that are still to come.

        One with a status hits any request, the others none that only looks.
        """
        self._next[what] = deque(behaviours)

    def seen(self, what: str, *, probes: bool = False) -> list[Seen]:
        """Requests about ``what``, in order; those for one byte only with ``probes``."""
        return [each for each in self.log if each.what == what and (probes or each.range != PROBE)]

    def behaviour(self, seen: Seen) -> Behaviour:
        with self._lock:
            self.log.append(seen)
            coming = self._next[seen.what]
            if coming and (coming[0].status != 200 or seen.range != PROBE):
                return coming.popleft()
            return self.usual.get(seen.what, Behaviour())

    def expired(self, signature: str) -> bool:
        with self._lock:
            if signature not in self._uses:
                return True
            self._uses[signature] += 1
            return self.uses_per_url is not None and self._uses[signature] > self.uses_per_url

    def _dataset(self, variables: dict[str, Any]) -> str:
        name = variables["filename"]
        if name not in self.files:
            raise GraphqlError(f"no file {name}")
        with self._lock:
            signature = hashlib.sha256(f"{name}{len(self._uses)}".encode()).hexdigest()
            self._uses[signature] = 0
        return f"{self.url}/files/{name}?X-Amz-Signature={signature}"

    def upload_url(self, name: str) -> str:
        """An address that takes one PUT of a file of this name."""
        with self._lock:
            signature = hashlib.sha256(f"put {name}{len(self._uses)}".encode()).hexdigest()
            self._uses[signature] = 0
        return f"{self.url}/uploads/{name}?X-Amz-Signature={signature}"

    @contextmanager
    def running(self) -> Iterator["NumeraiServer"]:
        thread = threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        try:
            yield self
        finally:
            self.closing.set()
            self._http.shutdown()
            self._http.server_close()


class _QuietServer(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients that leave in the middle of an answer are what is tested here."""
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    numerai: NumeraiServer

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        """``NumeraiServer.log`` tells more."""

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        field = re.search(r"\{\s*(\w+)", body["query"])
        assert field
        seen = Seen(field[1], dict(self.headers))
        behaviour = self.numerai.behaviour(seen)
        if behaviour.stall_after is not None:
            self.numerai.closing.wait(60)
        if behaviour.content is not None:
            self._send(seen, behaviour, {"Content-Type": "application/json"}, behaviour.content)
            return
        try:
            self.numerai.admit(seen)
            answer = {"data": {field[1]: self.numerai.answers[field[1]](body["variables"] or {})}}
        except (GraphqlError, KeyError) as error:
            answer = {"data": None, "errors": [{"message": str(error)}]}
        self._send(seen, behaviour, {"Content-Type": "application/json"}, json.dumps(answer).encode())

    def do_PUT(self) -> None:
        parts = urlsplit(self.path)
        name = parts.path.removeprefix("/uploads/")
        seen = Seen(f"PUT {name}", dict(self.headers))
        behaviour = self.numerai.behaviour(seen)
        content = self.rfile.read(int(self.headers["Content-Length"]))
        signature = parse_qs(parts.query).get("X-Amz-Signature", [""])[0]
        # A signature covers the headers: one for a request without Content-Type fits no other.
        if "Content-Type" in self.headers or self.numerai.expired(signature):
            behaviour = Behaviour(status=403)
        if behaviour.stop_after is not None:
            self.close_connection = True
            return
        if behaviour.status == 200:
            self.numerai.received[name] = content
        error = b"" if behaviour.status == 200 else b"<Error><Code>AccessDenied</Code><Secret>no</Secret></Error>"
        self._send(seen, behaviour, {}, error)

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        name = parts.path.removeprefix("/files/")
        seen = Seen(name, dict(self.headers))
        behaviour = self.numerai.behaviour(seen)
        signature = parse_qs(parts.query).get("X-Amz-Signature", [""])[0]
        if self.numerai.expired(signature):
            behaviour = Behaviour(status=403)
        path = self.numerai.files[name]
        content = path.read_bytes() if behaviour.content is None else behaviour.content
        headers = {"ETag": behaviour.etag or f'"{hashlib.md5(content).hexdigest()}"'}
        headers["Last-Modified"] = formatdate(path.stat().st_mtime, usegmt=True)
        asked = re.fullmatch(r"bytes=(\d+)-(\d*)", seen.range or "")
        same = seen.headers.get("If-Range", headers["ETag"]) == headers["ETag"]
        if behaviour.status == 200 and asked and same and behaviour.honours_range:
            start, stop = int(asked[1]), int(asked[2] or len(content) - 1) + 1
            if start >= len(content):
                headers["Content-Range"] = f"bytes */{len(content)}"
                self._send(seen, Behaviour(status=416), headers, b"")
                return
            start = 0 if behaviour.wrong_start else start
            headers["Content-Range"] = f"bytes {start}-{stop - 1}/{len(content)}"
            self._send(seen, behaviour, headers, content[start:stop], status=206)
            return
        self._send(seen, behaviour, headers, content if behaviour.status == 200 else b"<html>no</html>")

    def _send(
        self, seen: Seen, behaviour: Behaviour, headers: Mapping[str, str], body: bytes, status: int | None = None
    ) -> None:
        seen.status = status or behaviour.status
        self.send_response(seen.status)
        if behaviour.says_size:
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
        else:
            self.send_header("Transfer-Encoding", "chunked")
        with suppress(OSError):  # whoever asked may have gone
            self.end_headers()
            self._send_body(seen, behaviour, body)

    def _send_body(self, seen: Seen, behaviour: Behaviour, body: bytes) -> None:
        end = min(each for each in (behaviour.stop_after, behaviour.stall_after, len(body)) if each is not None)
        for start in range(0, end, _PIECE_BYTES):
            piece = body[start : min(start + _PIECE_BYTES, end)]
            seen.sent += len(piece)  # before whoever waits for it can have read it, and looks here
            self.wfile.write(piece if behaviour.says_size else b"%x\r\n%s\r\n" % (len(piece), piece))
            if behaviour.bytes_per_s and self.numerai.closing.wait(len(piece) / behaviour.bytes_per_s):
                return
        if behaviour.stall_after is not None:
            self.numerai.closing.wait(60)
        if end < len(body):
            self.close_connection = True
        elif not behaviour.says_size:
            self.wfile.write(b"0\r\n\r\n")


def wait_until(true: Callable[[], bool], limit_s: float = 60.0) -> None:
    """Return as soon as ``true()`` is; fail after ``limit_s``."""
    end = time.monotonic() + limit_s
    while not true():
        assert time.monotonic() < end, f"not true within {limit_s} s"
        time.sleep(0.01)
