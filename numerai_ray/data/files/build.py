"""The full and the downsampled training files, built from Numerai's train and validation files.

``full`` is train plus the rows of validation whose data_type is ``validation`` (the rest has no labels yet),
without data_type and with ``id`` as an ordinary column; ``downsampled_full`` keeps every 4th of its eras. Each
has a benchmark file of the same eras beside it. The inputs are read once, a slice of rows at a time (their era
columns once before, to know the eras), and no era of an output lies in two row groups, so that a reader may
take whole eras group by group. What a file was built from stands in its key-value metadata under
``numerai_ray.build``.
"""

import json
from collections.abc import Callable, Generator, Sequence
from contextlib import ExitStack, closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from numerai_ray.data.columns import UNREADABLE, matches
from numerai_ray.data.dataset import file_fingerprint
from numerai_ray.data.digests import EraDigester, Kind, write_digests
from numerai_ray.data.eras import era_label
from numerai_ray.data.files.earlier import earlier_file
from numerai_ray.data.files.era_writer import era_writer, only
from numerai_ray.data.files.sources import BENCHMARK, LABELLED_TYPE, MAIN, Source, check_columns, retained_eras
from numerai_ray.errors import RequestError
from numerai_ray.system.files import plain_file, tidy
from numerai_ray.system.json_text import parse_json

BUILD_VERSION = 1  # what a change of the outputs' contents or layout must raise
BUILD_KEY = b"numerai_ray.build"

# Built file -> the files it is built from. The benchmark files hold what the main files decide: which eras have labels.
SOURCES = {
    "full.parquet": MAIN,
    "downsampled_full.parquet": MAIN,
    "full_benchmark_models.parquet": (*BENCHMARK, *MAIN),
    "downsampled_full_benchmark_models.parquet": (*BENCHMARK, *MAIN),
}

# Rows of a slice that is read, and of a row group that is written (which then ends with its era): the first that
# is reached. Groups are larger, because the footer describes every column of every group: groups of one era would
# give Numerai's 2,748 features a footer of 200 MB.
_SLICE_ROWS, _SLICE_CELLS = 100_000, 40_000_000
_GROUP_ROWS, _GROUP_CELLS = 50_000, 160_000_000


@dataclass(frozen=True)
class BuildSpec:
    """Which eras the downsampled files keep: of all retained eras those at ``offset + k * step``."""

    step: int = 4
    offset: int = 0

    def __post_init__(self) -> None:
        if not (self.step >= 1 and 0 <= self.offset < self.step):
            raise RequestError(
                f"Downsampling needs step >= 1 and 0 <= offset < step, but got step={self.step}, offset={self.offset}."
            )


@dataclass(frozen=True)
class BuiltFile:
    """One built file; ``fresh`` is False when it was up to date and left alone."""

    path: Path
    rows: int
    eras: int
    fresh: bool


@dataclass(frozen=True)
class _Output:
    """One file to build: ``eras`` is what it keeps, ``build`` what it will say about itself."""

    path: Path
    eras: frozenset[int]
    build: dict[str, Any]


def build(
    version_dir: Path, spec: BuildSpec = BuildSpec(), on_rows: Callable[[int, int], None] | None = None
) -> tuple[BuiltFile, ...]:
    """Build what is missing or out of date of the four files in ``version_dir``.

    ``full.parquet``, ``downsampled_full.parquet``, ``full_benchmark_models.parquet`` and
    ``downsampled_full_benchmark_models.parquet`` are returned in this order. A file is up to date when the
    fingerprint of its inputs (their bytes) and its step and offset are those it was built with. An
    exception leaves every file as it was or whole.

    Args:
        version_dir: folder with ``{train,validation}.parquet`` and their ``_benchmark_models`` files.
        spec: which eras the downsampled files keep.
        on_rows: called as ``on_rows(done, total)`` with rows read.

    Raises:
        DataError: an input is missing, damaged or not in Numerai's layout.
        EnvironmentFault: the folder cannot be written or the disk is full.

    """
    tidy(version_dir)
    sources = {name: Source(version_dir / name) for name in (*MAIN, *BENCHMARK)}
    main, benchmark = ((sources[a], sources[b]) for a, b in (MAIN, BENCHMARK))
    eras = retained_eras(*main)
    prints = {name: _fingerprint(source.path) for name, source in sources.items()}
    jobs = []
    for inputs, suffix in ((main, ""), (benchmark, "_benchmark_models")):
        check_columns(inputs)
        outputs = []
        for kind, spacing in (("full", None), ("downsampled_full", spec)):
            path = version_dir / f"{kind}{suffix}.parquet"
            printed = [prints[name] for name in SOURCES[path.name]]
            about: dict[str, Any] = {"version": BUILD_VERSION, "inputs": printed}
            about |= asdict(spacing) if spacing else {}
            kept = eras[spacing.offset :: spacing.step] if spacing else eras
            outputs.append(_Output(path, frozenset(kept), about))
        jobs.append((inputs, outputs))
    stale = [(inputs, [output for output in outputs if not _up_to_date(output)]) for inputs, outputs in jobs]
    total = sum(source.rows for inputs, outputs in stale if outputs for source in inputs)
    done = 0
    for inputs, outputs in stale:
        if outputs:
            # Closed here, not by the garbage collector: an exception must leave no partial file behind it.
            with closing(_write(inputs, outputs)) as slices:
                for rows in slices:
                    done += rows
                    if on_rows is not None:
                        on_rows(done, total)
    rebuilt = {output.path for _, outputs in stale for output in outputs}
    return tuple(_built(output.path, output.path in rebuilt) for _, outputs in jobs for output in outputs)


def _write(inputs: tuple[Source, Source], outputs: Sequence[_Output]) -> Generator[int, None, None]:
    """Stream both inputs into all outputs at once; yields the rows read, slice by slice.

    The digests of what is written are made on the way, of an era once for all files that it goes into.
    """
    names = [name for name in inputs[0].schema.names if name not in ("id", "era", "data_type")]
    era_type = inputs[0].schema.field("era").type
    keys = [("id", pa.string()), ("era", era_type if pa.types.is_integer(era_type) else pa.string())]
    schema = pa.schema([*keys, *(inputs[0].schema.field(name) for name in names)])
    slice_rows = max(1, min(_SLICE_ROWS, _SLICE_CELLS // len(schema)))
    group_rows = max(1, min(_GROUP_ROWS, _GROUP_CELLS // len(schema)))
    kept = np.array(sorted(frozenset().union(*(output.eras for output in outputs))), np.int64)
    kinds = _hashed_as(schema, inputs[0].path.name)
    digester = EraDigester(kinds)
    with ExitStack() as opened:
        writers = []
        for output in outputs:
            same_layout = _version_of(output.path) == BUILD_VERSION
            earlier = earlier_file(output.path, schema, kinds, digester.row) if same_layout else None
            writers.append(opened.enter_context(era_writer(output.path, schema, output.eras, group_rows, earlier)))
        for source in inputs:
            typed = source is inputs[1] and "data_type" in source.schema.names
            columns = [*schema.names, "data_type"] if typed else schema.names
            for batch in source.slices(columns, slice_rows):
                labelled = only(batch, matches(batch["data_type"], [LABELLED_TYPE])) if typed else batch
                eras = source.numbers_of(labelled["era"])
                selected = _with_keys(labelled.select(schema.names), eras, schema)
                inside = np.isin(eras, kept)
                digester.add(only(selected, pa.array(inside)), eras[inside])
                for writer in writers:  # which may ask for the digests of the eras before
                    writer.add(source.path, selected, eras)
                yield len(batch)
        digests = digester.finish()
        for output, writer in zip(outputs, writers, strict=True):
            writer.finish()
            writer.about[BUILD_KEY] = json.dumps(output.build | {"eras": writer.eras})
    for output in outputs:
        own = digests.at([era for era in digests.eras if era in output.eras])
        write_digests(output.path, file_fingerprint(output.path), "era", own)


def _hashed_as(schema: pa.Schema, source: str) -> dict[str, Kind]:
    """As what the columns of a built file are read by whoever trains on it, and so hashed."""
    numbers: Kind = "float64" if source in BENCHMARK else "float32"
    kinds: dict[str, Kind] = {"id": "text"}
    for field in schema:
        if field.name not in ("id", "era"):
            kinds[field.name] = "int8" if field.name.startswith("feature") else numbers
    return {
        name: kind for name, kind in kinds.items() if not pa.types.is_string(schema.field(name).type) or name == "id"
    }


def _with_keys(batch: pa.RecordBatch, eras: npt.NDArray[np.int64], schema: pa.Schema) -> pa.RecordBatch:
    """``batch`` with ids and eras in the schema's types: numbers become labels where the first file has labels."""
    if batch.schema.equals(schema):
        return batch
    kind = schema.field("era").type
    if pa.types.is_integer(kind):
        labels = pa.array(eras).cast(kind)
    elif batch["era"].type == kind:
        labels = batch["era"]
    else:
        labels = pa.array([era_label(era) for era in eras.tolist()], kind)
    return pa.RecordBatch.from_arrays([batch["id"].cast(pa.string()), labels, *batch.columns[2:]], schema=schema)


def _fingerprint(path: Path) -> str:
    """Name, size and hash of a file's bytes: one value that changed may leave size and footer as they were."""
    return f"{path.name}:{plain_file(path).stat().st_size}:{file_fingerprint(path)}"


def out_of_date(path: Path) -> str | None:
    """Why `build` would build ``path``, one of :data:`SOURCES`, again; None when it would not or it cannot be told.

    It cannot be told without the file's inputs, or when one of these files is damaged.
    """
    try:
        current = [_fingerprint(path.parent / name) for name in SOURCES[path.name]]
        about = _build_of(path)
    except UNREADABLE:
        return None
    if not about:
        return "was not built by numerai-ray, so nobody knows what it was built from"
    if about["version"] != BUILD_VERSION:
        return f"was built by another version of numerai-ray (layout {about['version']}, now {BUILD_VERSION})"
    if not {len(each.rpartition(":")[2]) for each in about["inputs"]} <= {len(current[0].rpartition(":")[2])}:
        return "was built by a numerai-ray that knew its inputs by size and footer, so a changed value may be missing"
    changed = sorted({name.partition(":")[0] for name in {*current} - {*about["inputs"]}})
    return f"was built before {' and '.join(changed)} changed" if changed else None


def _build_of(path: Path) -> dict[str, Any]:
    return _about(pq.read_metadata(plain_file(path)))


def _about(footer: pq.FileMetaData) -> dict[str, Any]:
    """What a built file says about itself; empty when it says nothing."""
    try:
        about = parse_json((footer.metadata or {}).get(BUILD_KEY, b"{}"))
    except ValueError:
        return {}
    return about if isinstance(about, dict) and about.keys() >= {"version", "inputs"} else {}


def _version_of(path: Path) -> int | None:
    """The layout of a built file; None where none is, or it is damaged, or was built by others."""
    try:
        found = _build_of(path).get("version")
    except UNREADABLE:
        return None
    return found if isinstance(found, int) else None


def _up_to_date(output: _Output) -> bool:
    try:
        kept = _build_of(output.path)
    except UNREADABLE:
        return False  # missing or damaged: it is ours to build again
    return {name: value for name, value in kept.items() if name != "eras"} == output.build


def _built(path: Path, fresh: bool) -> BuiltFile:  # noqa: FBT001
    footer = pq.read_metadata(path)
    return BuiltFile(path=path, rows=footer.num_rows, eras=_about(footer)["eras"], fresh=fresh)
