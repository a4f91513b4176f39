"""Time left before a round's first fits are done, and after its last: by what the round before showed."""

import time
from dataclasses import replace
from typing import Any

import pytest

from numerai_ray.progress.events import EventView
from numerai_ray.progress.round_state import Pace, RoundState, Snapshot
from numerai_ray.rounds.start import FitWork, RoundStart
from numerai_ray.runners.base import Progress
from numerai_ray.runners.ray.monitoring import RunningFit
from numerai_ray.system.machine import Usage

FITS = {"a": {f"k{fold}": FitWork(f"demo/r2/a/fold{fold}", f"f{fold}", 4.0) for fold in (1, 2)}}
START = RoundStart(2, "scout", None, {"a": "a"}, {"a": 2}, (), FITS, rows=1000)
USAGE = Usage(2, 1.9, 24 * 10**9, 3 * 10**9)
NOTHING = Snapshot((), USAGE)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> dict[str, float]:
    found = {"now": 100.0}
    monkeypatch.setattr(time, "monotonic", lambda: found["now"])
    return found


def told(*keys: str) -> Progress:
    return Progress("a", len(keys), 2, 0.001, fits=dict.fromkeys(keys, False))


def running(done: int, *, of: int = 1000, took: float, name: str = "demo/r2/a/fold1") -> Snapshot:
    return Snapshot((RunningFit(name, done, of, 0.0, took, "host", 1),), USAGE)


def test_what_comes_after_fits_is_added_while_they_run_and_runs_down_after_them(clock: dict[str, float]) -> None:
    state = RoundState(START, Pace(after_s=12.0, rows=1000))
    clock["now"] = 130.0
    state.tell(told("k1"))
    assert state.seconds_left() == pytest.approx(30 + 12)
    clock["now"] = 160.0
    state.tell(told("k1", "k2"))
    assert state.seconds_left() == pytest.approx(12)
    clock["now"] = 165.0
    assert state.seconds_left() == pytest.approx(7)
    clock["now"] = 200.0
    assert state.seconds_left() == 0


def test_a_round_hands_its_pace_to_the_next(clock: dict[str, float], monkeypatch: pytest.MonkeyPatch) -> None:
    events = list[Any]()
    monkeypatch.setattr("numerai_ray.progress.events.to_json", lambda _: "{}")
    view = EventView(events.append)
    later = replace(START, rows=3000)  # as a later stage predicts more
    for start, expected in ((START, 30.0), (later, 30.0 + 24.0)):  # nothing is known of what follows the first's fits
        view.round_started(start)
        clock["now"] += 30
        view.trial_progress(told("k1"))
        view.observed(Snapshot())
        assert events[-1]["seconds_left"] == pytest.approx(expected)
        clock["now"] += 30
        view.trial_progress(told("k1", "k2"))
        clock["now"] += 12
        view.round_decided(None)  # type: ignore[arg-type]
    assert "rows" not in events[0]


def test_the_first_trees_do_not_tell(clock: dict[str, float]) -> None:
    """A fit that has just begun has read its rows and grown hardly a tree."""
    first, next_ = RoundState(START), RoundState(START, Pace(work_s=5.0))
    clock["now"] += 3
    look = running(10, took=3.0)  # one of 200 parts of the round: it would take ten minutes
    for state in (first, next_):
        state.look(look)
    assert first.seconds_left(look) is None
    # A tenth of the round counts as at the pace before: 40 seconds in all, of which little is over.
    assert next_.seconds_left(look) == pytest.approx((8 - 0.04) * (3 + 0.8 * 5) / (0.04 + 0.8))
    assert RoundState(START, Pace(work_s=5.0)).seconds_left() == pytest.approx(40), "known as it begins"


def test_a_look_that_is_older_than_the_round_counts_for_nothing(clock: dict[str, float]) -> None:
    state = RoundState(START)
    state.look(running(500, took=60.0, name="demo/r1/a/fold1"))
    assert state.began == clock["now"]
    clock["now"] += 20
    state.look(running(500, took=60.0, name="demo/r1/a/fold1"))
    assert state.began == clock["now"], "nothing of this round runs yet"


def test_fits_begin_after_the_last_look_that_saw_none(clock: dict[str, float]) -> None:
    """Short ones are over before anybody has seen them run; Ray's start is not theirs."""
    state = RoundState(START)
    clock["now"] += 30
    state.look(NOTHING)
    clock["now"] += 2
    state.tell(told("k1"))
    state.look(running(100, took=0.1, name="demo/r2/a/fold2"))
    assert state.seconds_left() == pytest.approx(2)


def test_the_longest_fit_that_runs_is_waited_for(clock: dict[str, float]) -> None:
    """With room for both, the pace of both together would tell of half."""
    fits = {
        "a": {f"k{fold}": FitWork(f"demo/r2/a/fold{fold}", f"f{fold}", cost) for fold, cost in ((1, 4.0), (2, 8.0))}
    }
    state = RoundState(replace(START, fits=fits))
    clock["now"] += 40
    state.tell(told("k1"))
    look = running(500, took=40.0, name="demo/r2/a/fold2")
    assert state.seconds_left(look) == pytest.approx(40)
