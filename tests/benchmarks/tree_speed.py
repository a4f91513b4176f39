"""How much faster our trees grow than LightGBM's, the same trees on the same rows.

``python tests/benchmarks/tree_speed.py`` takes several minutes and 3 GB; ``--cases w deep`` measures some cases
only, ``--quick`` a sixteenth of the rows, a fourth of the columns and few trees, for which there are no limits.

Each tree is grown twice, one engine after the other in one process on one thread, and the ratio is that of CPU seconds,
tree by tree, of which the median counts: a neighbour's burst of work then hits neither alone. LightGBM trains on a
``Dataset`` of the int8 columns, column by column, as is its faster way for so few values. Then the same on two threads
of ours against one, by the clock: leave two cores alone for that. Last, what other libraries take for a tree on the
first case. Exits with 1 when a ratio is under its limit, or a tree is another one than LightGBM's.
"""

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import median
from typing import Any

import lightgbm as lgb
import numpy as np
import psutil
import pyarrow as pa

sys.path.insert(0, str(Path(__file__).parents[2]))
from numerai_ray.trees.forest import Forest
from numerai_ray.trees.grower import Grower, Settings, TrainingRows
from numerai_ray.trees.growing import warm_up
from numerai_ray.trees.model_text import model_text

ERA_ROWS, FACTORS, KNOWN_FEATURES = 1_200, 12, 40
BORDERS = (-0.9, -0.27, 0.27, 0.9)
TWO_THREADS_LIMIT = 1.6
QUICK_TREES = 6


@dataclass(frozen=True)
class Case:
    """Rows, settings, and how often faster than LightGBM our trees must be."""

    name: str
    limit: float | None
    trees: int
    rows: int = 384_000
    features: int = 400
    weighted: bool = False
    settings: dict[str, Any] = field(default_factory=dict)

    @property
    def all_settings(self) -> dict[str, Any]:
        usual = {"num_leaves": 31, "min_data_in_leaf": 500, "learning_rate": 0.05, "feature_fraction": 0.1}
        return usual | self.settings

    def quick(self) -> "Case":
        return replace(self, rows=self.rows // 16, features=self.features // 4, trees=QUICK_TREES, limit=None)


DEEP = {"num_leaves": 1024, "min_data_in_leaf": 1000}
CASES = [
    Case("w", 5, 400),
    Case("depth5", 5, 60, settings={"max_depth": 5}),
    Case("deep", 5, 30, settings=DEEP),
    Case("wide", 5, 60, rows=60_000, features=2_748),
    Case("large", 4.5, 20, rows=1_536_000),
    Case("all-columns", 3, 20, rows=192_000, features=200, settings={"feature_fraction": 1.0}),
    Case("bagging", 3, 60, settings={"bagging_fraction": 0.5, "bagging_freq": 1}),
    Case("era-weights", 3, 60, weighted=True),
]
ON_TWO_THREADS = {"two-threads-large": "large", "two-threads-deep": "deep"}
PEERS = "peers"


@dataclass(frozen=True, eq=False)
class Data:
    """``columns`` are rows of ``block`` (k, n) int8, ``target`` (n,) has five values, ``weight`` (n,) one an era."""

    block: np.ndarray
    target: np.ndarray
    weight: np.ndarray

    def training(self, case: Case) -> TrainingRows:
        return TrainingRows(list(self.block), self.target, self.weight if case.weighted else None)


def market(rows: int, features: int) -> Data:
    """Correlated features of five values, made one after the other, and a target that is mostly noise."""
    rng = np.random.default_rng(7)
    factors = rng.standard_normal((rows, FACTORS), np.float32)
    block = np.zeros((features, rows), np.int8)
    signal = np.zeros(rows, np.float32)
    for place in range(features):
        load = np.float32(0.4) * rng.standard_normal(FACTORS, np.float32)
        latent = factors @ load + rng.standard_normal(rows, np.float32)
        for border in BORDERS:
            block[place] += latent > border
        if place < KNOWN_FEATURES:
            signal += np.float32(rng.normal()) * (block[place].astype(np.float32) - 2)
    noisy = 0.05 * signal / signal.std() + rng.standard_normal(rows, np.float32)
    target = np.digitize(noisy, np.quantile(noisy, [0.05, 0.25, 0.75, 0.95])) / 4
    weight = np.repeat(rng.uniform(0.3, 1.5, rows // ERA_ROWS + 1), ERA_ROWS)[:rows]
    return Data(block, target.astype(np.float32), weight.astype(np.float32))


def lightgbm_on(data: Data, case: Case) -> lgb.Booster:
    """A booster that has no tree yet."""
    own = {"objective": "regression", "num_threads": 1, "verbosity": -1, "deterministic": True, "force_col_wise": True}
    params = case.all_settings | own
    table = pa.table({f"f{place}": column for place, column in enumerate(data.block)})
    weight = data.weight if case.weighted else None
    return lgb.Booster(params, lgb.Dataset(table, data.target, weight=weight, params=params).construct())


def grower_on(data: Data, case: Case, threads: int = 1) -> Grower:
    warm_up(weighted=case.weighted, several=threads > 1, most_leaves=Settings(**case.all_settings).most_leaves)
    return Grower(data.training(case), Settings(**case.all_settings), threads)


@dataclass(frozen=True)
class Paired:
    """Seconds of each tree by two ways of growing it, and how many of the trees were the same."""

    theirs: list[float]
    ours: list[float]
    same: int

    @property
    def ratio(self) -> float:
        return median(other / own for other, own in zip(self.theirs, self.ours, strict=True))


def timed(clock: Callable[[], float], step: Callable[[], Any]) -> tuple[float, Any]:
    start = clock()
    result = step()
    return clock() - start, result


def trees_in(text: str) -> list[dict[str, str]]:
    """What makes each tree of a model text the one it is."""
    telling = ("split_feature", "threshold", "left_child", "right_child", "leaf_count")
    found = []
    for body in text.split("end of trees", maxsplit=1)[0].split("\nTree=")[1:]:
        lines = dict(line.split("=", 1) for line in body.splitlines() if "=" in line)
        found.append({name: lines[name] for name in telling if name in lines})
    return found


def text_of(grower: Grower, trees: Sequence[Any], features: int) -> str:
    forest = Forest(tuple(trees), grower.bins, tuple(range(1, len(trees) + 1)))
    return model_text(forest, [f"f{place}" for place in range(features)], {})


def equal_trees(one: str, other: str) -> int:
    return sum(a == b for a, b in zip(trees_in(one), trees_in(other), strict=False))


def beside_lightgbm(data: Data, case: Case) -> Paired:
    """CPU seconds of one thread, tree by tree."""
    booster, grower = lightgbm_on(data, case), grower_on(data, case)
    theirs, ours, trees = [], [], []
    for _ in range(case.trees):
        seconds, tree = timed(time.process_time, grower.grow)
        ours.append(seconds)
        trees += [] if tree is None else [tree]
        theirs.append(timed(time.process_time, booster.update)[0])
    grower.close()
    return Paired(theirs, ours, equal_trees(text_of(grower, trees, len(data.block)), booster.model_to_string()))


def two_beside_one(data: Data, case: Case) -> Paired:
    """Seconds by the clock of one thread and of two, tree by tree."""
    growers = [grower_on(data, case, threads) for threads in (1, 2)]
    seconds: list[list[float]] = [[], []]
    trees: list[list[Any]] = [[], []]
    for _ in range(case.trees):
        for place, grower in enumerate(growers):
            took, tree = timed(time.perf_counter, grower.grow)
            seconds[place].append(took)
            trees[place] += [] if tree is None else [tree]
    texts = [text_of(grower, some, len(data.block)) for grower, some in zip(growers, trees, strict=True)]
    for grower in growers:
        grower.close()
    same = len(trees[0]) if texts[0] == texts[1] else equal_trees(*texts)
    return Paired(seconds[0], seconds[1], same)


def xgboost_s(data: Data, trees: int) -> float:
    """CPU seconds a tree of 31 leaves."""
    import xgboost as xgb  # noqa: PLC0415

    params = {
        "tree_method": "hist",
        "grow_policy": "lossguide",
        "max_leaves": 31,
        "max_depth": 0,
        "min_child_weight": 500,
        "eta": 0.05,
        "reg_lambda": 0,
        "colsample_bytree": 0.1,
        "nthread": 1,
        "verbosity": 0,
    }
    matrix = xgb.QuantileDMatrix(data.block.T, data.target, nthread=1)
    booster = xgb.Booster(params, [matrix])
    return median(timed(time.process_time, lambda number=n: booster.update(matrix, number))[0] for n in range(trees))


def catboost_s(data: Data, trees: int) -> float:
    """CPU seconds a tree of depth 5: of many trees less those of one, as it grows all in one call."""
    from catboost import CatBoostRegressor, Pool  # noqa: PLC0415

    pool = Pool(np.ascontiguousarray(data.block.T, np.float32), data.target, thread_count=1)
    pool.quantize(border_count=8, task_type="CPU")
    usual = {"depth": 5, "learning_rate": 0.05, "rsm": 0.1, "bootstrap_type": "No", "thread_count": 1}
    seconds = []
    for n in (1, trees + 1):
        model = CatBoostRegressor(iterations=n, verbose=False, allow_writing_files=False, **usual)
        seconds.append(timed(time.process_time, lambda model=model: model.fit(pool))[0])
    return (seconds[1] - seconds[0]) / trees


class Table:
    """Lines of figures, each with its limit; a limit that is missed is told at the end."""

    WIDTHS = (18, 18, 12, 11, 8, 7, 12, 4)

    def __init__(self) -> None:
        self.missed: list[str] = []

    def head(self, *names: str) -> None:
        self._line(names)

    def paired(self, case: Case, found: Paired, limit: float | None) -> None:
        ok = found.same == case.trees and (limit is None or found.ratio >= limit)
        if not ok:
            self.missed.append(case.name)
        self._line(
            (
                case.name,
                f"{case.rows:,} x {case.features:,}",
                f"{1e3 * median(found.theirs):.1f}",
                f"{1e3 * median(found.ours):.1f}",
                f"{found.ratio:.2f}",
                "-" if limit is None else f"{limit:g}",
                f"{found.same} of {case.trees}",
                "yes" if ok else "NO",
            )
        )

    def _line(self, cells: Sequence[str]) -> None:
        print("".join(f"{cell:<{width}}" for cell, width in zip(cells, self.WIDTHS, strict=False)).rstrip(), flush=True)


def chosen_cases() -> tuple[set[str], list[Case]]:
    names = [*(case.name for case in CASES), *ON_TWO_THREADS, PEERS]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", nargs="+", choices=names, default=names, metavar="NAME", help=", ".join(names))
    parser.add_argument("--quick", action="store_true", help="small sizes, without limits")
    options = parser.parse_args()
    return set(options.cases), [case.quick() if options.quick else case for case in CASES]


def main() -> int:
    wanted, cases = chosen_cases()
    known = {case.name: case for case in cases}
    made: dict[tuple[int, int], Data] = {}

    def data_of(case: Case) -> Data:
        size = (case.rows, case.features)
        if size not in made:
            made.clear()  # one market is held at a time
            made[size] = market(*size)
        return made[size]

    table = Table()
    print(f"LightGBM {lgb.__version__}; {psutil.cpu_count()} cores, load {psutil.getloadavg()[0]:.1f}; ms a tree, CPU")
    table.head("case", "rows x features", "LightGBM", "ours", "ratio", "limit", "same trees", "ok")
    first = (cases[0].rows, cases[0].features)
    for case in sorted(cases, key=lambda case: ((case.rows, case.features) != first, case.rows)):
        if case.name in wanted:
            table.paired(case, beside_lightgbm(data_of(case), case), case.limit)
    threaded = {name: known[of] for name, of in ON_TWO_THREADS.items() if name in wanted}
    if threaded:
        print("\nms a tree, by the clock")
        table.head("case", "rows x features", "one thread", "two", "ratio", "limit", "same trees", "ok")
    for name, case in threaded.items():
        limit = None if case.limit is None else TWO_THREADS_LIMIT
        table.paired(replace(case, name=name), two_beside_one(data_of(case), case), limit)
    if PEERS in wanted:
        case = known["w"]
        data, trees = data_of(case), min(case.trees, 20)
        print(f"\nothers, {case.rows:,} x {case.features:,}, one thread: ms a tree, CPU")
        print(f"XGBoost, hist, lossguide, 31 leaves: {1e3 * xgboost_s(data, trees):.1f}", flush=True)
        print(f"CatBoost, depth 5: {1e3 * catboost_s(data, trees):.1f}", flush=True)
    if table.missed:
        print(f"\nmissed: {', '.join(table.missed)}")
    return 1 if table.missed else 0


if __name__ == "__main__":
    sys.exit(main())
