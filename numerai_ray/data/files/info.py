"""What is under a data root, and what is wrong with it.

:func:`dataset_info` reads every parquet file of a version to its end, but for the features, which only ``deep`` reads.
As JSON (:func:`as_json`) its keys are, and stay::

    data_root, deep
    versions[]       version, path, synthetic (a market of our own)
      files[]        file, bytes, rows, row_groups, columns, features, eras {first, last, count}
                       (null: not a parquet file, or unreadable)
      feature_sets   name -> number of features
      labels_from    the files that the rows of targets and benchmarks are counted in
      targets[]      target, coverage, known_rows, missing_eras [[first, last], ...]
      benchmarks[]   benchmark, first_era, last_era, coverage, known_rows
      problems[]     kind, file, message

Coverage is a share of the labelled rows (not of data_type test or live) of train and validation, or of full.parquet
where these are not there; null where it cannot be told. ``missing_eras`` are those without a single value, as ranges of
eras that follow each other in the files. Benchmarks begin later than the targets: eras before the first one of any
benchmark file are no problem. Kinds of problems::

    missing_file, damaged_file, unfinished_file, missing_columns, missing_features, missing_targets, duplicate_ids,
    missing_ids, unsorted_eras, era_labels, feature_values, benchmark_eras, benchmark_ids, out_of_date,
    column_types, duplicate_columns, infinite_values
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from numerai_ray.data.files.problems import (
    FEATURES_FILE,
    LABELLED,
    PARTS,
    TRUTH_FILE,
    Ranges,
    Scans,
    benchmark_file,
    era_ranges,
    file_place,
    lost_benchmark_eras,
    meeting_eras,
    missing_columns,
    missing_files,
    old_builds,
    read_features_json,
    strange_benchmark_ids,
    with_next_steps,
)
from numerai_ray.data.files.scan import (
    FileScan,
    Finding,
    era_key,
    open_file,
    read_columns,
    read_features,
    values_to_read,
)


@dataclass(frozen=True)
class Span:
    """The eras of a file: labels of the first and the last one, and how many."""

    first: str
    last: str
    count: int


@dataclass(frozen=True)
class FileInfo:
    """One file; what cannot be told is None."""

    file: str
    bytes: int
    rows: int | None = None
    row_groups: int | None = None
    columns: int | None = None
    features: int | None = None
    eras: Span | None = None


@dataclass(frozen=True)
class TargetInfo:
    """How much is known of a target."""

    target: str
    coverage: float | None
    known_rows: int
    missing_eras: Ranges


@dataclass(frozen=True)
class BenchmarkInfo:
    """How much is known of a benchmark column; eras are None when it holds nothing."""

    benchmark: str
    first_era: str | None
    last_era: str | None
    coverage: float | None
    known_rows: int


@dataclass(frozen=True)
class VersionInfo:
    """One data version."""

    version: str
    path: str
    synthetic: bool
    files: tuple[FileInfo, ...]
    feature_sets: dict[str, int]
    labels_from: tuple[str, ...]
    targets: tuple[TargetInfo, ...]
    benchmarks: tuple[BenchmarkInfo, ...]
    problems: tuple[Finding, ...]


def versions_in(data_root: Path) -> list[str]:
    """Names of the folders that hold a features.json or a parquet file, sorted."""
    folders = (folder for folder in data_root.iterdir() if folder.is_dir())
    return sorted(f.name for f in folders if (f / FEATURES_FILE).exists() or any(f.glob("*.parquet")))


def dataset_info(
    version_dir: Path, *, deep: bool = False, on_values: Callable[[int, int], None] | None = None
) -> VersionInfo:
    """Look at one data version.

    Args:
        version_dir: the version's folder.
        deep: read every value of every feature as well.
        on_values: called as ``on_values(done, total)`` with values read.

    """
    sets, targets, findings = read_features_json(version_dir / FEATURES_FILE)
    features = {name for names in sets.values() for name in names}
    scans = {path.name: open_file(path, features) for path in sorted(version_dir.glob("*.parquet"))}
    findings += missing_files(version_dir)
    for scan in scans.values():
        findings += missing_columns(scan, sets, targets)
    findings += _read_all(scans, on_values, deep=deep)
    findings += [*lost_benchmark_eras(scans), *meeting_eras(scans), *old_builds(version_dir)]
    findings += [finding for scan in scans.values() for finding in scan.findings]
    sources = _labels_from(scans)
    files = [path for path in version_dir.iterdir() if path.is_file() and not path.name.startswith(".")]
    return VersionInfo(
        version=version_dir.name,
        path=str(version_dir),
        synthetic=(version_dir / TRUTH_FILE).exists(),
        files=tuple(_file_info(path, scans) for path in sorted(files, key=lambda path: file_place(path.name))),
        feature_sets={name: len(names) for name, names in sets.items()},
        labels_from=tuple(scan.path.name for scan in sources),
        targets=_targets(sources),
        benchmarks=_benchmarks(scans, sources),
        problems=with_next_steps(findings, version_dir),
    )


def _read_all(scans: Scans, on_values: Callable[[int, int], None] | None, *, deep: bool) -> list[Finding]:
    """Read every file to its end, a data file and its benchmarks after each other: then their ids are compared."""
    total = sum(values_to_read(scan, deep=deep) for scan in scans.values())
    done = 0

    def read(values: int) -> None:
        nonlocal done
        done += values
        if on_values is not None:
            on_values(done, total)

    findings: list[Finding] = []
    pairs = {part: (f"{part}.parquet", benchmark_file(part)) for part in PARTS}
    paired = {name for pair in pairs.values() for name in pair}
    for part, names in [*pairs.items(), *((None, (name,)) for name in scans if name not in paired)]:
        together = [scans[name] for name in names if name in scans]
        for scan in together:
            read_columns(scan, read)
            if deep:
                read_features(scan, read)
        if part is not None:
            findings += strange_benchmark_ids(scans, part)
        for scan in together:
            scan.hashes = np.empty(0, np.uint64)  # eight bytes a row, needed no more
    return findings


def as_json(data_root: Path, versions: Sequence[VersionInfo], *, deep: bool) -> dict[str, Any]:
    """The answer with the keys of the module's docstring."""
    return {"data_root": str(data_root), "deep": deep, "versions": [asdict(version) for version in versions]}


def _file_info(path: Path, scans: Scans) -> FileInfo:
    scan = scans.get(path.name)
    if scan is None or scan.rows is None:
        return FileInfo(path.name, path.stat().st_size)
    eras = sorted(scan.eras, key=era_key)
    span = Span(eras[0], eras[-1], len(eras)) if eras else None
    return FileInfo(path.name, scan.bytes, scan.rows, scan.row_groups, len(scan.columns), len(scan.features), span)


def _labels_from(scans: Scans) -> list[FileScan]:
    """The files that say how much is known: train and validation, else a built one, else what there is."""
    for names in (LABELLED, ("full.parquet",), ("downsampled_full.parquet",), LABELLED[:1], LABELLED[1:]):
        chosen = [scans[name] for name in names if name in scans and scans[name].complete]
        if len(chosen) == len(names):
            return chosen
    return []


def _targets(sources: Sequence[FileScan]) -> tuple[TargetInfo, ...]:
    names = dict.fromkeys(name for scan in sources for name in scan.columns if name.startswith("target"))
    rows = {era: rows for scan in sources for era, rows in scan.labelled.items() if rows}
    infos = []
    for name in names:
        known = _known(sources, name)
        missing = [era for era in rows if not known.get(era)]
        count = sum(known.values())
        infos.append(TargetInfo(name, _share(count, rows), count, era_ranges(missing, list(rows))))
    return tuple(infos)


def _benchmarks(scans: Scans, sources: Sequence[FileScan]) -> tuple[BenchmarkInfo, ...]:
    files = [scans.get(benchmark_file(scan.path.stem)) for scan in sources]
    there = [scan for scan in files if scan and scan.complete]
    names = dict.fromkeys(name for scan in there for name in scan.known)
    rows = {era: rows for scan in sources for era, rows in scan.labelled.items() if rows}
    infos = []
    for name in names:
        known = {era: min(count, rows[era]) for era, count in _known(there, name).items() if count and era in rows}
        eras = sorted(known, key=era_key)
        count = sum(known.values())
        coverage = _share(count, rows) if len(there) == len(sources) else None
        first, last = (eras[0], eras[-1]) if eras else (None, None)
        infos.append(BenchmarkInfo(name, first, last, coverage, count))
    return tuple(infos)


def _known(scans: Sequence[FileScan], column: str) -> dict[str, int]:
    known: dict[str, int] = {}
    for scan in scans:
        for era, count in scan.known.get(column, {}).items():
            known[era] = known.get(era, 0) + count
    return known


def _share(count: int, rows: dict[str, int]) -> float | None:
    return count / sum(rows.values()) if rows else None
