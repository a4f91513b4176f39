"""What a fit is shown: eras, rows and features that are drawn, rows without a label that are left out and counted."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from contracts import config, ignore
from hypothesis import given
from hypothesis import strategies as st

from numerai_ray.config import EraSample, FeatureSample, fingerprint
from numerai_ray.data.dataset import load_columns
from numerai_ray.errors import FitError
from numerai_ray.experiment.variant_output import results_json
from numerai_ray.runners.in_process import InProcessRunner
from numerai_ray.training.catalog import Catalog
from numerai_ray.training.rows import training_data
from numerai_ray.training.sample import sampled_eras, sampled_features
from numerai_ray.training.spec import FitSpec
from numerai_ray.training.store.fits import FitStore

SEED = st.integers(0, 1000)
SHARE = st.floats(0.05, 1.0)
TARGET = "target_ender_20"


@given(st.integers(1, 80), st.integers(1, 6), SHARE, SEED)
def test_every_nth_era_then_a_fraction_that_seeds_draw(count, every, fraction, seed) -> None:
    eras = tuple(range(3, 3 + 4 * count, 4))
    sample = EraSample(every=every, offset=every - 1, fraction=fraction)
    found = sampled_eras(eras, sample, seed)
    nth = set(eras[every - 1 :: every] or eras[-1:])
    assert set(found) <= nth
    assert list(found) == sorted(found)
    assert len(found) == (len(nth) if fraction == 1 else max(1, round(fraction * len(nth))))
    assert found == sampled_eras(eras, sample, seed)
    draws = {sampled_eras(eras, sample, other) for other in range(8)}
    assert len(draws) == 1 if fraction == 1 or len(nth) == 1 else len(draws) > 1 or len(nth) - len(found) < 2


@given(SHARE, SEED)
def test_the_same_fraction_of_each_group_and_of_the_rest(fraction, seed) -> None:
    features = tuple(f"f{i}" for i in range(60))
    groups = {"one": features[5:25], "two": (*features[20:30], "elsewhere")}
    found = sampled_features(features, groups, FeatureSample(fraction=fraction, groups=list(groups)), seed)
    assert list(found) == [name for name in features if name in found], "in the order of the features"
    parts = (features[5:25], features[25:30], features[:5] + features[30:])  # shared ones are the first group's
    for part in parts:
        assert len(set(part) & set(found)) == max(1, round(fraction * len(part)))


def spec_of(market: Path, **model) -> FitSpec:
    return Catalog(market).plan("x", "t/r1/x", config({"model": model})).fits[-1]


def test_rows_are_drawn_as_the_official_pipeline_does_and_the_unlabelled_are_left_out(market: Path) -> None:
    spec = spec_of(market, max_train_samples=300, sample_seed=7)
    columns = load_columns(spec.index, spec.config.data, [TARGET], [])
    labels = columns.targets[TARGET].copy()
    first = spec.index.row_ranges(spec.fold.train_eras)[0][0]
    labels[first : first + 40] = np.nan
    found = training_data(spec, None, replace(columns, targets={TARGET: labels}))
    rows = np.concatenate([np.arange(*each) for each in spec.index.row_ranges(spec.fold.train_eras)])
    known = pd.Series(labels[rows], rows).dropna()
    assert found.dropped_rows == len(rows) - len(known) >= 40
    theirs = known.iloc[np.random.default_rng(7).choice(len(known), size=300, replace=False)].sort_index()
    np.testing.assert_array_equal(found.batch.rows(), theirs.index)
    np.testing.assert_array_equal(found.batch.target, theirs.to_numpy())
    everything = training_data(spec_of(market), None, replace(columns, targets={TARGET: labels}))
    assert everything.batch.n_rows == len(known)
    with pytest.raises(FitError, match=r"every target_ender_20 of the training eras is NaN; train on a target with"):
        training_data(spec, None, replace(columns, targets={TARGET: np.full_like(labels, np.nan)}))


@pytest.mark.parametrize("kind", ["rank", "subtract_benchmark_zscore"])
def test_a_transform_sees_the_drawn_rows_alone(market: Path, kind: str) -> None:
    model = {"max_train_samples": 900, "sample_seed": 7, "target_transform": {"type": kind}}
    spec = Catalog(market).plan("x", "t/r1/x", config({"model": model}), to_run=False).fits[-1]
    columns = load_columns(spec.index, spec.config.data, [TARGET], ["v52_lgbm_ender20"])
    batch = training_data(spec, None, columns).batch
    rows = batch.rows()
    frame = pd.DataFrame({"era": batch.eras, "y": columns.targets[TARGET][rows].astype(float)})
    frame["b"] = columns.benchmarks["v52_lgbm_ender20"][rows]
    if kind == "rank":
        expected = (frame.groupby("era")["y"].rank() - 0.5) / frame.groupby("era")["y"].transform("size")
    else:
        b = frame.groupby("era")["b"]
        expected = frame["y"] - 0.07 * (frame["b"] - b.transform("mean")) / b.transform("std", ddof=0)
    assert len(rows) == 900
    np.testing.assert_allclose(batch.target, expected, atol=1e-6)


def test_fits_of_rows_drawn_otherwise_are_not_reused_and_all_others_are(market: Path) -> None:
    """Keys as they were before the draw became the official pipeline's."""
    rule = "numerai_ray.training.key.fingerprint"
    decides: list[dict[str, Any]] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rule, lambda value, digits=12: decides.append(value) or fingerprint(value, digits))
        spec_of(market)
        spec_of(market, max_train_samples=300, sample_seed=7)
    samples = [each["sample"] for each in decides if isinstance(each, dict)]
    assert None in samples
    assert [300, 7, "default_rng"] in samples
    assert [300, 7] not in samples


def test_dropped_rows_are_told_in_the_results(market: Path, tmp_path: Path) -> None:
    """Blocked folds train on the latest eras, whose 60-day labels are not known yet."""
    changes = {"cv": {"mode": "blocked"}, "data": {"target": "target_ender_60"}, "score": {"target": TARGET}}
    plan = Catalog(market).plan("x", "t/r1/x", config(changes))
    outcome = InProcessRunner(FitStore(tmp_path), 1).run([plan], ignore)["x"]
    columns = load_columns(plan.index, plan.config.data, ["target_ender_60"], [])
    unknown = np.isnan(columns.targets["target_ender_60"])
    expected = [
        sum(int(unknown[slice(*rows)].sum()) for rows in plan.index.row_ranges(fold.train_eras))
        for fold in plan.folds.trainable
    ]
    assert max(expected) > 0
    told = results_json(outcome, "o", "p")["cv"]["folds"]
    assert [each["dropped_rows"] for each in told] == expected
    assert [each["train_rows"] + each["dropped_rows"] for each in told] == [spec.train_rows for spec in plan.fits]
