"""What may be wrong with a data version, beyond what one file says about itself; each check gives its findings."""

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from numerai_ray.data.files.build import SOURCES, out_of_date
from numerai_ray.data.files.scan import FileScan, Finding, era_key
from numerai_ray.system.files import read_plain_text
from numerai_ray.system.json_text import parse_json

FEATURES_FILE = "features.json"
TRUTH_FILE = "market_truth.json"  # beside a synthetic market
PARTS = ("train", "validation", "live", "full", "downsampled_full")
LABELLED = ("train.parquet", "validation.parquet")
# Without these nothing can be trained, scored and submitted. More may be there.
ORDER = (
    FEATURES_FILE,
    *(f"{part}.parquet" for part in PARTS[:3]),
    *(f"{part}_benchmark_models.parquet" for part in PARTS[:3]),
    *SOURCES,
)

# What another program wrote otherwise: its message says how to write it.
_MENDABLE = ("column_types", "duplicate_columns", "infinite_values")

Scans = Mapping[str, FileScan]
Ranges = tuple[tuple[str, str], ...]


def benchmark_file(part: str) -> str:
    """Name of the file with the benchmarks of ``part``'s rows."""
    return f"{part}_benchmark_models.parquet"


def read_features_json(path: Path) -> tuple[dict[str, list[str]], list[str], list[Finding]]:
    """Feature sets and targets that features.json names, empty when it cannot be read, and why it cannot."""
    try:
        content = parse_json(read_plain_text(path))
    except FileNotFoundError:
        return {}, [], []  # a missing file, told elsewhere
    except (OSError, ValueError) as error:
        return {}, [], [Finding("damaged_file", path.name, f"it cannot be read as JSON ({error})")]
    sets = content.get("feature_sets") if isinstance(content, dict) else None
    targets = content.get("targets", []) if isinstance(content, dict) else []
    if not (isinstance(sets, dict) and all(_names(each) for each in sets.values()) and _names(targets)):
        rule = "it must hold 'feature_sets', and may hold 'targets', as lists of names, but does not"
        return {}, [], [Finding("damaged_file", path.name, rule)]
    return sets, targets, []


def _names(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(name, str) for name in value)


def missing_files(version_dir: Path) -> Iterator[Finding]:
    for name in ORDER:
        if not (version_dir / name).exists():
            yield Finding("missing_file", name, "it is not there")
    for path in sorted(version_dir.glob(".*.partial")):
        yield Finding("unfinished_file", path.name, "it was not written to its end, unless that still goes on")
    for path in sorted(version_dir.glob(".*.part")):
        yield Finding("unfinished_file", path.name, "it was not downloaded to its end, unless that still goes on")


def missing_columns(scan: FileScan, sets: Mapping[str, Sequence[str]], targets: Sequence[str]) -> Iterator[Finding]:
    """What a file must have by its name: ids and eras, and the features and targets of features.json."""
    name = scan.path.name
    part = name.removesuffix(".parquet").removesuffix("_benchmark_models")
    if scan.rows is None or part not in PARTS:
        return
    there = set(scan.columns)
    required = ("id", "era", "data_type") if name == "validation.parquet" else ("id", "era")
    for column in required:
        if column not in there:
            yield Finding("missing_columns", name, f"it has no column {column!r}")
    if name == benchmark_file(part):
        return
    features = dict.fromkeys(feature for names in sets.values() for feature in names)
    gone = [feature for feature in features if feature not in there]
    if gone:
        hit = ", ".join(each for each, names in sets.items() if not there.issuperset(names))
        sentence = f"{len(gone):,} of {len(features):,} features of {FEATURES_FILE} are not in it"
        yield Finding("missing_features", name, f"{sentence}, the first is {gone[0]!r} (in the sets {hit})")
    gone = [target for target in targets if target not in there]
    if gone and part != "live":
        sentence = f"{len(gone):,} of {len(targets):,} targets of {FEATURES_FILE} are not in it"
        yield Finding("missing_targets", name, f"{sentence}, the first is {gone[0]!r}")


def strange_benchmark_ids(scans: Scans, part: str) -> Iterator[Finding]:
    """Benchmark rows of eras that the data file has, with ids that it does not have; needs both files' hashes."""
    main, benchmark = _pair(scans, part)
    if main is None or benchmark is None:
        return
    newer = sum(rows for era, rows in benchmark.eras.items() if era not in main.eras)  # files grow one by one
    after = np.searchsorted(main.hashes, benchmark.hashes, side="right")
    known = (after > 0) & (main.hashes[after - 1] == benchmark.hashes) if len(main.hashes) else after > 0
    strangers = int((~known).sum()) - newer
    if strangers > 0:
        yield Finding("benchmark_ids", benchmark.path.name, f"{strangers:,} of its ids are not in {main.path.name}")


def lost_benchmark_eras(scans: Scans) -> Iterator[Finding]:
    """Labelled eras without all their benchmark rows, from the first era on that any benchmark file has."""
    pairs = [_pair(scans, part) for part in PARTS]
    since = min((era_key(era) for _, benchmark in pairs if benchmark for era in benchmark.eras), default=math.inf)
    for main, benchmark in pairs:
        if main is None or benchmark is None:
            continue
        due = {era: rows for era, rows in main.labelled.items() if rows and era_key(era) >= since}
        lost = [era for era in due if era not in benchmark.eras]
        short = [era for era, rows in due.items() if 0 < benchmark.eras.get(era, 0) < rows]
        for eras, what in ((lost, "it lacks"), (short, "it lacks rows of")):
            if eras:
                where = ranges_text(era_ranges(eras, list(main.labelled)))
                sentence = f"{what} {len(eras):,} eras of {main.path.name}: {where}"
                yield Finding("benchmark_eras", benchmark.path.name, sentence)


def _pair(scans: Scans, part: str) -> tuple[FileScan | None, FileScan | None]:
    """A data file and its benchmarks; None, None unless both were read to the end."""
    main, benchmark = scans.get(f"{part}.parquet"), scans.get(benchmark_file(part))
    return (main, benchmark) if main and benchmark and main.complete and benchmark.complete else (None, None)


def meeting_eras(scans: Scans) -> Iterator[Finding]:
    train, validation = (scans.get(name) for name in LABELLED)
    if train and validation and train.eras and validation.eras:
        last, first = max(train.eras, key=era_key), min(validation.eras, key=era_key)
        if era_key(first) <= era_key(last):
            sentence = f"it begins with era {first}, but must begin after {last}, the last one of {train.path.name}"
            yield Finding("unsorted_eras", validation.path.name, sentence)


def old_builds(version_dir: Path) -> Iterator[Finding]:
    for name in SOURCES:
        reason = out_of_date(version_dir / name) if (version_dir / name).exists() else None
        if reason:
            yield Finding("out_of_date", name, f"it {reason}")


def with_next_steps(findings: Sequence[Finding], version_dir: Path) -> tuple[Finding, ...]:
    """The findings in the order of the files, each with what to do about it."""
    build = f"run `numerai-ray data build --version {version_dir.name}`"
    made = "synth --out DIR" if (version_dir / TRUTH_FILE).exists() else "download"
    get = f"run `numerai-ray data {made} --version {version_dir.name}`"

    def step(finding: Finding) -> str:
        again = build if finding.file in SOURCES else get
        if finding.kind in ("missing_file", "out_of_date") or finding.file.endswith(".part"):
            return again
        if finding.kind in _MENDABLE:
            return f"or delete it and {again}"
        return "delete it" if finding.kind == "unfinished_file" else f"delete it and {again}"

    ordered = sorted(findings, key=lambda finding: file_place(finding.file))
    return tuple(Finding(each.kind, each.file, f"{each.message}; {step(each)}") for each in ordered)


def file_place(name: str) -> tuple[int, str]:
    """What files are sorted by: those that must be there first, in a reader's order."""
    return ORDER.index(name) if name in ORDER else len(ORDER), name


def era_ranges(eras: Sequence[str], among: Sequence[str]) -> Ranges:
    """``eras`` as ranges (first, last) of labels that follow each other in ``among``."""
    places = {era: place for place, era in enumerate(among)}
    ranges: list[tuple[str, str]] = []
    for era in eras:
        if ranges and places[ranges[-1][1]] + 1 == places[era]:
            ranges[-1] = (ranges[-1][0], era)
        else:
            ranges.append((era, era))
    return tuple(ranges)


def ranges_text(ranges: Ranges) -> str:
    """Ranges of eras as people write them: ``0001–0157, 0400``."""
    return ", ".join(first if first == last else f"{first}–{last}" for first, last in ranges)
