"""Grower: boosted trees on features of five values, the same that LightGBM grows, one after the other."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

from numerai_ray.trees import histograms, nodes
from numerai_ray.trees.bins import SAMPLED_ROWS, Bins, bins_of
from numerai_ray.trees.compiled import Team, kernel
from numerai_ray.trees.draws import Bags, Seeds, feature_draws, sampled_rows
from numerai_ray.trees.forest import Tree, add_trees, addresses, constant_tree
from numerai_ray.trees.histograms import QUAD, STEP_BITS, VALUES, Packed, Rows, layout, scratch
from numerai_ray.trees.nodes import FREE, LEAVES, NODE, NODES, SPLIT, Growth
from numerai_ray.trees.splits import EPSILON, Rules
from numerai_ray.trees.together import grow_together, meeting

# Up to so many leaves, rows find theirs sooner through the tree, in order, than as the leaves list them.
MOST_LEAVES_READ = 64


@dataclass(frozen=True)
class Settings:
    """LightGBM's parameters under its main names, with its defaults; ``pre_filter`` is ``feature_pre_filter``."""

    learning_rate: float = 0.1
    num_leaves: int = 31
    max_depth: int = -1
    min_data_in_leaf: int = 20
    min_sum_hessian_in_leaf: float = 1e-3
    lambda_l1: float = 0.0
    lambda_l2: float = 0.0
    min_gain_to_split: float = 0.0
    feature_fraction: float = 1.0
    bagging_fraction: float = 1.0
    bagging_freq: int = 0
    seeds: Seeds = field(default_factory=Seeds)
    pre_filter: bool = True

    @property
    def most_leaves(self) -> int:
        """Leaves that a tree can have, its depth considered."""
        return self.num_leaves if self.max_depth <= 0 else int(min(self.num_leaves, 2.0**self.max_depth))


@dataclass(frozen=True, eq=False)
class TrainingRows:
    """What trees are grown on.

    ``columns`` are (n,) int8 each, values 0..4, contiguous, possibly read-only; ``target`` (n,) float32 and, where rows
    weigh differently, ``weight`` (n,) float32 go with them. Rows that are not ``used`` (n,) are as if they were not
    there, so that the rows of a fit need not be copied together; None uses all.
    """

    columns: Sequence[npt.NDArray[np.int8]]
    target: npt.NDArray[np.float32]
    weight: npt.NDArray[np.float32] | None = None
    used: npt.NDArray[np.bool_] | None = None


@kernel
def _average(rows):
    """The weighted average of the used rows' target, summed in their order as LightGBM does."""
    total, weights = 0.0, 0.0
    for row in range(rows.target.size):
        if rows.used[row]:
            weight = np.float64(histograms.weight_of(rows.weight, row))
            total += np.float64(rows.target[row]) * weight
            weights += weight
    return total / weights


class Grower:
    """Grows trees on one set of rows. Trees are equal for any number of ``threads``."""

    def __init__(self, training: TrainingRows, settings: Settings, threads: int = 1):
        self._columns = training.columns  # kept, as kernels know their addresses alone
        where = addresses(training.columns)
        n = len(training.target)
        for place, column in enumerate(training.columns):
            if len(column) < n:
                raise ValueError(
                    f"a column must have a row for each of {n} targets, but column {place} has {len(column)}"
                )
        used = np.ones(n, np.bool_) if training.used is None else training.used.copy()
        if not used.any():
            raise ValueError(f"no row is used of {n}: trees need one at least")
        self._settings, self._team = settings, Team(threads)
        weight = None if training.weight is None else np.ascontiguousarray(training.weight, np.float32)
        target = np.where(used, training.target, np.float32(np.nan))  # what is not used decides nothing
        self._rows = Rows(where, target, weight, used)
        self._given = np.flatnonzero(used).astype(np.uint32)
        self.bins = self._bins()
        self._draws = feature_draws(len(self.bins.usable), settings.feature_fraction, settings.seeds.features)
        self._bags: Bags | None = None
        if settings.bagging_fraction < 1 and settings.bagging_freq > 0:
            share, every = settings.bagging_fraction, settings.bagging_freq
            self._bags = Bags(len(self._given), share, every, settings.seeds.bagging)
        self._average = float(_average(self._rows))
        self._score = np.full(n, self._average if abs(self._average) > EPSILON else 0.0)
        # No gradient is larger: what the steps are measured by.
        self._largest = float(histograms.largest_gradient(self._score, self._rows, 0, n))
        self._heaviest = 1.0 if weight is None else float(weight[used].max())
        self._made, self._iteration = 0, 0
        self._memory = _Memory(self._rows, self._given, settings, len(self.bins.usable), self._team.threads)

    def close(self) -> None:
        """Let the threads go."""
        self._team.close()

    def _bins(self) -> Bins:
        sample = self._given[sampled_rows(len(self._given), SAMPLED_ROWS, self._settings.seeds.data)].astype(np.int64)
        enough = int(float(self._settings.min_data_in_leaf * len(sample)) / len(self._given))
        rows = self._rows
        return bins_of(rows.columns, len(rows.target), sample, enough, pre_filter=self._settings.pre_filter)

    def grow(self) -> Tree | None:
        """The next tree; None where no split is worth it, which ends nothing: another draw may find one."""
        features = self.bins.usable[next(self._draws)]
        if self._bags is not None and self._bags.draw(self._iteration):
            self._memory.use(self._given[self._bags.in_bag], self._rows.used)
        tree = self._grown(features) if len(features) else None
        if tree is not None:
            self._iteration += 1
        elif not self._made:
            tree = constant_tree(self._average, len(self._given))
        self._made += tree is not None
        return tree

    def _grown(self, features: npt.NDArray[np.int64]) -> Tree | None:
        memory = self._memory
        packed, growth = memory.packed(features), memory.growth()
        rules = self._sum_root(growth, packed)
        nodes.find_split(growth, 0, packed, self.bins.ends, rules)
        if not growth.nodes[0]["gain"] > 0:
            return None
        if self._team.threads == 1:
            nodes.grow_alone(growth, self._rows, packed, self.bins.ends, rules, memory.scratch[0])
        else:
            shared = meeting(self._team.threads, growth.pool[0])
            self._team.run(
                grow_together,
                [
                    (member, growth, shared, self._rows, packed, self.bins.ends, rules, scratch)
                    for member, scratch in enumerate(memory.scratch)
                ],
            )
        return self._finished(growth, features, rules)

    def _sum_root(self, growth: Growth, packed: Packed) -> Rules:
        """Pack the rows, and sum the root's histogram and node, in steps that fit the gradients."""
        memory, own, shares = self._memory, self._settings, self._team.shares(len(self._score))
        step = 2.0 ** (math.frexp(self._largest)[1] - STEP_BITS)
        sums = [growth.pool[0], *(np.empty_like(growth.pool[0]) for _ in shares[1:])]
        largest = self._team.run(
            histograms.root_histogram,
            [
                (self._score, self._rows, packed, np.float32(1 / step), *share, scratch, out)
                for share, scratch, out in zip(shares, memory.scratch, sums, strict=False)
            ],
        )
        self._largest = (max(largest) + 1) * step
        for more in sums[1:]:
            sums[0] += more
        root = growth.nodes[0]
        root["begin"], root["end"], root["buffer"], root["depth"] = 0, memory.n_ids, 0, 0
        root["gradient"], root["hessian"] = sums[0][0, 0].sum(axis=0)
        root["slot"], root["child"] = 0, -1
        return Rules(
            own.min_data_in_leaf,
            own.min_sum_hessian_in_leaf,
            own.lambda_l1,
            own.lambda_l2,
            own.min_gain_to_split,
            step,
            memory.hessian_step,
        )

    def _finished(self, growth: Growth, features: npt.NDArray[np.int64], rules: Rules) -> Tree:
        """The tree as it is kept; its leaves are added to the scores."""
        own = self._settings
        inner = growth.nodes[growth.splits["node"][: growth.counts[LEAVES] - 1]]
        leaves = growth.nodes[growth.leaves[: growth.counts[LEAVES]]]
        adds = own.learning_rate * nodes.outputs(leaves, rules)
        bias = self._average if not self._made and abs(self._average) > EPSILON else 0.0
        tree = Tree(
            leaf=growth.splits["leaf"][: len(inner)].astype(np.int32),
            feature=features[inner["place"]].astype(np.int32),
            threshold=inner["threshold"].astype(np.int8),
            gain=(inner["gain"] + own.min_gain_to_split).astype(np.float32),
            node_value=own.learning_rate * nodes.outputs(inner, rules) + bias,
            node_weight=nodes.hessians(inner, rules),
            node_count=(inner["end"] - inner["begin"]).astype(np.int32),
            leaf_value=adds + bias,
            leaf_weight=nodes.hessians(leaves, rules),
            leaf_count=(leaves["end"] - leaves["begin"]).astype(np.int32),
            shrinkage=own.learning_rate if bias == 0 else 1.0,
        )
        self._largest += self._heaviest * float(np.abs(adds).max()) * (1 + 1e-6)  # of float32 rounding
        if self._bags is None and tree.n_leaves > MOST_LEAVES_READ:
            self._team.run(nodes.add_leaves, [(growth, *s, adds, self._score) for s in self._team.shares(len(adds))])
        else:  # rows outside of the bag go through the tree; in a small one that is quickest for all
            whole = [(0, len(self._score))]
            add_trees([replace(tree, leaf_value=adds)], self._rows.columns, whole, self._score, self._team)
        return tree


class _Memory:
    """Working memory for every tree of a fit; what is not touched costs nothing."""

    def __init__(self, rows: Rows, given: npt.NDArray[np.uint32], settings: Settings, usable: int, threads: int):
        n, most = len(rows.target), settings.most_leaves
        self._n_features = max(1, len(next(feature_draws(usable, settings.feature_fraction, 0))))
        words, self._quads_a_word = layout(self._n_features)
        quads = -(-self._n_features // QUAD)
        self._records, self._gradient = np.empty((n, words), np.uint64), np.empty(n, np.int32)
        self._hessian, self.hessian_step = _hessians(rows)
        weighted = rows.weight is not None
        self.scratch = [scratch(words, self._quads_a_word, weighted=weighted) for _ in range(threads)]
        # Alone, nothing is expanded that is not committed; side by side, as many nodes as there are leaves may be.
        slots, count = (most + 1, 2 * most) if threads == 1 else (2 * most + 2, 4 * most)
        self._nodes, self._ids = np.zeros(count + 1, NODE), np.empty((3, len(given)), np.uint32)
        self._ids[0], self.n_ids = given, len(given)
        self._pool = np.empty((slots, quads, QUAD, VALUES, 2), np.int64)
        self._can_split = np.empty((slots, self._n_features), np.bool_)
        self._leaves, self._splits = np.empty(most, np.int64), np.empty(max(1, most - 1), SPLIT)
        self._max_depth = settings.max_depth

    def use(self, bag: npt.NDArray[np.uint32], used: npt.NDArray[np.bool_]) -> None:
        """Grow the next trees on these rows alone; ``used`` is told."""
        used[:] = False
        used[bag] = True
        self.n_ids = len(bag)
        self._ids[0, : len(bag)] = bag

    def packed(self, features: npt.NDArray[np.int64]) -> Packed:
        """The rows as a tree on ``features`` sees them, not packed yet."""
        padded = np.pad(features, (0, -len(features) % QUAD), mode="edge")
        return Packed(self._records, self._gradient, self._hessian, padded, self._quads_a_word)

    def growth(self) -> Growth:
        """A tree of one leaf, the root, whose sums are not there yet."""
        counts = np.zeros(3, np.int64)
        counts[NODES], counts[LEAVES], counts[FREE] = 1, 1, len(self._pool) - 1
        self._leaves[0] = 0
        self._can_split[0] = True
        return Growth(
            self._nodes,
            self._ids,
            self._pool,
            self._can_split,
            np.arange(len(self._pool) - 1, -1, -1),
            self._leaves,
            self._splits,
            counts,
            self._n_features,
            self._max_depth,
        )


def _hessians(rows: Rows) -> tuple[npt.NDArray[np.int32] | None, float]:
    """Each row's hessian in steps and the hessian of a step; None and 0 without weights."""
    if rows.weight is None:
        return None, 0.0
    step = 2.0 ** (math.frexp(float(rows.weight[rows.used].max()))[1] - STEP_BITS)
    return np.rint(np.where(rows.used, rows.weight, 0) / step).astype(np.int32), step
