"""Pure arithmetic: cores, bytes and a round's work in; threads a fit, fits at once and object-store size out.

One fit on two threads runs 1.6 to 1.7 times as fast as on one, two fits side by side 1.8 times: more fits win over more
threads while memory allows, and fits x threads never exceeds the cores (oversubscription costs up to 10 times).

What a byte is spent on (``tests/benchmarks/round_memory.py`` measures the sums)::

    object store   int8 features, a byte a value; ids, targets and benchmarks, 120 bytes a row
    a fit          its process; and by what grows its trees:
      five_values  a record of 8 bytes for every 24 features that a tree draws, and 60 bytes a row of ids, scores,
                   gradients, labels; histograms, 80 bytes a drawn feature and leaf
      lightgbm     a Dataset of its rows: bins of half a byte a value, twice (it fills two buffers), a sample of 200,000
                   rows, ten bytes a value; the rows to predict as float32, 100,000 at a time; 60 bytes a row;
                   histograms, 96 bytes a feature and leaf
      others       features as float32, and once more in the form that they compute with
    loading        a block of features at a time: its values, and the same as they are handed to the store
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from numerai_ray.errors import ResourceShortage

GB = 10**9
# A worker process with numpy, pyarrow and LightGBM loaded, before any data: its private part.
WORKER_BYTES = GB // 5
# Ray's own processes on the driver's machine.
RAY_BYTES = GB
# So many times as fast is a fit on k threads: k to this power; and by how much of a round another one must end sooner.
THREADS_GAIN, WORTH_A_THREAD = 0.7, 0.03
COLUMN_BYTES_PER_ROW = 120
FIT_BYTES_PER_ROW = 60
# Of our own engine: a tree's features are packed in words, and its histograms are of whole quads.
FEATURES_A_WORD, WORD_BYTES, HISTOGRAM_BYTES_PER_FEATURE = 24, 8, 80
# Of LightGBM itself: bins of half a byte, filled twice; six bins a feature, five values and the one for missing.
LIGHTGBM_BYTES_PER_VALUE, BIN_BYTES, BINS_PER_FEATURE = 1.0, 16, 6
SAMPLED_ROWS, SAMPLE_BYTES_PER_VALUE = 200_000, 10
PREDICTED_ROWS, PREDICTED_BYTES_PER_VALUE = 100_000, 4
# A model that reads the features themselves: as float32, and once more in the form that it computes with.
DENSE_BYTES_PER_VALUE = 8.0
# Features travel to the store in blocks of so many bytes: one huge object is slow to send, and to lose.
BLOCK_BYTES = GB // 4


@dataclass(frozen=True)
class FitSize:
    """One fit: rows that it trains on and predicts, features, and by what it is grown.

    ``span`` are the dataset's rows from the first that it trains on to the last, ``drawn`` features those of a tree,
    ``leaves`` those of its largest.
    """

    engine: str
    rows: int
    predicted: int
    span: int
    features: int
    drawn: int
    leaves: int = 31
    weighted: bool = False

    @property
    def memory_bytes(self) -> int:
        """Peak private memory of the fit, its process included."""
        return int(WORKER_BYTES + self._own())

    def _own(self) -> float:
        answers = 16 * self.predicted
        if self.engine == "five_values":
            words = -(-self.drawn // FEATURES_A_WORD)
            a_row = words * WORD_BYTES + FIT_BYTES_PER_ROW + (16 if self.weighted else 0)
            return self.span * a_row + answers + HISTOGRAM_BYTES_PER_FEATURE * self.drawn * (self.leaves + 1)
        if self.engine.startswith("lightgbm"):
            bins = self.rows * self.features * LIGHTGBM_BYTES_PER_VALUE
            sample = min(self.rows, SAMPLED_ROWS) * self.features * SAMPLE_BYTES_PER_VALUE
            shown = min(self.predicted, PREDICTED_ROWS) * self.features * PREDICTED_BYTES_PER_VALUE
            histograms = BIN_BYTES * BINS_PER_FEATURE * self.features * self.leaves
            return max(bins + sample, bins / 2 + shown) + self.rows * FIT_BYTES_PER_ROW + answers + histograms
        return (self.rows + self.predicted) * (DENSE_BYTES_PER_VALUE * self.features + FIT_BYTES_PER_ROW)


@dataclass(frozen=True)
class Machine:
    """What there is: logical cores, free memory, the room in ``/dev/shm``, and GPUs."""

    cores: int
    memory_bytes: int
    shm_bytes: int
    gpus: int = 0


@dataclass(frozen=True)
class Needs:
    """What one fit asks for; None leaves it to the plan. ``gpus`` is a share of one, or a whole number of them."""

    cores: int | None = None
    gpus: float = 0.0
    memory_bytes: int | None = None

    def at_once(self, cores: int, gpus: int) -> int:
        """How many such fits run side by side on so many cores and GPUs; a share never spans two GPUs."""
        by_cores = cores // (self.cores or 1)
        if not self.gpus:
            return by_cores
        by_gpus = gpus * int(1 / self.gpus + 1e-9) if self.gpus <= 1 else gpus // int(self.gpus)
        return min(by_cores, by_gpus)

    def __str__(self) -> str:
        """``2 cores, 0.5 GPUs, 4.0 GB``: what is asked for expressly."""
        parts = [] if self.cores is None else [f"{self.cores} core{'s' if self.cores > 1 else ''}"]
        parts += [f"{self.gpus:g} GPU{'s' if self.gpus != 1 else ''}"] if self.gpus else []
        parts += [] if self.memory_bytes is None else [f"{self.memory_bytes / GB:.1f} GB"]
        return ", ".join(parts)


def heaviest(needs: Sequence[Needs]) -> Needs:
    """The most that any of them asks for, each thing by itself."""
    cores = [each.cores for each in needs if each.cores is not None]
    memory = [each.memory_bytes for each in needs if each.memory_bytes is not None]
    return Needs(max(cores, default=None), max(each.gpus for each in needs), max(memory, default=None))


def lightest(needs: Sequence[Needs]) -> Needs:
    """The least that any of them asks for, each thing by itself: what most fits of a mixed round have room for."""
    cores = None if any(each.cores is None for each in needs) else min(each.cores or 1 for each in needs)
    return Needs(cores, min(each.gpus for each in needs))


@dataclass(frozen=True)
class Workload:
    """A round's work: ``fits`` over a dataset of ``rows`` x ``features`` int8 values.

    ``fit_bytes`` is the peak private memory of its largest fit; ``shared_bytes`` what the object store holds in all, by
    default the features and columns of this dataset alone. ``needs`` is what its most demanding fit asks for, and
    ``usual`` the least demanding one.
    """

    rows: int
    features: int
    fits: int
    fit_bytes: int
    shared_bytes: int | None = None
    needs: Needs = Needs()
    usual: Needs = Needs()

    @property
    def store_bytes(self) -> int:
        """What the object store must have room for; never less than 200 MB, because Ray needs some."""
        own = self.rows * (self.features + COLUMN_BYTES_PER_ROW)
        return max(int(1.1 * (own if self.shared_bytes is None else self.shared_bytes)), GB // 5)

    @property
    def loading_bytes(self) -> int:
        """Peak private memory of the process that reads features, a block at a time, before they are in the store."""
        return WORKER_BYTES + 2 * min(BLOCK_BYTES, self.rows * self.features)


def block_features(rows: int) -> int:
    """How many features make a block."""
    return max(1, BLOCK_BYTES // max(1, rows))


@dataclass(frozen=True)
class ResourcePlan:
    """How a round uses the machine. ``fits_at_once * threads_per_fit <= cores``; ``peak_bytes`` is all of it."""

    fits_at_once: int
    threads_per_fit: int
    object_store_bytes: int
    fit_bytes: int
    peak_bytes: int


def plan_resources(machine: Machine, work: Workload) -> ResourcePlan:
    """Resources for a round.

    Raises:
        ResourceShortage: the data cannot be shared or read, or not even one fit at a time has room; the message
            holds the numbers.

    """
    store, per_fit = work.store_bytes, work.fit_bytes
    size = f"{work.rows:,} rows x {work.features:,} features"
    if not work.needs.at_once(machine.cores, machine.gpus):
        raise ResourceShortage(
            f"one fit needs {replace(work.needs, memory_bytes=None)}, {machine.cores} cores and {machine.gpus} GPUs "
            f"here; lower model.resources, train on the processor, or use a cluster that has them (--address)"
        )
    smaller = "use a smaller feature_set or downsampled data"
    if store > machine.shm_bytes:
        raise ResourceShortage(
            f"the shared dataset needs {store / GB:.1f} GB of /dev/shm ({size}), {machine.shm_bytes / GB:.1f} GB "
            f"there; {smaller}, or enlarge /dev/shm (Docker: --shm-size)"
        )
    fixed = store + RAY_BYTES
    for what, needed in (("one fit at a time", fixed + per_fit), ("reading the features", fixed + work.loading_bytes)):
        if needed > machine.memory_bytes:
            # No smaller data make less of what is asked for expressly, where the data themselves have room.
            asked = (work.needs.memory_bytes or 0) >= per_fit and fixed + work.loading_bytes <= machine.memory_bytes
            raise ResourceShortage(
                f"{what} needs {needed / GB:.1f} GB ({size}), {machine.memory_bytes / GB:.1f} GB free here; "
                f"{_lower(per_fit, machine.memory_bytes - fixed) if asked else smaller}"
            )
    room = (machine.memory_bytes - fixed) // per_fit
    at_once = max(1, min(work.usual.at_once(machine.cores, machine.gpus), work.fits, int(room)))
    peak = fixed + max(at_once * per_fit, work.loading_bytes)
    threads = work.usual.cores or max(1, machine.cores // at_once)
    return ResourcePlan(at_once, threads, store, per_fit, peak)


def threads_for(costs: Sequence[float], threads: int, cores: int) -> list[int]:
    """Threads of each fit of a round: more for those that would go on alone when all others have ended.

    Args:
        costs: of each fit, in the order in which they are handed out, in any unit.
        threads: that each has at least.
        cores: of the machine.

    """
    found = [threads] * len(costs)
    ends = _ends(costs, found, cores)
    while costs and max(found) < cores:
        late = max(ends) * (1 - WORTH_A_THREAD)
        more = [each + (end > late) for each, end in zip(found, ends, strict=True)]
        then = _ends(costs, more, cores)
        if max(then) > late:
            break
        found, ends = more, then
    return found


def _ends(costs: Sequence[float], threads: Sequence[int], cores: int) -> list[float]:
    """When each fit ends that begins in its turn, as soon as its cores are free."""
    free = [0.0] * cores  # when each core is, ascending
    ends = []
    for cost, taken in zip(costs, threads, strict=True):
        done = free[taken - 1] + cost / taken**THREADS_GAIN
        free = sorted([*free[taken:], *[done] * taken])
        ends.append(done)
    return ends


def _lower(asked_bytes: int, room_bytes: int) -> str:
    """What to do about ``memory_gb`` that is more than is left of this machine."""
    most = math.floor(room_bytes / GB * 100) / 100
    return (
        f"lower model.resources.memory_gb from {asked_bytes / GB:g} to {most:g} or less, leave it out (memory is "
        f"estimated then), or use a cluster that has it (--address)"
    )
