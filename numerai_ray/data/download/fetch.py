"""A data version's files on this machine: which to fetch, what is here already, and what was checked.

A file appears in its folder whole and checked, or not at all. ``.downloads.json`` beside the files remembers what was
checked: size, fingerprint and ETag stand for a file afterwards, so that a second run costs two small requests a file.
"""

import difflib
import fcntl
import json
import re
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from numerai_ray.data.dataset import file_fingerprint
from numerai_ray.data.download.check import (
    CHECK_VERSION,
    FEATURES_FILE,
    Contents,
    Eras,
    Known,
    check_contents,
    read_features,
)
from numerai_ray.data.download.numerai_api import NumeraiApi
from numerai_ray.errors import DataError, EnvironmentFault, RequestError, nearest
from numerai_ray.system.files import open_own, write_text
from numerai_ray.system.http import PATIENT, Patience
from numerai_ray.system.json_text import parse_json
from numerai_ray.system.transfer import Partial, Remote, RemoteFile

# What experiments need, in the order in which one file is checked against another.
EXPERIMENT_FILES = (
    FEATURES_FILE,
    "train.parquet",
    "validation.parquet",
    "live.parquet",
    "train_benchmark_models.parquet",
    "validation_benchmark_models.parquet",
    "live_benchmark_models.parquet",
    "meta_model.parquet",
)
_RECEIPTS = ".downloads.json"
_LOCK = ".download.lock"
# Once more when what arrived is damaged: the fault may have been on the way.
_FETCHES = 2

Status = Literal["downloaded", "resumed", "checked", "up to date"]


@dataclass(frozen=True)
class Step:
    """Where the work on one file stands: ``done`` of ``total`` bytes, fetched or checked.

    ``retry`` says in ``note`` what happened and what follows, ``done`` how the file came here.
    """

    file: str
    kind: Literal["fetch", "check", "retry", "done"]
    done: int = 0
    total: int | None = None
    note: str = ""


OnStep = Callable[[Step], None]


@dataclass(frozen=True)
class Receipt:
    """What was checked: ``fingerprint`` is `dataset.file_fingerprint` of the bytes that the rest is about."""

    source: str
    size: int
    fingerprint: str
    etag: str | None
    rows: int | None
    eras: Eras | None
    check: int = CHECK_VERSION


class _Disproved(DataError):
    """The bytes of a file have another MD5 than its ETag seems to be."""

    def __init__(self, name: str, digest: str):
        super().__init__(f"{name}: its bytes are not those that the file server's checksum is of")
        self.digest = digest


@dataclass(frozen=True)
class LocalFile:
    """One file that is in place; ``checked`` was here before, ``resumed`` was partly here."""

    name: str
    path: Path
    status: Status
    size: int
    fingerprint: str
    rows: int | None
    eras: Eras | None


@dataclass(frozen=True)
class _Job:
    """A file, what the server says of it, and the receipt of the file here if it still holds."""

    name: str
    source: RemoteFile
    remote: Remote
    partial: Partial
    receipt: Receipt | None
    # Without an ETag, size alone does not tell a week's late labels from the ones before.
    same_end: bool = True


def download(
    version: str,
    files: Sequence[str],
    version_dir: Path,
    patience: Patience = PATIENT,
    on_step: OnStep = lambda _step: None,
) -> tuple[LocalFile, ...]:
    """Bring files of a data version into ``version_dir``, checked; no ``files`` means those that experiments need.

    A file that was damaged on the way does not keep the others from coming.

    Raises:
        RequestError: Numerai has no such version or file; names those it has.
        DataError: files are not what they should be, although fetched again; none of these was put in place.
        EnvironmentFault: Numerai cannot be reached, or the disk is too small or cannot be written.

    """
    api = NumeraiApi(patience, lambda why, wait_s: on_step(_retry("list of files", why, wait_s)))
    chosen = choose_files(api.dataset_names(), version, files)
    with _alone(version_dir):
        receipts = _read_receipts(version_dir)
        jobs = [_look(api, version_dir, f"{version}/{name}", receipts.get(name), patience, on_step) for name in chosen]
        _check_space(version_dir, jobs)
        return _Folder(version_dir, jobs, receipts, on_step).settle()


def choose_files(listed: Sequence[str], version: str, files: Sequence[str]) -> tuple[str, ...]:
    """Names of ``version`` to fetch, in the order to fetch them; ``train`` stands for ``train.parquet``.

    Raises:
        RequestError: there is no such version or file; the nearest of those that are come first.

    """
    versions: dict[str, list[str]] = {}
    for entry in listed:
        folder, _, name = entry.partition("/")
        # Both become parts of a path here, whatever the server says.
        if re.fullmatch(r"\w[\w.-]*", folder) and re.fullmatch(r"\w[\w.-]*", name):
            versions.setdefault(folder, []).append(name)
    if version not in versions:
        there = ", ".join(sorted(versions, key=lambda each: _distance(version, each)))
        raise RequestError(f"--version: Numerai has no data version {version!r}; it has, the nearest first: {there}")
    names = versions[version]
    chosen = [_file_name(wanted.removeprefix(f"{version}/"), names, version) for wanted in files or EXPERIMENT_FILES]
    asked = tuple(dict.fromkeys(chosen))
    return (*(name for name in EXPERIMENT_FILES if name in asked), *(n for n in asked if n not in EXPERIMENT_FILES))


def _file_name(wanted: str, names: Sequence[str], version: str) -> str:
    for name in (wanted, f"{wanted}.parquet", f"{wanted}.json"):
        if name in names:
            return name
    hint = nearest(wanted, [*names, *(name.partition(".")[0] for name in names)])
    near = hint if "did you mean" in hint else ""
    raise RequestError(f"--files: {version} has no file {wanted!r}{near}; it has: {', '.join(names)}")


def _distance(wanted: str, version: str) -> tuple[float, list[int], str]:
    """By spelling; then by number, so that v5.3 is nearer to v5.4 than v5.0 is."""
    spelled = difflib.SequenceMatcher(None, wanted, version).ratio()
    ours, theirs = ([int(part) for part in re.findall(r"\d+", each)] for each in (wanted, version))
    return (-spelled, [abs(a - b) for a, b in zip(ours, theirs, strict=False)], version)


@contextmanager
def _alone(version_dir: Path) -> Iterator[None]:
    """No second download in this folder while the block runs; the kernel lets go when the process dies."""
    try:
        version_dir.mkdir(parents=True, exist_ok=True)
        handle = open_own(version_dir / _LOCK, "a")
    except OSError as error:
        raise EnvironmentFault(f"{version_dir}: cannot be written: {error.strerror}; check its rights") from None
    with handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise EnvironmentFault(f"{version_dir}: another process downloads into it; wait for it") from None
        yield


def _look(
    api: NumeraiApi, version_dir: Path, source: str, receipt: Receipt | None, patience: Patience, on_step: OnStep
) -> _Job:
    name = source.partition("/")[2]
    remote_file = RemoteFile(
        name, lambda: api.dataset_url(source), patience, lambda why, wait_s: on_step(_retry(name, why, wait_s))
    )
    path = version_dir / name
    holds = receipt is not None and receipt.source == source and _holds(receipt, path)
    partial = Partial(path, source)
    remote, kept = remote_file.look(), receipt if holds else None
    vague = kept is not None and remote.size == kept.size and not (remote.etag and kept.etag)
    same_end = not vague or remote_file.has_end(path, path.stat().st_size)
    return _Job(name, remote_file, remote, partial, kept, same_end)


def _holds(receipt: Receipt, path: Path) -> bool:
    """Whether a receipt is about the bytes that are here, by the checks of today."""
    if receipt.check != CHECK_VERSION or not _has_size(path, receipt):
        return False
    return file_fingerprint(path) == receipt.fingerprint


def _has_size(path: Path, receipt: Receipt) -> bool:
    return path.is_file() and path.stat().st_size == receipt.size


def _current(job: _Job) -> bool:
    """Whether the checked file here is the server's; where the server says nothing of it, nobody knows."""
    receipt, remote = job.receipt, job.remote
    if receipt is None or remote.size not in (None, receipt.size):
        return False
    if remote.etag and receipt.etag:
        return remote.etag == receipt.etag
    return remote.size is not None and job.same_end


def _may_be_it(job: _Job) -> bool:
    """Whether a file here that was never checked is worth checking: of the right size, and not older than the server's.

    Live files change every day, and one day's can be as large as another's.
    """
    try:
        stat = job.partial.target.stat()
    except OSError:
        return False
    older = job.remote.modified_s is not None and stat.st_mtime < job.remote.modified_s
    return job.receipt is None and stat.st_size == job.remote.size and not older


def _check_space(version_dir: Path, jobs: Sequence[_Job]) -> None:
    needed = 0
    for job in jobs:
        if not (_current(job) or _may_be_it(job)):
            held = job.partial.held()
            needed += max(0, (job.remote.size or 0) - (held.bytes if held else 0))
    free = shutil.disk_usage(version_dir).free
    if needed > free:
        raise EnvironmentFault(
            f"{version_dir}: the files need {size_text(needed)} more, but {size_text(free)} are free; free some "
            f"space, choose another --data-dir or fewer --files"
        )


class _Folder:
    """The folder of a version while files come into it; what is known of each is kept in ``receipts``."""

    def __init__(self, version_dir: Path, jobs: Sequence[_Job], receipts: Mapping[str, Receipt], on_step: OnStep):
        self._dir = version_dir
        self._jobs = jobs
        self._on_step = on_step
        # Of what is about to be replaced nothing is known.
        outdated = {job.name for job in jobs if not _current(job)}
        kept = {name: receipt for name, receipt in receipts.items() if name not in outdated}
        self._receipts = {name: receipt for name, receipt in kept.items() if _has_size(version_dir / name, receipt)}
        self._features_settled = FEATURES_FILE not in outdated

    def settle(self) -> tuple[LocalFile, ...]:
        settled, failures = [], []
        for job in self._jobs:
            try:
                settled.append(self._settle(job))
            except DataError as error:
                failures.append(str(error))
        if failures:
            here = ", ".join(each.name for each in settled) or "none"
            first = f"{self._dir}: {len(failures)} of {len(self._jobs)} files failed; in place and checked: {here}"
            raise DataError("\n  - ".join([first, *failures]))
        return tuple(settled)

    def _settle(self, job: _Job) -> LocalFile:
        if _current(job):
            status: Status = "up to date"
        elif _may_be_it(job) and self._adopted(job):
            status = "checked"
        else:
            status = self._fetched(job)
        self._on_step(Step(job.name, "done", note=status))
        receipt = self._receipts[job.name]
        path = job.partial.target
        return LocalFile(job.name, path, status, receipt.size, receipt.fingerprint, receipt.rows, receipt.eras)

    def _adopted(self, job: _Job) -> bool:
        """Whether the file that is here passes; it is signed for if it does."""
        try:
            contents = self._check(job, job.partial.target, job.remote)
        except DataError as error:
            self._on_step(Step(job.name, "retry", note=f"the file here is of the right size, but {error}; fetching it"))
            return False
        self._sign(job, job.remote, contents)
        return True

    def _fetched(self, job: _Job) -> Status:
        status: Status = "downloaded" if job.partial.held() is None else "resumed"
        digest = None  # of bytes that the server's checksum seemed to disprove
        for fetch in range(1, _FETCHES + 1):
            remote = job.source.fetch(
                job.partial, job.remote, lambda done, total: self._on_step(Step(job.name, "fetch", done, total))
            )
            try:
                contents = self._check(job, job.partial.path, remote, digest)
            except DataError as error:
                digest = error.digest if isinstance(error, _Disproved) else None
                job.partial.discard()  # complete and wrong: nothing can go on from it
                if fetch == _FETCHES:
                    raise DataError(f"{error} (fetched {_FETCHES} times); try again later, or tell Numerai") from None
                self._on_step(Step(job.name, "retry", note=f"{error}; fetching it again"))
                status = "downloaded"
            else:
                job.partial.put_in_place()
                self._sign(job, remote, contents)
                break
        return status

    def _check(self, job: _Job, path: Path, remote: Remote, accepted: str | None = None) -> Contents:
        digest = remote.disproved_by(path)
        if digest not in (None, accepted):
            raise _Disproved(job.name, str(digest))
        size = path.stat().st_size

        def checked(done: int, total: int) -> None:
            self._on_step(Step(job.name, "check", size * done // total, size))

        return check_contents(path, job.name, self._known(), checked)

    def _known(self) -> Known:
        eras = {name: receipt.eras for name, receipt in self._receipts.items() if receipt.eras is not None}
        named = Known()
        # features.json comes first; where it is not of this run, the one here may be damaged and is no evidence.
        if self._features_settled:
            with suppress(DataError):
                named = read_features(self._dir / FEATURES_FILE)
        return Known(named.features, named.targets, eras)

    def _sign(self, job: _Job, remote: Remote, contents: Contents) -> None:
        path = job.partial.target
        self._receipts[job.name] = Receipt(
            source=job.partial.source,
            size=path.stat().st_size,
            fingerprint=file_fingerprint(path),
            etag=remote.etag,
            rows=contents.rows,
            eras=contents.eras,
        )
        if job.name == FEATURES_FILE:
            self._features_settled = True
        text = json.dumps({name: asdict(receipt) for name, receipt in self._receipts.items()}, indent=1)
        write_text(self._dir / _RECEIPTS, text)


def _read_receipts(version_dir: Path) -> dict[str, Receipt]:
    """What was signed for; nothing where that cannot be read, which costs one check and no more."""
    try:
        content = parse_json((version_dir / _RECEIPTS).read_bytes())
        read = {name: Receipt(**entry) for name, entry in content.items()}
    except (OSError, ValueError, TypeError, AttributeError):
        return {}
    return read


def _retry(name: str, why: str, wait_s: float) -> Step:
    return Step(name, "retry", note=f"{why}; trying again in {wait_s:g} s")


def size_text(size: int) -> str:
    """``2.4 GB``, ``138 kB``: decimal units, as disks and Numerai count."""
    for unit, bytes_ in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if size >= bytes_:
            return f"{size / bytes_:.{1 if size < 100 * bytes_ else 0}f} {unit}"
    return f"{size} bytes"
