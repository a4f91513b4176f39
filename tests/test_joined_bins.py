"""Bins made a block of features at a time are the bins of all of them."""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import lightgbm as lgb
import numpy as np
import pytest

from numerai_ray.feature_matrix import FeatureMatrix, joined, values_seen
from numerai_ray.models.binned_rows import StoredBytes, column_bytes, read_layout
from numerai_ray.models.few_rows import FEW_ROWS, write_by_few
from numerai_ray.models.lightgbm import LightGBM
from numerai_ray.models.shared_bins import SharedBins

ROWS, FEATURES, ERAS = 3000, 24, 6
STARTS = np.arange(ERAS + 1) * (ROWS // ERAS)
PARAMS = {"num_leaves": 15, "min_data_in_leaf": 20, "feature_fraction": 0.5, "seed": 3, "verbosity": -1}


def matrix(columns: Sequence[np.ndarray]) -> FeatureMatrix:
    values = np.stack(columns).astype(np.int8)
    return FeatureMatrix(tuple(f"f{i}" for i in range(len(values))), tuple(values), values_seen(values, STARTS))


def numerai_like() -> FeatureMatrix:
    rng = np.random.default_rng(5)
    values = rng.integers(0, 5, (FEATURES, ROWS))
    values[3, : STARTS[2]] = 2  # missing in the first eras
    values[7] = rng.choice(5, ROWS, p=[0.02, 0.02, 0.92, 0.02, 0.02])
    return matrix(list(values))


def blocks_of(features: FeatureMatrix, width: int) -> list[FeatureMatrix]:
    return [features.select(features.names[at : at + width]) for at in range(0, len(features.names), width)]


def saved(blocks: list[FeatureMatrix], folder: Path, params: dict[str, Any], *, missing_as_null: bool) -> StoredBytes:
    path = folder / f"bins-{len(blocks)}"
    LightGBM().prepare(blocks, params, 2, path, missing_as_null=missing_as_null)
    assert [each.name for each in folder.iterdir() if each.is_dir()] == []  # blocks are cleared away
    return StoredBytes([np.fromfile(path, np.uint8)])


def trees_of(stored: StoredBytes) -> str:
    """A hash of twenty trees on two thirds of the rows."""
    settings = {**LightGBM().canonical_params(PARAMS), "verbosity": -1, "num_threads": 1}
    bins = SharedBins(stored, settings)
    train = bins.rows(np.arange(ROWS * 2 // 3)).set_label(np.random.default_rng(1).normal(size=ROWS * 2 // 3))
    text = lgb.train(settings, train, 20).model_to_string().split("\nparameters")[0]
    assert "f23" in text
    return hashlib.sha256(text.encode()).hexdigest()


@pytest.mark.parametrize("missing_as_null", [False, True])
def test_trees_are_those_of_features_binned_at_once(tmp_path: Path, *, missing_as_null: bool) -> None:
    features = numerai_like()
    at_once = saved([features], tmp_path, {}, missing_as_null=missing_as_null)
    in_blocks = saved(blocks_of(features, 5), tmp_path, {}, missing_as_null=missing_as_null)
    assert len(in_blocks) == len(at_once)
    assert trees_of(in_blocks) == trees_of(at_once)


@pytest.mark.parametrize("constant", [slice(9, 10), slice(0, 6)], ids=["one", "a whole block"])
def test_constant_features_are_no_harm(constant: slice, tmp_path: Path) -> None:
    columns = list(numerai_like().columns)
    columns[constant] = [np.full(ROWS, 2)] * len(columns[constant])
    at_once = saved([matrix(columns)], tmp_path, {}, missing_as_null=False)
    in_blocks = saved(blocks_of(matrix(columns), 6), tmp_path, {}, missing_as_null=False)
    assert trees_of(in_blocks) == trees_of(at_once)


def rare(remainder: int) -> np.ndarray:
    """0 but in one row of forty."""
    return np.where(np.arange(ROWS) % 40 == remainder, 1, 0)


def test_features_that_exclude_each_other_are_bundled_within_a_block(tmp_path: Path) -> None:
    features = matrix([*map(rare, range(6)), *numerai_like().columns[6:]])
    at_once = saved([features], tmp_path, {}, missing_as_null=False)
    in_blocks = saved(blocks_of(features, 4), tmp_path, {}, missing_as_null=False)
    assert trees_of(in_blocks) == trees_of(at_once)


@pytest.mark.parametrize("case", ["sparse", "an entry a feature"])
def test_what_cannot_be_joined_is_binned_at_once(case: str, tmp_path: Path) -> None:
    features, params = numerai_like(), {}
    if case == "an entry a feature":
        params = {"max_bin_by_feature": [3] * 6 + [5] * 18}
    else:
        features = matrix([rare(0), *features.columns[1:]])
    at_once = saved([features], tmp_path, params, missing_as_null=False)
    in_blocks = saved(blocks_of(features, 12), tmp_path, params, missing_as_null=False)
    assert in_blocks.read(0, len(in_blocks)).tobytes() == at_once.read(0, len(at_once)).tobytes()


def test_joined_features_are_those_of_the_blocks() -> None:
    features = numerai_like()
    again = joined(blocks_of(features, 7))
    assert again.names == features.names
    np.testing.assert_array_equal(again.seen.bits, features.seen.bits)
    assert all(one is other for one, other in zip(again.columns, features.columns, strict=True))


MANY, RARE = 60_000, 50_001  # more rows than are looked at to find the values of a feature; one that is not


def many(columns: Sequence[np.ndarray]) -> FeatureMatrix:
    values = np.stack(columns).astype(np.int8)
    starts = np.array([0, values.shape[1]])
    return FeatureMatrix(tuple(f"f{i}" for i in range(len(values))), tuple(values), values_seen(values, starts))


def hash_of_trees(train: lgb.Dataset, settings: dict[str, Any]) -> str:
    label = np.random.default_rng(1).normal(size=MANY)
    return lgb.train(settings, train.set_label(label), 20).model_to_string().split("\nparameters")[0]


@pytest.mark.parametrize("rare_value", [False, True])
@pytest.mark.parametrize("blocks", [1, 2])
def test_few_rows_are_looked_at_where_they_show_all_values(tmp_path: Path, blocks: int, *, rare_value: bool) -> None:
    """The trees of bins that LightGBM made in its own way, of 200,000 rows; a value that few rows hide has its bin."""
    rng = np.random.default_rng(7)
    columns = [rng.choice(5, MANY, p=share) for share in ([0.2] * 5, [0.1, 0.1, 0.6, 0.1, 0.1], [0, 0.3, 0, 0.4, 0.3])]
    columns += [np.full(MANY, 2), rng.integers(0, 5, MANY)]
    if rare_value:
        columns[0] = np.where(columns[0] == 4, 3, columns[0])
        columns[0][RARE] = 4
    features = many(columns)
    settings = {**LightGBM().canonical_params(PARAMS), "verbosity": -1, "num_threads": 1, "min_data_in_leaf": 1}
    settings |= {"min_data_in_bin": 1}
    params = {"min_data_in_bin": 1}
    stored = saved(blocks_of(features, -(-5 // blocks)), tmp_path, params, missing_as_null=False)
    table = features.to_arrow(((0, MANY),), missing_as_null=False)
    few = lgb.Dataset(table, np.zeros(MANY), params={**settings, "bin_construct_sample_cnt": FEW_ROWS}).construct()
    assert few.feature_num_bin(0) == (4 if rare_value else 5)
    plain = lgb.Dataset(table, params=settings)
    ours = SharedBins(stored, settings).rows(np.arange(MANY))
    assert [ours.feature_num_bin(i) for i in (0, 1, 4)] == [5, 5, 5]
    assert hash_of_trees(ours, settings) == hash_of_trees(plain, settings)


SHARES = ([0.2] * 5, [0.1, 0.1, 0.6, 0.1, 0.1], [0, 0.3, 0, 0.4, 0.3], [0.05, 0.1, 0.75, 0.05, 0.05])


@pytest.mark.parametrize("rows", [MANY, MANY + 1])
def test_bins_looked_up_by_few_rows_are_those_that_lightgbm_makes(tmp_path: Path, rows: int) -> None:
    """To the byte, whether rows are even in number and whichever value most of them have."""
    rng = np.random.default_rng(3)
    columns = [*(rng.choice(5, rows, p=share) for share in SHARES), np.full(rows, 2)]
    features = many(columns)
    settings = {"verbosity": -1, "feature_pre_filter": False, "enable_bundle": False}
    ours, plain = tmp_path / "ours", tmp_path / "plain"
    assert write_by_few(features, ours, settings)
    table = features.to_arrow(((0, rows),), missing_as_null=False)
    lgb.Dataset(table, np.zeros(rows, np.float32), params=settings).construct().save_binary(plain)
    made, expected = (StoredBytes([np.fromfile(path, np.uint8)]) for path in (ours, plain))
    one, other = read_layout(made), read_layout(expected)
    assert one is not None
    assert other is not None
    assert (one.header, one.n_rows, len(one.groups)) == (other.header, rows, len(columns))
    for mine, theirs in zip(one.groups, other.groups, strict=True):
        # The definition also tells how often the usual value was seen in the rows that were looked at.
        assert (mine.start, mine.bits, len(mine.definition)) == (theirs.start, theirs.bits, len(theirs.definition))
        size = column_bytes(rows, mine.bits)
        np.testing.assert_array_equal(
            made.read(mine.start, mine.start + size), expected.read(theirs.start, theirs.start + size)
        )
    assert len(made) == len(expected)


@pytest.mark.parametrize(
    "case", ["a value that few rows hide", "bundled", "other values", "few rows", "a sample of one's own"]
)
def test_bins_that_a_few_rows_do_not_tell_are_left_to_lightgbm(case: str, tmp_path: Path) -> None:
    rng = np.random.default_rng(4)
    rows, settings = MANY, {"verbosity": -1, "feature_pre_filter": False}
    columns = [rng.integers(0, 5, rows), rng.integers(0, 4, rows)]
    if case == "a value that few rows hide":
        columns[1][RARE + 1] = 4
    elif case == "bundled":
        columns += [rng.choice(5, rows, p=share) for share in ([0.05, 0.1, 0.75, 0.05, 0.05], [0.75, 0, 0.25, 0, 0])]
    elif case == "other values":
        columns[1][7] = 9
    elif case == "few rows":
        columns = [column[:FEW_ROWS] for column in columns]
    else:
        settings["bin_construct_sample_cnt"] = 1000
    assert not write_by_few(many(columns), tmp_path / "bins", settings)
    assert list(tmp_path.iterdir()) == []
