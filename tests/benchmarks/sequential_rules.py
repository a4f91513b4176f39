"""How often live eras are called worse than promised: when the market goes on as before, and when it stops paying.

    python tests/benchmarks/sequential_rules.py [--markets 1000]

A market is what a search measured (a mean per-era difference over its eras) and the weeks after it, looked at every
week for four years, through the same code as ``recheck`` and ``follow``. In each of several shapes (how many eras were
searched, how labels overlap, tails of the noise, the best of how many equal variants was chosen):

- it goes on as before: "worse than promised", ever said, is a false alarm; so is an interval that ever leaves out
  the true mean;
- it stops paying after the decision: how many are told within the number of eras that the power calculation gives.

Prints one line of JSON; exits with 1 when a shape has more than 6.5 % false alarms (10 % + 3 % for the interval, whose
sides are 5 % each), or tells less than 80 % within the eras of the power calculation.
"""

import argparse
import json
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[2]))
from numerai_ray.metrics.sequential import eras_needed, judge_live, promise_of
from numerai_ray.metrics.significance import Series

WEEKS = 208
LARGEST_FALSE_SHARE, LARGEST_MISSED_SHARE, SMALLEST_TOLD_SHARE = 0.065, 0.13, 0.80
STD = 0.005  # of one era's difference, as on real data


@dataclass(frozen=True)
class Shape:
    """``eras`` searched, every ``step``-th week; labels overlap ``overlap`` later weeks; gain in standard errors."""

    eras: int
    step: int = 1
    overlap: int = 4
    own: float = 0.3  # share of an era's variance that does not overlap
    tails: float = np.inf  # degrees of freedom of the weekly shocks
    looks: int = 1
    gain: float = 6.0

    @property
    def name(self) -> str:
        extra = f", best of {self.looks}" if self.looks > 1 else ""
        tails = f", t{self.tails:.0f}" if np.isfinite(self.tails) else ""
        return f"{self.eras} eras, every {self.step}., overlap {self.overlap}{tails}{extra}"

    def noise(self, rng: np.random.Generator, weeks: int, k: int) -> np.ndarray:
        """(weeks, k) of standard deviation STD: sums of the weekly shocks that each label covers, and an own part."""
        covered = np.lib.stride_tricks.sliding_window_view(
            self._shocks(rng, weeks + self.overlap, k), self.overlap + 1, 0
        )
        shared = covered.sum(axis=-1) / np.sqrt(self.overlap + 1)
        return STD * (np.sqrt(1 - self.own) * shared + np.sqrt(self.own) * self._shocks(rng, weeks, k))

    def _shocks(self, rng: np.random.Generator, weeks: int, k: int) -> np.ndarray:
        if np.isinf(self.tails):
            return rng.standard_normal((weeks, k))
        return rng.standard_t(self.tails, (weeks, k)) / np.sqrt(self.tails / (self.tails - 2))


SHAPES = (
    Shape(200),
    Shape(900, gain=10.0),
    Shape(225, step=4, own=0.5, gain=10.0),
    Shape(200, overlap=12),
    Shape(400, tails=4, gain=8.0),
    Shape(400, looks=12, gain=8.0),
)


def market(shape: Shape, seed: int) -> tuple[float, Series, np.ndarray, np.ndarray]:
    """True mean, what the search saw of the one it chose, weeks after it, and their noise."""
    rng = np.random.default_rng([seed, shape.eras, shape.overlap, shape.looks])
    before = shape.eras * shape.step
    noise = shape.noise(rng, before + WEEKS, shape.looks)
    error = STD * np.sqrt(((1 - shape.own) * max(1, (shape.overlap + 1) / shape.step) + shape.own) / shape.eras)
    gain = shape.gain * error
    seen = noise[: before : shape.step]
    best = int(seen.mean(axis=0).argmax())
    weeks = np.arange(before, before + WEEKS)[:: shape.step]
    past = Series(np.arange(before)[:: shape.step].tolist(), gain + seen[:, best])
    return gain, past, weeks, noise[before :: shape.step, best]


def measured(shape: Shape, markets: int) -> dict[str, object]:
    """Shares of markets of one shape."""
    false = missed = told = possible = 0
    needed_eras = []
    for seed in range(markets):
        gain, past, weeks, noise = market(shape, seed)
        promise = promise_of(past, shape.overlap, shape.looks)
        assert promise is not None
        on = judge_live(Series(weeks.tolist(), gain + noise), promise)
        false += on.word == "worse than promised"
        missed += bool(((on.low > gain) | (on.high < gain)).any())
        needed = eras_needed(promise, step=shape.step)
        if needed is None or needed > len(weeks):
            continue
        possible += 1
        needed_eras.append(needed)
        off = judge_live(Series(weeks.tolist()[:needed], noise[:needed]), promise)
        told += off.worse_since is not None
    return {
        "shape": shape.name,
        "false_alarms": round(false / markets, 4),
        "interval_misses": round(missed / markets, 4),
        "power_known_in": possible,
        "eras_needed_median": float(np.median(needed_eras)) if needed_eras else None,
        "told_within": round(told / possible, 4) if possible else None,
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--markets", type=int, default=1000)
    markets = parser.parse_args().markets
    rows = [measured(shape, markets) for shape in SHAPES]
    bad = [
        row["shape"]
        for row in rows
        if row["false_alarms"] > LARGEST_FALSE_SHARE
        or row["interval_misses"] > LARGEST_MISSED_SHARE
        or row["told_within"] is None
        or row["told_within"] < SMALLEST_TOLD_SHARE
    ]
    print(json.dumps({"markets": markets, "rows": rows, "beyond": bad}))
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
