"""Time left of a round, as it was told while it ran, against what the round then took."""

import time
from pathlib import Path
from statistics import median
from typing import Any

import pytest
from desk import Desk

from numerai_ray.data.files.build import build
from numerai_ray.data.synthetic.files import write_market
from numerai_ray.data.synthetic.market import MarketSpec
from numerai_ray.progress import watching
from numerai_ray.progress.live_view import ProgressFile

# Large enough that trees are the most of a round.
LARGE = MarketSpec(eras=120, rows=300, features=40, seed=1)
LONG = {
    "base": {"model": {"params": {"n_estimators": 150}}},
    "budget": {"rounds": 2},
    "rounds": {"variants": 3},
    "search_space": {
        "dimensions": {
            "num_leaves": {"values": [6, 8, 9]},
            "learning_rate": {"values": [0.05, 0.08, 0.2]},
        }
    },
}


@pytest.mark.long
def test_after_the_first_round_it_is_right_within_a_factor_of_two(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`tests/benchmarks/plan_accuracy.py` does the same with Ray, for experiments of six shapes."""
    told: dict[int, list[tuple[float, float | None]]] = {}
    over: list[float] = []

    class Recorded(ProgressFile):
        def trial_progress(self, progress: Any) -> None:
            super().trial_progress(progress)
            assert self._state is not None
            told.setdefault(self._state.start.number, []).append((time.monotonic(), self._state.seconds_left()))

        def round_decided(self, record: Any) -> None:
            super().round_decided(record)
            over.append(time.monotonic())

    monkeypatch.setattr(watching, "ProgressFile", Recorded)
    # All of it is this process: its own seconds are the same however busy the machine is.
    monkeypatch.setattr(time, "monotonic", time.process_time)
    write_market(LARGE, tmp_path / "market" / "tiny")
    build(tmp_path / "market" / "tiny")
    desk = Desk(tmp_path, tmp_path / "market", LONG)
    assert desk.run() == 0
    checked = 0
    for number, looks in told.items():
        quarter = looks[0][0] + (over[number - 1] - looks[0][0]) / 4
        pairs = [(left, over[number - 1] - at) for at, left in looks if left is not None and at >= quarter]
        ratios = [left / fact for left, fact in pairs if fact > 0.2]
        if number > 1 and len(ratios) > 2:
            assert 0.5 <= median(ratios) <= 2, pairs
            checked += 1
    assert checked >= 1
