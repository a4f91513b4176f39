"""What a fit holds of LightGBM's bins, in four ways: why each fit cuts its own rows out of the shared copy.

``python tests/benchmarks/copies_of_bins.py`` makes bins of 384,000 x 400 (77 MB), and for each way takes the training
and validation rows of the largest of five expanding folds, one and two fits at once, in a process of its own:

* a copy a process: all bins loaded through a memory file, the fit's rows as a subset of it;
* one copy a node: the same, with several boosters in one process, which then share its one number of threads;
* own rows: the rows that the fit trains on alone, cut out while LightGBM reads; those to predict are read a block at a
  time (``validation_scores.py``);
* a byte a bin: own rows in twice the memory, as fits have them where that is little (``resource_plan``).

Prints peak memory in times the bins, at one fit (loading included, which takes twice what is kept) and for each further
one, and seconds; then what trees take of either form of own rows, two fits side by side on a thread each. Exits 1 when
a further fit on own rows takes more than 1.25 times the bins, own rows are not the cheapest at every number of fits, or
trees are not grown in .95 of the time at a byte a bin.
"""

import json
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import suppress
from pathlib import Path
from statistics import median

import lightgbm as lgb
import numpy as np
import psutil
import pyarrow as pa

from numerai_ray.models.binned_rows import StoredBytes, through_memory_file
from numerai_ray.models.shared_bins import SharedBins

ROWS, FEATURES = 384_000, 400
LIMIT, TREES_LIMIT = 1.25, 0.95
PARAMS = {"verbosity": -1, "feature_pre_filter": False, "deterministic": True, "force_col_wise": True, "num_threads": 1}
TRAIN, VALIDATION = np.arange(0, ROWS * 4 // 5), np.arange(ROWS * 4 // 5, ROWS)
WAYS = ("a copy a process", "one copy a node", "own rows")
WIDE = "a byte a bin"
TREES = {"objective": "regression", "num_leaves": 31, "feature_fraction": 0.1, "min_data_in_leaf": 1000, "seed": 1}
TURNS, TREES_A_TURN = 12, 5


def make(path: Path) -> None:
    rng = np.random.default_rng(0)
    columns = [pa.array(rng.integers(0, 5, ROWS, dtype=np.int8)) for _ in range(FEATURES)]
    table = pa.Table.from_arrays(columns, names=[f"feature_{i}" for i in range(FEATURES)])
    lgb.Dataset(table, np.zeros(ROWS, np.float32), params=PARAMS).construct().save_binary(path)


def private_bytes() -> int:
    """Anonymous memory of this process; the shared copy, a mapped file, does not count."""
    status = Path("/proc/self/status").read_text()
    return int(status.split("RssAnon:")[1].split()[0]) * 1024


def rows_of(whole: lgb.Dataset, rows: np.ndarray) -> lgb.Dataset:
    subset = whole.subset([])
    subset.used_indices = rows.astype(np.int32)
    return subset.construct()


def memory_files() -> int:
    """Bytes of memory files that are open: nobody has to map them for them to take memory."""
    found = 0
    for path in Path("/proc/self/fd").iterdir():
        with suppress(OSError):  # closed since
            if "memfd" in str(path.readlink()):
                found += path.stat().st_blocks * 512
    return found


def hold(way: str, path: Path, fits: int) -> None:
    """Take the rows of so many fits; prints the peak above what the process had before, and seconds."""
    stored = StoredBytes([np.asarray(np.memmap(path, np.uint8, "r"))])
    before, peak, done = private_bytes(), 0, threading.Event()

    def sample() -> None:
        nonlocal peak
        while not done.wait(0.002):
            peak = max(peak, private_bytes() + memory_files() - before)

    sampler = threading.Thread(target=sample)
    sampler.start()
    started = time.perf_counter()
    held: list[list[lgb.Dataset]] = []
    if way in ("own rows", WIDE):
        for _ in range(fits):
            bins = SharedBins(stored, PARAMS, wide=way == WIDE)
            held.append([bins.rows(TRAIN)])
    else:
        whole = through_memory_file(stored.chunks(), PARAMS)
        held += [[rows_of(whole, TRAIN), rows_of(whole, VALIDATION)] for _ in range(fits)]
    seconds = time.perf_counter() - started
    time.sleep(0.05)
    done.set()
    sampler.join()
    print(json.dumps({"bytes": peak, "seconds": seconds}))


def grow(path: Path) -> None:
    """Grow trees on four bits and on a byte a bin in turns; prints the median seconds of a tree of each."""
    stored = StoredBytes([np.asarray(np.memmap(path, np.uint8, "r"))])
    target = np.random.default_rng(1).normal(size=len(TRAIN)).astype(np.float32)
    took: dict[bool, list[float]] = {False: [], True: []}
    rows = {wide: SharedBins(stored, PARAMS, wide=wide).rows(TRAIN).set_label(target) for wide in took}
    boosters = {wide: lgb.Booster({**PARAMS, **TREES}, each) for wide, each in rows.items()}
    for _ in range(TURNS):
        for wide, booster in boosters.items():
            started = time.perf_counter()
            for _ in range(TREES_A_TURN):
                booster.update()
            took[wide].append((time.perf_counter() - started) / TREES_A_TURN)
    print(json.dumps([median(seconds) for seconds in took.values()]))


def tree_seconds(path: Path) -> tuple[float, float]:
    """Of a tree on four bits and on a byte a bin, two fits side by side."""
    command = [sys.executable, __file__, "grow", str(path)]
    both = [subprocess.Popen(command, stdout=subprocess.PIPE) for _ in range(2)]
    found = np.array([json.loads(each.communicate()[0]) for each in both]).mean(axis=0)
    return float(found[0]), float(found[1])


def main() -> int:
    if len(sys.argv) > 1:
        if sys.argv[1] == "grow":
            grow(Path(sys.argv[2]))
        else:
            hold(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]))
        return 0
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "bins"
        make(path)
        size = path.stat().st_size
        found = {}
        for way in (*WAYS, WIDE):
            for fits in (1, 2):
                command = [sys.executable, __file__, way, str(path), str(fits)]
                found[way, fits] = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)
        narrow, wide = tree_seconds(path)
    print(f"bins of {ROWS:,} x {FEATURES}: {size / 1e6:.0f} MB; {psutil.cpu_count()} cores")
    cost = {}
    for way in (*WAYS, WIDE):
        one, two = (found[way, fits]["bytes"] / size for fits in (1, 2))
        more = one if way == "a copy a process" else two - one  # another process holds it all again
        cost[way] = (one, more)
        print(
            f"{way:18} {one:.2f} x the bins at one fit, {more:.2f} x each more; {found[way, 1]['seconds']:.2f} s a fit"
        )
    cheapest = all(
        cost["own rows"][0] + n * cost["own rows"][1] <= cost[way][0] + n * cost[way][1]
        for way in WAYS
        for n in range(16)
    )
    most = cost["own rows"][1]
    print(f"own rows: {most:.2f} x each more (limit {LIMIT} x), the cheapest at 1 to 16 fits: {cheapest}")
    print(
        f"a tree takes {narrow * 1000:.0f} ms of own rows and {wide * 1000:.0f} ms at a byte a bin: "
        f"{wide / narrow:.2f} x (limit {TREES_LIMIT} x)"
    )
    return 0 if most <= LIMIT and cheapest and wide <= TREES_LIMIT * narrow else 1


if __name__ == "__main__":
    sys.exit(main())
