"""A run elsewhere that was killed is not shown as running for ever."""

from pathlib import Path

from numerai_ray.experiment.mirror import LEASE
from numerai_ray.web.heartbeat import LOOK_S, SILENT_S, Heartbeat


def test_a_lease_that_does_not_change_is_a_driver_that_is_gone(tmp_path: Path) -> None:
    now = [1000.0]
    heart = Heartbeat(str(tmp_path), lambda: now[0])
    lease = tmp_path / LEASE
    lease.write_text('{"owner": "a", "at": "2026-11-30T12:00:00+00:00"}')
    assert heart.results() == str(tmp_path)
    now[0] += SILENT_S - 1
    assert heart.results() == str(tmp_path)
    lease.write_text('{"owner": "a", "at": "2026-11-30T12:00:10+00:00"}')
    now[0] += LOOK_S
    assert heart.results() == str(tmp_path), "a sign of life"
    now[0] += SILENT_S
    assert heart.results() is None
    lease.write_text('{"owner": "b", "at": "2026-11-30T12:02:00+00:00"}')
    now[0] += LOOK_S
    assert heart.results() == str(tmp_path), "the next driver"
    assert Heartbeat(None).results() is None
