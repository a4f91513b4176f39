"""Engines: what grows the trees of a fit, decided once, when it is planned, and part of its key.

``five_values`` is ours (:mod:`numerai_ray.trees`): LightGBM's trees, several times faster, for what it takes. The
rest LightGBM trains itself. Which of them it is follows from config and data, and from the rule that an experiment
began with, never from what happens to be installed where a fit runs.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any, Literal

from numerai_ray.config import ModelConfig
from numerai_ray.errors import EnvironmentFault
from numerai_ray.models.five_values_params import refusal

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
