"""A dataset as Ray objects: loaded once a node by a task, read by every worker without a copy.

The tasks are owned by the driver and retried: what a lost node held is loaded again elsewhere.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import ray

from numerai_ray.dataset import Columns, DatasetIndex, FeatureMatrix, load_columns, load_features
from numerai_ray.fold_runner import column_needs, prepare, prepared_key
from numerai_ray.trial_plan import FitSpec, TrialPlan

Ref: TypeAlias = "ray.ObjectRef[Any]"


@ray.remote(num_cpus=1, max_retries=3)
def _load_features(index: DatasetIndex, names: Sequence[str]) -> FeatureMatrix:
    return load_features(index, names)


@ray.remote(num_cpus=1, max_retries=3)
def _load_columns(plan: TrialPlan, targets: Sequence[str], benchmarks: Sequence[str]) -> Columns:
    return load_columns(plan.index, plan.config.data, targets, benchmarks)


@ray.remote(max_retries=3)
def _prepare(spec: FitSpec, features: FeatureMatrix, threads: int) -> npt.NDArray[np.uint8]:
    return prepare(spec, features, threads)


@dataclass
class SharedDatasets:
    """References to what the current round reads; what it does not read is let go."""

    _features: dict[tuple[str, str], Ref] = field(default_factory=dict)
    _columns: dict[tuple[str, tuple[str, ...], tuple[str, ...]], Ref] = field(default_factory=dict)
    _prepared: dict[str, Ref] = field(default_factory=dict)

    def open(self, plans: Sequence[TrialPlan], fits: Sequence[FitSpec], threads: int) -> None:
        """Start loading everything that ``plans`` and their ``fits`` read."""
        needs = column_needs(plans)
        columns: dict[tuple[str, tuple[str, ...], tuple[str, ...]], Ref] = {}
        for plan in plans:
            side = (plan.index.fingerprint, *needs)
            if side not in columns:
                columns[side] = self._columns.get(side) or _load_columns.options(
                    name=f"load targets of {plan.index.path.name}"
                ).remote(plan, *needs)
        features: dict[tuple[str, str], Ref] = {}
        prepared: dict[str, Ref] = {}
        for spec in fits:
            what = f"{spec.config.data.feature_set} of {spec.index.path.name}"
            if spec.dataset not in features:
                features[spec.dataset] = self._features.get(spec.dataset) or _load_features.options(
                    name=f"load {what}"
                ).remote(spec.index, spec.features)
            key = prepared_key(spec)
            if key is not None and key not in prepared:
                prepared[key] = self._prepared.get(key) or _prepare.options(
                    name=f"bin {what}", num_cpus=threads
                ).remote(spec, features[spec.dataset], threads)
        self._columns, self._features, self._prepared = columns, features, prepared

    def features(self, spec: FitSpec) -> Ref:
        """The :class:`FeatureMatrix` of a fit."""
        return self._features[spec.dataset]

    def prepared(self, spec: FitSpec) -> tuple[str | None, Ref | None]:
        """Key and bytes of what the fit's model shares between fits, or (None, None)."""
        key = prepared_key(spec)
        return (None, None) if key is None else (key, self._prepared[key])

    def has(self, plan: TrialPlan) -> bool:
        """Whether the current round reads the plan's file."""
        return any(key[0] == plan.index.fingerprint for key in self._columns)

    def columns(self, plan: TrialPlan) -> Ref:
        """The :class:`Columns` of a file that the current round reads."""
        return next(ref for key, ref in self._columns.items() if key[0] == plan.index.fingerprint)
