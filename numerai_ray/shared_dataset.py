"""A dataset as Ray objects: read once, held once a node, read by every worker without a copy.

The tasks that load are owned by the driver and retried: what a lost node held is loaded again elsewhere. Large things
travel in chunks (:data:`~numerai_ray.prepared.CHUNK_BYTES`): a copy of prepared bytes cut in equal parts, features in
blocks of as many as fill one, shared by all feature sets of a round. Where a model's prepared copy is enough for every
fit, as LightGBM's bins are, the features themselves are not shared at all.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import ray

from numerai_ray.dataset import Columns, DatasetIndex, load_columns, load_features
from numerai_ray.feature_matrix import FeatureMatrix, ValuesSeen, joined
from numerai_ray.fold_runner import column_needs
from numerai_ray.models import Prepared
from numerai_ray.models.tree_bits import BLOCK_ROWS, PLAIN_OBJECTIVES
from numerai_ray.prepared import CHUNK_BYTES, chunk_count, is_enough, is_kept, prepare, prepared_key
from numerai_ray.resource_plan import (
    BINNED_BYTES_PER_VALUE,
    COLUMN_BYTES_PER_ROW,
    UNPREPARED_BYTES_PER_VALUE,
    Workload,
    fit_bytes_per_value,
    heaviest,
    lightest,
)
from numerai_ray.trial_plan import FitSpec, TrialPlan

Ref: TypeAlias = "ray.ObjectRef[Any]"
Side = tuple[str, tuple[str, ...], tuple[str, ...]]
Block = tuple[str, tuple[str, ...]]  # a file's fingerprint, and features of it
FeatureBlock = tuple[npt.NDArray[np.int8], ValuesSeen]


@dataclass(frozen=True)
class Ahead:
    """What the driver has read on the machine where all of Ray is: prepared copies by key, and columns."""

    prepared: Mapping[str, Prepared] = field(default_factory=dict)
    columns: Mapping[Side, Columns] = field(default_factory=dict)


@ray.remote(num_cpus=1, max_retries=3)
def _load_block(index: DatasetIndex, names: Sequence[str]) -> FeatureBlock:
    """Some features: one array (n, n_rows) and what is seen in it, because thousands of arrays are slow to unpack."""
    loaded = load_features(index, names)
    return np.stack(loaded.columns), loaded.seen


@ray.remote(num_cpus=1, max_retries=3)
def _load_columns(plan: TrialPlan, targets: Sequence[str], benchmarks: Sequence[str]) -> Columns:
    return load_columns(plan.index, plan.config.data, targets, benchmarks)


@ray.remote(max_retries=3)
def _prepare(spec: FitSpec, threads: int) -> tuple[ValuesSeen | npt.NDArray[np.uint8], ...]:
    """The copy in chunks and, before them, what the driver looks at."""
    prepared = prepare(spec, threads)
    return prepared.seen, *prepared.chunks


@dataclass(frozen=True)
class InputShape:
    """How a worker puts together what :class:`Inputs` hands to it: so many values of each kind, in this order."""

    prepared_key: str | None
    chunks: int
    features: tuple[str, ...]
    blocks: tuple[tuple[str, ...], ...]

    def put_together(self, values: Sequence[Any]) -> tuple[FeatureMatrix | None, Prepared | None]:
        """The features and the prepared copy, None for what the fit does without; nothing is copied."""
        prepared, rest = None, list(values)
        if self.prepared_key is not None:
            seen, *rest = rest
            prepared = Prepared(self.prepared_key, tuple(rest[: self.chunks]), seen)
            rest = rest[self.chunks :]
        if not self.blocks:
            return None, prepared
        blocks = zip(self.blocks, rest, strict=True)
        features = joined([FeatureMatrix(names, tuple(array), seen) for names, (array, seen) in blocks])
        return features.select(self.features), prepared


@dataclass(frozen=True, eq=False)
class Inputs:
    """What a fit is made of: ``refs`` are handed to its task one by one, ``shape`` tells what they are."""

    shape: InputShape
    refs: tuple[Ref, ...]


@dataclass
class SharedDatasets:
    """References to what the current round reads; what it does not read is let go."""

    _blocks: dict[Block, Ref] = field(default_factory=dict)
    _columns: dict[Side, Ref] = field(default_factory=dict)
    _prepared: dict[str, tuple[Ref, ...]] = field(default_factory=dict)

    def open(
        self,
        plans: Sequence[TrialPlan],
        fits: Sequence[FitSpec],
        threads: int,
        ahead: Ahead | None = None,
    ) -> None:
        """Load everything that ``plans`` and their ``fits`` read, but for what the driver has read ``ahead``.

        Returns when the prepared copies are made.
        """
        ahead = ahead or Ahead()
        columns = {
            side: self._columns.get(side) or _columns_ref(plan, side, ahead.columns.get(side))
            for side, plan in sides(plans).items()
        }
        prepared: dict[str, tuple[Ref, ...]] = {}
        for spec in fits:
            key = prepared_key(spec)
            if key is not None and key not in prepared:
                prepared[key] = self._prepared.get(key) or _prepared_refs(spec, threads, ahead.prepared.get(key))
        self._columns, self._prepared = columns, prepared
        self._blocks = self._load_blocks([spec for spec in fits if not self._is_enough(spec)])

    def _load_blocks(self, fits: Sequence[FitSpec]) -> dict[Block, Ref]:
        """Features that fits read themselves: each once, in whatever number of feature sets it is."""
        indexes = {spec.index.fingerprint: spec.index for spec in fits}
        blocks: dict[Block, Ref] = {}
        for fingerprint, index in indexes.items():
            sets = {spec.features for spec in fits if spec.index.fingerprint == fingerprint}
            names = list(dict.fromkeys(name for each in sorted(sets, key=len, reverse=True) for name in each))
            width = max(1, CHUNK_BYTES // max(1, index.n_rows))
            for first in range(0, len(names), width):
                block = (fingerprint, tuple(names[first : first + width]))
                task = _load_block.options(name=f"load features {first + 1}… of {index.path.name}")
                blocks[block] = self._blocks.get(block) or task.remote(index, block[1])
        return blocks

    def inputs(self, spec: FitSpec) -> Inputs:
        """What the fit of ``spec`` is handed."""
        key = prepared_key(spec)
        prepared = () if key is None else self._prepared[key]
        blocks: dict[Block, Ref] = {}
        if not self._is_enough(spec):
            wanted = set(spec.features)
            blocks = {
                block: ref
                for block, ref in self._blocks.items()
                if block[0] == spec.index.fingerprint and wanted.intersection(block[1])
            }
        shape = InputShape(key, max(0, len(prepared) - 1), spec.features, tuple(names for _, names in blocks))
        return Inputs(shape, (*prepared, *blocks.values()))

    def holds(self, key: str | Side) -> bool:
        """Whether the prepared copy of that key, or those columns, are shared already."""
        return key in self._prepared or key in self._columns

    def has(self, plan: TrialPlan) -> bool:
        """Whether the current round reads the plan's file."""
        return any(key[0] == plan.index.fingerprint for key in self._columns)

    def shared_bytes(self) -> int:
        """Size of everything held for the current round that is there already."""
        prepared = (ref for refs in self._prepared.values() for ref in refs)
        held = [*self._blocks.values(), *self._columns.values(), *prepared]
        found: Any = ray.experimental.get_object_locations(held) if held else {}
        return sum(each["object_size"] or 0 for each in found.values())

    def columns(self, plan: TrialPlan) -> Ref:
        """The :class:`Columns` of a file that the current round reads."""
        return next(ref for key, ref in self._columns.items() if key[0] == plan.index.fingerprint)

    def _is_enough(self, spec: FitSpec) -> bool:
        key = prepared_key(spec)
        return key is not None and is_enough(spec, ray.get(self._prepared[key][0]))


def sides(plans: Sequence[TrialPlan]) -> dict[Side, TrialPlan]:
    """The columns that ``plans`` read, and one of the plans that reads them: those of a file are loaded together."""
    needs = column_needs(plans)
    return {(plan.index.fingerprint, *needs): plan for plan in reversed(plans)}


def _columns_ref(plan: TrialPlan, side: Side, ahead: Columns | None) -> Ref:
    if ahead is not None:
        return ray.put(ahead)
    return _load_columns.options(name=f"load targets of {plan.index.path.name}").remote(plan, *side[1:])


def _prepared_refs(spec: FitSpec, threads: int, ahead: Prepared | None) -> tuple[Ref, ...]:
    """The copy's values: put there by the driver, which has it, or returned by a task."""
    if ahead is not None:
        return tuple(ray.put(value) for value in (ahead.seen, *ahead.chunks))
    # One that is only read must not wait for all cores: targets are loaded beside it.
    cores = 1 if is_kept(spec) else threads
    task = _prepare.options(name=f"prepare {_what(spec)}", num_cpus=cores, num_returns=1 + chunk_count(spec))
    refs: Any = task.remote(spec, threads)
    return tuple(refs)


def workload(fits: Sequence[FitSpec]) -> Workload:
    """What training ``fits`` in one round takes: the largest of them, and all that they share."""
    rows, features = max(spec.index.n_rows for spec in fits), max(len(spec.features) for spec in fits)
    fit_rows = max(map(_fit_rows, fits))
    # A small fit may hold more of each value than the largest one.
    held = max(_bytes_per_value(spec) * _fit_rows(spec) * len(spec.features) for spec in fits)
    asked = [spec.needs for spec in fits]
    most = heaviest(asked)
    # Where some say how much memory they take, the largest is that of any fit, by its word or by the estimate.
    memory = None if most.memory_bytes is None else max(map(fit_bytes, fits))
    return Workload(
        rows=rows,
        features=features,
        fits=len(fits),
        fit_rows=fit_rows,
        bytes_per_value=held / max(1, fit_rows * features),
        leaves=max(spec.leaves for spec in fits),
        shared_bytes=_shared_bytes(fits),
        needs=replace(most, memory_bytes=memory),
        usual=lightest(asked),
    )


def fit_bytes(spec: FitSpec) -> int:
    """Peak private memory of one fit: what it asks for, or else the estimate."""
    asked = spec.needs.memory_bytes
    if asked is not None:
        return asked
    per_value = _bytes_per_value(spec)
    return Workload(spec.index.n_rows, len(spec.features), 1, _fit_rows(spec), per_value, leaves=spec.leaves).fit_bytes


def _fit_rows(spec: FitSpec) -> int:
    """Rows that a fit holds at once: of those to predict a block, where trees are read (see `tree_bits`)."""
    ranges = spec.index.row_ranges(spec.fold.validation_eras)
    to_predict = sum(stop - start for start, stop in ranges)
    objective = spec.model.canonical_params(spec.config.model.params).get("objective")
    read = prepared_key(spec) is not None and objective in PLAIN_OBJECTIVES and spec.config.data.missing != "nan"
    return spec.train_rows + (min(to_predict, BLOCK_ROWS) if read else to_predict)


def _bytes_per_value(spec: FitSpec) -> float:
    if prepared_key(spec) is not None:
        return fit_bytes_per_value(spec.train_rows, len(spec.features))
    return UNPREPARED_BYTES_PER_VALUE


def _shared_bytes(fits: Sequence[FitSpec]) -> int:
    """The bytes of all copies, features that fits read themselves, and columns that a round's fits share."""
    copies = {prepared_key(spec): spec.index.n_rows * len(spec.features) for spec in fits}
    direct = {spec.dataset: spec.index.n_rows * len(spec.features) for spec in fits if prepared_key(spec) is None}
    rows = {spec.index.fingerprint: spec.index.n_rows for spec in fits}
    copies.pop(None, None)
    binned = BINNED_BYTES_PER_VALUE * sum(copies.values())
    return int(binned + sum(direct.values()) + COLUMN_BYTES_PER_ROW * sum(rows.values()))


def _what(spec: FitSpec) -> str:
    return f"{'+'.join(spec.config.data.feature_sets)} of {spec.index.path.name}"
