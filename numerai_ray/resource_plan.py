"""Pure arithmetic: cores, bytes and a round's work in; threads a fit, fits at once and object-store size out.

Measured with LightGBM 4.7 on two cores: one fit on 2 threads runs 1.67 times as fast as on 1 thread, two fits side
by side on 1 thread each 1.8 times: more fits win over more threads while memory allows, and fits x threads never
exceeds the cores (oversubscription costs up to 10 times).

What a byte is spent on (``tests/benchmarks/round_memory.py`` measures the sums, ``copies_of_bins.py`` a fit's share)::

    object store   the bins of all rows, half a byte a value; int8 features, a byte, where a model reads those;
                   ids, targets and benchmarks, 120 bytes a row
    a fit          its process; the bins of the rows it trains on, and as much for a block of those it predicts, half
                   a byte a value, or a byte where that is at most 0.75 GB more;
                   gradients, scores and row lists, 60 bytes a row;
                   histograms, 16 bytes a bin and leaf, six bins a feature
    a fit loads    one at a time on a machine; meanwhile it holds its bins twice
    making bins    once, before the fits, in one process, a block of features at a time: the block's int8 values, and
                   those of the one before; where LightGBM has to bin all rows itself, its bins twice (it fills two
                   buffers), and its sample of 200,000 rows, ten bytes a value
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from numerai_ray.errors import ResourceShortage

GB = 10**9
# A worker process with numpy, pyarrow and LightGBM loaded, before any data: its private part.
WORKER_BYTES = GB // 5
# Ray's own processes on the driver's machine.
RAY_BYTES = GB
# LightGBM keeps four-bit bins for five-valued features. A byte each it reads in three quarters of the time (see
# `models.wide_bins`): more than what is lost where the same memory then has room for fewer fits, of more threads each.
BINNED_BYTES_PER_VALUE, WIDE_BYTES_PER_VALUE = 0.5, 1.0
MOST_FOR_WIDE_BYTES = 3 * GB // 4
# A model that reads the features themselves: as float32, and once more in the form that it computes with.
UNPREPARED_BYTES_PER_VALUE = 8.0
COLUMN_BYTES_PER_ROW = 120
FIT_BYTES_PER_ROW = 60
BINS_PER_FEATURE = 6  # five values and the one for missing
HISTOGRAM_BYTES_PER_BIN = 16
SAMPLED_ROWS, SAMPLE_BYTES_PER_VALUE = 200_000, 10
# Features are binned in blocks that take this much: enough of them to keep all cores at work.
BLOCK_BYTES = 3 * GB // 2


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


def fit_bytes_per_value(train_rows: int, features: int) -> float:
    """What a fit on bins holds of each: a byte where that takes it little more memory than half a byte does."""
    more = train_rows * features * (WIDE_BYTES_PER_VALUE - BINNED_BYTES_PER_VALUE)
    return WIDE_BYTES_PER_VALUE if more <= MOST_FOR_WIDE_BYTES else BINNED_BYTES_PER_VALUE


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

    ``fit_rows`` are the rows that the largest fit trains on and predicts, all of them when None; ``bytes_per_value``
    is the most that a fit holds of so many values, by default LightGBM's bins; ``leaves`` are those of the largest
    tree.
    ``shared_bytes`` is what the object store holds in all, by default the bins and columns of this dataset alone.
    ``needs`` is what its most demanding fit asks for, and ``usual`` the least demanding one.
    """

    rows: int
    features: int
    fits: int
    fit_rows: int | None = None
    bytes_per_value: float = BINNED_BYTES_PER_VALUE
    leaves: int = 31
    shared_bytes: int | None = None
    needs: Needs = Needs()
    usual: Needs = Needs()

    @property
    def fit_bytes(self) -> int:
        """Peak private memory of one fit: what it asks for, or else the estimate."""
        if self.needs.memory_bytes is not None:
            return self.needs.memory_bytes
        rows = self.rows if self.fit_rows is None else self.fit_rows
        histograms = HISTOGRAM_BYTES_PER_BIN * BINS_PER_FEATURE * self.features * self.leaves
        return int(WORKER_BYTES + rows * (self.bytes_per_value * self.features + FIT_BYTES_PER_ROW) + histograms)

    @property
    def loading_bytes(self) -> int:
        """What a fit holds on top while it loads its rows; fits of one machine do so one after the other."""
        rows = self.rows if self.fit_rows is None else self.fit_rows
        return int(rows * self.bytes_per_value * self.features)

    @property
    def store_bytes(self) -> int:
        """What the object store must have room for; never less than 200 MB, because Ray needs some."""
        own = self.rows * (BINNED_BYTES_PER_VALUE * self.features + COLUMN_BYTES_PER_ROW)
        return max(int(1.1 * (own if self.shared_bytes is None else self.shared_bytes)), GB // 5)

    @property
    def preparing_bytes(self) -> int:
        """Peak private memory of the one process that bins, beside the store."""
        return WORKER_BYTES + min(self.features, block_features(self.rows)) * _block_bytes(self.rows)


def block_features(rows: int) -> int:
    """How many features are binned at once."""
    return max(1, BLOCK_BYTES // max(1, _block_bytes(rows)))


def _block_bytes(rows: int) -> int:
    """What binning takes for each feature of a block."""
    return int((2 + 2 * BINNED_BYTES_PER_VALUE) * rows) + SAMPLE_BYTES_PER_VALUE * min(rows, SAMPLED_ROWS)


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
        ResourceShortage: the data cannot be shared or prepared, or not even one fit at a time has room; the message
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
    fixed = store + RAY_BYTES + work.loading_bytes
    for what, needed in (
        ("one fit at a time", fixed + per_fit),
        ("binning the features", RAY_BYTES + store + work.preparing_bytes),
    ):
        if needed > machine.memory_bytes:
            raise ResourceShortage(
                f"{what} needs {needed / GB:.1f} GB ({size}), {machine.memory_bytes / GB:.1f} GB free here; {smaller}"
            )
    room = (machine.memory_bytes - fixed) // per_fit
    at_once = max(1, min(work.usual.at_once(machine.cores, machine.gpus), work.fits, int(room)))
    peak = max(fixed + at_once * per_fit, RAY_BYTES + store + work.preparing_bytes)
    threads = work.usual.cores or max(1, machine.cores // at_once)
    return ResourcePlan(at_once, threads, store, per_fit, peak)
