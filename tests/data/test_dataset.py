"""A data file as arrays: order, alignment, missing features, sharing without copies, fingerprints."""

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from numerai_ray.config import DataConfig
from numerai_ray.data.dataset import (
    feature_names,
    file_fingerprint,
    load_columns,
    load_features,
    open_index,
    row_ranges,
)
from numerai_ray.data.features import values_seen
from numerai_ray.errors import EnvironmentFault

TARGETS, BENCHMARKS = ["target_ender_20", "target_ender_60"], ["v52_lgbm_ender20"]


@pytest.fixture(scope="module")
def frame(market: Path) -> pd.DataFrame:
    return pd.read_parquet(market / "tiny" / "full.parquet")


@pytest.fixture(scope="module")
def shuffled(market: Path, frame: pd.DataFrame, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same market with its rows in random order, as no official file is."""
    root = tmp_path_factory.mktemp("shuffled")
    (root / "tiny").mkdir()
    frame.sample(frac=1, random_state=0).to_parquet(root / "tiny" / "full.parquet", index=False, row_group_size=777)
    for name in ("features.json", "full_benchmark_models.parquet"):
        (root / "tiny" / name).symlink_to(market / "tiny" / name)
    return root


@pytest.fixture(scope="module")
def behind(market: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same market before the newest eras had benchmarks."""
    root = tmp_path_factory.mktemp("behind")
    (root / "tiny").mkdir()
    for name in ("features.json", "full.parquet"):
        (root / "tiny" / name).symlink_to(market / "tiny" / name)
    bench = pd.read_parquet(market / "tiny" / "full_benchmark_models.parquet")
    bench.iloc[:-500].to_parquet(root / "tiny" / "full_benchmark_models.parquet", index=False)
    return root


DATA = DataConfig(version="tiny", file="full", feature_set="all")


@pytest.mark.parametrize("which", ["market", "shuffled", "behind"])
def test_arrays_equal_the_frame(which: str, frame: pd.DataFrame, request: pytest.FixtureRequest) -> None:
    root = request.getfixturevalue(which)
    index = open_index(root, DATA)
    names = feature_names(root, "tiny", "all")
    columns = load_columns(index, DATA, TARGETS, BENCHMARKS)
    features = load_features(index, names)
    by_id = frame.set_index("id").loc[columns.ids.astype(str)]
    eras = np.repeat(index.eras, np.diff(index.era_starts))
    assert (np.diff(eras) >= 0).all()
    np.testing.assert_array_equal(eras, by_id["era"].astype(int))
    np.testing.assert_array_equal(np.stack(features.columns, axis=1), by_id[list(names)].to_numpy())
    for target in TARGETS:
        np.testing.assert_array_equal(columns.targets[target], by_id[target].to_numpy())
    bench = pd.read_parquet(root / "tiny" / "full_benchmark_models.parquet").set_index("id")
    expected = bench["v52_lgbm_ender20"].reindex(by_id.index).to_numpy(np.float64)
    np.testing.assert_array_equal(columns.benchmarks["v52_lgbm_ender20"], expected)
    assert np.isnan(expected).any(), "early eras have no benchmark, and are NaN, not dropped"


def test_row_ranges_cover_exactly_the_eras(market: Path) -> None:
    index = open_index(market, DATA)
    eras = [*index.eras[3:7], index.eras[9]]
    ranges = index.row_ranges(eras)
    assert len(ranges) == 2, "neighbouring eras are one range"
    rows = np.concatenate([np.arange(start, stop) for start, stop in ranges])
    owner = np.repeat(index.eras, np.diff(index.era_starts))
    np.testing.assert_array_equal(rows, np.flatnonzero(np.isin(owner, eras)))
    assert row_ranges([], index.era_starts) == ()


def test_era_ranges_reach_arrow_without_a_copy(market: Path) -> None:
    index = open_index(market, DATA)
    features = load_features(index, feature_names(market, "tiny", "all"))
    start, stop = index.row_ranges(index.eras[:40])[0]
    table = features.to_arrow([(start, stop)], missing_as_null=False)
    for position, column in enumerate(table.columns):
        assert column.type == pa.int8()
        address = column.chunk(0).buffers()[1].address
        assert address == features.columns[position].__array_interface__["data"][0] + start
    for column in features.columns:
        column.flags.writeable = False
    assert features.to_arrow([(start, stop)], missing_as_null=True).num_rows == stop - start, "read-only will do"


def test_missing_is_where_a_whole_era_is_two(market: Path, frame: pd.DataFrame) -> None:
    index = open_index(market, DATA)
    names = feature_names(market, "tiny", "all")
    features = load_features(index, names)
    expected = (frame[list(names)] == 2).groupby(frame["era"]).all().to_numpy()
    assert expected.any(), "the market has missing features"
    np.testing.assert_array_equal(features.seen.missing(), expected)
    everything = ((0, index.n_rows),)
    nulls = features.to_arrow(everything, missing_as_null=True).to_pandas().isna().groupby(frame["era"]).all()
    np.testing.assert_array_equal(nulls.to_numpy(), expected)
    assert features.to_arrow(everything, missing_as_null=False).to_pandas().notna().all(axis=None)


def test_values_seen_marks_every_value_and_strangers() -> None:
    values = np.array([[0, 1, 4, 2, 2, 2], [0, 0, 0, 7, -1, 3]], np.int8)
    seen = values_seen(values, np.array([0, 3, 6])).bits
    assert seen.tolist() == [[0b10011, 0b00001], [0b00100, 0b101000]]


def test_fingerprint_is_of_contents_not_of_names(market: Path, tmp_path: Path) -> None:
    source = market / "tiny" / "full.parquet"
    copy = tmp_path / "other.parquet"
    copy.write_bytes(source.read_bytes())
    assert file_fingerprint(copy) == file_fingerprint(source)
    assert file_fingerprint(copy) == file_fingerprint(copy), "and so it is when it is remembered"
    content = bytearray(copy.read_bytes())
    content[len(content) // 2] ^= 1
    copy.write_bytes(content)
    assert file_fingerprint(copy) != file_fingerprint(source), "one bit, same size"


def test_fingerprint_needs_no_writable_folder(market: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    copy = tmp_path / "full.parquet"
    copy.write_bytes((market / "tiny" / "full.parquet").read_bytes())

    def refuse(path: Path, content: bytes) -> None:
        raise EnvironmentFault(f"{path}: read-only")

    monkeypatch.setattr("numerai_ray.data.dataset.write_whole", refuse)
    assert file_fingerprint(copy) == file_fingerprint(market / "tiny" / "full.parquet")
    assert sorted(tmp_path.iterdir()) == [copy]
