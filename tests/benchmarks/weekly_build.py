"""What ``data build`` spends on a new week, with the files of the week before and without them.

``python tests/benchmarks/weekly_build.py`` makes 400 eras x 1,000 rows x 1,500 features (0.6 GB of int8; deleted
afterwards) as they stood in one week and in the next: an era more, and late labels of two other eras filled in. It
builds the second week three times over the first one's files and three times from nothing, by turns, and prints the
processor seconds of both (medians), how many row groups were taken over, and whether the files hold the same. It exits
1 when they do not, or when less than 30 % of the time was won.
"""

import shutil
import statistics
import sys
import time
from pathlib import Path
from unittest.mock import patch

import pyarrow.parquet as pq
import random_market
from build_speed import FILES, same

sys.path.insert(0, str(Path(__file__).parents[1] / "support"))
from weeks import as_of

from numerai_ray.data.files.build import build
from numerai_ray.data.files.earlier import Earlier

LARGEST_SHARE = 0.7
TIMES = 3


def seconds_of(folder: Path, earlier: Path | None) -> float:
    """Processor seconds of all threads of a build in ``folder``, over the built files of ``earlier``."""
    for path in {*folder.glob("*full*"), *folder.glob(".*.digests"), *folder.glob(".fingerprints.json")}:
        path.unlink()
    if earlier is not None:
        for path in {*earlier.glob("*full*"), *earlier.glob(".*.digests"), *earlier.glob(".fingerprints.json")}:
            shutil.copy2(path, folder)
    began = time.process_time()
    build(folder)
    return time.process_time() - began


def compare(work: Path, eras: int, rows: int, features: int) -> int:
    random_market.write(work / "market", eras, rows, features)
    before, now, fresh = (work / name for name in ("before", "now", "fresh"))
    as_of(work / "market", before, eras - 6)
    build(before)
    for folder in (now, fresh):
        as_of(work / "market", folder, eras - 5)
    shutil.rmtree(work / "market")
    copied: list[int] = []
    copy = Earlier.copy
    with patch.object(Earlier, "copy", lambda self, sink, groups: (copied.append(groups), copy(self, sink, groups))):
        pairs = [(seconds_of(now, before), seconds_of(fresh, None)) for _ in range(TIMES)]
    over, nothing = (statistics.median(each) for each in zip(*pairs, strict=True))
    groups = sum(pq.read_metadata(now / f"{name}.parquet").num_row_groups for name in FILES)
    equal = all(same(now / f"{name}.parquet", fresh / f"{name}.parquet") for name in FILES)
    values = eras * rows * features
    print(f"{eras} eras x {rows:,} rows x {features} features: {values / 1e9:.2f} GB of int8")
    print(f"from nothing                  {nothing:6.1f} s of processor time, {nothing / values * 1e9:.1f} ns a value")
    print(f"over the week before's files  {over:6.1f} s, {over / values * 1e9:.1f} ns a value", end="")
    print(f": {over / nothing:.0%} (limit {LARGEST_SHARE:.0%})")
    print(f"{sum(copied) // TIMES} of {groups} row groups taken over; the same contents: {equal}")
    return 0 if equal and over <= LARGEST_SHARE * nothing else 1


if __name__ == "__main__":
    sys.exit(random_market.compared(__doc__, compare, (400, 1000, 1500)))
