"""Era coverage: the eras of a data file in which a target or a benchmark is known, read before anything is trained."""

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from numerai_ray.config import DataConfig
from numerai_ray.dataset import DatasetIndex, load_columns, open_parquet, read_group
from numerai_ray.errors import DataError
from numerai_ray.system.storage import Place

Eras = frozenset[int]


@dataclass(eq=False)
class EraCoverage:
    """Eras of one indexed file in which a column is known in one row at least; each column is read once."""

    index: DatasetIndex
    data: DataConfig
    _targets: dict[str, Eras] = field(default_factory=dict)
    _benchmarks: dict[str, Eras] = field(default_factory=dict)

    def target(self, name: str) -> Eras:
        """Eras with a label of this target."""
        if name not in self._targets:
            values = _floats(_read(self.index.path, name).column(0), self.index.path)
            self._targets[name] = self._known(values if self.index.order is None else values[self.index.order])
        return self._targets[name]

    def benchmark(self, name: str) -> Eras:
        """Eras with a value of this benchmark."""
        if name not in self._benchmarks:
            self._benchmarks[name] = self._known_benchmark(name)
        return self._benchmarks[name]

    def _known_benchmark(self, name: str) -> Eras:
        path, era_col = self.index.benchmark_path, self.data.era_col
        if era_col in self.index.benchmark_columns:
            table = _read(path, era_col, name)
            known = table.column(0).filter(pa.array(np.isfinite(_floats(table.column(1), path))))
            try:
                # By its own eras: matching ids, as a round does, takes seconds with a large file.
                return frozenset(map(int, pc.unique(known.cast(pa.string())).to_pylist())) & {*self.index.eras}
            except (ValueError, TypeError, pa.ArrowException):
                pass  # eras that are no plain numbers, say of live rows, are no fault where rows are matched by id
        return self._known(load_columns(self.index, self.data, (), (name,)).benchmarks[name])

    def _known(self, values: npt.NDArray[np.float64]) -> Eras:
        known = np.logical_or.reduceat(np.isfinite(values), self.index.era_starts[:-1])
        return frozenset(np.asarray(self.index.eras)[known].tolist())


def _read(path: Place, *names: str) -> pa.Table:
    """Columns of a file, in its own order of rows."""
    file = open_parquet(path, "build it again")
    return pa.concat_tables([read_group(file, group, names, path) for group in range(file.num_row_groups)])


def _floats(column: pa.ChunkedArray, path: Place) -> npt.NDArray[np.float64]:
    try:
        return np.asarray(column.cast(pa.float64()).to_numpy(), np.float64)
    except pa.ArrowException as error:
        first = str(error).splitlines()[0]
        raise DataError(f"{path}: is damaged ({first}); download or build the file again") from error
