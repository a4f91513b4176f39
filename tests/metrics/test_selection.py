"""Selection: p-values of what a search found hold in mere noise, have no floor, and know which eras chose."""

import math

import numpy as np
import pytest
from scipy.special import ndtr, ndtri

from numerai_ray.metrics.power import Spread, foretold_error, smallest_gain, with_seeds
from numerai_ray.metrics.selection import ALONE, LEVEL, Search, luck, selected_p_value
from numerai_ray.metrics.shrinkage import expected_gain, spread_of_gains
from numerai_ray.metrics.standard_error import correlation_with_part, persistence

EIGHT = (4,) * 8


def chains(rng: np.random.Generator, lines: int, threshold: float) -> tuple[np.ndarray, np.ndarray]:
    """t of what lines of 8 rounds end with that promote the best of 4 above a threshold, and their moves."""
    best = ndtri(rng.random((lines, 8)) ** 0.25)
    promoted = best >= threshold
    moves = promoted.sum(axis=1)
    chained = np.where(promoted, best, 0).sum(axis=1) / np.sqrt(np.maximum(moves, 1))
    return np.where(moves == 0, best.max(axis=1), chained), np.maximum(moves, 1)


@pytest.mark.parametrize("threshold", [0.0, 1.0, 1.5, 2.0, 3.0])
def test_at_most_one_line_of_noise_in_twenty_is_clear_whatever_promotes(threshold: float) -> None:
    t, moves = chains(np.random.default_rng(11), 4000, threshold)
    needed = {m: luck(Search(EIGHT, m)) for m in range(1, 9)}
    clear = np.mean([score >= needed[int(m)] for score, m in zip(t, moves, strict=True)])
    assert clear <= LEVEL
    # All variants, doubled with every move, is no such count.
    looks = 32 * 2.0**moves
    product = np.mean(1 - (1 - ndtr(-t)) ** looks <= LEVEL)
    assert clear <= product + 0.01
    assert threshold != 1.5 or product > 0.10


def test_one_round_is_the_best_of_its_variants() -> None:
    assert selected_p_value(0.01, ALONE) == pytest.approx(0.01)
    assert selected_p_value(0.01, Search((4,))) == pytest.approx(1 - 0.99**4)
    assert luck(ALONE) == pytest.approx(1.645, abs=1e-3)
    assert luck(Search((4,))) == pytest.approx(2.234, abs=1e-3)


def test_p_values_have_no_floor_and_fall_with_the_tail() -> None:
    tails = [0.1, 1e-2, 1e-3, 1e-5, 1e-8, 1e-20]
    found = [selected_p_value(tail, Search(EIGHT, 3)) for tail in tails]
    assert found == sorted(found, reverse=True)
    assert 1e-20 < found[-1] < 1e-14
    assert math.isnan(selected_p_value(math.nan, Search(EIGHT, 3)))


def test_eras_that_did_not_choose_count_for_themselves() -> None:
    needed = [luck(Search(EIGHT, 4, share)) for share in (1.0, 0.8, 0.5, 0.0)]
    assert needed == sorted(needed, reverse=True)
    assert needed[-1] == pytest.approx(1.645, abs=0.03)


@pytest.mark.parametrize("wrong", [((), 1), ((4, 0), 1), ((4, 4), 3), ((4, 4), 0)])
def test_what_is_no_search_is_refused(wrong: tuple[tuple[int, ...], int]) -> None:
    with pytest.raises(ValueError, match="a search has rounds of variants"):
        Search(*wrong)


def test_the_share_of_the_eras_that_chose_is_that_of_simulated_means() -> None:
    rng = np.random.default_rng(5)
    eras = np.arange(200, 600)
    part = (eras % 4) == 0
    moving = np.lib.stride_tricks.sliding_window_view(rng.normal(size=(3000, 404)), 5, axis=1).sum(axis=-1)
    seen = np.corrcoef(moving.mean(axis=1), moving[:, part].mean(axis=1))[0, 1]
    told = np.mean([correlation_with_part(each, eras, part, 4) for each in moving[:20]])
    assert told == pytest.approx(seen, abs=0.06)
    independent = [correlation_with_part(rng.normal(size=400), eras, part, 4) for _ in range(20)]
    assert np.mean(independent) == pytest.approx(0.5, abs=0.12)
    assert correlation_with_part(moving[0], eras, np.ones(400, bool), 4) == 1.0


def test_persistence_shows_where_it_is_and_nowhere_else() -> None:
    rng = np.random.default_rng(7)
    eras = np.arange(200, 600)
    quiet = [persistence(rng.normal(size=400), eras, 4).shows for _ in range(100)]
    assert np.mean(quiet) <= 0.05
    slow = np.zeros(400)
    for at in range(1, 400):
        slow[at] = 0.97 * slow[at - 1] + rng.normal() * 0.24
    found = persistence(rng.normal(size=400) + 1.5 * slow, eras, 4)
    assert found.shows
    assert found.standard_error > 0.1, "twice that of independent eras at least"


def test_gains_of_mere_noise_are_shrunk_to_little_and_true_ones_are_kept() -> None:
    rng = np.random.default_rng(9)
    errors = np.full(24, 4e-4)
    noise = [spread_of_gains((errors * rng.normal(size=24)).tolist(), errors.tolist()) for _ in range(200)]
    kept = [expected_gain(8e-4, 4e-4, each) for each in noise]
    assert np.median(kept) < 1e-4
    true = spread_of_gains((rng.normal(0, 20e-4, 24) + errors * rng.normal(size=24)).tolist(), errors.tolist())
    assert expected_gain(20e-4, 4e-4, true) == pytest.approx(20e-4 * true / (true + 16e-8))
    assert expected_gain(20e-4, 4e-4, true) > 18e-4
    assert math.isnan(spread_of_gains([], []))


def test_more_eras_and_seeds_make_the_smallest_gain_smaller() -> None:
    spread = Spread(60e-4, 0.5)
    few, many = list(range(200, 1000, 4)), list(range(200, 1100))
    gains = [
        smallest_gain(foretold_error(spread, few, 4), len(few), Search((4,))),
        smallest_gain(foretold_error(with_seeds(spread, 3), few, 4), len(few), Search((4,))),
        smallest_gain(foretold_error(spread, many, 4), len(many), Search((4,))),
    ]
    assert gains[0] > gains[1]
    assert gains[0] > gains[2]
    assert 10e-4 < gains[2] < gains[0] < 29e-4
