"""What shows that a pickle is the model it claims to be: rows of live form, and our pipeline's predictions for them.

The proof lies beside the pickle (``model.proof.parquet``) and is all that a check needs: the last labelled eras of
the data, the features and benchmark columns that the model reads, and the expected prediction. A damaged or foreign
proof is told by its fingerprint of the pickle.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from numerai_ray.data.eras import era_label
from numerai_ray.errors import DataError
from numerai_ray.submission.proof_rows import ProofRows
from numerai_ray.system.files import whole_file
from numerai_ray.system.json_text import parse_json

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
