"""Bins of all rows, after LightGBM has made those of a few.

LightGBM searches the bin of every value of every row. A Numerai feature has five values, and a few rows show which bin
each is in: LightGBM bins these, and the bins of all rows are looked up in what it saves of them.
"""

import tempfile
from pathlib import Path

import lightgbm as lgb
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from numerai_ray.feature_matrix import FeatureMatrix, harmless_name
from numerai_ray.models.bin_columns import BinColumns
from numerai_ray.models.binned_rows import (
    Bytes,
    Layout,
    StoredBytes,
    beginning,
    halves_joined,
    read_layout,
    saved_group,
)
from numerai_ray.models.joined_bins import SAMPLE, save
from numerai_ray.models.protocol import Params

# Enough to show the values of a feature; by itself LightGBM looks at 200,000 rows.
FEW_ROWS = 20_000
OTHER_VALUES = 1 << 5
_VALUES = np.arange(5, dtype=np.int8)


def write_by_few(features: FeatureMatrix, path: Path, settings: Params) -> bool:
    """Write the Dataset of all rows as LightGBM would save it; False, and nothing, where a few rows do not tell how.

    They do not where they lack a value, and where features are sparse, bundled or may be missing.
    """
    n_rows = features.seen.n_rows
    if SAMPLE in settings or n_rows <= FEW_ROWS:
        return False
    rows = np.arange(FEW_ROWS) * n_rows // FEW_ROWS
    table = pa.table([column[rows] for column in features.columns], [harmless_name(name) for name in features.names])
    few = lgb.Dataset(table, np.zeros(FEW_ROWS, np.float32), params={**settings, SAMPLE: FEW_ROWS}).construct()
    if not _has_bin_for_each(few, features):
        return False
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=".few-") as folder:
        file = Path(folder) / "rows"
        save(few, file, settings)
        stored = StoredBytes([np.fromfile(file, np.uint8)])
    layout = read_layout(stored)
    if layout is None:
        return False
    columns = BinColumns(stored, layout, rows[:0])
    if not columns.plain:
        return False
    _write(path, layout, columns, features)
    return True


def _write(path: Path, layout: Layout, columns: BinColumns, features: FeatureMatrix) -> None:
    n_rows = features.seen.n_rows
    with path.open("wb") as out:
        out.write(beginning(layout.header, n_rows))
        for group, feature in zip(layout.groups, columns.in_order, strict=True):
            packed = _packed(columns.kept(feature, _VALUES), features.columns[feature])
            out.writelines(saved_group(group, packed.data))


def _packed(kept: Bytes, values: npt.NDArray[np.int8]) -> Bytes:
    """Four bits a row, out of what is kept of each value."""
    return halves_joined(values.view(np.uint8) if np.array_equal(kept, _VALUES) else kept[values])


def _has_bin_for_each(dataset: lgb.Dataset, features: FeatureMatrix) -> bool:
    """Whether every value of every feature has a bin of its own, as it has where enough rows were looked at."""
    for place, bits in enumerate(np.bitwise_or.reduce(features.seen.bits, axis=0).tolist()):
        # Zero has a bin whether it is among the values or not; a feature of one value needs none.
        if bits >= OTHER_VALUES or (bits.bit_count() > 1 and dataset.feature_num_bin(place) != (bits | 1).bit_count()):
            return False
    return True
