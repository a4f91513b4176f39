"""Trees of ours beside LightGBM's: random cases, both grown, and whether a difference is a tie.

``python tests/support/trees_beside_lightgbm.py 2000`` compares so many cases, of the seeds 0, 1, 2, ...; ``--first``
begins at another one. Cases of odd seeds are grown by two threads. Prints each case that differs, and at the
end how many were ties; exits 1 when one was neither that nor a gradient rounded otherwise. 2,000 take about two
minutes.
"""

import argparse
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import lightgbm as lgb
import numpy as np
import pyarrow as pa

sys.path.insert(0, str(Path(__file__).parents[2]))
from numerai_ray.trees.draws import Bags, Seeds, seeds_from
from numerai_ray.trees.forest import Forest
from numerai_ray.trees.grower import Settings, TrainingRows
from numerai_ray.trees.growing import grow
from numerai_ray.trees.model_text import model_text

# How far two gains may be apart to be a tie; and the predictions of equal trees, of what the target spans.
TIE, EQUAL = 1e-9, 1e-9
# LightGBM rounds gradients to float32. Scores that differ in the eleventh digit are now and then rounded apart, by 6e-8
# of the largest; where rows of few kinds share a gradient, a leaf's rows are so at once (1 of 5,000 random cases).
ROUNDED = 1e-8


@dataclass
class Case:
    """Rows and settings of one fit; ``used`` cuts rows out, as folds and unknown labels do."""

    columns: list[np.ndarray]
    target: np.ndarray
    weight: np.ndarray | None
    used: np.ndarray | None
    settings: Settings
    seed: int | None
    trees: int

    @property
    def rows(self) -> np.ndarray:
        return np.arange(len(self.target)) if self.used is None else np.flatnonzero(self.used)

    @property
    def names(self) -> list[str]:
        return [f"f{place}" for place in range(len(self.columns))]

    def lightgbm_params(self) -> dict[str, Any]:
        own = {
            name: getattr(self.settings, name)
            for name in Settings.__dataclass_fields__
            if name not in ("seeds", "pre_filter")
        }
        seeds = {} if self.seed is None else {"seed": self.seed}
        if self.seed is None and self.settings.seeds != Seeds():
            own_seeds = self.settings.seeds
            seeds = {"data_random_seed": own_seeds.data, "bagging_seed": own_seeds.bagging}
            seeds["feature_fraction_seed"] = own_seeds.features
        fixed = {"objective": "regression", "verbosity": -1, "num_threads": 1, "deterministic": True}
        # LightGBM joins columns that are rarely both in use, and then loses a row in 10,000 where they are.
        layout = {"force_col_wise": True, "enable_bundle": False, "feature_pre_filter": self.settings.pre_filter}
        return own | seeds | fixed | layout

    def lightgbm(self) -> lgb.Booster:
        rows = self.rows
        table = pa.table({name: column[rows] for name, column in zip(self.names, self.columns, strict=True)})
        params = self.lightgbm_params()
        weight = None if self.weight is None else self.weight[rows]
        data = lgb.Dataset(table, self.target[rows], weight=weight, params=params)
        # Otherwise LightGBM reads its own text again, which lacks digits.
        return lgb.train(params, data, self.trees, keep_training_booster=True)

    def ours(self, threads: int = 1) -> Forest:
        training = TrainingRows(self.columns, self.target, self.weight, self.used)
        return grow(training, self.settings, self.trees, threads)

    def text(self, threads: int = 1) -> str:
        return model_text(self.ours(threads), self.names, {})


def plain_case(rows: int, features: int, trees: int, *, seed: int = 0, **settings: Any) -> Case:
    """Features of five even values, of which the first two tell something of a target of many values."""
    rng = np.random.default_rng(seed)
    columns = [rng.integers(0, 5, rows).astype(np.int8) for _ in range(features)]
    signal = (columns[0] > 1) * 0.5 - 0.2 * columns[-1]
    target = (signal + rng.normal(size=rows)).astype(np.float32)
    return Case(columns, target, None, None, Settings(**settings), None, trees)


def random_case(seed: int, *, most_rows: int = 50_000) -> Case:
    """A case over everything the grower takes."""
    rng = np.random.default_rng(seed)
    n = int(np.exp(rng.uniform(np.log(20), np.log(most_rows))))
    k = int(np.exp(rng.uniform(0, np.log(200)))) if n < 5000 else int(rng.integers(1, 60))
    columns = [_column(rng, n) for _ in range(k)]
    for place in range(1, k):
        if rng.random() < 0.05:
            columns[place] = columns[int(rng.integers(place))].copy()
    signal = sum((c.astype(float) * rng.normal() for c in columns[:8]), np.zeros(n))
    noisy = 0.2 * signal / max(float(signal.std()), 1e-3) + rng.normal(size=n)
    if rng.random() < 0.6:
        noisy = np.digitize(noisy, np.quantile(noisy, [0.05, 0.25, 0.75, 0.95])) / 4
    target = noisy.astype(np.float32)
    used = None
    if rng.random() < 0.3 and n > 60:
        used = np.ones(n, bool)
        start = int(rng.integers(0, n // 2))
        used[start : start + n // 5] = False
        used &= rng.random(n) > rng.choice([0.0, 0.02])
    weight = None
    if rng.random() < 0.25:
        weight = np.repeat(rng.uniform(0.2, 3, n // 37 + 1), 37)[:n].astype(np.float32)
    given = int(rng.integers(0, 1000)) if rng.random() < 0.4 else None
    bag = rng.random() < 0.3
    settings = Settings(
        learning_rate=float(rng.choice([0.01, 0.05, 0.1, 0.3])),
        num_leaves=int(rng.choice([2, 3, 7, 15, 31, 63, 255])),
        max_depth=int(rng.choice([-1, -1, 1, 2, 5, 8])),
        min_data_in_leaf=int(rng.choice([20, 20, 50, 200, 1000])),
        min_sum_hessian_in_leaf=float(rng.choice([1e-3, 1e-3, 30.0, 100.0])),
        lambda_l1=float(rng.choice([0, 0, 0.5, 5])),
        lambda_l2=float(rng.choice([0, 0, 5, 50])),
        min_gain_to_split=float(rng.choice([0, 0, 0.01, 0.3])),
        feature_fraction=float(rng.choice([1.0, 0.9, 0.5, 0.1])),
        bagging_fraction=float(rng.choice([0.3, 0.5, 0.8])) if bag else 1.0,
        bagging_freq=int(rng.choice([1, 3])) if bag else 0,
        pre_filter=bool(rng.random() < 0.8),
    )
    if given is not None:
        settings = replace(settings, seeds=seeds_from(given))
    return Case(columns, target, weight, used, settings, given, int(rng.integers(1, 16)))


def _column(rng: np.random.Generator, n: int) -> np.ndarray:
    kind = rng.random()
    if kind < 0.05:
        return np.full(n, rng.integers(0, 5), np.int8)
    if kind < 0.15:  # hardly ever anything else
        column = np.full(n, rng.integers(0, 5), np.int8)
        rare = rng.random(n) < rng.choice([2 / n, 0.001, 0.02])
        column[rare] = rng.integers(0, 5, int(rare.sum()))
        return column
    if kind < 0.25:  # some values only
        return rng.choice(rng.permutation(5)[: int(rng.integers(2, 4))], n).astype(np.int8)
    return rng.integers(0, 5, n).astype(np.int8)


@dataclass
class Found:
    """What came of a comparison: the largest difference of predictions, and the gains where trees part."""

    difference: float
    tie: bool = False
    message: str = ""
    trees: tuple[int, int] = (0, 0)  # ours, LightGBM's
    splits: int = 0  # of ours
    same: bool = False  # where they do not predict the same: whether each tree has the same splits

    @property
    def equal(self) -> bool:
        return self.difference <= EQUAL and self.trees[0] == self.trees[1]

    @property
    def rounded(self) -> bool:
        """The same trees, but for a gradient that was rounded to another float32."""
        return self.same and EQUAL < self.difference <= ROUNDED

    @property
    def fine(self) -> bool:
        return self.equal or self.tie or self.rounded


def compare(case: Case, threads: int = 1) -> Found:
    """Both models on all rows; where they differ, whether the first split that does is a tie."""
    booster, forest = case.lightgbm(), case.ours(threads)
    matrix = np.stack(case.columns, axis=1).astype(np.float32)
    theirs = booster.predict(matrix)
    own = forest.predict(case.columns, [(0, len(case.target))])[0]
    known = case.target[case.rows]
    found = Found(
        float(np.abs(theirs - own).max() / max(1.0, np.ptp(known))),
        trees=(len(forest.trees), booster.num_trees()),
        splits=sum(len(tree.feature) for tree in forest.trees),
    )
    return found if found.equal else _first_difference(case, booster, forest, found)


def _parsed(booster: lgb.Booster) -> list[dict[str, np.ndarray]]:
    found = []
    for body in booster.model_to_string().split("end of trees")[0].split("\nTree=")[1:]:
        lines = dict(line.split("=", 1) for line in body.splitlines() if "=" in line)
        left = [int(each) for each in lines.get("left_child", "").split()]
        found.append(
            {
                "feature": np.array(lines.get("split_feature", "").split(), int),
                "threshold": np.floor(np.array(lines.get("threshold", "").split(), float)).astype(int),
                "leaf": _leaves(left, [int(each) for each in lines.get("right_child", "").split()]),
                "value": np.array(lines["leaf_value"].split(), float),
            }
        )
    return found


def _leaves(left: list[int], right: list[int]) -> np.ndarray:
    """Which leaf number each inner node split: that of its leftmost leaf."""
    found = []
    for node in range(len(left)):
        at = node
        while at >= 0:
            at = left[at]
        found.append(~at)
    return np.array(found, int)


def _first_difference(case: Case, booster: lgb.Booster, forest: Forest, found: Found) -> Found:
    theirs = _parsed(booster)
    rows = case.rows
    score = np.zeros(len(rows))
    for number, (tree, other) in enumerate(zip(forest.trees, theirs, strict=False)):
        same = min(len(tree.feature), len(other["feature"]))
        ours = np.stack([tree.leaf, tree.feature, tree.threshold], axis=1)[:same]
        them = np.stack([other["leaf"], other["feature"], other["threshold"]], axis=1)[:same]
        parts = np.flatnonzero((ours != them).any(axis=1))
        if len(parts) or len(tree.feature) != len(other["feature"]):
            node = int(parts[0]) if len(parts) else same
            mine, them, known = _gains(case, forest, other, (number, node), score)
            tie = abs(mine - them) <= TIE * max(abs(mine), abs(them), known * 1e-9)
            return replace(found, tie=tie, message=f"tree {number}, node {node}: gains {mine!r} and {them!r}")
        numbers = np.zeros(len(rows), int)
        for new, (leaf, feature, threshold) in enumerate(ours, start=1):
            numbers[(numbers == leaf) & (case.columns[feature][rows] > threshold)] = new
        score += tree.leaf_value[numbers]
    same = found.trees[0] == found.trees[1]
    what = "but not what they predict" if same else "but one has more of them"
    return replace(found, same=same, message=f"the trees are the same, {what}")


def _bag(case: Case, forest: Forest, number: int) -> np.ndarray:
    """Which of the rows the tree of this number was grown on."""
    own, n = case.settings, len(case.rows)
    if not own.bagging_freq or own.bagging_fraction >= 1:
        return np.ones(n, bool)
    bags, iteration, grown = Bags(n, own.bagging_fraction, own.bagging_freq, own.seeds.bagging), 0, 0
    for after in forest.after:
        bags.draw(iteration)
        if after > number:
            break
        iteration += after > grown and len(forest.trees[grown].feature) > 0  # a constant is no iteration
        grown = after
    return bags.in_bag


def _gains(
    case: Case, forest: Forest, other: dict[str, np.ndarray], at: tuple[int, int], score: np.ndarray
) -> tuple[float, float, float]:
    """The gains of both splits at the node where two trees part, from the rows themselves; and all there is to gain."""
    number, node = at
    tree, rows, bag = forest.trees[number], case.rows, _bag(case, forest, number)
    weight = np.ones(len(rows)) if case.weight is None else case.weight[rows].astype(float)
    if not number:
        score = np.full(len(rows), np.average(case.target[rows].astype(float), weights=weight))
    numbers = np.zeros(len(rows), int)
    for new in range(1, node + 1):
        leaf, feature, threshold = tree.leaf[new - 1], tree.feature[new - 1], tree.threshold[new - 1]
        numbers[(numbers == leaf) & (case.columns[feature][rows] > threshold)] = new
    gradient = (score - case.target[rows]).astype(np.float32).astype(float) * weight

    def gain(leaf: int, feature: int, threshold: int) -> float:
        inside = (numbers == leaf) & bag
        left = inside & (case.columns[feature][rows] <= threshold)

        def of(some: np.ndarray) -> float:
            total = gradient[some].sum()
            shrunk = np.sign(total) * max(0.0, abs(total) - case.settings.lambda_l1)
            return float(shrunk**2 / (weight[some].sum() + case.settings.lambda_l2))

        return of(left) + of(inside & ~left) - of(inside) - case.settings.min_gain_to_split

    ours = np.stack([tree.leaf, tree.feature, tree.threshold], axis=1)
    theirs = np.stack([other["leaf"], other["feature"], other["threshold"]], axis=1)
    mine, them = (gain(*splits[node]) if node < len(splits) else 0.0 for splits in (ours, theirs))
    return mine, them, float((gradient**2).sum())


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cases", type=int)
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    options = parser.parse_args()
    started, split = time.perf_counter(), 0
    failures: list[int] = []
    ties: list[int] = []
    rounded: list[int] = []
    for done, seed in enumerate(range(options.first, options.first + options.cases), start=1):
        found = compare(random_case(seed), threads=1 + seed % 2)
        split += found.splits > 0
        if not found.equal:
            kind, what = (ties, "tie") if found.tie else (rounded, "rounded") if found.rounded else (failures, "FAILED")
            kind.append(seed)
            print(f"{what}: seed {seed}, difference {found.difference:.1e}; {found.message}", flush=True)
        if done % 100 == 0 or done == options.cases:
            print(
                f"{done} of {options.cases} cases, {time.perf_counter() - started:.0f} s: {len(failures)} failures, "
                f"{len(ties)} ties",
                flush=True,
            )
    share = 100 / options.cases
    print(f"{split} of {options.cases} cases had splits ({split * share:.1f} %)")
    for what, seeds in (("ties", ties), (f"same trees, within {ROUNDED}", rounded), ("failures", failures)):
        print(f"{what}: {len(seeds)} of {options.cases} ({len(seeds) * share:.2f} %) {seeds or ''}".rstrip())
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
