"""Model text: grown trees as LightGBM writes them, which any LightGBM of version 4 reads.

``lightgbm.Booster`` predicts from it what :class:`~numerai_ray.trees.forest.Forest` does, to the last bit: numbers
have 17 digits, and trees are added in their order. Source: ``GBDT::SaveModelToString`` and ``Tree::ToString`` of
LightGBM 4.7.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from numerai_ray.trees.bins import Bins
from numerai_ray.trees.forest import Forest, Tree

# Numerical, no missing values; to the left below the threshold, as LightGBM finds it from the right.
_DECISION = 2


def model_text(forest: Forest, names: Sequence[str], params: Mapping[str, Any]) -> str:
    """The model as text.

    Args:
        forest: the trees.
        names: one for each column, none with what LightGBM refuses: blanks, and signs of JSON.
        params: what is told of the training, under LightGBM's main names.

    """
    bins = forest.bins
    bodies = [f"Tree={number}\n{_tree_text(tree, bins)}\n\n" for number, tree in enumerate(forest.trees)]
    lines = [
        "tree",
        "version=v4",
        "num_class=1",
        "num_tree_per_iteration=1",
        "label_index=0",
        f"max_feature_idx={len(names) - 1}",
        "objective=regression",
        f"feature_names={' '.join(names)}",
        f"feature_infos={' '.join(_infos(bins))}",
        f"tree_sizes={' '.join(str(len(body)) for body in bodies)}",
        "",
        "",
    ]
    gains = [(int(gain), name) for gain, name in zip(forest.importance(), names, strict=True)]
    told = [f"{name}={gain}" for gain, name in sorted(gains, key=lambda each: -each[0]) if gain > 0]
    given = [f"[{name}: {_parameter(value)}]" for name, value in params.items()]
    ending = ["end of trees", "", "feature_importances:", *told, "", "parameters:", *given, "", "end of parameters", ""]
    return "\n".join(lines) + "".join(bodies) + "\n".join(ending)


def _infos(bins: Bins) -> Iterable[str]:
    usable = set(bins.usable.tolist())
    for column, (low, high) in enumerate(zip(bins.lowest.tolist(), bins.highest.tolist(), strict=True)):
        yield f"[{low}:{high}]" if column in usable else "none"


def _parameter(value: Any) -> str:
    return str(int(value)) if isinstance(value, bool) else str(value)


def _tree_text(tree: Tree, bins: Bins) -> str:
    left, right = children(tree)
    values = [
        ("num_leaves", str(tree.n_leaves)),
        ("num_cat", "0"),
        ("split_feature", _whole(tree.feature)),
        ("split_gain", _real(tree.gain.astype(np.float64))),
        ("threshold", _real(bins.bounds[tree.feature, tree.threshold])),
        ("decision_type", _whole(np.full(len(left), _DECISION))),
        ("left_child", _whole(left)),
        ("right_child", _whole(right)),
        ("leaf_value", _real(tree.leaf_value)),
        ("leaf_weight", _real(tree.leaf_weight)),
        ("leaf_count", _whole(tree.leaf_count)),
        ("internal_value", _real(tree.node_value)),
        ("internal_weight", _real(tree.node_weight)),
        ("internal_count", _whole(tree.node_count)),
        ("is_linear", "0"),
        ("shrinkage", f"{tree.shrinkage:g}"),
    ]
    return "\n".join(f"{name}={value}" for name, value in values)


def children(tree: Tree) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """The left and right child of each inner node: an inner node, or a leaf as ``~leaf``."""
    split = tree.leaf.tolist()
    left, right = [0] * len(split), [0] * len(split)
    place: dict[int, tuple[list[int], int]] = {}  # where a leaf is told
    for node, leaf in enumerate(split):
        if leaf in place:
            side, parent = place[leaf]
            side[parent] = node
        left[node], right[node] = ~leaf, ~(node + 1)
        place[leaf], place[node + 1] = (left, node), (right, node)
    return np.array(left, np.int64), np.array(right, np.int64)


def _whole(values: npt.NDArray[Any]) -> str:
    return " ".join(map(str, values.tolist()))


def _real(values: npt.NDArray[np.float64]) -> str:
    return " ".join(map(repr, values.tolist()))
