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
from numerai_ray.errors import DataError, NumeraiRayError
from numerai_ray.experiment.ledger import read_ledger
from numerai_ray.experiment.paths import ExperimentPaths
from numerai_ray.system.storage import Place, folders_in

_BENCHMARK_FILES = ("full", "downsampled_full", "validation", "train", "live")


def newest_present(root: Place) -> str | None:
    """The newest data version under a data root; None where there is none."""
    if not root.is_dir():
        return None
    return newest(name for name in folders_in(root) if (root / name / "features.json").exists())


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


def data_defaults(
    root: Place, paths: ExperimentPaths | None = None, reached: Callable[[Place], Place] = lambda root: root
) -> DataDefaults:
    """What a plan without a version or benchmark means on a data root; of an experiment that ran, what it ran on.

    ``reached`` is called with the root before anything there is read: a storage may have to be waited for.
    """
    ran = {} if paths is None else _ran_on(paths)
    own = value_at(ran, "data.version")

    def version() -> str:
        return own or newest_present(reached(root)) or NEWEST_VERSION

    def benchmark(version: str) -> str | None:
        return value_at(ran, "score.benchmark") if version == own else benchmark_of(reached(root), version)

    return DataDefaults(version, benchmark)


def _ran_on(paths: ExperimentPaths) -> Mapping[str, Any]:
    """The first config that the experiment ran; empty before that, and where it is lost."""
    try:
        first = next((each.id for record in read_ledger(paths.ledger) for each in record.variants), None)
        path = None if first is None else paths.config(first)
        return {} if path is None or not path.is_file() else parse_yaml(read_text(path), str(path))
    except NumeraiRayError:  # said by whoever reads it for more
        return {}
