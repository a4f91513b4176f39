"""Monitoring: bounded labels, nothing that can fail a trial, and a real Prometheus that scrapes a real run."""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from types import SimpleNamespace
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.parse import urlencode
from urllib.request import urlopen

import pytest
import yaml
from desk import CLI, PLAN, Desk
from devtools import View, seen
from test_html import CHROMIUM

from numerai_ray import monitoring
from numerai_ray.cli.main import INTERRUPTED, run
from numerai_ray.cli.monitor_watch import DashboardNote, MonitorWatch
from numerai_ray.cli.round_state import Snapshot
from numerai_ray.fold_runner import Progress
from numerai_ray.monitoring import METRICS, MOST_FAULTS, STATES, Monitor, Pulse, RunningFit
from numerai_ray.round_scheduler import RoundStart

ROOT = Path(__file__).resolve().parent.parent
MONITORING = ROOT / "cluster" / "monitoring"
START = RoundStart(1, "scout", "num_leaves", {"r01-a": "a"}, {"r01-a": 3}, ())


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
    watch.trial_progress(Progress("r01-a", 1, 3, 0.001, stored=1))
    watch.looked(Snapshot((RunningFit("demo/r1/a/fold2", 50, 100, 0.0, 5.0, "host", 1),)))
    watch.trial_progress(Progress("r01-a", 2, 3, 0.001, stored=1))
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
    assert time.monotonic() - began < 2.0
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
        note.looked(Snapshot())
    assert found == ["http://127.0.0.1:8265"]


def test_the_grafana_dashboard_shows_every_metric_and_nothing_else() -> None:
    dashboard = json.loads((MONITORING / "grafana" / "dashboards" / "numerai-ray.json").read_text())
    shown = " ".join(target["expr"] for panel in dashboard["panels"] for target in panel["targets"])
    for name in METRICS:
        assert f"ray_numerai_ray_{name}{{" in shown, name
        assert f"`ray_numerai_ray_{name}" in (MONITORING / "README.md").read_text()


# --- a real run --------------------------------------------------------------------------------------------------


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


# A short round, then one long enough to be looked at; dimensions are tried in the order listed.
DIMENSIONS = {
    "leaves": {"path": "model.params.num_leaves", "values": [3, 15]},
    "trees": {"path": "model.params.n_estimators", "values": [30000, 60000]},
}


def run_aside(desk: Desk, **environment: str) -> subprocess.Popen[str]:
    """Two rounds in a process of their own; what it prints is in ``told.txt``."""
    with (desk.folder / "told.txt").open("w") as told:
        return subprocess.Popen(
            [*CLI, *desk.arguments("--rounds", "2")],
            stdout=told, stderr=subprocess.STDOUT, text=True, env={**os.environ, **environment},
        )  # fmt: skip


@pytest.mark.ray
@pytest.mark.slow
def test_broken_metrics_fail_no_trial_of_a_real_run(
    tmp_path: Path, market: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Gauges, counters and Ray's key-value store all raise; the round on Ray is decided as if nothing were."""

    def broken(*_args: object, **_kwargs: object) -> None:
        raise RuntimeError("the agent is gone")

    for name in ("Gauge", "Counter"):
        monkeypatch.setattr(f"ray.util.metrics.{name}", broken)
    monkeypatch.setattr(monitoring, "_store", broken)
    monkeypatch.setattr("numerai_ray.cli.round_state.LOOK_S", 0.05)
    desk = Desk(tmp_path, market)
    assert run(desk.arguments("--rounds", "1")) == 0
    (record,) = desk.rounds()
    assert all(variant["error"] is None for variant in record["variants"])


PROMETHEUS = shutil.which("prometheus")


@contextmanager
def prometheus(folder: Path) -> Iterator[str]:
    """The shipped configuration, on a port of its own; scrapes every second instead of every ten."""
    text = (MONITORING / "prometheus.yml").read_text().replace("10s", "1s").replace("/tmp/ray/", f"{folder}/ray/")
    (folder / "prometheus.yml").write_text(text)
    address = f"127.0.0.1:{free_port()}"
    assert PROMETHEUS is not None
    command = [PROMETHEUS, f"--config.file={folder / 'prometheus.yml'}", f"--storage.tsdb.path={folder / 'tsdb'}"]
    process = subprocess.Popen(
        [*command, f"--web.listen-address={address}"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        yield f"http://{address}"
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=30)


def shown(desk: Desk, path: str) -> Any:
    """What Ray's dashboard is made of, at the address that `run` told."""
    events = (desk.folder / "told.txt").read_text()
    address = events.split("Ray dashboard: ")[1].split()[0]
    with urlopen(f"{address}/{path}", timeout=30) as answer:
        return json.load(answer)


def panels() -> dict[str, str]:
    """The PromQL of every panel of the shipped Grafana dashboard, as Grafana sends it for all experiments."""
    dashboard = json.loads((MONITORING / "grafana" / "dashboards" / "numerai-ray.json").read_text())
    return {
        f"{panel['title']} {target['refId']}": target["expr"].replace("$experiment", ".*")
        for panel in dashboard["panels"]
        for target in panel["targets"]
    }


def drawn(server: str, query: str, since: float) -> list[dict[str, Any]]:
    """The series that a panel would draw from ``since`` (epoch) to now."""
    asked = urlencode({"query": query, "start": since, "end": time.time(), "step": 1})
    try:
        with urlopen(f"{server}/api/v1/query_range?{asked}", timeout=30) as answer:
            return list(json.load(answer)["data"]["result"])
    except URLError as error:
        assert not isinstance(error, HTTPError), f"Prometheus refuses {query}: {error}"
        return []  # not up yet


@pytest.mark.ray
@pytest.mark.slow
@pytest.mark.browser
@pytest.mark.skipif(PROMETHEUS is None or CHROMIUM is None, reason="needs Prometheus and Chromium (Debian packages)")
def test_a_real_run_in_prometheus_and_in_rays_dashboard(tmp_path: Path, market: Path) -> None:
    """A round out of the store, then one that is trained: whatever a panel asks for happens."""
    desk = Desk(tmp_path, market)
    plan = {**PLAN, "search_space": {"dimensions": DIMENSIONS}}
    (desk.folder / "experiment.yaml").write_text(yaml.safe_dump(plan))
    assert desk.run("--rounds", "1") == 0
    shutil.rmtree(desk.folder / "results")
    (desk.folder / ".experiment").unlink()  # another experiment than the one that trained
    since = time.time()
    pages: dict[str, str] = {}
    # A Ray of its own folder: others on this machine write the list of their nodes to the usual one.
    with TemporaryDirectory(prefix="nr", dir="/tmp") as short, prometheus(Path(short)) as server:
        own = {"RAY_metrics_report_interval_ms": "1000", "RAY_TMPDIR": short, "RAY_AUTH_MODE": "disabled"}
        process = run_aside(desk, **own)
        try:
            missing = panels()
            deadline = time.monotonic() + 60
            while process.poll() is None and time.monotonic() < deadline and missing:
                missing = {title: query for title, query in missing.items() if not drawn(server, query, since)}
                time.sleep(0.5)
            assert process.poll() is None, (missing, (desk.folder / "told.txt").read_text())
            jobs = shown(desk, "api/jobs/")
            tasks = shown(desk, "api/v0/tasks?limit=1000")
            pages = photographed(desk, server, jobs[0]["job_id"], tmp_path)
            fits = drawn(server, "ray_numerai_ray_fits", since)
            trials = drawn(server, "ray_numerai_ray_trials", since)
        finally:
            process.send_signal(signal.SIGINT)  # everything was seen
            process.wait(timeout=240)
        output = (desk.folder / "told.txt").read_text()
    assert process.returncode in (0, INTERRUPTED), output
    assert not missing, output
    assert "Ray dashboard: http://127.0.0.1:" in output
    assert jobs[0]["metadata"]["numerai_ray_experiment"] == "small"
    names = {each["name"] for each in tasks["data"]["result"]["result"]}
    assert any(re.fullmatch(r"small/r2/.+/fold1", name) for name in names), names
    assert any(name.startswith(("load ", "prepare ")) for name in names), names
    assert {each["metric"]["experiment"] for each in fits} == {"small"}
    assert {each["metric"]["state"] for each in fits} == set(STATES["fits"])
    assert {each["metric"]["state"] for each in trials} == set(STATES["trials"])
    assert re.search(r"small/r2/\S+/fold\d", pages["tasks"]), pages["tasks"]
    assert "Grafana" in pages["metrics"]
    assert "numerai_ray_fits" in pages["prometheus"]
    assert 'state="trained"' in pages["prometheus"]


def photographed(desk: Desk, server: str, job: str, folder: Path) -> dict[str, str]:
    """What a browser shows of the run in Ray's dashboard and in Prometheus: page -> text; pictures in ``folder``."""
    dashboard = (desk.folder / "told.txt").read_text().split("Ray dashboard: ")[1].split()[0]
    graph = urlencode({"g0.expr": "ray_numerai_ray_fits", "g0.tab": "0", "g0.range_input": "2m"})
    views = {
        "tasks": View(f"{dashboard}/#/jobs/{job}", "small/r2/", ("Task Table",)),
        "metrics": View(f"{dashboard}/#/metrics", "Grafana"),
        "prometheus": View(f"{server}/graph?{graph}", 'state="trained"'),
    }
    assert CHROMIUM is not None
    return {name: seen(CHROMIUM, view, folder / f"{name}.png") for name, view in views.items()}
