"""Sequential judgement: its arithmetic against the plain formula, its words, and its error rates in a short form."""

import numpy as np
import pytest
from scipy.stats import multivariate_t
from sequential_rules import SHAPES, Shape, measured

from numerai_ray.metrics.sequential import (
    SHARES,
    SHIFTS,
    Noise,
    Promise,
    eras_needed,
    expected_best,
    judge_live,
    promise_of,
    weekly,
)
from numerai_ray.metrics.significance import Comparison, Series, paired_delta

NOISE = Noise(overlapping=2e-5, own=1e-5, freedom=40, overlap_eras=4)
PROMISE = Promise(mean=2e-3, standard_error=4e-4, noise=NOISE, eras=200)
STRONG = Promise(mean=4e-3, standard_error=4e-4, noise=NOISE, eras=200)


def values(count: int, mean: float, seed: int = 3) -> Series:
    eras = list(range(1001, 1001 + count))
    root = np.linalg.cholesky(NOISE.variance * NOISE.correlation(eras))
    return Series(eras, mean + root @ np.random.default_rng(seed).standard_normal(count))


def test_the_evidence_is_a_ratio_of_densities() -> None:
    series = values(30, 1e-3)
    live = judge_live(series, PROMISE)
    scale = np.sqrt(NOISE.variance)
    x, base = np.asarray(series.values) / scale, NOISE.correlation(series.eras)
    shared = base + (PROMISE.standard_error / scale) ** 2
    unit = PROMISE.mean / scale

    def density(mean: float, shape: np.ndarray) -> float:
        return float(multivariate_t(np.full(30, mean), shape, df=NOISE.freedom).pdf(x))

    below = sum(s * density(unit - k * unit, shared) for k, s in zip(SHIFTS, SHARES, strict=True))
    assert live.against[-1] == pytest.approx(below / density(unit, shared), rel=1e-9)
    assert live.favour[-1] == pytest.approx(density(unit, shared) / density(0.0, base), rel=1e-9)


def test_the_interval_holds_the_means_that_the_mixture_does_not_exclude() -> None:
    series = values(40, 1e-3)
    live = judge_live(series, PROMISE)
    scale, base = np.sqrt(NOISE.variance), NOISE.correlation(series.eras)
    x = np.asarray(series.values) / scale
    mixed = base + 8.0 / 52

    def ratio(mean: float) -> float:
        at = np.full(40, mean / scale)
        return float(
            multivariate_t(at, mixed, df=NOISE.freedom).pdf(x) / multivariate_t(at, base, df=NOISE.freedom).pdf(x)
        )

    for edge in (live.low[-1], live.high[-1]):
        assert ratio(edge) == pytest.approx(1 / 0.10, rel=1e-6)
    assert ratio(live.mean[-1]) < 1


def test_what_is_said_after_an_era_does_not_depend_on_later_ones() -> None:
    series = values(60, 0.0)
    whole = judge_live(series, PROMISE)
    part = judge_live(Series(series.eras[:25], np.asarray(series.values)[:25]), PROMISE)
    for name in ("mean", "low", "high", "against", "favour"):
        np.testing.assert_allclose(getattr(whole, name)[:25], getattr(part, name), rtol=1e-9)


def test_words() -> None:
    assert judge_live(values(0, 0.0), PROMISE).word == "too early"
    assert judge_live(values(2, 2e-3), PROMISE).word == "too early"
    assert judge_live(values(150, 4e-3), STRONG).word == "as promised"
    gone = judge_live(values(150, -1e-3), STRONG)
    assert gone.word == "worse than promised"
    assert gone.worse_since is not None
    assert 1001 < gone.worse_since < 1150
    # What was once said stays said, whatever comes after it.
    again = Series([*gone.eras, *range(1151, 1401)], np.concatenate([values(150, -1e-3).values, np.full(250, 0.01)]))
    assert judge_live(again, STRONG).worse_since == gone.worse_since


def test_unknown_eras_are_left_out() -> None:
    series = values(40, 1e-3)
    known = np.asarray(series.values).copy()
    known[[3, 17]] = np.nan
    live = judge_live(Series(series.eras, known), PROMISE)
    assert len(live.eras) == 38
    assert 1004 not in live.eras
    assert np.isfinite(live.mean).all()


def test_a_promise_has_the_standard_error_of_significance() -> None:
    eras = list(range(1, 401))
    noise = Shape(400).noise(np.random.default_rng(5), 400, 1)[:, 0] + 1e-3
    promise = promise_of(Series(eras, noise), 4)
    paired = paired_delta(Series(eras, noise), Series(eras, np.zeros(400)), Comparison(10_000, 4))
    assert promise is not None
    assert paired is not None
    assert promise.mean == pytest.approx(paired.mean)
    assert promise.standard_error == pytest.approx(paired.standard_error, rel=1e-9)
    assert promise_of(Series(eras[:9], noise[:9]), 4) is None
    assert promise_of(Series(eras, np.zeros(400)), 4) is None


def test_the_luck_of_the_best() -> None:
    drawn = np.random.default_rng(0).standard_normal((200_000, 12)).max(axis=1).mean()
    assert expected_best(12) == pytest.approx(drawn, abs=0.01)
    assert expected_best(1) == 0
    best = Promise(2e-3, 4e-4, NOISE, 200, looks=12)
    assert best.expected == pytest.approx(2e-3 - 4e-4 * expected_best(12))


def test_the_power_calculation() -> None:
    needed = eras_needed(STRONG)
    assert needed is not None
    half = eras_needed(STRONG, STRONG.mean * 0.9)
    assert half is not None
    assert half > needed
    assert eras_needed(Promise(2e-3, 1e-3, NOISE, 200)) is None  # never surer than the promise itself
    assert eras_needed(Promise(-1e-3, 1e-3, NOISE, 200)) is None


def test_rounds_of_a_week_are_one_era() -> None:
    series = weekly([7, 5, 5, 7, 9], [0.1, 0.2, 0.4, np.nan, 0.3])
    assert list(series.eras) == [5, 7, 9]
    np.testing.assert_allclose(np.asarray(series.values), [0.3, 0.1, 0.3])


@pytest.mark.parametrize("shape", [SHAPES[0], SHAPES[-1]], ids=lambda shape: shape.name)
def test_error_rates_in_a_short_form(shape: Shape) -> None:
    """``tests/benchmarks/sequential_rules.py`` is the long one: 1,000 markets of six shapes."""
    found = measured(shape, 25)
    assert found["false_alarms"] <= 0.16
    assert found["interval_misses"] <= 0.20
    assert found["told_within"] >= 0.65
