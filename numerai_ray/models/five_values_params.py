"""What of LightGBM's parameters the fast engine takes: an allow-list, and its settings out of them."""

from collections.abc import Callable, Mapping
from typing import Any

from numerai_ray.config.ranges import is_number

LEAST_ROWS_A_LEAF = 20  # below, equal gains become common, and LightGBM's choice among them is not ours
_SQUARED_ERROR = frozenset(
    {"regression", "regression_l2", "l2", "mean_squared_error", "mse", "l2_root", "root_mean_squared_error", "rmse"}
)


def _whole(low: float, high: float = 2**31 - 1) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, int) and not isinstance(value, bool) and low <= value <= high


def _real(low: float, high: float = float("inf")) -> Callable[[Any], bool]:
    return lambda value: is_number(value) and low <= value <= high


# name -> what it may be
TAKES: Mapping[str, Callable[[Any], bool]] = {
    "objective": lambda value: value in _SQUARED_ERROR,
    "boosting": lambda value: value in ("gbdt", "gbrt"),
    "num_iterations": _whole(1),
    "learning_rate": _real(1e-300),
    "num_leaves": _whole(2, 131_072),
    "max_depth": _whole(-(2**31)),
    "min_data_in_leaf": _whole(LEAST_ROWS_A_LEAF),
    "min_sum_hessian_in_leaf": _real(0),
    "lambda_l1": _real(0),
    "lambda_l2": _real(0),
    "min_gain_to_split": _real(0),
    "feature_fraction": _real(1e-300, 1),
    "bagging_fraction": _real(1e-300, 1),
    "bagging_freq": _whole(0),
    "seed": _whole(-(2**31)),
    "data_random_seed": _whole(-(2**31)),
    "bagging_seed": _whole(-(2**31)),
    "feature_fraction_seed": _whole(-(2**31)),
}
# What changes no tree of these, whatever it is: the layout of LightGBM's memory, and seeds of what is not done.
IDLE = frozenset({"deterministic", "force_col_wise", "force_row_wise", "drop_seed", "objective_seed", "extra_seed"})
# What changes none where it is as LightGBM has it by default.
DEFAULTS: Mapping[str, Any] = {
    "device_type": "cpu",
    "data_sample_strategy": "bagging",
    "boost_from_average": True,
    "extra_trees": False,
    "feature_fraction_bynode": 1.0,
    "feature_pre_filter": True,
    "max_bin": 255,
    "min_data_in_bin": 3,
    "bin_construct_sample_cnt": 200_000,
    "max_delta_step": 0.0,
    "path_smooth": 0.0,
    "use_missing": True,
    "zero_as_missing": False,
    "use_quantized_grad": False,
    "linear_tree": False,
    "tree_learner": "serial",
    "reg_sqrt": False,
}


def refusal(params: Mapping[str, Any]) -> str | None:
    """Why the fast engine does not take these canonical params; None where it does."""
    for name, value in params.items():
        if name in IDLE or (name in DEFAULTS and value == DEFAULTS[name]):
            continue
        if name not in TAKES:
            return f"the fast engine has no {name}"
        if not TAKES[name](value):
            rule = f", which must be at least {LEAST_ROWS_A_LEAF}" if name == "min_data_in_leaf" else ""
            return f"the fast engine does not take {name} {value!r}{rule}"
    return None
