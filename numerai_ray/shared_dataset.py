"""A dataset as Ray objects: loaded once a node by a task, read by every worker without a copy.

The tasks are owned by the driver and retried: what a lost node held is loaded again elsewhere. Where a model's
prepared copy is enough for every fit, as LightGBM's bins are, the features themselves are not shared at all.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import ray

from numerai_ray.dataset import Columns, DatasetIndex, load_columns, load_features
from numerai_ray.feature_matrix import FeatureMatrix, ValuesSeen
from numerai_ray.fold_runner import column_needs
from numerai_ray.prepared import is_enough, prepare, prepared_key
from numerai_ray.trial_plan import FitSpec, TrialPlan

Ref: TypeAlias = "ray.ObjectRef[Any]"
Side = tuple[str, tuple[str, ...], tuple[str, ...]]


@ray.remote(num_cpus=1, max_retries=3)
def _load_features(index: DatasetIndex, names: Sequence[str]) -> FeatureMatrix:
    return load_features(index, names)


@ray.remote(num_cpus=1, max_retries=3)
def _load_columns(plan: TrialPlan, targets: Sequence[str], benchmarks: Sequence[str]) -> Columns:
    return load_columns(plan.index, plan.config.data, targets, benchmarks)


@ray.remote(num_returns=2, max_retries=3)
def _prepare(spec: FitSpec, threads: int) -> tuple[npt.NDArray[np.uint8], ValuesSeen]:
    """The copy and, apart from it, what the driver looks at."""
    prepared = prepare(spec, threads)
    return prepared.data, prepared.seen


@dataclass(frozen=True, eq=False)
class Inputs:
    """What a fit is made of, as references: None for what it does without."""

    features: Ref | None
    prepared_key: str | None
    prepared: Ref | None
    seen: Ref | None


@dataclass
class SharedDatasets:
    """References to what the current round reads; what it does not read is let go."""

    _features: dict[tuple[str, str], Ref] = field(default_factory=dict)
    _columns: dict[Side, Ref] = field(default_factory=dict)
    _prepared: dict[str, tuple[Ref, Ref]] = field(default_factory=dict)

    def open(self, plans: Sequence[TrialPlan], fits: Sequence[FitSpec], threads: int) -> None:
        """Load everything that ``plans`` and their ``fits`` read; returns when the prepared copies are made."""
        needs = column_needs(plans)
        columns: dict[Side, Ref] = {}
        for plan in plans:
            side = (plan.index.fingerprint, *needs)
            if side not in columns:
                columns[side] = self._columns.get(side) or _load_columns.options(
                    name=f"load targets of {plan.index.path.name}"
                ).remote(plan, *needs)
        prepared: dict[str, tuple[Ref, Ref]] = {}
        for spec in fits:
            key = prepared_key(spec)
            if key is not None and key not in prepared:
                task = _prepare.options(name=f"prepare {_what(spec)}", num_cpus=threads)
                refs: Any = self._prepared.get(key) or task.remote(spec, threads)
                prepared[key] = refs[0], refs[1]
        self._columns, self._prepared = columns, prepared
        features: dict[tuple[str, str], Ref] = {}
        for spec in fits:
            if spec.dataset not in features and not self._is_enough(spec):
                features[spec.dataset] = self._features.get(spec.dataset) or _load_features.options(
                    name=f"load {_what(spec)}"
                ).remote(spec.index, spec.features)
        self._features = features

    def inputs(self, spec: FitSpec) -> Inputs:
        """What the fit of ``spec`` is handed."""
        key = prepared_key(spec)
        data, seen = (None, None) if key is None else self._prepared[key]
        return Inputs(None if self._is_enough(spec) else self._features[spec.dataset], key, data, seen)

    def has(self, plan: TrialPlan) -> bool:
        """Whether the current round reads the plan's file."""
        return any(key[0] == plan.index.fingerprint for key in self._columns)

    def columns(self, plan: TrialPlan) -> Ref:
        """The :class:`Columns` of a file that the current round reads."""
        return next(ref for key, ref in self._columns.items() if key[0] == plan.index.fingerprint)

    def _is_enough(self, spec: FitSpec) -> bool:
        key = prepared_key(spec)
        return key is not None and is_enough(spec, ray.get(self._prepared[key][1]))


def _what(spec: FitSpec) -> str:
    return f"{spec.config.data.feature_set} of {spec.index.path.name}"
