"""Ranges of numbers: where values stand, and which are tried next."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from numerai_ray.config import validate
from numerai_ray.config.ranges import Range, implied_range, mapped, refined, spread
from numerai_ray.errors import ConfigError

LEAVES = Range(low=4, high=256, scale="log", integer=True)
RATE = Range(low=0.001, high=0.1, scale="log")
SHARE = Range(low=0.1, high=1.0)


def never(_: object) -> bool:
    return False


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"low": 3, "high": 3}, "`low < high` must hold, but got low=3, high=3"),
        ({"low": 9, "high": 3}, "`low < high` must hold"),
        ({"low": 0, "high": 3, "scale": "log"}, "`low > 0` must hold for scale log, but got low=0"),
        ({"low": 0.5, "high": 3, "integer": True}, "whole ends are needed with integer"),
        ({"low": -1.7e308, "high": 1.7e308}, "`high - low` must be finite"),
        ({"low": 1e15, "high": 1e15 + 0.2, "scale": "log"}, "ends must differ in their logarithm too"),
        ({"low": 1, "high": "many"}, "$.high"),
        ({"low": 1}, "required key is missing @ $.high"),
        ({"low": 1, "high": 2, "scale": "cubic"}, "'linear' or 'log'"),
    ],
)
def test_a_wrong_range_is_refused(values, words) -> None:
    with pytest.raises(ConfigError) as refusal:
        validate(Range, values, "a range")
    assert words in str(refusal.value)


def test_spread_holds_both_ends() -> None:
    assert spread(LEAVES, 4, never) == [4, 16, 64, 256]
    assert spread(RATE, 3, never) == [0.001, 0.01, 0.1]
    assert spread(SHARE, 1, never) == [0.55]
    assert spread(LEAVES, 4, lambda value: value == 16) == [4, 64, 256]


def test_mapping_takes_the_ends_then_the_widest_gaps() -> None:
    assert mapped(LEAVES, [32], 4, never) == [4, 256, 11, 91]
    assert mapped(SHARE, [0.1, 1.0, 0.55], 2, lambda value: value in (0.1, 1.0)) == [0.325, 0.775]
    assert mapped(Range(low=1, high=3, integer=True), [1, 2, 3], 4, lambda _: True) == []


def test_refining_goes_halfway_to_the_neighbours_and_to_an_end_with_nothing_beyond() -> None:
    assert refined(LEAVES, 32, [8, 32, 128], 2, never) == [16, 64]
    assert refined(LEAVES, 128, [8, 32, 128], 2, never) == [256, 64]
    assert refined(RATE, 0.01, [0.001, 0.01, 0.1], 4, never) == [0.00316, 0.0316, 0.00562, 0.0178]


@pytest.mark.parametrize(
    ("values", "span"),
    [
        ([7, 15, 63, 127], Range(low=7, high=127, scale="log", integer=True)),
        ([0.5, 1], Range(low=0.5, high=1)),
        ([3, 4, 8], Range(low=3, high=8, integer=True)),
        ([0, 100], Range(low=0, high=100, integer=True)),
        ([5], None),
        ([2**53, 2**53 + 1], None),
        ([-1.7e308, 1.7e308], None),
        (["a", "b"], None),
        ([True, False], None),
    ],
)
def test_a_list_of_numbers_spans_a_range(values, span) -> None:
    assert implied_range(values) == span


ranges = st.tuples(st.floats(1e-6, 1e6), st.floats(1.01, 1e5), st.sampled_from(["linear", "log"])).map(
    lambda parts: Range(low=parts[0], high=parts[0] * parts[1], scale=parts[2])
)


@given(ranges, st.floats(0, 1), st.integers(1, 8))
def test_nothing_leaves_the_range_and_nothing_is_proposed_twice(span, place, count) -> None:
    best = span.at(place)
    assert span.low <= best <= span.high
    for found in (
        spread(span, count, never),
        mapped(span, [best], count, never),
        refined(span, best, [], count, never),
    ):
        assert len(set(found)) == len(found) <= count
        assert all(span.low <= value <= span.high for value in found)


EXTREMES = st.sampled_from([0.0, 5e-324, 1e-308, 1.0, 2.0**53, 1e16, 1e300, 8.9e307, 1.7976e308])
NUMBERS = st.one_of(EXTREMES, EXTREMES.map(lambda value: -value), st.floats(allow_nan=False, allow_infinity=False))


@given(NUMBERS, NUMBERS, st.sampled_from(["linear", "log"]), st.booleans(), st.floats(0, 1))
def test_any_range_that_is_taken_can_be_searched_to_its_ends(one, other, scale, integer, place) -> None:
    values = {"low": min(one, other), "high": max(one, other), "scale": scale, "integer": integer}
    try:
        span = validate(Range, values, "a range")
    except ConfigError:
        return
    for found in (span.at(place), *spread(span, 4, never), *mapped(span, [span.at(place)], 4, never)):
        assert span.low <= found <= span.high
        assert 0 <= span.position(found) <= 1


@given(ranges, st.floats(0, 1))
def test_a_position_leads_back_to_its_value(span, place) -> None:
    assert span.position(span.at(place)) == pytest.approx(place, abs=0.01)
