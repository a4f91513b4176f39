"""Neutralization, blends, ranks, stacks, target transforms: what always holds, and the slow and plain way."""

from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
import scipy.linalg
from hypothesis import given
from hypothesis import strategies as st
from numerai_tools.scoring import gaussian, tie_kept_rank
from numerai_tools.scoring import neutralize as official_neutralize

from numerai_ray.metrics import unlocked_blas
from numerai_ray.metrics.neutralization import linear_part, linear_parts, neutralize
from numerai_ray.training.post import StackPlan, blend, rank, rank_gauss, stack
from numerai_ray.training.target_transforms import (
    equal_era_weights,
    gaussianize_target,
    rank_target,
    recency_weights,
    residual_to_benchmark,
    subtract_benchmark_zscore,
)

SEED = st.integers(0, 10**6)
STARTS = (0, 20, 50, 64)
N = STARTS[-1]


def columns(seed: int, count: int, *, holes: int = 0) -> np.ndarray:
    """(count, N) with ties, and so many unknown values each."""
    rng = np.random.default_rng(seed)
    values = np.round(rng.normal(size=(count, N)), 1)
    for each in values:
        each[rng.choice(N, holes, replace=False)] = np.nan
    return values


def eras() -> list[slice]:
    return [slice(*rows) for rows in pairwise(STARTS)]


@given(SEED, st.integers(1, 8), st.floats(0, 1))
def test_neutralized_is_orthogonal_and_numerais(seed, k, proportion) -> None:
    p = np.random.default_rng(seed).normal(size=N)
    x = np.random.default_rng(seed + 1).integers(0, 5, (k, N)).astype(np.int8)
    whole = neutralize(p, x, STARTS)
    part = neutralize(p, x, STARTS, proportion)
    np.testing.assert_allclose(part, (1 - proportion) * p + proportion * whole, atol=1e-12)
    for rows in eras():
        centred = x[:, rows] - x[:, rows].mean(axis=1, keepdims=True)
        np.testing.assert_allclose(centred @ whole[rows], 0, atol=1e-8)
        assert abs(whole[rows].sum()) < 1e-8
        frame = pd.DataFrame(x[:, rows].T.astype(float))
        theirs = official_neutralize(pd.DataFrame({"p": p[rows]}), frame, proportion)["p"].to_numpy()
        np.testing.assert_allclose(part[rows], theirs, atol=1e-7)
    np.testing.assert_allclose(neutralize(whole, x, STARTS), whole, atol=1e-8, err_msg="once is enough")
    np.testing.assert_allclose(linear_part(p, x, STARTS) + whole, p, atol=1e-12)


@given(SEED, st.integers(0, 5))
def test_ranks_are_numerais_in_0_to_1_and_unknown_stays_unknown(seed, holes) -> None:
    (p,) = columns(seed, 1, holes=holes)
    found, gauss = rank(p, STARTS), rank_gauss(p, STARTS)
    np.testing.assert_array_equal(np.isnan(found), np.isnan(p))
    known = ~np.isnan(p)
    assert ((found[known] > 0) & (found[known] < 1)).all()
    np.testing.assert_array_equal(rank(np.exp(p), STARTS), found)
    np.testing.assert_array_equal(rank_target(p, STARTS), found)
    for rows in eras():
        own = pd.DataFrame({"p": p[rows]}).dropna()
        np.testing.assert_allclose(found[rows][known[rows]], tie_kept_rank(own)["p"], atol=1e-12)
        normal = gaussian(tie_kept_rank(own))["p"].to_numpy()
        np.testing.assert_allclose(gaussianize_target(p, STARTS)[rows][known[rows]], normal, atol=1e-12)
        np.testing.assert_allclose(gauss[rows][known[rows]], normal / normal.std(), atol=1e-12)


@given(SEED, st.lists(st.floats(0.01, 5), min_size=2, max_size=4), st.floats(0.1, 10))
def test_blends_are_the_weighted_mean_of_ranks(seed, weights, scale) -> None:
    values = columns(seed, len(weights), holes=2)
    found = blend(values, weights, STARTS)
    slow = sum(w * rank(each, STARTS) for w, each in zip(weights, values, strict=True)) / sum(weights)
    np.testing.assert_allclose(found, slow, atol=1e-12)
    np.testing.assert_allclose(blend(values, [scale * w for w in weights], STARTS), found, atol=1e-12)
    known = ~np.isnan(found)
    assert ((found[known] > 0) & (found[known] < 1)).all()
    np.testing.assert_array_equal(np.isnan(found), np.isnan(values).any(axis=0))
    np.testing.assert_allclose(blend([values[0]] * 3, [1, 2, 3], STARTS), rank(values[0], STARTS), atol=1e-12)


@given(SEED, st.sampled_from(["nnls", "ridge"]))
def test_stacking_weights_sum_to_one_and_see_earlier_eras_only(seed, method) -> None:
    rng = np.random.default_rng(seed)
    n_eras, rows = 12, 15
    starts = np.arange(0, n_eras * rows + 1, rows)
    target = rng.normal(size=n_eras * rows)
    values = [target * 0.3 + rng.normal(size=len(target)) for _ in range(3)]
    plan = StackPlan(range(1, n_eras + 1), [range(1, 5), range(5, 9), range(9, 13)], 1, method, min_fit_eras=3)
    found = stack(values, target, starts, plan)
    np.testing.assert_allclose(np.abs(found.weights).sum(axis=1), 1, atol=1e-12)
    assert method == "ridge" or (found.weights >= 0).all()
    assert found.fit_eras.tolist() == [0, 3, 7]
    other = target.copy()
    other[7 * rows :] = rng.normal(size=5 * rows)  # what the last fold may not learn from: its embargo and itself
    np.testing.assert_allclose(stack(values, other, starts, plan).weights, found.weights, atol=1e-12)


@given(SEED, st.floats(0, 1), st.booleans(), st.booleans())
def test_residual_is_plain_least_squares(seed, proportion, intercept, per_era) -> None:
    y, b = columns(seed, 2, holes=3)
    found = residual_to_benchmark(y, b, STARTS, proportion=proportion, fit_intercept=intercept, per_era=per_era)
    for rows in eras() if per_era else [slice(0, N)]:
        known = ~np.isnan(y[rows]) & ~np.isnan(b[rows])
        own_y, own_b = y[rows][known], b[rows][known]
        design = np.stack([own_b, np.ones_like(own_b)], axis=1) if intercept else own_b[:, np.newaxis]
        fit = design @ np.linalg.lstsq(design, own_y, rcond=None)[0]
        np.testing.assert_allclose(found[rows][known], own_y - proportion * fit, atol=1e-9)
        assert np.isnan(found[rows][~known]).all()


@given(SEED, st.floats(-1, 1))
def test_zscores_are_those_of_the_era(seed, scale) -> None:
    y, b = columns(seed, 2, holes=3)
    found = subtract_benchmark_zscore(y, b, STARTS, scale=scale)
    for rows in eras():
        z = (b[rows] - np.nanmean(b[rows])) / np.nanstd(b[rows])
        np.testing.assert_allclose(found[rows], y[rows] - scale * z, atol=1e-12)


@given(st.lists(st.integers(0, 9), min_size=1, max_size=8).filter(any), st.floats(0.5, 500))
def test_weights_have_the_mean_one(rows, half_life) -> None:
    numbers = np.arange(1, 4 * len(rows) + 1, 4)
    era_of_row = np.repeat(np.arange(len(rows)), rows)
    recent = recency_weights(numbers, rows, half_life)
    assert recent.mean() == pytest.approx(1)
    by_era = {era: recent[era_of_row == era] for era in set(era_of_row.tolist())}
    for early, late in pairwise(sorted(by_era)):
        ratio = by_era[early][0] / by_era[late][0]
        assert ratio == pytest.approx(0.5 ** (4 * (late - early) / half_life), rel=1e-9)
    equal = equal_era_weights(rows)
    totals = [equal[era_of_row == era].sum() for era in by_era]
    assert equal.mean() == pytest.approx(1)
    np.testing.assert_allclose(totals, totals[0])


@given(SEED, st.integers(1, 8), st.sampled_from(["ints", "floats", "collinear"]))
def test_predictions_are_neutralized_as_each_by_itself_on_any_number_of_threads(seed, k, kind) -> None:
    rng = np.random.default_rng(seed)
    predictions = [*columns(seed, 2), *columns(seed + 1, 1, holes=3), np.ones(N), columns(seed + 2, 1)[0]]
    x = rng.integers(0, 5, (k, N)).astype(np.int8)
    if kind == "floats":
        x = x + rng.normal(size=x.shape)
        x[0, :2] = np.nan
    if kind == "collinear":
        x = np.concatenate((x, x[:1], np.full((1, N), 2, np.int8)))
    alone = np.stack([linear_part(p, x, STARTS) for p in predictions])
    for threads in (1, 3):
        np.testing.assert_array_equal(linear_parts(predictions, x, STARTS, threads), alone)
    assert np.isnan(alone[3]).all(), "a constant has no linear part"


def test_what_fails_while_eras_are_read_is_raised_by_threads_as_well() -> None:
    def matrix(era: int) -> np.ndarray:
        if era == 1:
            raise OSError("gone")
        return np.zeros((1, STARTS[era + 1] - STARTS[era]))

    for threads in (1, 2):
        with pytest.raises(OSError, match="gone"):
            linear_part(columns(0, 1)[0], matrix, STARTS, threads)
    with pytest.raises(ValueError, match=r"must be \(features, 20\)"):
        linear_part(columns(0, 1)[0], lambda _: np.zeros((1, 3)), STARTS, 2)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_unlocked_blas_is_scipys(dtype) -> None:
    x = np.random.default_rng(0).integers(-2, 3, (7, 40)).astype(dtype)
    out = np.zeros((7, 7), dtype)
    unlocked_blas.products(x, out)
    np.testing.assert_array_equal(np.triu(out), np.triu(x @ x.T))
    matrix = np.array(out, np.float64)
    assert unlocked_blas.cholesky(matrix)
    theirs = scipy.linalg.cholesky(x.astype(float) @ x.T.astype(float))
    np.testing.assert_allclose(np.triu(matrix), theirs, atol=1e-13)
    assert not unlocked_blas.cholesky(np.array([[1.0, 2.0], [2.0, 1.0]]))
    for wrong in (x.T, x.astype(np.int8)):
        with pytest.raises(ValueError, match=r"C-ordered|float32 or float64"):
            unlocked_blas.products(wrong, np.zeros((len(wrong),) * 2, wrong.dtype))
    with pytest.raises(ValueError, match="a square"):
        unlocked_blas.cholesky(np.zeros((2, 3)))
    empty = np.ones((0, 0), dtype)
    unlocked_blas.products(np.zeros((0, 4), dtype), empty)
