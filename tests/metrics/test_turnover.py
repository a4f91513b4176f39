"""Turnover of a portfolio of centred ranks, against numerai-tools and pandas; and looks that were kept without it."""

from io import BytesIO

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numerai_tools.signals import turnover as official_turnover

from numerai_ray.metrics.exposure import churn
from numerai_ray.training.store.diagnostics import _decode


def portfolio(prediction: pd.Series) -> pd.Series:
    centred = (prediction.rank() - 0.5) / len(prediction) - 0.5
    return centred / centred.abs().sum()


@given(st.integers(0, 10**6), st.integers(5, 30), st.integers(0, 3))
def test_turnover_is_numerais_with_ids_that_come_and_go_at_no_weight(seed: int, rows: int, gone: int) -> None:
    rng = np.random.default_rng(seed)
    old, new = rng.integers(0, 9, rows).astype(float), rng.normal(size=rows)
    names = np.array([f"s{i}" for i in range(rows + gone)])
    found = churn(np.concatenate([old, new]), np.concatenate([names[:rows], names[gone:]]), (0, rows, 2 * rows))
    if len(set(old)) == 1:
        assert np.isnan(found.turnover[0])
        return
    a, b = portfolio(pd.Series(old, names[:rows])), portfolio(pd.Series(new, names[gone:]))
    every = a.index.union(b.index)
    slow = official_turnover(a.reindex(every, fill_value=0.0), b.reindex(every, fill_value=0.0))
    assert found.turnover[0] == pytest.approx(slow, abs=1e-12)


def test_turnover_is_0_of_the_same_order_and_1_of_the_reverse() -> None:
    p, names = np.arange(6.0), np.tile(np.arange(6), 3)
    found = churn(np.concatenate([p, p**3, -p]), names, (0, 6, 12, 18))
    np.testing.assert_allclose(found.turnover, [0, 1], atol=1e-12)
    strangers = churn(np.concatenate([p, p]), np.arange(12), (0, 6, 12))
    assert np.isnan(strangers.turnover[0])
    assert strangers.common.tolist() == [0]


def test_a_look_that_was_kept_without_turnover_is_still_read() -> None:
    content, eras, features = BytesIO(), np.arange(3), np.zeros(4)
    per_era = {
        name: np.zeros(3) for name in ("strongest", "mean", "feature", "corr", "neutral_corr", "churn", "common")
    }
    np.savez(content, eras=eras, exposure=features, counted=features, **per_era)
    look = _decode({}, content.getvalue())
    assert look.eras == (0, 1, 2)
    assert np.isnan(look.turnover).all()
