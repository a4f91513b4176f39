"""What digests cost of a ``data build``: its time with them against its time without, and the processor time of both.

``python tests/benchmarks/hashing_share.py`` makes 60 eras x 5,000 rows x 1,000 features (deleted afterwards) and builds
the full and downsampled files with and without digests in turn. It prints the best times of each and exits 1 when
digests make a build longer by more than their limit: while one thread encodes and writes, the other has time to hash.
``--quick`` takes a tenth of the features.
"""

import argparse
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from unittest.mock import patch

import random_market

from numerai_ray.data.files import build as building

LIMIT = 0.05
TIMES = 3


class NoDigests:
    """In the place of what hashes, and hashes nothing."""

    def __init__(self, *_: Any):
        self.eras = ()

    def add(self, *_: Any) -> None:
        """Let rows pass."""

    def finish(self) -> "NoDigests":
        return self

    def at(self, *_: Any) -> "NoDigests":
        return self


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args()
    work = Path(tempfile.mkdtemp(prefix="hashing-share-"))
    try:
        random_market.write(work, 60, 5000, 100 if options.quick else 1000)
        return compare(work)
    finally:
        shutil.rmtree(work)


def compare(folder: Path) -> int:
    taken: dict[bool, list[tuple[float, float]]] = {True: [], False: []}
    kept = 0
    for _ in range(TIMES):
        for hashed in (True, False):
            taken[hashed].append(timed(folder, hashed))
            kept = max(kept, sum(path.stat().st_size for path in folder.glob(".*.digests")))
    (wall, cores), (bare_wall, bare_cores) = ([min(each) for each in zip(*taken[key], strict=True)] for key in taken)
    share = max(0.0, wall / bare_wall - 1)
    print(f"a build without digests takes {bare_wall:.2f} s and {bare_cores:.2f} s of processor time")
    print(f"with them {wall:.2f} s and {cores:.2f} s; {kept / 1e6:.1f} MB are kept")
    print(
        f"they cost {share:.1%} of its time (limit {LIMIT:.0%}) and {cores / bare_cores - 1:.1%} of its processor time"
    )
    return 0 if share <= LIMIT else 1


def timed(folder: Path, hashed: bool) -> tuple[float, float]:
    """Seconds, and seconds of processor time, of one build from nothing."""
    for path in (*folder.glob("*full*"), *folder.glob(".*.digests"), *folder.glob(".fingerprints.json")):
        path.unlink(missing_ok=True)
    nothing: Callable[..., Any] = lambda *_: ""  # noqa: E731
    with ExitStack() as patched:
        # The hash of a file's bytes is not counted: whoever reads it first makes it, with digests or without.
        patched.enter_context(patch.object(building, "file_fingerprint", nothing))
        if not hashed:
            for name, other in (("EraDigester", NoDigests), ("write_digests", nothing)):
                patched.enter_context(patch.object(building, name, other))
        wall, cores = time.monotonic(), time.process_time()
        building.build(folder)
        return time.monotonic() - wall, time.process_time() - cores


if __name__ == "__main__":
    sys.exit(main())
