"""Transfer: one file over HTTP, down and resumed where it broke off, or up to a signed address."""

import hashlib
import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from email.utils import parsedate_to_datetime
from pathlib import Path

import requests
import urllib3

from numerai_ray.errors import EnvironmentFault, RequestError
from numerai_ray.system.files import open_own, put_in_place, write_text
from numerai_ray.system.http import OnRetry, PassingFault, Patience, network_reason, patiently
from numerai_ray.system.json_text import parse_json

# The most that is read at once; less when less has arrived, so that slow lines show progress and lose nothing.
_CHUNK_BYTES = 1 << 16
# Of a file's end, compared where there is no ETag; Numerai's largest footers have a few megabytes.
_END_BYTES = 1 << 22
# A signed address that has expired is answered with one of these, depending on the storage.
_EXPIRED = (400, 401, 403, 410)
_CONTENT_RANGE = re.compile(r"bytes (?:(\d+)-\d+|\*)/(\d+)")
OnBytes = Callable[[int, int | None], None]  # called with the bytes so far and in all (None: not known)


@dataclass(frozen=True)
class Remote:
    """What a server says of a file, None where it says nothing: bytes, a strong ETag, Unix time of its last change."""

    size: int | None
    etag: str | None
    modified_s: float | None = None

    def disproved_by(self, path: Path) -> str | None:
        """The MD5 of the bytes at ``path`` where it is not what the ETag says; None where there is nothing to say.

        The ETag of a file that was stored in one piece is its MD5 with most storages, but not with all of them (S3:
        Common Response Headers), so a difference is a suspicion; found twice with one MD5, it is the storage's way.
        """
        if self.etag is None or not re.fullmatch(r'"[0-9a-f]{32}"', self.etag):
            return None
        with path.open("rb") as handle:
            digest = hashlib.file_digest(handle, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
        return None if digest == self.etag.strip('"') else digest


@dataclass(frozen=True)
class Held:
    """The beginning of a file that can go on: ``bytes`` of ``size``, of the version ``etag``."""

    source: str
    bytes: int
    size: int
    etag: str


class Partial:
    """The bytes of ``source`` that have arrived so far, beside the file that they will be."""

    def __init__(self, target: Path, source: str):
        self.target = target
        self.path = target.with_name(f".{target.name}.part")
        self._about = target.with_name(f".{target.name}.part.json")
        self.source = source

    def held(self) -> Held | None:
        """What can go on; None when nothing is there, or nothing that a server could confirm."""
        try:
            about = parse_json(self._about.read_bytes())
            held = Held(str(about["source"]), self.path.stat().st_size, int(about["size"]), str(about["etag"]))
        except (OSError, ValueError, TypeError, KeyError):
            return None
        fits = held.source == self.source and 0 < held.bytes <= held.size
        return held if fits else None

    def begin(self, remote: Remote) -> None:
        """Start over, with no bytes of ``remote``."""
        self.discard()
        if remote.size is not None and remote.etag is not None:
            # Before the first byte: bytes without it are never taken for a beginning.
            about = asdict(Held(self.source, 0, remote.size, remote.etag))
            write_text(self._about, json.dumps(about))

    def put_in_place(self) -> None:
        """Make the bytes the target, in one step.

        Raises:
            EnvironmentFault: the target cannot be replaced.

        """
        try:
            put_in_place(self.path, self.target)
        except OSError as error:
            raise EnvironmentFault(f"{self.target}: cannot be written: {error.strerror}; check its rights") from None
        self.discard()

    def discard(self) -> None:
        """Forget what has arrived."""
        for path in (self.path, self._about):
            with suppress(OSError):
                path.unlink(missing_ok=True)


class RemoteFile:
    """A file behind an address that expires; ``ask_url`` gives a fresh one."""

    def __init__(self, name: str, ask_url: Callable[[], str], patience: Patience, on_retry: OnRetry):
        self.name = name
        self._ask_url = ask_url
        self._patience = patience
        self._on_retry = on_retry
        self._session = requests.Session()
        self._url: str | None = None
        self._renewed = False
        self._most_bytes = 0

    def look(self) -> Remote:
        """What the server says of the file, at the cost of its first byte: a signed address allows only GET.

        Raises:
            EnvironmentFault: the server cannot be reached, or has no such file.

        """

        def attempt() -> Remote:
            with self._answer({"Range": "bytes=0-0"}) as response:
                return _described(response)

        return patiently(attempt, self._patience, self._on_retry)

    def has_end(self, path: Path, size: int) -> bool:
        """Whether the file ends as the one at ``path`` of ``size`` bytes does: of parquet, that is its footer.

        For servers that give no ETag; the footer tells every column chunk's place, length and range.

        Raises:
            EnvironmentFault: the server cannot be reached, or has no such file.

        """
        start = size - min(size, _END_BYTES)

        def attempt() -> bytes | None:
            with self._answer({"Range": f"bytes={start}-"}) as response:
                match = _CONTENT_RANGE.fullmatch(response.headers.get("Content-Range", ""))
                if response.status_code != 206 or match is None or (match[1], match[2]) != (str(start), str(size)):
                    return None
                return b"".join(self._chunks(response))

        with path.open("rb") as handle:
            handle.seek(start)
            return patiently(attempt, self._patience, self._on_retry) == handle.read()

    def fetch(self, partial: Partial, expected: Remote, on_bytes: OnBytes) -> Remote:
        """Bring ``partial`` to its end; returns what the server said of the file that it now is.

        ``expected`` is what :meth:`look` found; bytes of another version are dropped.

        Raises:
            EnvironmentFault: the server or the disk does not let us; what has arrived is kept if it can go on.

        """
        held = partial.held()
        if held is None or held.etag != expected.etag or held.size != expected.size:
            partial.discard()
        elif held.bytes == held.size:
            return expected

        def attempt() -> Remote:
            before = self._most_bytes
            try:
                return self._transfer(partial, on_bytes)
            except PassingFault as fault:
                fault.progressed = self._most_bytes > before
                raise

        try:
            return patiently(attempt, self._patience, self._on_retry)
        except BaseException:
            if partial.held() is None:
                partial.discard()  # nothing could go on from these bytes
            raise

    def _transfer(self, partial: Partial, on_bytes: OnBytes) -> Remote:
        held = partial.held()
        headers = {} if held is None else {"Range": f"bytes={held.bytes}-", "If-Range": held.etag}
        with self._answer(headers) as response:
            remote = _described(response)
            if response.status_code == 200:
                partial.begin(remote)
            elif not _continues(response, remote, held):
                partial.discard()
                raise PassingFault(f"{self.name}: the server's answer does not continue what is here; starting over")
            done = self._copy(response, partial, remote.size, on_bytes)
        if remote.size is not None and done != remote.size:
            raise PassingFault(f"{self.name}: {done:,} of {remote.size:,} bytes arrived")
        return remote

    def _copy(self, response: requests.Response, partial: Partial, size: int | None, on_bytes: OnBytes) -> int:
        done = 0
        try:
            with open_own(partial.path, "ab") as handle:
                done = handle.tell()
                on_bytes(done, size)
                for chunk in self._chunks(response):
                    handle.write(chunk)
                    done += len(chunk)
                    if done > self._most_bytes:
                        self._most_bytes, self._renewed = done, False
                    on_bytes(done, size)
        except OSError as error:
            left = "" if size is None else f" {size - done:,} bytes and"
            raise EnvironmentFault(
                f"{partial.target}: cannot be written: {(error.strerror or 'no reason given').lower()} after "
                f"{done:,} bytes; free{left or ' some space and'} run the same command again"
                + ("" if partial.held() is None else ": it goes on from there")
            ) from None
        return done

    def _chunks(self, response: requests.Response) -> Iterator[bytes]:
        try:
            while chunk := response.raw.read1(_CHUNK_BYTES, decode_content=True):
                yield chunk
        except (OSError, urllib3.exceptions.HTTPError) as error:
            raise PassingFault(f"{self.name}: {network_reason(error, self._patience)}") from None

    @contextmanager
    def _answer(self, headers: dict[str, str]) -> Iterator[requests.Response]:
        """The open answer to a GET, which is 200, 206 or 416; an address that has expired is renewed once."""
        response = self._get(headers)
        if response.status_code in _EXPIRED and not self._renewed:
            response.close()
            self._renewed, self._url = True, None
            response = self._get(headers)
        with response:
            self._check_status(response.status_code)
            yield response

    def _get(self, headers: dict[str, str]) -> requests.Response:
        self._url = self._url or self._ask_url()
        # Not compressed on the way: sizes and ranges count the bytes of the file.
        headers = {"Accept-Encoding": "identity", **headers}
        try:
            timeout = (self._patience.connect_s, self._patience.stall_s)
            return self._session.get(self._url, headers=headers, stream=True, timeout=timeout)
        except (requests.RequestException, urllib3.exceptions.HTTPError) as error:
            raise PassingFault(f"{self.name}: {network_reason(error, self._patience)}") from None

    def _check_status(self, status: int) -> None:
        if status in (200, 206, 416):
            return
        said = f"{self.name}: the file server answers with status {status}"
        if status == 429 or status >= 500:
            raise PassingFault(said)
        if status in _EXPIRED:
            raise EnvironmentFault(f"{said}, for a new address too; try again later, or check the clock and the proxy")
        raise EnvironmentFault(f"{said}; try again later, or choose other --files")


def _described(response: requests.Response) -> Remote:
    headers = response.headers
    etag = headers.get("ETag", "")
    modified_s = None
    with suppress(ValueError, TypeError):
        modified_s = parsedate_to_datetime(headers.get("Last-Modified", "")).timestamp()
    if headers.get("Content-Encoding", "identity") != "identity":
        # Compressed on the way after all: nothing it says of bytes is about the file's.
        return Remote(None, None, modified_s)
    if response.status_code == 200:
        length = headers.get("Content-Length", "")
        size = int(length) if length.isdigit() else None
    else:
        match = _CONTENT_RANGE.fullmatch(headers.get("Content-Range", ""))
        size = int(match[2]) if match else None
    # A weak ETag, W/"…", promises the same meaning, not the same bytes.
    return Remote(size, etag if etag.startswith('"') else None, modified_s)


def _continues(response: requests.Response, remote: Remote, held: Held | None) -> bool:
    """Whether an answer that is not the whole file is the rest of what is held."""
    match = _CONTENT_RANGE.fullmatch(response.headers.get("Content-Range", ""))
    if held is None or response.status_code != 206 or match is None or match[1] is None:
        return False
    return int(match[1]) == held.bytes and (remote.size, remote.etag) == (held.size, held.etag)


# One PUT takes no more at the storage that Numerai uses.
LARGEST_BYTES = 5 * 2**30
OnSent = Callable[[int, int], None]  # sent so far, all


def put_file(path: Path, url: str, patience: Patience, on_retry: OnRetry, on_bytes: OnSent) -> None:
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


def _put_once(path: Path, url: str, patience: Patience, on_bytes: OnSent) -> None:
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

    def __init__(self, handle: object, size: int, on_bytes: OnSent):
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
