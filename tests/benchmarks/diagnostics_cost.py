"""What looking at a variant costs: seconds and memory of exposures, feature-neutral CORR and reading, per variant.

    python tests/benchmarks/diagnostics_cost.py

A file of 24 eras of 2,400 rows with all 2,748 features, two eras a row group; one prediction; one core. Prints one line
of JSON: the measured seconds, what part of them is reading, the peak of memory over that before, and what the seconds
come to for a variant at full size (300 of its eras, 6,250 rows each), where cost grows with the values looked at.
"""

import json
import os
import resource
import sys
import tempfile
import time
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"
os.environ["OPENBLAS_NUM_THREADS"] = "1"

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

sys.path.insert(0, str(Path(__file__).parents[2]))
from numerai_ray.config import Config
from numerai_ray.data.dataset import Columns, open_index
from numerai_ray.data.era_slabs import era_slabs
from numerai_ray.data.eras import Fold, Folds
from numerai_ray.training.diagnostics import MOST_ERAS, diagnose_fold
from numerai_ray.training.spec import Diagnosed, VariantPlan

ERAS, ROWS, FEATURES, NEUTRAL = 24, 2_400, 2_748, 400
FULL_ROWS = 6_250


def write(path: Path, names: list[str]) -> None:
    """A file as Numerai's: int8 features, eras in order."""
    rng = np.random.default_rng(0)
    schema = pa.schema([("id", pa.string()), ("era", pa.string()), *((name, pa.int8()) for name in names)])
    with pq.ParquetWriter(path, schema) as writer:
        for first in range(1, ERAS + 1, 2):
            eras = np.repeat([f"{first:04d}", f"{first + 1:04d}"], ROWS)
            ids = [f"n{first:04d}{row:011x}" for row in range(len(eras))]
            features = [rng.integers(0, 5, len(eras), dtype=np.int8) for _ in names]
            writer.write_table(pa.table([ids, eras, *features], schema=schema))


def main() -> None:
    names = [f"feature_{place}" for place in range(FEATURES)]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "full.parquet"
        write(path, names)
        config = Config.model_validate({"data": {"path": str(path), "benchmark_path": str(path)}})
        index = open_index(Path(folder), config.data)
        rng = np.random.default_rng(1)
        prediction = rng.normal(size=index.n_rows)
        columns = Columns(np.empty(index.n_rows, "S16"), {config.score.target: rng.random(index.n_rows)}, {})
        folds = Folds((Fold(0, (), index.eras),), ())
        needs = Diagnosed(tuple(names), "neutral", tuple(names[:NEUTRAL]))
        plan = VariantPlan("v", "v", config, index, folds, (), (), diagnosed=needs)
        started = time.perf_counter()
        for _ in era_slabs(index, names, index.eras):
            pass
        reading = time.perf_counter() - started
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        started = time.perf_counter()
        diagnose_fold(plan, 0, [prediction], columns)
        took = time.perf_counter() - started
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    values = ERAS * ROWS * FEATURES
    full = MOST_ERAS * FULL_ROWS * FEATURES
    report = {
        "values": values,
        "seconds": round(took, 2),
        "of_which_reading": round(reading, 2),
        "million_values_a_second": round(values / took / 1e6),
        "row_group_mb": round(2 * ROWS * FEATURES / 1e6, 1),
        "more_than_reading_mb": round((peak - before) / 1e6, 1),
        "core_seconds_a_variant_at_full_size": round(full / values * took),
    }
    print(json.dumps(report))


if __name__ == "__main__":
    main()
