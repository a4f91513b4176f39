"""Engines: what grows the trees of a fit, decided once, when it is planned, and part of its key.

``five_values`` is ours (:mod:`numerai_ray.trees`): LightGBM's trees, several times faster, for what it takes. The
rest LightGBM trains itself. Which of them it is follows from config and data, and from the rule that an experiment
began with, never from what happens to be installed where a fit runs.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any, Literal

from numerai_ray import trees
from numerai_ray.config import ModelConfig
from numerai_ray.config.ranges import is_number
from numerai_ray.errors import EnvironmentFault
from numerai_ray.trees.kernel_cache import fill_beside

FIVE_VALUES, LIGHTGBM = "five_values", "lightgbm"
# Before there were engines, fits shared bins of all rows, and so drew from features that LightGBM itself leaves out.
UNFILTERED = "lightgbm_unfiltered"
Rule = Literal["five_values", "lightgbm", "lightgbm_unfiltered"]
RULES: tuple[Rule, ...] = ("five_values", "lightgbm", "lightgbm_unfiltered")


@dataclass(frozen=True)
class Engine:
    """What grows the trees of a fit; ``why`` says why it is not the fast one, ``""`` where there is nothing to say."""

    name: str = ""
    why: str = ""

    def __str__(self) -> str:
        """``lightgbm (objective is 'huber')``."""
        return f"{self.name} ({self.why})" if self.why else self.name


# Whatever the model's own library is.
LIBRARY = Engine()


def has_numba() -> bool:
    """Whether the fast engine can run here; a new Python may have no numba yet."""
    return find_spec("numba") is not None


def fast_version() -> int:
    """The version of the fast engine's trees, part of the key of every fit that it grows."""
    return trees.VERSION


def prepare(engines: Iterable[Engine]) -> None:
    """Have another process compile what these engines need, unless it is there; whoever needs it before waits."""
    if any(engine.name == FIVE_VALUES for engine in engines):
        fill_beside()


def rule_here() -> Rule:
    """The rule for what begins now, on this machine."""
    return "five_values" if has_numba() else "lightgbm"


def rule_of(origins: Sequence[Mapping[str, str]]) -> Rule:
    """What an experiment goes on with, by the ``origin`` of each of its rounds.

    Raises:
        EnvironmentFault: it began with the fast engine, which cannot be had here.

    """
    if not origins:
        return rule_here()
    began = origins[0].get("engine", UNFILTERED)
    found = next((rule for rule in RULES if rule == began), None)
    if found is None:
        raise EnvironmentFault(
            f"this experiment began with the engine {began!r}, which this version does not have; go on with "
            f"the version that began it, or copy the plan into a new experiment's folder"
        )
    if found == FIVE_VALUES and not has_numba():
        raise EnvironmentFault(
            "this experiment began with the engine five_values, which needs numba; install it (pip install numba), or "
            "copy the plan into a new experiment's folder"
        )
    return found


def engine_of(model: ModelConfig, missing: str, canonical: Mapping[str, Any], rule: Rule) -> Engine:
    """The engine of a member's fits.

    Args:
        model: the member's model.
        missing: how its data stand for missing values.
        canonical: its parameters under LightGBM's main names.
        rule: what its experiment began with.

    Returns:
        Its name, and why it is this one.

    """
    if model.type != "lightgbm":
        return Engine(model.type)
    if rule == UNFILTERED:
        return Engine(UNFILTERED, "this experiment began before there was another")
    if model.engine == LIGHTGBM:
        return Engine(LIGHTGBM, "model.engine asks for it")
    if missing == "nan":
        return Engine(LIGHTGBM, "data.missing is 'nan', and the fast engine takes whole numbers alone")
    why = refusal(canonical)
    if why is None and rule == LIGHTGBM:
        why = "numba, which the fast engine needs, was not installed when this was planned"
    return Engine(FIVE_VALUES) if why is None else Engine(LIGHTGBM, why)


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
