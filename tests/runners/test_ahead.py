"""What is taken over of a Ray that was begun ahead: its address, and how much of its start nobody waited for."""

import time
from concurrent.futures import Future
from pathlib import Path

import pytest

from numerai_ray.runners.ray import ahead
from numerai_ray.runners.ray.start import RaySettings
from numerai_ray.system.machine import this_machine


def begun(began_at: float, up: Future[tuple[str | None, float]]) -> None:
    ahead._begun.append(ahead._Begun(this_machine(), up, began_at))


def test_a_start_that_was_over_went_by_as_a_whole() -> None:
    now, up = time.monotonic(), Future[tuple[str | None, float]]()
    up.set_result(("127.0.0.1:8265", now - 4.0))
    begun(now - 10.0, up)
    assert ahead.taken() == (True, "127.0.0.1:8265", pytest.approx(6.0))
    assert ahead.taken() == (False, None, 0.0)


def test_of_one_under_way_only_what_was_before_the_wait_did() -> None:
    now, up = time.monotonic(), Future[tuple[str | None, float]]()
    up.set_result((None, now + 30.0))  # it will have been up half a minute from now
    begun(now - 2.0, up)
    assert ahead.taken()[2] == pytest.approx(2.0, abs=0.5)


def test_settings_show_rounds_unless_told_otherwise(tmp_path: Path) -> None:
    assert RaySettings(tmp_path, tmp_path / "log").shown
