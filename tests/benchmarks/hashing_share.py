"""What digests cost of a ``data build``: the processor time that goes into them, as a share of the whole build's.

``python tests/benchmarks/hashing_share.py`` makes 16 eras x 5,000 rows x 3,555 features (deleted afterwards), builds
the full and downsampled files, and times whatever hashes while it does: processor seconds of its thread over those of
the whole process, which hardly depend on what else the machine does. It prints the median of several builds and exits
1 when that is above its limit. ``--quick`` takes a tenth of the features.
"""

import argparse
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

import random_market

from numerai_ray.data.digests import EraDigester
from numerai_ray.data.files import build as building

LIMIT = 0.05
TIMES = 5


@contextmanager
def clocked() -> Iterator[list[float]]:
    """Patch what makes and keeps digests while a build runs; the list fills with its processor seconds."""
    spent: list[float] = []

    def timed(call: Callable[..., Any]) -> Callable[..., Any]:
        def run(*args: Any, **named: Any) -> Any:
            began = time.thread_time()
            try:
                return call(*args, **named)
            finally:
                spent.append(time.thread_time() - began)

        return run

    with ExitStack() as patched:
        for name in ("add", "finish"):
            patched.enter_context(patch.object(EraDigester, name, timed(getattr(EraDigester, name))))
        patched.enter_context(patch.object(building, "write_digests", timed(building.write_digests)))
        # The hash of a file's bytes is not counted: whoever reads the file first makes it, with digests or without.
        patched.enter_context(patch.object(building, "file_fingerprint", lambda *_: ""))
        yield spent


def share_of(folder: Path) -> tuple[float, float]:
    """Processor seconds of one build from nothing, and what part of them goes into digests."""
    for path in {*folder.glob("*full*"), *folder.glob(".*.digests"), *folder.glob(".fingerprints.json")}:
        path.unlink()
    with clocked() as spent:
        began = time.process_time()
        building.build(folder)
        total = time.process_time() - began
    return total, sum(spent) / total


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args()
    work = Path(tempfile.mkdtemp(prefix="hashing-share-"))
    try:
        random_market.write(work, 16, 5000, 355 if options.quick else 3555)
        taken = [share_of(work) for _ in range(TIMES)]
        kept = sum(path.stat().st_size for path in work.glob(".*.digests"))
    finally:
        shutil.rmtree(work)
    seconds, share = (statistics.median(each) for each in zip(*taken, strict=True))
    print(f"a build takes {seconds:.2f} s of processor time; {kept / 1e6:.1f} MB of digests are kept")
    print(f"{share:.1%} of it goes into digests (limit {LIMIT:.0%}; from {min(s for _, s in taken):.1%} to", end=" ")
    print(f"{max(s for _, s in taken):.1%})")
    return 0 if share <= LIMIT else 1


if __name__ == "__main__":
    sys.exit(main())
