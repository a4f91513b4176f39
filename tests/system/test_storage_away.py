"""A storage that is away: its client gives up in our time, not in its own."""

import time
from datetime import timedelta

import pytest

from numerai_ray.errors import EnvironmentFault
from numerai_ray.system import storage
from numerai_ray.system.storage import place


def test_googles_client_gives_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """By itself it tries for a quarter of an hour."""
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", "http://127.0.0.1:9")
    monkeypatch.setattr(storage, "LONGEST_TRIES", timedelta(seconds=0.3))
    storage._connection.cache_clear()
    began = time.monotonic()
    with pytest.raises(EnvironmentFault, match="gs://bucket/x"):
        (place("gs://bucket") / "x").exists()
    assert time.monotonic() - began < 30
    storage._connection.cache_clear()
