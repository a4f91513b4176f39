"""How much of a gain is noise: against slow formulas, known cases, and simulated rounds of known truth."""

import math

import numpy as np
import pytest
from false_winners import Shape, false_share, found_share
from hypothesis import given
from hypothesis import strategies as st

from numerai_ray.metrics.significance import (
    ALONE,
    Comparison,
    Evidence,
    PairedDelta,
    Search,
    Series,
    block_length,
    bootstrap_draws,
    delta_text,
    judge,
    paired_delta,
    paired_deltas,
    spa_p_values,
    standard_errors,
    verdict,
)

N = 200
ERAS = np.arange(300, 300 + N)
COMPARISON = Comparison(last=200, overlap_eras=4, draws=500)


def noise(k: int = 1, overlap: int = 4, seed: int = 0, n: int = N) -> np.ndarray:
    """(n, k) of unit variance that overlaps as labels do."""
    return Shape(n, 1, overlap).noise(np.random.default_rng(seed), k)


def one(delta: np.ndarray, comparison: Comparison = COMPARISON, search: Search = ALONE) -> PairedDelta:
    return paired_deltas(delta[:, None], 300 + np.arange(len(delta)), comparison, search)[0]


# Against slow and obvious ways


def oracle_standard_error(delta: np.ndarray, eras: np.ndarray, overlap: int) -> float:
    """The module's formula with matrices and a search for the likeliest mixture, instead of cosines and steps."""
    n = len(delta)
    j, at = np.arange(n)[:, None], np.arange(n)
    cosines = np.sqrt(2 / n) * np.cos(np.pi * j * (2 * at + 1) / (2 * n))
    cosines[0] /= math.sqrt(2)
    power = (cosines @ delta)[1:] ** 2
    gaps = np.abs(eras[:, None] - eras)
    kernel = np.clip(1 - gaps / (overlap + 1), 0, None)
    shape = np.maximum(np.diag(cosines @ kernel @ cosines.T)[1:], 1e-9)
    best = (math.inf, 0.0, 0.0)
    for share in np.linspace(0, 1, 2001):
        expected = share * shape + (1 - share)
        size = np.mean(power / expected)
        loss = np.sum(np.log(size * expected) + power / (size * expected))
        if loss < best[0]:
            best = (loss, size * share, size * (1 - share))
    _, a, b = best
    freedom = int(1.15 * n ** (2 / 3))
    level = np.sum((power / (a * shape + b))[: freedom + 2]) / freedom
    return math.sqrt((a * kernel.sum() / n**2 + b / n) * level)


@pytest.mark.parametrize(("overlap", "step", "n"), [(4, 1, 120), (4, 4, 64), (12, 1, 200), (12, 4, 100)])
def test_standard_error_equals_the_formula_written_out(overlap, step, n) -> None:
    eras = 200 + step * np.arange(n)
    deltas = 0.005 * Shape(n, step, overlap).noise(np.random.default_rng(3), 3)
    expected = [oracle_standard_error(column, eras, overlap) for column in deltas.T]
    # A fixed number of steps ends close to the likeliest mixture, not on it.
    np.testing.assert_allclose(standard_errors(deltas, eras, overlap), expected, rtol=0.02)


def test_standard_error_is_the_textbooks_without_overlap() -> None:
    values = np.random.default_rng(5).normal(size=(1200, 1))
    found = standard_errors(values, np.arange(1200) * 20, 4)[0]
    assert found == pytest.approx(values.std() / math.sqrt(1200), rel=0.15)


def test_standard_error_sees_the_overlap() -> None:
    """Labels that cover 13 weeks make a mean's error 3.6 times the textbook's; an average over many draws finds it."""
    shape = Shape(N, 1, 12)
    found = np.mean(standard_errors(noise(60, overlap=12), ERAS, 12))
    assert found == pytest.approx(shape.standard_error(), rel=0.12)
    assert found > 3 / math.sqrt(N)


def test_gaps_leave_an_era_where_it_is() -> None:
    """Every other era unknown is a series of step 2."""
    values = noise(1, seed=4)
    gappy = values.copy()
    gappy[1::2] = np.nan
    assert standard_errors(gappy, ERAS, 4)[0] == pytest.approx(standard_errors(values[::2], ERAS[::2], 4)[0])


def oracle_draw(deltas: np.ndarray, length: int, rng: np.random.Generator) -> np.ndarray:
    """One stationary bootstrap mean, era by era."""
    n, place, total = len(deltas), 0, np.zeros(deltas.shape[1])
    for position in range(n):
        place = int(rng.integers(n)) if position == 0 or rng.random() < 1 / length else (place + 1) % n
        total += deltas[place]
    return total / n


def test_bootstrap_draws_vary_together_as_a_plain_loop_does() -> None:
    own = noise(3, seed=6)
    deltas = own + 0.8 * noise(1, seed=7)
    draws = bootstrap_draws(deltas, ERAS, Comparison(200, 4, draws=4000))
    rng = np.random.default_rng(0)
    slow = np.array([oracle_draw(deltas, block_length(4, 1, N), rng) for _ in range(1500)])
    np.testing.assert_allclose(np.corrcoef(draws.T), np.corrcoef(slow.T), atol=0.08)
    np.testing.assert_allclose(draws.std(axis=0), 1)
    np.testing.assert_allclose(draws.mean(axis=0), 0, atol=1e-8)


@pytest.mark.parametrize(
    ("overlap", "step", "n", "length"),
    [(4, 1, 200, 6), (4, 4, 64, 4), (12, 1, 200, 13), (12, 4, 200, 6), (4, 1, 9, 3), (4, 1, 2, 1)],
)
def test_blocks_cover_the_overlap_at_the_datas_step(overlap, step, n, length) -> None:
    assert block_length(overlap, step, n) == length


def test_spa_counts_draws_as_good_and_leaves_hopeless_variants_out() -> None:
    draws = np.array([[0.0, 2.0], [1.0, -1.0], [-1.0, 0.5], [3.0, 0.0]])
    # best draws 2, 1, .5, 3; one more for the data itself
    np.testing.assert_allclose(spa_p_values(np.array([1.5, 0.2]), draws, 200), [3 / 5, 1.0])
    # the second is 5 standard errors bad: it cannot be the best by luck, so only the first's draws are left
    np.testing.assert_allclose(spa_p_values(np.array([1.5, -5.0]), draws, 200)[0], 2 / 5)


# Known cases


def test_means_shares_and_thirds_are_what_they_say() -> None:
    delta = np.array([1.0] * 4 + [-1.0] * 2 + [2.0] * 3 + [-2.0] * 3)
    found = one(delta, Comparison(200, 4, 100))
    assert (found.mean, found.eras, found.dropped, found.judged) == (pytest.approx(delta.mean()), 12, 0, 1)
    assert found.share_improved == pytest.approx(7 / 12)
    assert found.thirds == pytest.approx((1.0, 0.5, 0.25))
    assert (found.first_era, found.last_era) == (300, 311)


def test_a_large_steady_gain_is_clear_and_its_mirror_a_clear_loss() -> None:
    delta = 0.002 + 0.001 * noise()[:, 0]
    gain, loss = one(delta), one(-delta)
    assert verdict(gain) == "clear gain"
    assert verdict(loss) == "clear loss"
    assert gain.low == pytest.approx(-loss.high, rel=0.1)
    assert gain.probability > 0.99
    assert "clear gain" in delta_text(gain)


def test_no_gain_is_inside_the_noise() -> None:
    delta = 0.005 * (noise()[:, 0] - noise()[:, 0].mean())
    found = one(delta)
    assert verdict(found) == "inside the noise"
    assert found.low < 0 < found.high
    assert 0.3 < found.probability < 0.7
    assert "of cases" in delta_text(found)


def test_equal_scores_are_no_difference_and_a_constant_one_is_sure() -> None:
    assert verdict(one(np.zeros(N))) == "no difference"
    sure = one(np.full(N, 1e-3))
    assert verdict(sure) == "clear gain"
    assert sure.standard_error == 0
    assert verdict(one(np.full(N, -1e-3))) == "clear loss"


def test_too_few_eras_tell_nothing() -> None:
    found = one(noise()[:9, 0])
    assert verdict(found) == verdict(None) == "unknown"
    assert "10 are needed" in delta_text(found)
    assert math.isnan(found.p_value)


def test_only_the_last_common_eras_count() -> None:
    delta = noise()[:, 0]
    delta[-3] = np.nan
    found = one(delta, Comparison(50, 4, 200))
    known = delta[~np.isnan(delta)]
    assert found.mean == pytest.approx(known[-50:].mean())
    assert (found.eras, found.dropped) == (50, 1)


def test_a_wider_search_and_more_rivals_need_a_larger_gain() -> None:
    delta = 0.0012 + 0.005 * noise()[:, 0]
    alone = one(delta).p_value
    assert one(delta, search=Search((10,))).p_value == pytest.approx(1 - (1 - alone) ** 10, rel=0.3)
    assert one(delta, search=Search((5, 5), 2)).p_value > one(delta, search=Search((10,))).p_value
    rivals = np.column_stack([delta, 0.005 * (noise(9, seed=8) - noise(9, seed=8).mean(axis=0))])
    assert paired_deltas(rivals, ERAS, COMPARISON)[0].p_value > alone


def test_a_round_is_judged_to_its_base_and_to_its_best() -> None:
    base = 0.014 * noise(seed=1)[:, 0]
    good, bad = base + 0.002 + 0.001 * noise(seed=2)[:, 0], base - 0.002 + 0.001 * noise(seed=3)[:, 0]
    nothing = Series([1, 2], [1.0, 2.0])
    found = judge(
        Series(ERAS, base), {"good": Series(ERAS, good), "bad": Series(ERAS, bad), "other eras": nothing}, COMPARISON
    )
    assert set(found) == {"good", "bad"}
    assert found["good"].to_best is None
    assert isinstance(found["bad"], Evidence)
    assert verdict(found["bad"].to_best) == "clear loss"
    assert found["bad"].to_best.mean == pytest.approx((bad - good).mean())
    assert judge(Series(ERAS, base), {"other": nothing}, COMPARISON) == {}


def test_eras_are_matched_by_number_not_by_place() -> None:
    values = noise()[:, 0]
    found = paired_delta(Series(ERAS[5:], values[5:] + 1e-3), Series(ERAS[:-5], values[:-5]), COMPARISON)
    assert found is not None
    assert (found.eras, found.dropped) == (N - 10, 10)
    assert found.mean == pytest.approx(1e-3)


@given(st.integers(0, 10**6), st.floats(1e-6, 1e3), st.sampled_from([1, 3, 7]))
def test_units_do_not_matter(seed, scale, k) -> None:
    deltas = noise(k, seed=seed, n=60)
    eras = np.arange(60)
    comparison = Comparison(200, 4, 100)
    for one_unit, other in zip(
        paired_deltas(deltas, eras, comparison), paired_deltas(deltas * scale, eras, comparison), strict=True
    ):
        assert other.p_value == pytest.approx(one_unit.p_value, abs=0.02)
        assert other.standard_error == pytest.approx(one_unit.standard_error * scale)
        assert other.thirds == one_unit.thirds


def test_equal_questions_get_equal_answers() -> None:
    deltas = noise(4, seed=9)
    first = paired_deltas(deltas, ERAS, COMPARISON)
    assert first == paired_deltas(deltas, ERAS, COMPARISON)
    # the order of variants names them and decides nothing
    assert [each.p_value for each in paired_deltas(deltas[:, ::-1], ERAS, COMPARISON)[::-1]] == [
        each.p_value for each in first
    ]


def test_wrong_shapes_are_refused() -> None:
    with pytest.raises(ValueError, match=r"must have shape \(n_eras, k\), but have \(200,\) for 200 eras"):
        paired_deltas(noise()[:, 0], ERAS, COMPARISON)
    with pytest.raises(ValueError, match="column 1 has none"):
        paired_deltas(np.column_stack([np.ones(N), np.full(N, np.nan)]), ERAS, COMPARISON)


# Simulated rounds of known truth; the longer form is tests/benchmarks/false_winners.py


def test_noise_is_seldom_promoted_by_significance_and_often_by_margin() -> None:
    shape = Shape(64, 4, 4)
    assert false_share("significant", shape, experiments=25) <= 0.05
    assert false_share("margin", shape, experiments=25) > 0.15


def test_a_gain_of_three_standard_errors_is_found() -> None:
    assert found_share(Shape(64, 4, 4), rounds=60) >= 0.65
