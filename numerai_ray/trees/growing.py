"""Growing: a whole forest, and the kernels it needs made ready."""

from collections.abc import Callable

import numpy as np

from numerai_ray.trees.compiled import Team
from numerai_ray.trees.forest import Forest, Tree, add_trees, addresses, leaf_numbers
from numerai_ray.trees.grower import MOST_LEAVES_READ, Grower, Settings, TrainingRows
from numerai_ray.trees.histograms import VALUES
from numerai_ray.trees.kernel_cache import compiling
from numerai_ray.trees.together import ROWS_FOR_ALL

# What this process has compiled or loaded.
_ready: set[str] = set()


def grow(
    training: TrainingRows,
    settings: Settings,
    n_trees: int,
    threads: int = 1,
    on_tree: Callable[[int, int], None] | None = None,
) -> Forest:
    """Grow ``n_trees`` trees, or fewer where some tries find no split.

    Args:
        training: columns, target and weights, see :class:`TrainingRows`.
        settings: LightGBM's parameters.
        n_trees: how many times a tree is tried.
        threads: how many to use; the forest is the same for any number.
        on_tree: called after each try with its number and ``n_trees``.

    Returns:
        The forest. It keeps no reference to the training rows.

    Raises:
        ValueError: a column is not contiguous int8 or has too few rows, or no row is used.

    """
    warm_up(weighted=training.weight is not None, several=threads > 1, most_leaves=settings.most_leaves)
    grower = Grower(training, settings, threads)
    trees, after = [], []
    try:
        for done in range(1, n_trees + 1):
            tree = grower.grow()
            if tree is not None:
                trees.append(tree)
            after.append(len(trees))
            if on_tree is not None:
                on_tree(done, n_trees)
    finally:
        grower.close()
    return Forest(tuple(trees), grower.bins, tuple(after))


def warm_up(*, weighted: bool = False, several: bool = False, most_leaves: int = 2) -> None:
    """Have the kernels of a fit compiled, or loaded from the cache: once a process, one process at a time.

    Args:
        weighted: whether its rows weigh differently.
        several: whether it has several threads.
        most_leaves: leaves that a tree can have.

    """
    what = ("weighted" if weighted else "plain") + ("-several" if several else "")
    _have(what, lambda: _small_fit(weighted=weighted, threads=2 if several else 1))
    number = leaf_numbers(most_leaves)
    if number is not np.uint8:  # which the small fit had
        _have(f"leaves-{number.__name__}", lambda: _large_tree(most_leaves))


def _have(what: str, compile_it: Callable[[], None]) -> None:
    if what not in _ready:
        with compiling(what):
            compile_it()
        _ready.add(what)


def _large_tree(leaves: int) -> None:
    """The way of a few rows through a tree of so many leaves."""
    zeros, real = np.zeros(leaves - 1, np.int32), np.zeros(leaves - 1)
    adds, none = np.zeros(leaves), np.zeros(leaves - 1, np.float32)
    tree = Tree(zeros, zeros, zeros.astype(np.int8), none, real, real, zeros, adds, adds, zeros, 1.0)
    column = np.zeros(4, np.int8)
    add_trees([tree], addresses([column]), [(0, 4)], np.zeros(4), Team(1))


def _small_fit(*, weighted: bool, threads: int) -> None:
    """A fit that goes through everything: draws, bags, few and many leaves, nodes for one thread and for all."""
    n = 2 * ROWS_FOR_ALL if threads > 1 else 1024
    rows = np.arange(n)
    columns = [(rows // step % VALUES).astype(np.int8) for step in (1, 5, 25)]
    target = (columns[0] * columns[1] - columns[2]).astype(np.float32)
    weight = np.ones(n, np.float32) if weighted else None
    training = TrainingRows(columns, target, weight)
    drawn = Settings(num_leaves=4, feature_fraction=0.7, bagging_fraction=0.9, bagging_freq=1)
    for settings in (drawn, Settings(num_leaves=MOST_LEAVES_READ + 9, min_data_in_leaf=4)):
        grower = Grower(training, settings, threads)
        tree = grower.grow()
        grower.close()
        assert tree is not None
        assert tree.n_leaves == settings.num_leaves
        Forest((tree,), grower.bins, (1,)).predict(columns, [(0, n)])
