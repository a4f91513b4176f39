"""What was worked out is held by its content, bounded, and never changed by whoever got it."""

import numpy as np
import pytest

from numerai_ray.metrics import significance
from numerai_ray.metrics.by_content import ByContent
from numerai_ray.metrics.significance import Comparison, Series, paired_delta


def test_the_same_content_is_asked_for_once_and_any_other_again() -> None:
    held, made = ByContent(8), list[int]()

    def get(array: np.ndarray, settings: int = 0) -> np.ndarray:
        def make() -> np.ndarray:
            made.append(len(made))
            return np.array([float(len(made))])

        return held.get((array,), settings, make)

    one = np.arange(6.0)
    assert get(one) == get(one.copy()) == get(np.arange(12.0)[::1][:6])
    assert made == [0]
    for other in (one + 1, one[::-1], one.reshape(2, 3), one.astype(np.float32)):
        get(other)
    get(one, 1)
    assert len(made) == 6
    with pytest.raises(ValueError, match="read-only"):
        get(one)[0] = 5.0


def test_what_was_asked_for_last_is_let_go_last() -> None:
    held, made = ByContent(2), list[float]()

    def ask(value: float) -> None:
        held.get((np.array([value]),), None, lambda: made.append(value) or np.array([value]))

    for value in (1.0, 2.0, 1.0, 3.0, 1.0, 2.0):
        ask(value)
    assert made == [1.0, 2.0, 3.0, 2.0]


def test_a_comparison_is_drawn_once_and_is_the_same_when_it_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(significance, "_JUDGED", ByContent(8))
    drawn = list[int]()
    own = significance.bootstrap_draws
    monkeypatch.setattr(significance, "bootstrap_draws", lambda *given: drawn.append(1) or own(*given))
    rng = np.random.default_rng(0)
    base, ours = (Series(range(1, 101), rng.normal(0, 0.01, 100)) for _ in range(2))
    first = paired_delta(ours, base, Comparison())
    assert paired_delta(Series(ours.eras, np.array(ours.values)), base, Comparison()) == first
    assert len(drawn) == 1
    assert paired_delta(ours, base, Comparison(overlap_eras=12)) != first
    assert paired_delta(base, ours, Comparison()) != first
    assert len(drawn) == 3
