"""Monitoring: bounded labels, nothing that can fail a trial, and a real Prometheus that scrapes a real run."""

import json
import threading
import time
from types import SimpleNamespace
from typing import Any

import pytest
from places import ROOT

from numerai_ray.progress.monitor_watch import DashboardNote, MonitorWatch
from numerai_ray.progress.round_state import Snapshot
from numerai_ray.rounds.start import FitWork, RoundStart
from numerai_ray.runners.base import Progress
from numerai_ray.runners.ray import monitoring
from numerai_ray.runners.ray.monitoring import METRICS, MOST_FAULTS, STATES, Monitor, Pulse, RunningFit

MONITORING = ROOT / "cluster" / "monitoring"
FITS = {f"k{fold}": FitWork(f"demo/r1/a/fold{fold}", f"k{fold}", 1.0) for fold in (1, 2, 3)}
START = RoundStart(1, "scout", "num_leaves", {"r01-a": "a"}, {"r01-a": 3}, (), {"r01-a": FITS})


class Told:
    """Stands in for Ray's gauges and counters."""

    points: dict[tuple[str, str], float]

    def __init__(self) -> None:
        self.points = {}
        self.labels: dict[str, tuple[str, ...]] = {}

    def make(self, name: str, _about: str, labels: tuple[str, ...]) -> Any:
        self.labels[name] = labels
        told = self

        class Metric:
            def set(self, value: float, tags: dict[str, str]) -> None:
                assert set(tags) == set(labels)
                told.points[name, tags.get("state", "")] = value

            def inc(self, value: float, tags: dict[str, str]) -> None:
                key = (name, "")
                assert set(tags) == set(labels)
                told.points[key] = told.points.get(key, 0) + value

        return Metric()


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> Told:
    found = Told()
    monkeypatch.setattr(monitoring, "_ray_runs", lambda: True)
    monkeypatch.setattr("ray.util.metrics.Gauge", found.make)
    monkeypatch.setattr("ray.util.metrics.Counter", found.make)
    return found


def test_a_round_as_gauges_and_counters(told: Told) -> None:
    watch = MonitorWatch(Monitor("demo"), lambda: 4096)
    watch.round_started(START)
    assert told.points["numerai_ray_fits", "waiting"] == 3
    watch.trial_progress(Progress("r01-a", 1, 3, 0.001, stored=1, fits={"k1": True}))
    watch.observed(Snapshot((RunningFit("demo/r1/a/fold2", 50, 100, 0.0, 5.0, "host", 1),)))
    watch.trial_progress(Progress("r01-a", 2, 3, 0.001, stored=1, fits={"k1": True, "k2": False}))
    points = {name.removeprefix("numerai_ray_") + state: value for (name, state), value in told.points.items()}
    assert points["round"] == 1
    assert points["trialsrunning"] == 1
    assert (points["fitstrained"], points["fitsstored"], points["fitsrunning"]) == (1, 1, 1)
    assert points["trees_per_second"] == 10
    assert points["shared_bytes"] == 4096
    assert points["store_hits_total"] == points["fits_trained_total"] == 1
    assert "best_primary" not in points


def test_labels_are_bounded(told: Told) -> None:
    monitor = Monitor("demo")
    for name, (kind, about, labels) in METRICS.items():
        assert set(labels) <= {"state"}
        assert about.endswith(".")
        if kind == "gauge":
            monitor.show(name, dict.fromkeys(STATES[name], 1.0) if labels else 1.0)
        else:
            monitor.count(name, 1)
    assert len(told.points) == sum(len(STATES.get(name, "1")) for name in METRICS)
    assert all(labels[0] == "experiment" for labels in told.labels.values())


def test_what_is_told_before_ray_runs_is_handed_over_later(told: Told, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(monitoring, "_ray_runs", lambda: False)
    monitor = Monitor("demo")
    monitor.show("round", 1)
    monitor.count("store_hits_total", 2)
    assert not told.points
    monkeypatch.setattr(monitoring, "_ray_runs", lambda: True)
    monitor.count("store_hits_total", 3)
    assert told.points == {("numerai_ray_round", ""): 1, ("numerai_ray_store_hits_total", ""): 5}


def test_what_is_told_together_is_handed_over_at_once(told: Told) -> None:
    monitor = Monitor("demo")
    with monitor.together():
        monitor.show("round", 1)
        monitor.count("store_hits_total", 2)
        assert not told.points
    assert told.points == {("numerai_ray_round", ""): 1, ("numerai_ray_store_hits_total", ""): 2}


def test_a_broken_agent_costs_nothing_but_the_panels(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []

    def broken(*_args: object, **_kwargs: object) -> None:
        calls.append("called")
        raise RuntimeError("the agent is gone")

    monkeypatch.setattr(monitoring, "_ray_runs", lambda: True)
    monkeypatch.setattr("ray.util.metrics.Gauge", broken)
    monkeypatch.setattr(monitoring, "_store", broken)
    monitor = Monitor("demo")
    for number in range(10):
        monitor.show("round", number)
    assert len(calls) == MOST_FAULTS, "after a few faults nothing more is tried"
    with Pulse("demo/r1/a/fold1").beating() as pulse:
        for done in range(1000):
            pulse(done, 1000)
    assert monitoring.running_fits() == []


def test_an_agent_that_hangs_is_waited_for_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """As one that is stopped (SIGSTOP): nothing waits again until it answers, and then all goes on."""
    answers, calls = threading.Event(), []

    def hanging(*_args: object, **_kwargs: object) -> bytes | None:
        calls.append("called")
        answers.wait(30)
        return None

    monkeypatch.setattr(monitoring, "_ray_runs", lambda: True)
    monkeypatch.setattr(monitoring, "HANGS_S", 0.2)
    monkeypatch.setattr(monitoring, "_store", lambda: SimpleNamespace(_internal_kv_put=hanging))
    pulse = Pulse("demo/r1/a/fold1")
    monkeypatch.setattr(monitoring, "PULSE_S", 0.0)
    began = time.monotonic()
    for done in range(1000):
        pulse(done, 1000)
    assert time.monotonic() - began < 20, "it waited for the answer"
    assert len(calls) == 1
    answers.set()
    deadline = time.monotonic() + 10
    while len(calls) == 1 and time.monotonic() < deadline:
        pulse(1000, 1000)
    assert len(calls) > 1, "it answers again, so it is told again"


def test_a_pulse_speaks_at_most_once_a_second(monkeypatch: pytest.MonkeyPatch) -> None:
    kept: dict[bytes, bytes] = {}
    puts: list[bytes] = []

    def put(key: bytes, value: bytes, **_: object) -> None:
        puts.append(value)
        kept[key] = value

    store = SimpleNamespace(
        _internal_kv_put=put,
        _internal_kv_del=lambda key, **_: kept.pop(key, None),
        _internal_kv_list=lambda prefix, **_: [key for key in kept if key.startswith(prefix)],
        _internal_kv_get=lambda key, **_: kept.get(key),
    )
    monkeypatch.setattr(monitoring, "_store", lambda: store)
    monkeypatch.setattr(monitoring, "_ray_runs", lambda: True)
    with Pulse("demo/r1/a/fold1").beating() as pulse:
        for done in range(50_000):
            pulse(done + 1, 50_000)
        (fit,) = monitoring.running_fits()
        assert fit.name == "demo/r1/a/fold1"
        assert fit.total == 50_000
    assert len(puts) <= 3
    assert monitoring.running_fits() == []


def test_the_dashboards_address_is_told_once() -> None:
    found: list[str] = []
    urls = iter([None, None, "http://127.0.0.1:8265", "http://127.0.0.1:8265"])
    note = DashboardNote(lambda: next(urls), found.append)
    note.round_started(START)
    for _ in range(4):
        note.observed(Snapshot())
    assert found == ["http://127.0.0.1:8265"]


def test_the_grafana_dashboard_shows_every_metric_and_nothing_else() -> None:
    dashboard = json.loads((MONITORING / "grafana" / "dashboards" / "numerai-ray.json").read_text())
    shown = " ".join(target["expr"] for panel in dashboard["panels"] for target in panel["targets"])
    for name in METRICS:
        assert f"ray_numerai_ray_{name}{{" in shown, name
        assert f"`ray_numerai_ray_{name}" in (MONITORING / "README.md").read_text()
