"""Versions: the data version that is meant where none is named, and the benchmark that it brings.

A plan that ran keeps the version and the benchmark that it ran on, which its first config says; any other takes the
newest version under the data root.
"""

from collections.abc import Callable, Mapping
from typing import Any

from numerai_ray.config import parse_yaml, read_text
from numerai_ray.config.official import NEWEST_VERSION
from numerai_ray.config.validation import value_at
from numerai_ray.config.versions import DataDefaults, benchmark_in, benchmark_named, newest
from numerai_ray.errors import DataError, EnvironmentFault, NumeraiRayError, RequestError
from numerai_ray.experiment.ledger import read_ledger
from numerai_ray.experiment.paths import ExperimentPaths
from numerai_ray.system.storage import Place, folders_in

_BENCHMARK_FILES = ("full", "downsampled_full", "validation", "train", "live")


def newest_present(root: Place) -> str | None:
    """The newest data version under a data root; None where there is none."""
    if not root.is_dir():
        return None
    return newest(name for name in folders_in(root) if (root / name / "features.json").exists())


def newest_known(root: Place) -> tuple[str, str | None]:
    """The version that is meant where nobody names one: the newest here, else the newest that Numerai lists.

    Returns:
        The version, and what to tell where it is neither.

    """
    here = newest_present(root)
    if here is not None:
        return here, None
    from numerai_ray.data.download.numerai_api import newest_listed
    from numerai_ray.system.http import Patience

    try:  # a default is not worth waiting for: there is another one
        return newest_listed(Patience(tries=1, connect_s=5.0, stall_s=10.0)), None
    except (EnvironmentFault, RequestError):
        told = (
            f"{root} holds no data, and Numerai's list cannot be had: {NEWEST_VERSION} is taken, the newest known here"
        )
        return NEWEST_VERSION, f"{told}; --version or --data-version names another"


def benchmark_of(root: Place, version: str) -> str | None:
    """The benchmark of a version: what its file has, else what its name says; None where nobody knows."""
    from numerai_ray.data.dataset import open_parquet

    for part in _BENCHMARK_FILES:
        path = root / version / f"{part}_benchmark_models.parquet"
        if not path.exists():
            continue
        try:
            found = benchmark_in(version, open_parquet(path, "build it again").schema_arrow.names)
        except DataError:  # said by whoever reads more of it than its columns
            continue
        if found is not None:
            return found
    return benchmark_named(version)


NOTHING: Mapping[str, Any] = {}


def data_defaults(
    root: Place, ran: Mapping[str, Any] = NOTHING, reached: Callable[[Place], Place] = lambda root: root
) -> DataDefaults:
    """What a plan without a version or benchmark means on a data root; of an experiment that ran, what it ran on.

    Args:
        root: the data root.
        ran: the first config that the experiment ran, as :func:`ran_on` gives it.
        reached: called with the root before anything there is read: a storage may have to be waited for.

    """
    own = value_at(ran, "data.version")

    def version() -> str:
        return own or newest_present(reached(root)) or NEWEST_VERSION

    def benchmark(version: str) -> str | None:
        return value_at(ran, "score.benchmark") if version == own else benchmark_of(reached(root), version)

    return DataDefaults(version, benchmark)


def ran_on(paths: ExperimentPaths) -> Mapping[str, Any]:
    """The first config that the experiment ran; empty before that, and where it is lost."""
    try:
        first = next((each.id for record in read_ledger(paths.ledger) for each in record.variants), None)
        path = None if first is None else paths.config(first)
        return {} if path is None or not path.is_file() else parse_yaml(read_text(path), str(path))
    except NumeraiRayError:  # said by whoever reads it for more
        return {}
