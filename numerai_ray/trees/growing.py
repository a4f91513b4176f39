"""Growing: a whole forest, and the kernels it needs made ready."""

from collections.abc import Callable

import numpy as np

from numerai_ray.trees.forest import Forest
from numerai_ray.trees.grower import ROWS_FOR_ALL, Grower, Settings, TrainingRows
from numerai_ray.trees.histograms import VALUES
from numerai_ray.trees.kernel_cache import compiling

# What this process has compiled or loaded: for weighted rows or not, for several threads or not.
_ready: set[tuple[bool, bool]] = set()


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
    warm_up(weighted=training.weight is not None, several=threads > 1)
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


def warm_up(*, weighted: bool = False, several: bool = False) -> None:
    """Have the kernels of a fit compiled, or loaded from the cache: once a process, one process at a time.

    Args:
        weighted: whether its rows weigh differently.
        several: whether it has several threads.

    """
    if (weighted, several) in _ready:
        return
    what = ("weighted" if weighted else "plain") + ("-several" if several else "")
    with compiling(what):
        _small_fit(weighted=weighted, threads=2 if several else 1)
    _ready.add((weighted, several))


def _small_fit(*, weighted: bool, threads: int) -> None:
    """A fit that goes through everything: bags, trees of few and of many leaves, nodes for one thread and for all."""
    n = 2 * ROWS_FOR_ALL if threads > 1 else 1024
    rows = np.arange(n)
    columns = [(rows // step % VALUES).astype(np.int8) for step in (1, 5, 25)]
    target = (columns[0] * columns[1] - columns[2]).astype(np.float32)
    weight = np.ones(n, np.float32) if weighted else None
    training = TrainingRows(columns, target, weight)
    for settings in (Settings(num_leaves=4, bagging_fraction=0.9, bagging_freq=1), Settings(num_leaves=90)):
        grower = Grower(training, settings, threads)
        tree = grower.grow()
        grower.close()
        assert tree is not None
        Forest((tree,), grower.bins, (1,)).predict(columns, [(0, n)])
