"""Files of decided variants: which are missing or damaged."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from numerai_ray.experiment.paths import ExperimentPaths
from numerai_ray.experiment.records import RoundRecord, VariantRecord
from numerai_ray.experiment.results import read_results

LEFT_OUT = "what it tells is left out"
AGAIN = "`numerai-ray run {}` makes it again where its fits are stored"


@dataclass(frozen=True)
class LostFile:
    """A file of a decided variant that is missing or damaged, and in which round it ran."""

    path: Path
    why: str
    variant: VariantRecord
    record: RoundRecord

    def __str__(self) -> str:
        return f"{self.path}: {self.why}"


def lost_files(paths: ExperimentPaths, history: Sequence[RoundRecord]) -> list[LostFile]:
    """What is not there of the files of variants with scores, each once, in the order in which they ran."""
    ran = {each.id: (each, record) for record in reversed(history) for each in record.variants if each.metrics}
    found = []
    for variant, record in reversed(ran.values()):
        for path, why in _wrong(paths, variant):
            found.append(LostFile(path, why, variant, record))
    return found


def _wrong(paths: ExperimentPaths, variant: VariantRecord) -> Iterator[tuple[Path, str]]:
    path, rows = paths.results(variant.id), None
    try:
        rows = (read_results(path).get("data") or {}).get("oof_rows")
    except FileNotFoundError:
        yield path, "missing"
    except (OSError, ValueError) as error:
        yield path, f"damaged ({error})"
    if variant.role == "benchmark":  # its predictions are a column of the benchmark file
        return
    import pyarrow.parquet as pq  # noqa: PLC0415 - who only needs this module's words does not wait for it

    from numerai_ray.data.columns import UNREADABLE  # noqa: PLC0415

    path = paths.predictions(variant.id)
    try:
        there = pq.read_metadata(path).num_rows
    except FileNotFoundError:
        yield path, "missing"
    except UNREADABLE:
        yield path, "damaged (not a readable parquet file)"
    else:
        if isinstance(rows, int) and there != rows:
            yield path, f"damaged ({there:,} rows where there were {rows:,})"
