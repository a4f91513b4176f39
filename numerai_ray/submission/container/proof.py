"""Proof: the rows that an export is proved on, and the pipeline's own predictions for them."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from numerai_ray.data.dataset import Columns, DatasetIndex, load_features, open_parquet
from numerai_ray.data.eras import era_label
from numerai_ray.data.features import FeatureMatrix, values_seen
from numerai_ray.errors import DataError
from numerai_ray.system.files import whole_file
from numerai_ray.system.json_text import parse_json

PROOF_ERAS = 3


@dataclass(frozen=True, eq=False)
class ProofRows:
    """``index`` and ``columns`` of these eras alone; ``matrix`` has every feature that anything needs."""

    index: DatasetIndex
    columns: Columns
    matrix: FeatureMatrix


def proof_eras(index: DatasetIndex, columns: Columns) -> tuple[int, ...]:
    """The last eras in which every row knows all targets and benchmarks of ``columns``, at most three.

    Raises:
        DataError: there is none.

    """
    known = np.ones(index.n_rows, bool)
    for group in (columns.targets, columns.benchmarks):
        for values in group.values():
            known &= ~np.isnan(np.asarray(values))
    whole = np.logical_and.reduceat(known, index.era_starts[:-1])
    eras = tuple(era for era, good in zip(index.eras, whole, strict=True) if good)
    if not eras:
        names = ", ".join((*columns.targets, *columns.benchmarks))
        raise DataError(f"{index.path}: no era has {names} in every row, so there is nothing to prove a refit on")
    return eras[-PROOF_ERAS:]


def proof_rows(index: DatasetIndex, columns: Columns, features: Sequence[str], eras: Sequence[int]) -> ProofRows:
    """``eras`` cut out of a dataset.

    Raises:
        DataError: the features cannot be read.

    """
    rows = np.concatenate([np.arange(start, stop) for start, stop in index.row_ranges(eras)])
    starts = index.starts_of(eras).astype(np.int64)
    values = _values(index, features, rows)
    own = Columns(
        ids=columns.ids[rows],
        targets={name: each[rows] for name, each in columns.targets.items()},
        benchmarks={name: each[rows] for name, each in columns.benchmarks.items()},
    )
    matrix = FeatureMatrix(tuple(features), tuple(values), values_seen(values, starts))
    return ProofRows(replace(index, eras=tuple(eras), era_starts=starts, order=None), own, matrix)


def _values(index: DatasetIndex, features: Sequence[str], rows: npt.NDArray[np.int64]) -> npt.NDArray[np.int8]:
    """(features, rows) int8: only the row groups with these rows are read, where the file is in era order."""
    if index.order is not None:
        return np.stack([column[rows] for column in load_features(index, features).columns])
    file = open_parquet(index.path, "build it again")
    values = np.empty((len(features), len(rows)), np.int8)
    start = 0
    for group in range(file.num_row_groups):
        stop = start + file.metadata.row_group(group).num_rows
        inside = np.flatnonzero((rows >= start) & (rows < stop))
        if len(inside):
            table = file.read_row_group(group, columns=list(features))
            for position, name in enumerate(features):
                values[position, inside] = table.column(name).to_numpy()[rows[inside] - start]
        start = stop
    return values


EXPECTED = "expected_prediction"
_META = b"numerai_ray_proof"


@dataclass(frozen=True)
class Proof:
    """A read proof: ``table`` has id, era, features, benchmarks and the expected prediction."""

    table: pa.Table
    features: tuple[str, ...]
    benchmarks: tuple[str, ...]
    facts: Mapping[str, Any]

    @property
    def expected(self) -> npt.NDArray[np.float64]:
        return np.asarray(self.table.column(EXPECTED).to_numpy(), np.float64)

    @property
    def ids(self) -> list[str]:
        return [str(each) for each in self.table.column("id").to_pylist()]

    def write_live(self, features: Path, benchmarks: Path) -> None:
        """The rows as Numerai hands them to a pickle: id in the index, era, features; and the benchmark models."""
        _live(self.table.select(["id", "era", *self.features]), features)
        _live(self.table.select(["id", "era", *self.benchmarks]), benchmarks)


def proof_table(rows: ProofRows, features: Sequence[str], benchmarks: Sequence[str]) -> pa.Table:
    """The rows without the expected prediction."""
    index, columns, matrix = rows.index, rows.columns, rows.matrix.select(features)
    labels = np.repeat([era_label(era) for era in index.eras], np.diff(index.era_starts))
    data: dict[str, Any] = {"id": pa.array(columns.ids).cast(pa.string()), "era": pa.array(labels)}
    data |= dict(zip(features, matrix.columns, strict=True))
    data |= {name: columns.benchmarks[name] for name in benchmarks}
    return pa.table(data)


def write_proof(path: Path, proof: Proof) -> None:
    """Write a proof whole or not at all."""
    facts = {**proof.facts, "features": proof.features, "benchmarks": proof.benchmarks}
    table = proof.table.replace_schema_metadata({_META: json.dumps(facts).encode()})
    with whole_file(path) as partial:
        pq.write_table(table, partial, compression="zstd")


def read_proof(path: Path, pickle_sha256: str) -> Proof | None:
    """The proof beside a pickle; None when there is none.

    Raises:
        DataError: it is damaged, or belongs to another pickle.

    """
    if not path.exists():
        return None
    try:
        table = pq.read_table(path)
        facts = parse_json((table.schema.metadata or {})[_META])
        proof = Proof(table, tuple(facts["features"]), tuple(facts["benchmarks"]), facts)
    except (OSError, pa.ArrowException, ValueError, KeyError, TypeError) as error:
        raise DataError(f"{path}: is damaged ({str(error).splitlines()[0]}); export the model again") from None
    if facts.get("pickle_sha256") != pickle_sha256:
        raise DataError(f"{path}: belongs to another pickle; export the model again, or remove the proof")
    return proof


def _live(table: pa.Table, path: Path) -> None:
    table.to_pandas().set_index("id").to_parquet(path)
