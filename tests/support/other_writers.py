"""A small market, what a run reads of it, and files of it written anew as another program would."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from numerai_ray.config import Config, DataConfig
from numerai_ray.data.dataset import Columns, DatasetIndex, feature_names, load_columns, load_features, open_index
from numerai_ray.data.features import FeatureMatrix
from numerai_ray.data.files.build import build
from numerai_ray.data.needs import check_columns
from numerai_ray.data.synthetic.files import write_market
from numerai_ray.data.synthetic.market import MarketSpec

DATA = DataConfig(version="v5.2", file="full", feature_set="all")
TARGETS, BENCHMARKS = ["target_ender_20", "target_ender_60"], ["v52_lgbm_ender20"]
CONFIG = Config(data=DATA)

Change = Callable[[pa.Array], pa.Array]


def small_market(root: Path) -> Path:
    """Eras 1 to 120 below ``root``, built."""
    write_market(MarketSpec(eras=120, rows=50, features=12, seed=3), root / "v5.2")
    build(root / "v5.2")
    return root


@dataclass(frozen=True)
class Loaded:
    index: DatasetIndex
    columns: Columns
    features: FeatureMatrix


def load(root: Path) -> Loaded:
    index = open_index(root, DATA)
    names = feature_names(root, "v5.2", "all")
    check_columns(index, CONFIG, names)
    return Loaded(index, load_columns(index, DATA, TARGETS, BENCHMARKS), load_features(index, names))


def rewrite(
    root: Path, names: tuple[str, ...], changes: dict[str, Change], rename: dict[str, str] | None = None
) -> None:
    """Write files anew with other columns; one that a file lacks stays away."""
    for name in names:
        path = root / "v5.2" / f"{name}.parquet"
        table = pq.read_table(path)
        for column, change in changes.items():
            if column in table.column_names:
                place = table.column_names.index(column)
                table = table.set_column(place, column, change(table[column].combine_chunks()))
        if rename:
            table = table.rename_columns([rename.get(column, column) for column in table.column_names])
        path.unlink()
        # A row group ends in the middle of an era, and dictionaries differ from group to group.
        pq.write_table(table.replace_schema_metadata(None), path, row_group_size=251)
