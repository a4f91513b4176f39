"""Histories for the policy: variants, scout rounds and confirmations with given scores."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from numerai_ray.experiment.decision import PolicySettings, decide
from numerai_ray.experiment.records import RoundRecord, VariantRecord
from numerai_ray.metrics.scoring import Metrics, Summary

SETTINGS = PolicySettings(margin=2e-4, patience=2, max_rounds=12)
NAN = math.nan
FAILED = None
SUSPECT = ("suspect: corr_mean 0.0500 is above 0.04, look for leakage",)
BASE = 0.004


def metrics(primary: float, bmc: float = 0.003, corr: float = 0.02, with_benchmark: float = 0.5) -> Metrics:
    def summary(mean: float) -> Summary:
        return Summary(mean=mean, std=0.01, sharpe=mean / 0.01, max_drawdown=0.1, n_eras=200)

    return Metrics(summary(corr), summary(bmc), summary(primary), with_benchmark, with_benchmark)


def variant(
    name: str, primary: float | None, flags: tuple[str, ...] = (), role: Any = "variant", **more: float
) -> VariantRecord:
    """A variant that sets ``name``; a primary of None is a failed trial."""
    made = None if primary is None else metrics(primary, **more)
    error = "fold 2: out of memory" if primary is None else None
    changes = {} if role == "base" else {f"model.params.{name}": 1}
    return VariantRecord(f"r01-{name}", name, role, f"print-{name}", changes, made, error, flags=flags)


def base(primary: float | None = BASE, **more: float) -> VariantRecord:
    return variant("base", primary, role="base", **more)


def scout(dimension: str, *rest: VariantRecord, hours: float = 0.0, start: dict[str, Any] | None = None) -> RoundRecord:
    """A scout round of ``dimension`` whose decision is made by the policy itself."""
    made = rest or (variant(dimension, 0.0041),)
    return record("scout", dimension, start or {}, made, hours)


def won(dimension: str, start: dict[str, Any] | None = None) -> RoundRecord:
    return scout(dimension, variant(dimension, 0.0045), start=start)


def record(
    stage: str, dimension: str | None, start: dict[str, Any], rest: tuple[VariantRecord, ...], hours: float = 0.0
) -> RoundRecord:
    decision = decide(base(), rest, start, SETTINGS)
    return RoundRecord(1, stage, dimension, start, (base(), *rest), decision, {}, wall_s=hours * 3600)


A, B, C = {"model.params.a": 1}, {"model.params.b": 1}, {"model.params.c": 1}
ABC = {"a": True, "b": True, "c": True}


@dataclass(frozen=True)
class Numbers:
    """Dimensions whose values are numbers: the base's is 31, a variant's stands in its changes."""

    mappable: str = "abc"
    held: Mapping[str, Any] = field(default_factory=dict)

    def value(self, dimension: str, changes: Mapping[str, Any]) -> Any:
        return changes.get(f"model.params.{dimension}", self.held.get(dimension, 31))

    def can_map(self, dimension: str, changes: Mapping[str, Any]) -> bool:
        return dimension in self.mappable and bool(changes is not None)


def tried(dimension: str, values: Mapping[Any, float], start: Mapping[str, Any] | None = None) -> RoundRecord:
    """A scout round with a primary metric for each value of the dimension."""
    made = tuple(
        VariantRecord(
            **{**vars(variant(f"{dimension}{value}", primary)), "changes": {f"model.params.{dimension}": value}}
        )
        for value, primary in values.items()
    )
    return record("scout", dimension, dict(start or {}), made)
