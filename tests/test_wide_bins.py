"""A byte a bin: the same model, word for word, as of LightGBM's own four bits."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import lightgbm as lgb
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from numerai_ray import resource_plan
from numerai_ray.feature_matrix import FeatureMatrix, values_seen
from numerai_ray.models import Batch
from numerai_ray.models.binned_rows import Layout, Rows, StoredBytes, read_layout
from numerai_ray.models.lightgbm import QUIET, SAME_TREES, LightGBM
from numerai_ray.models.protocol import Prepared
from numerai_ray.models.shared_bins import SharedBins
from numerai_ray.models.wide_bins import widened, width_matters
from numerai_ray.resource_plan import (
    BINNED_BYTES_PER_VALUE,
    MOST_FOR_WIDE_BYTES,
    WIDE_BYTES_PER_VALUE,
    fit_bytes_per_value,
)

N_ROWS = 1501
SAME = {**QUIET, **SAME_TREES, "num_threads": 1}
SHARES = (
    [0.2] * 5,
    [0.1, 0.1, 0.6, 0.1, 0.1],
    [0.6, 0.1, 0.1, 0.1, 0.1],
    [0.1, 0.1, 0.1, 0.1, 0.6],
    [0.0, 0.3, 0.0, 0.4, 0.3],
    [0.5, 0.0, 0.0, 0.0, 0.5],
    [0.0, 0.0, 1.0, 0.0, 0.0],
)


def matrix(seed: int) -> FeatureMatrix:
    """Features of five values, of some of them, mostly of one, or of one alone."""
    rng = np.random.default_rng(seed)
    columns = tuple(rng.choice(5, N_ROWS, p=shares).astype(np.int8) for shares in SHARES)
    names = tuple(f"feature_{i}" for i in range(len(columns)))
    return FeatureMatrix(names, columns, values_seen(np.array(columns), np.array([0, N_ROWS])))


def target(features: FeatureMatrix) -> np.ndarray:
    noise = np.random.default_rng(5).normal(0, 1, N_ROWS)
    signal = sum(column * 0.3 for column in features.columns[:4]) + (features.columns[0] > 2) * features.columns[5]
    return np.abs(noise + signal).astype(np.float32)


def saved(features: FeatureMatrix, folder: Path, params: Mapping[str, Any] | None = None) -> StoredBytes:
    path = folder / "bins"
    LightGBM().prepare([features], params or {}, 1, path, missing_as_null=False)
    return StoredBytes(np.array_split(np.fromfile(path, np.uint8), 3))


def bits(dataset: lgb.Dataset, path: Path) -> set[int]:
    """How LightGBM holds the features of a dataset, in its own words."""
    path.unlink(missing_ok=True)
    dataset.save_binary(path)
    layout = read_layout(StoredBytes([np.fromfile(path, np.uint8)]))
    assert layout is not None
    return {group.bits for group in layout.groups}


def model(stored: StoredBytes, rows: Rows, labels: np.ndarray, params: Mapping[str, Any], *, wide: bool) -> str:
    """The model as text, and how it scores; or what LightGBM has against it."""
    settings_ = {**LightGBM().canonical_params(params), **QUIET, "num_threads": 1}
    bins = SharedBins(stored, SAME, wide=wide)
    some = rows[::3]  # rows of the same bins that the booster scores as it grows
    booster = lgb.Booster({**settings_, "metric": "l2"}, bins.rows(rows).set_label(labels[rows]))
    booster.add_valid(bins.rows(some).set_label(labels[some]), "some")
    try:
        for _ in range(12):
            booster.update()
    except lgb.basic.LightGBMError as error:  # as with quantized gradients of few rows
        return str(error)
    return str(booster.model_to_string()) + repr(booster.eval_valid())


PARAMS = st.fixed_dictionaries(
    {
        "num_leaves": st.sampled_from([2, 7, 31]),
        "min_data_in_leaf": st.sampled_from([1, 20, 400]),
        "learning_rate": st.sampled_from([0.01, 0.3]),
        "objective": st.sampled_from(["regression", "regression_l1", "huber", "quantile", "poisson", "gamma"]),
    },
    optional={
        "feature_fraction": st.just(0.5),
        "feature_fraction_bynode": st.just(0.5),
        "bagging_fraction": st.just(0.6),
        "bagging_freq": st.just(1),
        "boosting": st.just("dart"),
        "lambda_l1": st.just(0.1),
        "lambda_l2": st.just(1.0),
        "path_smooth": st.just(2.0),
        "max_delta_step": st.just(0.1),
        "min_sum_hessian_in_leaf": st.just(0.0),
        "min_gain_to_split": st.just(0.01),
        "use_quantized_grad": st.just(True),
        "monotone_constraints": st.just([1, -1, 0, 1, 0, 0, 0]),
        "monotone_constraints_method": st.sampled_from(["basic", "intermediate", "advanced"]),
        "feature_contri": st.just([1, 0.5, 0.9, 1, 1, 1, 1]),
        "interaction_constraints": st.just([[0, 1, 2], [2, 3, 4, 5]]),
        "cegb_penalty_split": st.just(0.001),
    },
)


@settings(max_examples=100, deadline=None)
@given(seed=st.integers(0, 99), first=st.integers(0, 300), step=st.sampled_from([1, 2]), params=PARAMS)
def test_the_same_model(
    seed: int, first: int, step: int, params: dict[str, Any], tmp_path_factory: pytest.TempPathFactory
) -> None:
    if params["objective"] in ("regression_l1", "quantile"):  # LightGBM allows no such constraints for these
        params.pop("monotone_constraints", None)
    features = matrix(seed)
    stored = saved(features, tmp_path_factory.mktemp("bins"))
    rows, labels = np.arange(first, N_ROWS, step), target(features)
    assert not width_matters(LightGBM().canonical_params(params))
    narrow, wide = (model(stored, rows, labels, params, wide=each) for each in (False, True))
    assert narrow == wide


def test_lightgbm_holds_a_byte_for_each(tmp_path: Path) -> None:
    stored = saved(matrix(1), tmp_path)
    held = [bits(SharedBins(stored, SAME, wide=wide).rows(np.arange(900)), tmp_path / "x") for wide in (False, True)]
    assert held == [{4}, {8}]


def test_what_depends_on_the_number_of_bins_is_left_alone() -> None:
    def matters(**params: object) -> bool:
        return width_matters(LightGBM().canonical_params(params))

    assert not matters(num_leaves=31, min_child_samples=1)
    assert matters(min_child_samples=0)
    assert matters(min_data=0)
    assert matters(histogram_pool_size=100)
    assert matters(forcedsplits_filename="splits.json")
    assert matters(extra_trees=True)


def layout_of(stored: StoredBytes) -> Layout:
    layout = read_layout(stored)
    assert layout is not None
    return layout


def test_what_is_not_plainly_there_stays(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    whole = {f"f{i}": rng.integers(0, 5, N_ROWS).astype(np.float64) for i in range(3)}
    for name, column in {
        "missing": np.where(rng.random(N_ROWS) < 0.3, np.nan, whole["f0"]),
        "many": rng.integers(0, 40, N_ROWS).astype(np.float64),
    }.items():
        path = tmp_path / name
        lgb.Dataset(pa.table({**whole, name: column}), whole["f0"], params=SAME).construct().save_binary(path)
        layout = layout_of(StoredBytes([np.fromfile(path, np.uint8)]))
        assert widened(layout) is layout
    layout = layout_of(saved(matrix(2), tmp_path))
    assert widened(layout) is not layout
    other = bytearray(layout.header)
    place = other.index(np.cumsum([0, 6])[1].tobytes(), 80)  # where the second feature's bins begin
    other[place] += 1
    unknown = replace(layout, header=bytes(other))
    assert widened(unknown) is unknown


def test_a_fit_takes_a_byte_a_bin_where_that_is_little_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert fit_bytes_per_value(MOST_FOR_WIDE_BYTES // 250, 500) == WIDE_BYTES_PER_VALUE
    assert fit_bytes_per_value(MOST_FOR_WIDE_BYTES // 250 + 1, 500) == BINNED_BYTES_PER_VALUE
    held: list[set[int]] = []
    rows = SharedBins.rows

    def watched(self: SharedBins, wanted: Rows) -> lgb.Dataset:
        held.append(bits(dataset := rows(self, wanted), tmp_path / "x"))
        return dataset

    monkeypatch.setattr(SharedBins, "rows", watched)
    features = matrix(3)
    stored = saved(features, tmp_path)
    prepared = Prepared("key", tuple(stored.chunks()), features.seen)
    train = Batch(None, ((0, N_ROWS),), False, target(features))
    params = {"n_estimators": 9, "num_leaves": 7}
    found = [LightGBM().fit_predict(train, replace(train, target=None), params, 1, prepared)]
    LightGBM().fit(train, {**params, "histogram_pool_size": 50}, 1, prepared)
    monkeypatch.setattr(resource_plan, "MOST_FOR_WIDE_BYTES", 5000)
    found.append(LightGBM().fit_predict(train, replace(train, target=None), params, 1, prepared))
    assert held == [{8}, {4}, {4}]
    np.testing.assert_array_equal(*found)
