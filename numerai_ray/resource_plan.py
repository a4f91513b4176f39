"""Pure arithmetic: cores and bytes in, threads per fit and fits at once out.

Measured with LightGBM 4.7 on two cores: one fit on 2 threads runs 1.67 times as fast as on 1 thread, two fits side
by side on 1 thread each 1.8 times: more fits win over more threads while memory allows, and fits x threads never
exceeds the cores (oversubscription costs up to 10 times).
"""

from dataclasses import dataclass

from numerai_ray.errors import ResourceShortage

GB = 10**9
# Allowance for a worker process with numpy, pyarrow and LightGBM loaded, before any data.
WORKER_BYTES = GB // 5
# Allowance for Ray's own processes on the driver's machine.
RAY_BYTES = GB
# LightGBM keeps four-bit bins for five-valued features: half a byte a value for the whole copy, as much again for
# the rows of a fold.
BINNED_BYTES_PER_VALUE = 0.5


@dataclass(frozen=True)
class Machine:
    """What there is: logical cores, free memory, and the room in ``/dev/shm``."""

    cores: int
    memory_bytes: int
    shm_bytes: int


@dataclass(frozen=True)
class ResourcePlan:
    """How a round uses the machine. ``fits_at_once * threads_per_fit <= cores``."""

    fits_at_once: int
    threads_per_fit: int
    object_store_bytes: int
    fit_bytes: int


def fit_memory_bytes(rows: int, features: int) -> int:
    """Peak private memory of one fit: its process, the binned copy and the fold's rows of it, gradients and scores."""
    return int(WORKER_BYTES + 2 * BINNED_BYTES_PER_VALUE * rows * features + 40 * rows)


def shared_bytes(rows: int, features: int) -> int:
    """What the object store holds of one dataset: int8 features, the binned copy, targets and benchmarks."""
    return int((1 + BINNED_BYTES_PER_VALUE) * rows * features + 120 * rows)


def plan_resources(machine: Machine, rows: int, features: int, fits: int) -> ResourcePlan:
    """Resources for a round of ``fits`` fits over a dataset of ``rows`` x ``features`` int8 values.

    Raises:
        ResourceShortage: not even one fit at a time has room; the message holds the numbers.

    """
    per_fit = fit_memory_bytes(rows, features)
    store = max(int(1.2 * shared_bytes(rows, features)), GB // 5)
    fixed = store + RAY_BYTES
    if store > machine.shm_bytes:
        raise ResourceShortage(
            f"the shared dataset needs {store / GB:.1f} GB of /dev/shm, {machine.shm_bytes / GB:.1f} GB there; use a "
            f"smaller feature_set or downsampled data, or enlarge /dev/shm (Docker: --shm-size)"
        )
    if fixed + per_fit > machine.memory_bytes:
        raise ResourceShortage(
            f"one fit at a time needs {(fixed + per_fit) / GB:.1f} GB ({rows:,} rows x {features:,} features), "
            f"{machine.memory_bytes / GB:.1f} GB free here; use a smaller feature_set or downsampled data"
        )
    room = (machine.memory_bytes - fixed) // per_fit
    at_once = max(1, min(machine.cores, fits, int(room)))
    return ResourcePlan(at_once, max(1, machine.cores // at_once), store, per_fit)
