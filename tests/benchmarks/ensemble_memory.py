"""Memory and time of a search over many candidates that lie in files, as `numerai-ray ensemble` carries it out.

    python tests/benchmarks/ensemble_memory.py [candidates eras rows]

Builds 500 files of out-of-fold predictions of 900 eras x 5,000 rows (10 GB, and as much scratch space, in TMPDIR) and a
data file with target and benchmark, then, in a process of its own, reads, sums, searches, confirms and judges. Prints
one line of JSON with the peak resident memory of that process and the seconds of each step; exits with 1 when the
memory is over its limit, which follows from the shape: products of candidates by era, a block of their columns, and so
many columns of all rows; and when the whole takes longer than its limit on an idle machine of two cores (`--busy`
leaves the time out of the verdict).
"""

import argparse
import json
import resource
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

sys.path.insert(0, str(Path(__file__).parents[2]))
sys.path.insert(0, str(Path(__file__).parents[1] / "support"))

from numerai_ray.config import Config
from numerai_ray.data.dataset import open_index
from numerai_ray.ensembles.candidates import Candidate
from numerai_ray.ensembles.confirmation import confirm, judge_gain
from numerai_ray.ensembles.evaluation import walk_forward
from numerai_ray.ensembles.panel import open_panel
from numerai_ray.ensembles.search import Limits
from numerai_ray.ensembles.statistics import BLOCK_BYTES, statistics_of
from numerai_ray.metrics.significance import verdict

GAP, USEFUL = 5, 4
# Python with its libraries; and columns of all rows, of 8 bytes: ids, target, benchmark, and those of finalists.
FIXED_BYTES, COLUMNS = 350e6, 50
# An hour of one core for the full shape; in proportion for others, and never under a minute.
FULL, FULL_S, LEAST_S = 500 * 900 * 5000, 3600.0, 60.0


def memory_limit(candidates: int, eras: int, rows: int) -> float:
    """Bytes: grows with candidates squared times eras, and with rows, but not with their product."""
    return FIXED_BYTES + 4 * candidates**2 * eras + 2 * BLOCK_BYTES + COLUMNS * 8 * eras * rows


def build(folder: Path, candidates: int, eras: int, rows: int) -> None:
    """The data's two files, and one of predictions for each candidate: a few that know a part of the target."""
    rng, n = np.random.default_rng(0), eras * rows
    labels = [f"{101 + era:04d}" for era in range(eras)]
    era = pa.DictionaryArray.from_arrays(np.repeat(np.arange(eras, dtype=np.int32), rows), labels).cast(pa.string())
    ids = pa.array(np.char.add("n", np.char.zfill(np.arange(n).astype("U9"), 9)))
    factors = rng.standard_normal((USEFUL, n), np.float32)
    benchmark = rng.standard_normal(n, np.float32)
    latent = 0.05 * (benchmark + factors.sum(axis=0)) + rng.standard_normal(n, np.float32)
    target = (np.digitize(latent, np.quantile(latent, (0.05, 0.25, 0.75, 0.95))) / 4).astype(np.float32)
    version = folder / "v5.2"
    version.mkdir()
    pq.write_table(pa.table({"id": ids, "era": era, "target_ender_20": target}), version / "full.parquet")
    beside = {"id": ids, "era": era, "v52_lgbm_ender20": benchmark}
    pq.write_table(pa.table(beside), version / "full_benchmark_models.parquet")
    for candidate in range(candidates):
        own = rng.standard_normal(n, np.float32)
        own += 0.4 * benchmark + (0.7 * factors[candidate] if candidate < USEFUL else 0)
        table = pa.table({"id": ids, "era": era, "prediction": own})
        # As experiments write theirs, but faster.
        encoded = {"id": "DELTA_BYTE_ARRAY", "prediction": "PLAIN"}
        pq.write_table(
            table, predictions(folder, candidate), use_dictionary=["era"], column_encoding=encoded, compression=None
        )


def predictions(folder: Path, candidate: int) -> Path:
    return folder / f"c{candidate}.parquet"


def searched(folder: Path, candidates: int, eras: int) -> dict[str, object]:
    """All that the command does between gathering candidates and writing its report."""
    seconds: dict[str, float] = {}
    began = time.perf_counter()

    def over(step: str) -> None:
        nonlocal began
        seconds[step] = round(time.perf_counter() - began, 1)
        began = time.perf_counter()

    config = Config.model_validate({"data": {"file": "full"}})
    numbers = tuple(range(101, 101 + eras))
    known = [
        Candidate(f"c{each}", folder, f"c{each}", "scout", predictions(folder, each), config, numbers)
        for each in range(candidates)
    ]
    index = open_index(folder, config.data)
    with open_panel(known, index, lambda _: None) as panel:
        over("read_s")
        stats = statistics_of(panel.scaled, panel.target, panel.benchmark, panel.eras, panel.era_starts)
        over("sums_s")
        found = walk_forward(stats, Limits(), GAP)
        over("search_s")
        exact = confirm(panel, stats, found)
        judged = judge_gain(panel, found, exact, GAP - 1, candidates)
        over("confirm_s")
    members = [f"c{each}" for each in found.delivered.blend.members]
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return {"peak_bytes": peak, "members": members, "verdict": verdict(judged.to_single), **seconds}


def measured(candidates: int, eras: int, rows: int, *, busy: bool) -> bool:
    with tempfile.TemporaryDirectory(prefix="ensemble-memory-") as name:
        folder, began = Path(name), time.perf_counter()
        # In processes of their own: what building took is not the search's.
        with ProcessPoolExecutor(1, get_context("spawn")) as pool:
            pool.submit(build, folder, candidates, eras, rows).result()
        built = time.perf_counter() - began
        with ProcessPoolExecutor(1, get_context("spawn")) as pool:
            found = pool.submit(searched, folder, candidates, eras).result()
    peak, limit = float(str(found.pop("peak_bytes"))), memory_limit(candidates, eras, rows)
    seconds = sum(value for key, value in found.items() if key.endswith("_s") and isinstance(value, float))
    limit_s = max(LEAST_S, FULL_S * candidates * eras * rows / FULL)
    passed = peak <= limit and (busy or seconds <= limit_s)
    told = {
        "shape": f"{candidates} candidates x {eras} eras x {rows:,} rows",
        "all_columns_gb": round(4 * candidates * eras * rows / 1e9, 2),
        "peak_gb": round(peak / 1e9, 2),
        "limit_gb": round(limit / 1e9, 2),
        "seconds": round(seconds, 1),
        "limit_s": round(limit_s, 1),
        **found,
        "build_s": round(built, 1),
        "busy": busy,
        "passed": passed,
    }
    print(json.dumps(told))
    return passed


def main() -> int:
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("shape", nargs="*", type=int, default=[500, 900, 5000], help="candidates, eras, rows an era")
    asked.add_argument("--busy", action="store_true", help="other programs run: the time decides nothing")
    given = asked.parse_args()
    return 0 if measured(*given.shape, busy=given.busy) else 1


if __name__ == "__main__":
    sys.exit(main())
