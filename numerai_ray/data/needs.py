"""What a config needs of its data files, held against the columns that they have and the types of these."""

from collections.abc import Iterator, Mapping, Sequence

from numerai_ray.config import Config, DataConfig
from numerai_ray.data.columns import Role, type_problem
from numerai_ray.data.dataset import DatasetIndex
from numerai_ray.errors import DataError, nearest

_NAME_IDS = "name the index 'id' before writing it, or download or build the file again"


def check_columns(index: DatasetIndex, config: Config, features: Sequence[str], benchmarks: Sequence[str] = ()) -> None:
    """Raise one :class:`DataError` that names everything the config and its model need and the files lack."""
    wanted = tuple(dict.fromkeys((*config.benchmarks(), *benchmarks)))
    problems = [*_data_problems(index, config, features), *_benchmark_problems(index, config, wanted)]
    if problems:
        raise DataError("\n  - ".join(problems))


def _data_problems(index: DatasetIndex, config: Config, features: Sequence[str]) -> Iterator[str]:
    lost = [name for name in features if name not in index.columns]
    if lost:
        yield (
            f"{index.path}: {len(lost)} of {len(features)} features of {_sets(config.data)} are not in "
            f"it, the first is {lost[0]!r}; features.json and data file are of different versions"
        )
    wrong = (problem for name in features if (problem := _wrong_type(index.types, name, "feature")))
    yield from (f"{index.path}: {problem}" for problem in [*wrong][:1])  # where one does, they all do
    for target in dict.fromkeys((*config.data.targets, *config.score.targets)):
        if target not in index.columns:
            targets = [name for name in index.columns if name.startswith("target")]
            yield f"{index.path}: no target {target!r}{nearest(target, targets)}"
        elif problem := _wrong_type(index.types, target, "number"):
            yield f"{index.path}: {problem}"
    if config.data.id_col not in index.columns:
        yield f"{index.path}: no column {config.data.id_col!r}; {_NAME_IDS}"
    elif problem := _wrong_type(index.types, config.data.id_col, "id"):
        yield f"{index.path}: {problem}"


def _wrong_type(types: Mapping[str, str], name: str, role: Role) -> str | None:
    return type_problem(name, types[name], role) if name in types else None


def _sets(data: DataConfig) -> str:
    return " and ".join(f"set {name!r}" for name in data.feature_sets)


def _benchmark_problems(index: DatasetIndex, config: Config, benchmarks: Sequence[str]) -> Iterator[str]:
    if not index.benchmark_columns:
        yield f"{index.benchmark_path}: no such file; build it with `numerai-ray data build`, or check --data-dir"
        return
    if config.data.id_col not in index.benchmark_columns:
        yield f"{index.benchmark_path}: no column {config.data.id_col!r}; {_NAME_IDS}"
    elif problem := _wrong_type(index.benchmark_types, config.data.id_col, "id"):
        yield f"{index.benchmark_path}: {problem}"
    known = [name for name in index.benchmark_columns if name not in (config.data.id_col, config.data.era_col)]
    for benchmark in benchmarks:
        if benchmark not in known:
            yield f"{index.benchmark_path}: no benchmark {benchmark!r}{nearest(benchmark, known)}"
        elif problem := _wrong_type(index.benchmark_types, benchmark, "number"):
            yield f"{index.benchmark_path}: {problem}"
