"""Time left counts what comes after a round's last fit, as the round before it showed."""

import time
from typing import Any

import pytest

from numerai_ray.progress.events import EventView
from numerai_ray.progress.round_state import RoundState, Snapshot
from numerai_ray.rounds.start import FitWork, RoundStart
from numerai_ray.runners.base import Progress

FITS = {"a": {"k1": FitWork("fold1", "f1", 4.0), "k2": FitWork("fold2", "f2", 4.0)}}
START = RoundStart(2, "scout", None, {"a": "a"}, {"a": 2}, (), FITS)


def told(*keys: str) -> Progress:
    return Progress("a", len(keys), 2, 0.001, fits=dict.fromkeys(keys, False))


def test_it_is_added_while_fits_run_and_runs_down_after_them(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    state = RoundState(START, after_s=12.0)
    now = 130.0
    state.tell(told("k1"))
    assert state.seconds_left() == pytest.approx(30 + 12)
    now = 160.0
    state.tell(told("k1", "k2"))
    assert state.seconds_left() == pytest.approx(12)
    now = 165.0
    assert state.seconds_left() == pytest.approx(7)
    now = 200.0
    assert state.seconds_left() == 0


def test_a_round_hands_it_to_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    now, events = 0.0, list[Any]()
    monkeypatch.setattr(time, "monotonic", lambda: now)
    monkeypatch.setattr("numerai_ray.progress.events.to_json", lambda _: "{}")
    view = EventView(events.append)
    for expected in (30.0, 42.0):  # nothing is known of what comes after the first round's fits
        view.round_started(START)
        now += 30
        view.trial_progress(told("k1"))
        view.observed(Snapshot())
        assert events[-1]["seconds_left"] == pytest.approx(expected)
        now += 30
        view.trial_progress(told("k1", "k2"))
        now += 12
        view.round_decided(None)  # type: ignore[arg-type]
