"""A dataset as Ray objects: read once, held once a node, read by every worker without a copy.

The tasks that load are owned by the driver and retried: what a lost node held is loaded again elsewhere. Features
travel in blocks (:data:`~numerai_ray.system.resources.BLOCK_BYTES`), shared by all feature sets of a round.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import ray

from numerai_ray.data.dataset import Columns, DatasetIndex, load_columns, load_features
from numerai_ray.data.features import FeatureMatrix, ValuesSeen, joined
from numerai_ray.system.resources import COLUMN_BYTES_PER_ROW, GB, Workload, block_features, heaviest, lightest
from numerai_ray.training.spec import FitSpec, VariantPlan, column_needs

Ref: TypeAlias = "ray.ObjectRef[Any]"
Side = tuple[str, tuple[str, ...], tuple[str, ...]]
Block = tuple[str, tuple[str, ...]]  # a file's fingerprint, and features of it
FeatureBlock = tuple[npt.NDArray[np.int8], ValuesSeen]
# The driver reads so much of the features itself while Ray starts; the rest is read by tasks afterwards.
AHEAD_BYTES = GB // 2


@dataclass(frozen=True)
class Ahead:
    """What the driver has read on the machine where all of Ray is: features, and columns."""

    blocks: Mapping[Block, FeatureBlock] = field(default_factory=dict)
    columns: Mapping[Side, Columns] = field(default_factory=dict)


def read_block(index: DatasetIndex, names: Sequence[str]) -> FeatureBlock:
    """Some features: one array (n, n_rows) and what is seen in it, because thousands of arrays are slow to unpack."""
    loaded = load_features(index, names)
    whole = loaded.columns[0].base
    return np.stack(loaded.columns) if whole is None else whole, loaded.seen


@ray.remote(num_cpus=1, max_retries=3)
def _load_block(index: DatasetIndex, names: Sequence[str]) -> FeatureBlock:
    return read_block(index, names)


@ray.remote(num_cpus=1, max_retries=3)
def _load_columns(plan: VariantPlan, targets: Sequence[str], benchmarks: Sequence[str]) -> Columns:
    return load_columns(plan.index, plan.config.data, targets, benchmarks)


@dataclass(frozen=True)
class InputShape:
    """How a worker puts together the blocks that :class:`Inputs` hands to it, in this order."""

    features: tuple[str, ...]
    blocks: tuple[tuple[str, ...], ...]

    def put_together(self, values: Sequence[FeatureBlock]) -> FeatureMatrix:
        """The features, without a copy."""
        blocks = zip(self.blocks, values, strict=True)
        features = joined([FeatureMatrix(names, tuple(array), seen) for names, (array, seen) in blocks])
        return features.select(self.features)


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

    def open(self, plans: Sequence[VariantPlan], fits: Sequence[FitSpec], ahead: Ahead | None = None) -> None:
        """Load everything that ``plans`` and their ``fits`` read, but for what the driver has read ``ahead``."""
        ahead = ahead or Ahead()
        self._columns = {
            side: self._columns.get(side) or _columns_ref(plan, side, ahead.columns.get(side))
            for side, plan in sides(plans).items()
        }
        self._blocks = {
            block: self._blocks.get(block) or _block_ref(index, block, ahead.blocks.get(block))
            for block, index in blocks_of(fits).items()
        }

    def inputs(self, spec: FitSpec) -> Inputs:
        """What the fit of ``spec`` is handed."""
        wanted, file = set(spec.features), spec.index.fingerprint
        blocks = {key: ref for key, ref in self._blocks.items() if key[0] == file and wanted.intersection(key[1])}
        return Inputs(InputShape(spec.features, tuple(names for _, names in blocks)), tuple(blocks.values()))

    def holds(self, key: Block | Side) -> bool:
        """Whether that block, or those columns, are shared already."""
        return key in self._blocks or key in self._columns

    def has(self, plan: VariantPlan) -> bool:
        """Whether the current round reads the plan's file."""
        return any(key[0] == plan.index.fingerprint for key in self._columns)

    def shared_bytes(self) -> int:
        """Size of everything held for the current round that is there already."""
        held = [*self._blocks.values(), *self._columns.values()]
        found: Any = ray.experimental.get_object_locations(held) if held else {}
        return sum(each["object_size"] or 0 for each in found.values())

    def columns(self, plan: VariantPlan) -> Ref:
        """The :class:`Columns` of a file that the current round reads."""
        return next(ref for key, ref in self._columns.items() if key[0] == plan.index.fingerprint)


def blocks_of(fits: Sequence[FitSpec]) -> dict[Block, DatasetIndex]:
    """The features that fits read, in blocks: each once, in whatever number of feature sets it is."""
    indexes = {spec.index.fingerprint: spec.index for spec in fits}
    found: dict[Block, DatasetIndex] = {}
    for fingerprint, index in indexes.items():
        sets = {spec.features for spec in fits if spec.index.fingerprint == fingerprint}
        names = list(dict.fromkeys(name for each in sorted(sets, key=len, reverse=True) for name in each))
        width = block_features(index.n_rows)
        for first in range(0, len(names), width):
            found[fingerprint, tuple(names[first : first + width])] = index
    return found


def read_ahead(fits: Sequence[FitSpec], shared: SharedDatasets) -> dict[Block, FeatureBlock]:
    """The first blocks that are not shared yet, up to :data:`AHEAD_BYTES`."""
    found: dict[Block, FeatureBlock] = {}
    left = AHEAD_BYTES
    for block, index in blocks_of(fits).items():
        left -= 0 if shared.holds(block) else index.n_rows * len(block[1])
        if left < 0:
            break
        if not shared.holds(block):
            found[block] = read_block(index, block[1])
    return found


def sides(plans: Sequence[VariantPlan]) -> dict[Side, VariantPlan]:
    """The columns that ``plans`` read, and one of the plans that reads them: those of a file are loaded together."""
    needs = column_needs(plans)
    return {(plan.index.fingerprint, *needs): plan for plan in reversed(plans)}


def _columns_ref(plan: VariantPlan, side: Side, ahead: Columns | None) -> Ref:
    if ahead is not None:
        return ray.put(ahead)
    return _load_columns.options(name=f"load targets of {plan.index.path.name}").remote(plan, *side[1:])


def _block_ref(index: DatasetIndex, block: Block, ahead: FeatureBlock | None) -> Ref:
    if ahead is not None:
        return ray.put(ahead)
    return _load_block.options(name=f"load features of {index.path.name}").remote(index, block[1])


def workload(fits: Sequence[FitSpec]) -> Workload:
    """What training ``fits`` in one round takes: the largest of them, and all that they share."""
    rows, features = max(spec.index.n_rows for spec in fits), max(len(spec.features) for spec in fits)
    asked = [spec.needs for spec in fits]
    largest, shared = max(map(fit_bytes, fits)), _shared_bytes(fits)
    return Workload(rows, features, len(fits), largest, shared, heaviest(asked), lightest(asked))


def fit_bytes(spec: FitSpec) -> int:
    """Peak private memory of one fit: what it asks for, or else the estimate."""
    asked = spec.needs.memory_bytes
    return spec.size.memory_bytes if asked is None else asked


def _shared_bytes(fits: Sequence[FitSpec]) -> int:
    """The bytes of all features and columns that a round's fits share."""
    features = sum(index.n_rows * len(block[1]) for block, index in blocks_of(fits).items())
    rows = {spec.index.fingerprint: spec.index.n_rows for spec in fits}
    return features + COLUMN_BYTES_PER_ROW * sum(rows.values())
