"""The judge: golden values, equality with numerai-tools, and what must hold whatever the data."""

import dataclasses
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from oracles import oracle_scores, oracle_summary

from numerai_ray.metrics.scoring import contribution, last_eras, numerai_corr, score_eras, summarize

NAN = math.nan
TOLERANCE = 1e-12
BINS = (0.0, 0.25, 0.5, 0.75, 1.0)
NAMES = ("corr", "bmc", "benchmark_corr")


def assert_equals_oracle(prediction, target, benchmark, sizes):
    """``sizes`` are the eras' row counts, none of them 0: pandas knows no era without rows."""
    ours = score_eras(prediction, target, benchmark, np.concatenate(([0], np.cumsum(sizes))))
    theirs = oracle_scores(prediction, target, benchmark, np.repeat(np.arange(len(sizes)), sizes))
    for name in NAMES:
        np.testing.assert_allclose(getattr(ours, name), theirs[name], rtol=0, atol=TOLERANCE, err_msg=name)
    # MMC is the same formula with the meta model in the benchmark's place, whatever the benchmark is.
    other = score_eras(prediction, target, None, np.concatenate(([0], np.cumsum(sizes))), benchmark)
    np.testing.assert_allclose(other.mmc, theirs["bmc"], rtol=0, atol=TOLERANCE, err_msg="mmc")


def era(seed=0, n=60):
    rng = np.random.default_rng(seed)
    target = rng.choice(BINS, n, p=(0.05, 0.2, 0.5, 0.2, 0.05))
    benchmark = rng.uniform(size=n)
    return 0.5 * benchmark + 0.1 * target + rng.normal(size=n), target, benchmark


def replaced(values, rows, by=NAN):
    values = np.array(values, dtype=float)
    values[rows] = by
    return values


# Golden values


def test_golden_corr_of_a_ramp_with_itself():
    ramp = np.arange(100) / 100
    assert numerai_corr(ramp, ramp) == pytest.approx(0.955315798744545, abs=1e-14)


def test_golden_contribution_to_itself_is_zero():
    ramp = np.arange(100) / 100
    assert contribution(ramp, ramp, ramp) == pytest.approx(0, abs=1e-15)


def test_golden_contribution_by_hand():
    # Four rows have the quantiles ±a, ±b with a = ndtri(7/8), b = ndtri(5/8). Prediction (b, -a, a, -b) and
    # benchmark (-a, -b, b, a) are orthogonal: -ab + ab + ab - ab = 0. Target (0, 0, 1, 0) becomes
    # (-1, -1, 3, -1) after x4 and centring: (-b + a + 3a + b) / 4 = a.
    a = 1.1503493803760079
    assert contribution([3, 1, 4, 2], [1, 2, 3, 4], [0, 0, 1, 0]) == pytest.approx(a, abs=1e-14)


# Equality with numerai-tools


@settings(max_examples=50, deadline=None)
@given(st.data())
def test_equals_numerai_tools_on_generated_eras(data):
    sizes = data.draw(st.lists(st.integers(1, 9), min_size=1, max_size=2), label="sizes")
    n = sum(sizes)

    def column(label, values):
        return data.draw(st.lists(st.one_of(values, st.just(NAN)), min_size=n, max_size=n), label=label)

    prediction = column("prediction", st.one_of(st.integers(-3, 3), st.floats(-1e6, 1e6)))
    target = column("target", st.sampled_from((*BINS, -0.5, 2.0) if data.draw(st.booleans()) else BINS))
    benchmark = column("benchmark", st.integers(1, 99).map(lambda percent: percent / 100))
    assert_equals_oracle(np.array(prediction, dtype=float), np.array(target), np.array(benchmark), sizes)


def test_equals_numerai_tools_on_eras_of_real_size():
    sizes = [1, 2, 3, 700, 701, 50, 1200]
    rng = np.random.default_rng(1)
    columns = [np.concatenate(parts) for parts in zip(*(era(i, n) for i, n in enumerate(sizes)), strict=True)]
    for column in columns:
        column[rng.uniform(size=column.size) < 0.1] = NAN
    columns[2][:500] = NAN
    assert_equals_oracle(*columns, sizes)


P, T, B = era()
LISTED = {
    "plain": (P, T, B),
    "no benchmark": (P, T, None),
    "no benchmark rows": (P, T, np.full(60, NAN)),
    "no target rows": (P, np.full(60, NAN), B),
    "no prediction rows": (np.full(60, NAN), T, B),
    "no common rows": (replaced(P, slice(0, 30)), replaced(T, slice(30, 60)), B),
    "one common row": (replaced(P, slice(0, 30)), replaced(T, slice(31, 60)), B),
    "different gaps": (replaced(P, [0, 5]), replaced(T, [5, 7]), replaced(B, [7, 9, 11])),
    "half of the predictions": (replaced(P, slice(0, 30)), T, B),
    "heavy ties": (np.round(P), T, np.round(B)),
    "two values": (P > 2, T, B > 0.5),
    "one against all": (replaced(np.zeros(60), 7, 1), T, replaced(np.zeros(60), 9, 1)),
    "both zeros": (replaced(np.round(P), [3, 4], -0.0), T, B),
    "differences of one rounding": (replaced(P, [0, 1], (1.0, 1.0 + 2e-16)), T, B),
    "infinite predictions": (replaced(P, [0, 1], (np.inf, -np.inf)), T, B),
    "constant prediction": (np.full(60, 0.3), T, B),
    "constant target": (P, np.full(60, 0.5), B),
    "constant inexact target": (P, np.full(60, 0.1), B),
    "target constant where predicted": (replaced(P, 0), replaced(np.full(60, 0.5), 0, 0.25), B),
    # Minus a mean of other rows it is 59 equal numbers whose mean is one rounding off: noise without our check.
    "inexact target constant where predicted": (replaced(P, 0), replaced(np.full(60, 0.02), 0, 0.25), B),
    "constant benchmark": (P, T, np.full(60, 0.7)),
    "two rows": (P[:2], (0.5, 0.75), B[:2]),
    "two tied rows": ((0.3, 0.3), (0.5, 0.75), B[:2]),
    "one row": (P[:1], T[:1], B[:1]),
    "target around zero": (P, T - 0.5, B),
    "target just over one": (P, replaced(T, 0, 1.0001), B),
    "target over one where unpredicted": (replaced(P, 0), replaced(T, 0, 1.5), B),
    "reversed": (-T, T, T),
}


@pytest.mark.parametrize("case", LISTED)
def test_equals_numerai_tools_on(case):
    prediction, target, benchmark = (None if c is None else np.asarray(c, float) for c in LISTED[case])
    assert_equals_oracle(prediction, target, benchmark, [len(target)])


@pytest.mark.parametrize(
    ("case", "unknown"),
    [
        ("plain", set()),
        ("no benchmark", {"bmc", "benchmark_corr"}),
        ("no target rows", {"corr", "bmc"}),
        ("no common rows", {"corr", "bmc"}),
        ("half of the predictions", set()),
        ("constant prediction", {"corr", "benchmark_corr"}),
        ("constant target", {"corr"}),
        ("constant benchmark", {"bmc", "benchmark_corr"}),
        ("two rows", set()),
        ("one row", set(NAMES)),
    ],
)
def test_unknown_is_nan(case, unknown):
    prediction, target, benchmark = LISTED[case]
    scores = score_eras(prediction, target, benchmark, [0, len(target)])
    assert {name for name in NAMES if np.isnan(getattr(scores, name)[0])} == unknown


def test_constant_prediction_contributes_nothing():
    assert contribution(np.full(60, 0.3), B, T) == 0


def test_infinite_target_is_unknown():
    scores = score_eras(P, replaced(T, 0, np.inf), B, [0, 60])
    assert np.isnan(scores.corr[0])
    assert np.isnan(scores.bmc[0])
    assert scores.benchmark_corr[0] == score_eras(P, T, B, [0, 60]).benchmark_corr[0]


def test_eras_without_rows_are_nan_and_leave_the_others_alone():
    scores = score_eras(P, T, B, [0, 0, 25, 25, 60, 60])
    for name in NAMES:
        values = getattr(scores, name)
        assert np.isnan(values).tolist() == [True, False, True, False, True]
        np.testing.assert_array_equal(values[[1, 3]], getattr(score_eras(P, T, B, [0, 25, 60]), name))


# Properties

small_columns = st.integers(0, 2**32 - 1).map(lambda seed: era(seed, 40))


def steeper(x):
    return np.round(x, 3) ** 3 + np.round(x, 3)


@settings(max_examples=50, deadline=None)
@given(small_columns)
def test_monotone_maps_change_nothing(columns):
    p, t, b = columns
    p, b = np.round(p, 3), np.round(b, 3)
    assert numerai_corr(steeper(p), t) == numerai_corr(p, t)
    assert contribution(steeper(p), b, t) == contribution(p, b, t)
    assert contribution(p, steeper(b), t) == contribution(p, b, t)


@settings(max_examples=50, deadline=None)
@given(small_columns)
def test_sign_flips(columns):
    p, t, b = columns
    assert numerai_corr(-p, t) == pytest.approx(-numerai_corr(p, t), abs=TOLERANCE)
    assert numerai_corr(p, -t) == pytest.approx(-numerai_corr(p, t), abs=TOLERANCE)
    assert contribution(-p, b, t) == pytest.approx(-contribution(p, b, t), abs=TOLERANCE)
    assert contribution(p, -b, t) == pytest.approx(contribution(p, b, t), abs=TOLERANCE)


@settings(max_examples=50, deadline=None)
@given(small_columns)
def test_contribution_to_itself_is_zero(columns):
    p, t, _ = columns
    assert contribution(p, p, t) == pytest.approx(0, abs=TOLERANCE)
    assert contribution(steeper(np.round(p, 3)), -np.round(p, 3), t) == pytest.approx(0, abs=TOLERANCE)


@settings(max_examples=50, deadline=None)
@given(small_columns, st.randoms(use_true_random=False))
def test_order_of_rows_within_an_era_does_not_matter(columns, random):
    order = list(range(40))
    random.shuffle(order)
    one, other = score_eras(*columns, [0, 40]), score_eras(*(c[order] for c in columns), [0, 40])
    for name in NAMES:
        assert getattr(one, name)[0] == pytest.approx(getattr(other, name)[0], abs=TOLERANCE)


def test_targets_between_zero_and_one_count_four_times_in_bmc_only():
    assert contribution(P, B, T) == pytest.approx(4 * contribution(P, B, T - 0.5), abs=TOLERANCE)
    assert numerai_corr(P, T) == pytest.approx(numerai_corr(P, T - 0.5), abs=TOLERANCE)


def test_the_factor_of_four_is_decided_era_by_era():
    target = np.concatenate((T, T - 0.5))
    scores = score_eras(np.tile(P, 2), target, np.tile(B, 2), [0, 60, 120])
    assert scores.bmc[0] == pytest.approx(4 * scores.bmc[1], abs=TOLERANCE)


def test_benchmark_corr_is_not_symmetric():
    forward, backward = score_eras(P, T, B, [0, 60]), score_eras(B, T, P, [0, 60])
    assert abs(forward.benchmark_corr[0] - backward.benchmark_corr[0]) > 1e-3


# Inputs


def test_inputs_are_neither_changed_nor_need_to_be_writable():
    columns = [column.astype(np.float32) for column in era()]
    for column in columns:
        column.flags.writeable = False
    exact = score_eras(*(column.astype(float) for column in columns), [0, 60])
    np.testing.assert_array_equal(score_eras(*columns, [0, 60]).bmc, exact.bmc)


@pytest.mark.parametrize(
    ("prediction", "target", "benchmark", "era_starts", "message"),
    [
        (P, T[:-1], B, [0, 60], "equally long, but have 60, 59 and 60 rows"),
        (P, T, B[:-1], [0, 60], "equally long"),
        (P.reshape(6, 10), T, B, [0, 60], r"prediction must have shape \(n,\), but has \(6, 10\)"),
        (P, T, B, [0, 59], "from 0 to 60"),
        (P, T, B, [1, 60], "from 0 to 60"),
        (P, T, B, [0, 40, 30, 60], "ascend"),
        (P, T, B, [], "integers"),
        (P, T, B, [0.0, 60.0], "integers, but is float64"),
    ],
)
def test_refuses(prediction, target, benchmark, era_starts, message):
    with pytest.raises(ValueError, match=message):
        score_eras(prediction, target, benchmark, era_starts)


# Summaries

per_era_scores = st.lists(st.one_of(st.integers(-50, 50).map(lambda i: i / 1000), st.just(NAN)), min_size=1)


@settings(deadline=None)
@given(per_era_scores.filter(lambda scores: not all(math.isnan(score) for score in scores)))
def test_summary_equals_the_oracle(scores):
    ours = dataclasses.asdict(summarize(np.array(scores)))
    assert ours == pytest.approx(oracle_summary(scores), abs=TOLERANCE, rel=1e-9, nan_ok=True)


def test_summary_by_hand():
    summary = summarize(np.array([0.1, NAN, -0.3, 0.1, 0.3]))
    assert summary.mean == pytest.approx(0.05)
    assert summary.std == pytest.approx(math.sqrt(0.19 / 4))
    assert summary.sharpe == pytest.approx(0.05 / math.sqrt(0.19 / 4))
    assert summary.max_drawdown == pytest.approx(0.3)
    assert summary.n_eras == 4


def test_a_loss_before_the_first_peak_is_no_drawdown():
    assert summarize(np.array([-0.5, 0.1])).max_drawdown == 0
    assert summarize(np.array([-0.5, -0.1])).max_drawdown == pytest.approx(0.1)


def test_equal_scores_have_no_sharpe():
    summary = summarize(np.full(7, 0.1))
    assert summary.std == 0
    assert math.isnan(summary.sharpe)
    assert math.isnan(summarize(np.array([0.02])).sharpe)


@pytest.mark.parametrize("nothing", [[], [NAN, NAN]])
def test_summary_of_nothing(nothing):
    summary = summarize(np.array(nothing))
    assert summary.n_eras == 0
    assert all(math.isnan(v) for v in (summary.mean, summary.std, summary.sharpe, summary.max_drawdown))


def test_last_eras_counts_scored_eras():
    scores = np.array([1.0, NAN, 2.0, 3.0, NAN])
    assert last_eras(scores, 2).tolist() == [2, 3]
    assert last_eras(scores, 200).tolist() == [1, 2, 3]
    assert last_eras(np.array([NAN]), 200).size == 0
    with pytest.raises(ValueError, match="count=0"):
        last_eras(scores, 0)
