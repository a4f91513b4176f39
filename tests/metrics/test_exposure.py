"""Exposures, feature-neutral CORR, churn and likeness against numerai-tools and pandas, and what always holds."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numerai_tools.scoring import feature_neutral_corr as official_fnc
from numerai_tools.scoring import max_feature_correlation
from numerai_tools.signals import churn as official_churn
from scipy.stats import rankdata

from numerai_ray.metrics.exposure import (
    churn,
    feature_exposure,
    feature_exposures,
    feature_neutral_corr,
    prediction_correlations,
)

ROWS = st.integers(6, 40)


def era(seed: int, rows: int, features: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A prediction that leans on the first feature, the features (k, n), a target in five bins."""
    rng = np.random.default_rng(seed)
    x = rng.integers(0, 5, (features, rows)).astype(np.int8)
    p = x[0] * rng.normal() + rng.normal(size=rows)
    return p, x, rng.choice([0.0, 0.25, 0.5, 0.75, 1.0], rows)


def frame(x: np.ndarray) -> pd.DataFrame:
    return pd.DataFrame(x.T.astype(float), columns=[f"f{i}" for i in range(len(x))], index=ids(x.shape[1]))


def ids(rows: int) -> pd.Index:
    return pd.Index([f"n{row:015x}" for row in range(rows)], name="id")


@given(st.integers(0, 10**6), ROWS, st.integers(1, 6))
def test_exposure_is_pandas_correlation_feature_by_feature(seed, rows, k) -> None:
    p, x, _ = era(seed, rows, k)
    x[-1, : rows // 2] = x[-1, 0]  # partly constant is fine
    found = feature_exposure(p, x)
    with np.errstate(all="ignore"):
        slow = frame(x).corrwith(pd.Series(p, ids(rows))).to_numpy()
    np.testing.assert_allclose(found, slow, atol=1e-12)
    known = ~np.isnan(found)
    assert (np.abs(found[known]) <= 1).all()
    np.testing.assert_allclose(feature_exposure(3 * p + 7, x), found, atol=1e-9)
    np.testing.assert_allclose(feature_exposure(-p, x), -found, atol=1e-12)


def test_the_largest_exposure_is_numerais() -> None:
    for seed in range(5):
        p, x, _ = era(seed, 300, 20)
        name, size = max_feature_correlation(pd.Series(p, ids(300)), frame(x))
        found = np.abs(feature_exposure(p, x))
        assert name == f"f{found.argmax()}"
        assert size == pytest.approx(found.max(), abs=1e-12)


def test_exposure_of_what_is_constant_or_unknown_is_unknown() -> None:
    p, x, _ = era(1, 30, 4)
    x[2] = 2
    assert np.isnan(feature_exposure(p, x)).tolist() == [False, False, True, False]
    assert np.isnan(feature_exposure(np.ones(30), x)).all()
    holes = p.copy()
    holes[:7] = np.nan
    np.testing.assert_allclose(feature_exposure(holes, x), feature_exposure(p[7:], x[:, 7:]), atol=1e-12)
    with pytest.raises(ValueError, match=r"must be \(k, 30\)"):
        feature_exposure(p, x[:, :5])


@given(st.integers(0, 10**6), st.integers(20, 60), st.integers(1, 5))
def test_feature_neutral_corr_is_numerais(seed, rows, k) -> None:
    p, x, t = era(seed, rows, k)
    if len(set(t)) < 2 or (x == x[:, :1]).all(axis=1).any():
        return
    ours = feature_neutral_corr(p, t, x, (0, rows))[0]
    theirs = official_fnc(pd.Series(p, ids(rows)).to_frame("p"), frame(x), pd.Series(t, ids(rows), name="t")).iloc[0]
    assert ours == pytest.approx(theirs, abs=1e-8)


def test_what_is_linear_in_the_features_has_nothing_left() -> None:
    _, x, t = era(3, 50, 3)
    grid = np.repeat(np.arange(50) % 5, 1).astype(np.int8)  # its own ranks are no line, so it is a neutralizer too
    gauss = feature_neutral_corr(grid, t, np.stack([*x, grid]), (0, 50))
    assert np.isnan(gauss).all() or abs(gauss[0]) < 1


@given(st.integers(0, 10**6), st.integers(5, 30), st.integers(0, 4))
def test_churn_is_numerais_over_ids_in_both_eras(seed, rows, gone) -> None:
    rng = np.random.default_rng(seed)
    old, new = rng.normal(size=rows), rng.normal(size=rows)
    names = np.array([f"s{i}" for i in range(rows + gone)])
    found = churn(np.concatenate([old, new]), np.concatenate([names[:rows], names[gone:]]), (0, rows, 2 * rows))
    common = rows - gone
    assert found.common.tolist() == [max(0, common)]
    if common < 3:
        return
    a, b = pd.Series(old, names[:rows]), pd.Series(new, names[gone:])
    both = a.index.intersection(b.index)
    slow = 1 - a[both].corr(b[both], method="spearman")
    assert found.churn[0] == pytest.approx(slow, abs=1e-12)
    if gone == 0:
        assert found.churn[0] == pytest.approx(official_churn(a, b), abs=1e-12)


def test_churn_of_the_same_order_is_0_of_the_reverse_2_and_an_id_stands_once() -> None:
    p = np.arange(6.0)
    names = np.tile(np.arange(6), 3)
    found = churn(np.concatenate([p, p**3, -p]), names, (0, 6, 12, 18))
    np.testing.assert_allclose(found.churn, [0, 2], atol=1e-12)
    with pytest.raises(ValueError, match="each id once"):
        churn(p, np.zeros(6), (0, 6))


@given(
    arrays(np.float64, (3, 24), elements=st.integers(-3, 3).map(float)),
    st.lists(st.tuples(st.integers(0, 2), st.integers(0, 23)), max_size=4),
)
def test_likeness_is_the_mean_spearman_of_eras(values, holes) -> None:
    values = values.copy()
    for row, column in holes:
        values[row, column] = np.nan
    starts = (0, 8, 16, 24)
    found = prediction_correlations(list(values), starts)
    for i in range(3):
        for j in range(3):
            per_era = []
            for first in starts[:-1]:
                a, b = values[i, first : first + 8], values[j, first : first + 8]
                known = ~np.isnan(a) & ~np.isnan(b)
                if min(len(set(a[known])), len(set(b[known]))) > 1:
                    per_era.append(np.corrcoef(rankdata(a[known]), rankdata(b[known]))[0, 1])
            assert found.n_eras[i, j] == len(per_era)
            slow = np.mean(per_era) if per_era else np.nan
            np.testing.assert_allclose(found.mean[i, j], slow, atol=1e-12)
    np.testing.assert_array_equal(found.mean, found.mean.T)


def test_exposures_do_not_depend_on_whose_else_are_taken() -> None:
    rng = np.random.default_rng(4)
    x = rng.integers(0, 5, (150, 400)).astype(np.int8)
    predictions = [*rng.normal(size=(3, 400)), np.ones(400), np.where(np.arange(400) < 9, np.nan, rng.normal(size=400))]
    together = feature_exposures(predictions, x)
    for found, prediction in zip(together, predictions, strict=True):
        np.testing.assert_array_equal(found, feature_exposure(prediction, x))
