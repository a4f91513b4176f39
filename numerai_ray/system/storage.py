"""Places that hold files: a local path, or a URL of object storage (``s3://bucket/…``, ``gs://bucket/…``).

The thin edge over pyarrow's filesystems, imported where storage is spoken to: most commands never do. A :class:`Url`
has the part of :class:`pathlib.Path` that this project uses on data and stores, so the same lines read either. Where
the server is and who asks come from the environment (``AWS_ENDPOINT_URL``, ``AWS_REGION``, ``AWS_ACCESS_KEY_ID``, … or
the machine's own role), never from the URL.
"""

import atexit
import os
import re
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path, PurePosixPath
from typing import Any, TypeAlias
from urllib.parse import parse_qs, unquote, urlsplit

from numerai_ray.errors import EnvironmentFault, RequestError
from numerai_ray.system.files import whole_file

SCHEMES = ("s3", "gs")
OPTIONS = {"s3": ("endpoint_override", "region", "anonymous"), "gs": ("endpoint_override", "anonymous")}
# What an error message must not show.
SECRETS = ("AWS_SECRET_ACCESS_KEY", "AWS_ACCESS_KEY_ID", "AWS_SESSION_TOKEN")
DATA_ROOT_VARIABLE = "NUMERAI_RAY_DATA"
CACHE_VARIABLE = "NUMERAI_RAY_CACHE"
COPY_BYTES = 8 * 2**20


@dataclass(frozen=True, order=True)
class Url:
    """A file or folder in object storage: ``key`` is ``bucket/path``, ``query`` where the server is."""

    scheme: str
    key: str
    query: str = ""

    def __str__(self) -> str:
        return f"{self.scheme}://{self.key}" + (f"?{self.query}" if self.query else "")

    def __truediv__(self, name: str | PurePosixPath) -> "Url":
        return Url(self.scheme, f"{self.key}/{name}", self.query)

    @property
    def name(self) -> str:
        return PurePosixPath(self.key).name

    @property
    def stem(self) -> str:
        return PurePosixPath(self.key).stem

    @property
    def suffix(self) -> str:
        return PurePosixPath(self.key).suffix

    @property
    def parent(self) -> "Url":
        return Url(self.scheme, str(PurePosixPath(self.key).parent), self.query)

    def with_suffix(self, suffix: str) -> "Url":
        return Url(self.scheme, str(PurePosixPath(self.key).with_suffix(suffix)), self.query)

    def exists(self) -> bool:
        return bool(self._info().type.name != "NotFound")

    def is_file(self) -> bool:
        return bool(self._info().type.name == "File")

    def is_dir(self) -> bool:
        return bool(self._info().type.name == "Directory")

    def read_bytes(self) -> bytes:
        with _storage_errors(self), _filesystem(self).open_input_file(self.key) as handle:
            return bytes(handle.read())

    def read_text(self, encoding: str = "utf-8") -> str:
        return self.read_bytes().decode(encoding)

    def write_bytes(self, content: bytes) -> int:
        """An object appears whole, or not at all."""
        with _storage_errors(self), _filesystem(self).open_output_stream(self.key) as handle:
            handle.write(content)
        return len(content)

    def unlink(self, *, missing_ok: bool = False) -> None:
        with _storage_errors(self):
            try:
                _filesystem(self).delete_file(self.key)
            except FileNotFoundError:
                if not missing_ok:
                    raise

    def rename(self, name: str) -> None:
        with _storage_errors(self):
            _filesystem(self).move(self.key, (self.parent / name).key)

    def _info(self) -> Any:
        with _storage_errors(self):
            return _filesystem(self).get_file_info(self.key)


Place: TypeAlias = Path | Url


@dataclass(frozen=True, order=True)
class FileFacts:
    """A file below a folder: its ``name`` relative to it, its size, and when it changed (ns since 1970)."""

    name: str
    size_bytes: int
    changed_ns: int


def place(text: str | Path) -> Place:
    """The place that a user names.

    Raises:
        RequestError: a URL of another kind, without a bucket, with an unknown option, or with keys in it.

    """
    scheme, colon, _ = str(text).partition("://")
    if not colon:
        return Path(text)
    if scheme not in SCHEMES:
        raise RequestError(f"{scheme}://…: must be a local path or a URL s3://… or gs://…; copy the files there")
    try:
        parts = urlsplit(str(text))
        given = parse_qs(parts.query, keep_blank_values=True)
    except ValueError as error:
        raise RequestError(f"{scheme}://…: not a URL ({error}); write {scheme}://bucket/folder") from None
    if "@" in parts.netloc:
        raise RequestError(
            f"{scheme}://…: must not hold keys, but does; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY in the "
            f"environment, or use the machine's role"
        )
    if not parts.netloc:
        raise RequestError(f"{text}: names no bucket; write {scheme}://bucket/folder")
    unknown = sorted(set(given) - set(OPTIONS[scheme]))
    if unknown:
        raise RequestError(f"{scheme}://{parts.netloc}: unknown option {unknown[0]!r}; known: {OPTIONS[scheme]}")
    return Url(scheme, unquote(parts.netloc + parts.path).rstrip("/"), parts.query)


def write_whole(where: Place, content: bytes) -> None:
    """Write a file whole or not at all.

    Raises:
        EnvironmentFault: it cannot be written.

    """
    if isinstance(where, Url):
        where.write_bytes(content)
        return
    with whole_file(where) as partial:
        partial.write_bytes(content)


def rename(where: Place, name: str) -> None:
    """Give a file another name in its folder."""
    if isinstance(where, Url):
        where.rename(name)
    else:
        where.replace(where.with_name(name))


def open_random(where: Place) -> Any:
    """A file open for reading anywhere in it: what parquet wants; a local one is mapped into memory.

    Raises:
        FileNotFoundError: there is none.
        EnvironmentFault: the storage cannot be reached.

    """
    if isinstance(where, Path):
        import pyarrow as pa  # noqa: PLC0415

        return pa.memory_map(str(where))
    with _storage_errors(where):
        return _filesystem(where).open_input_file(where.key)


def chunks(where: Place) -> Iterator[bytes]:
    """A file's bytes, some megabytes at a time."""
    if isinstance(where, Path):
        with where.open("rb") as handle:
            while part := handle.read(COPY_BYTES):
                yield part
        return
    with _storage_errors(where), _filesystem(where).open_input_file(where.key) as handle:
        while part := handle.read(COPY_BYTES):
            yield bytes(part)


def facts(where: Place) -> FileFacts:
    """Size and time of one file; raises :class:`FileNotFoundError`."""
    if isinstance(where, Path):
        status = where.stat()
        return FileFacts(where.name, status.st_size, status.st_mtime_ns)
    info = where._info()
    if info.type.name != "File":
        raise FileNotFoundError(str(where))
    return FileFacts(where.name, info.size, info.mtime_ns or 0)


def files_below(where: Place) -> list[FileFacts]:
    """Every file below a folder, sorted by name; none where the folder is missing.

    Raises:
        EnvironmentFault: a folder below it cannot be read: what is in there would be missing without a word.

    """
    if isinstance(where, Path):
        found = []
        for folder, _, names in os.walk(where, onerror=_unreadable):
            for path in (Path(folder, name) for name in names):
                with suppress(FileNotFoundError):  # another thread or process puts files in place meanwhile
                    status = path.stat()
                    if stat.S_ISREG(status.st_mode):  # reading a pipe may wait for ever
                        name = path.relative_to(where).as_posix()
                        found.append(FileFacts(name, status.st_size, status.st_mtime_ns))
        return sorted(found)
    with _storage_errors(where):
        infos = _listed(where, recursive=True)
    return sorted(
        FileFacts(info.path.removeprefix(f"{where.key}/"), info.size, info.mtime_ns or 0)
        for info in infos
        if info.type.name == "File"
    )


def _unreadable(error: OSError) -> None:
    if not isinstance(error, FileNotFoundError | NotADirectoryError):  # removed in the meantime
        raise EnvironmentFault(f"{error.filename}: cannot be read ({error.strerror}); check its rights") from error


def folders_in(where: Place) -> list[str]:
    """Names of the folders right in a folder, sorted; none where it is missing."""
    if isinstance(where, Path):
        return sorted(path.name for path in where.iterdir() if path.is_dir()) if where.is_dir() else []
    if where.scheme == "gs":  # pyarrow sees a folder there only where something made an object for it
        return sorted({each.name.split("/", 1)[0] for each in files_below(where) if "/" in each.name})
    with _storage_errors(where):
        infos = _listed(where, recursive=False)
    return sorted(PurePosixPath(info.path).name for info in infos if info.type.name == "Directory")


def _listed(where: Url, *, recursive: bool) -> Any:
    from pyarrow import fs  # noqa: PLC0415

    return _filesystem(where).get_file_info(fs.FileSelector(where.key, allow_not_found=True, recursive=recursive))


def upload(source: Path, target: Place) -> None:
    """Copy a local file to a place, whole or not at all."""
    if isinstance(target, Path):
        with whole_file(target) as partial, partial.open("wb") as handle:
            handle.writelines(chunks(source))
        return
    with _storage_errors(target), _filesystem(target).open_output_stream(target.key) as handle:
        for part in chunks(source):
            handle.write(part)


def download(source: Place, target: Path) -> None:
    """Copy a file of a place to a local path, whole or not at all."""
    with whole_file(target) as partial, partial.open("wb") as handle:
        handle.writelines(chunks(source))


def check_writable(where: Url, option: str) -> None:
    """Find out before hours of work that a folder can be written; leaves nothing."""
    probe = where / f".probe-{os.getpid()}"
    try:
        probe.write_bytes(b"")
        probe.unlink(missing_ok=True)
    except FileNotFoundError:
        raise EnvironmentFault(f"{option}: {where}: no such bucket; make it, or check the URL") from None
    except EnvironmentFault as error:
        raise EnvironmentFault(f"{option}: {error}") from None


def local_folder(where: Place) -> Path:
    """A folder on this machine for what is derived from files in ``where``: itself, or a cache of a URL's own."""
    if isinstance(where, Path):
        return where
    root = Path(os.environ.get(CACHE_VARIABLE) or Path.home() / ".cache" / "numerai-ray")
    return root / where.scheme / where.key


@cache
def _connection(scheme: str, query: str, bucket: str, environment: tuple[tuple[str, str], ...]) -> Any:
    from pyarrow import fs  # noqa: PLC0415

    options: dict[str, Any] = {name: values[-1] for name, values in parse_qs(query).items()}
    known = dict(environment)
    anonymous = options.pop("anonymous", "false").lower() in ("1", "true", "yes")
    endpoint = options.pop("endpoint_override", None) or known.get(scheme)
    emulated = scheme == "gs" and "gs" in known  # Google's variable for a stand-in, which asks for no keys
    settings: dict[str, Any] = {"anonymous": True} if anonymous or emulated else {}
    if endpoint:
        parts = urlsplit(endpoint if "://" in endpoint else f"https://{endpoint}")
        settings |= {"scheme": parts.scheme, "endpoint_override": parts.netloc}
    if scheme == "gs":
        return fs.GcsFileSystem(**settings)
    region = options.pop("region", None) or known.get("region")
    if region is None:
        region = "us-east-1" if endpoint else fs.resolve_s3_region(bucket)
    return fs.S3FileSystem(
        region=region,
        connect_timeout=5,
        request_timeout=60,
        retry_strategy=fs.AwsStandardS3RetryStrategy(max_attempts=4),
        # A small object is then one request, and nothing is there before it.
        allow_delayed_open=True,
        **settings,
    )


def leave_unfinished() -> None:
    """Have the end of this process not wait for requests that no storage answers."""
    from pyarrow import fs  # noqa: PLC0415

    atexit.unregister(fs.ensure_s3_finalized)


def _filesystem(url: Url) -> Any:
    """One connection a server and process; who asks is part of what tells connections apart."""
    variables = os.environ
    where = {
        "s3": variables.get("AWS_ENDPOINT_URL_S3") or variables.get("AWS_ENDPOINT_URL"),
        "gs": variables.get("CLOUD_STORAGE_EMULATOR_ENDPOINT") or variables.get("STORAGE_EMULATOR_HOST"),
        "region": variables.get("AWS_REGION") or variables.get("AWS_DEFAULT_REGION"),
        "key": variables.get("AWS_ACCESS_KEY_ID"),
        "secret": variables.get("AWS_SECRET_ACCESS_KEY"),
    }
    environment = tuple((name, value) for name, value in where.items() if value)
    return _connection(url.scheme, url.query, url.key.split("/", 1)[0], environment)


@contextmanager
def _storage_errors(url: Url) -> Iterator[None]:
    """What a storage client says becomes a sentence of ours; a missing file stays a FileNotFoundError."""
    import pyarrow as pa  # noqa: PLC0415

    try:
        yield
    except FileNotFoundError:
        raise FileNotFoundError(2, "no such file", str(url)) from None
    except (OSError, pa.ArrowException) as error:
        raise EnvironmentFault(f"{url}: {_reason(str(error))}") from None


def _reason(text: str) -> str:
    """Why a request failed and what to do, without keys."""
    for words, reason in (
        ("NO_SUCH_BUCKET|[Bb]ucket .*not found|NoSuchBucket", "no such bucket; make it, or check the URL"),
        (
            "ACCESS_DENIED|INVALID_ACCESS_KEY|SIGNATURE|HTTP response code 40[13]|FORBIDDEN|[Pp]ermission denied",
            "access denied; check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or the machine's role",
        ),
        (
            "NETWORK_CONNECTION|curlCode|[Cc]ouldn't connect|[Tt]imed? ?out|resolve",
            "the storage cannot be reached; check AWS_ENDPOINT_URL and the network, then run again",
        ),
    ):
        if re.search(words, text):
            return reason
    first = (text.splitlines() or [""])[0]
    for name in SECRETS:
        if value := os.environ.get(name):
            first = first.replace(value, "…")
    return f"the storage refuses ({first:.300}); check the URL, then run again"
