"""Monitoring of real runs on Ray: broken, frozen, scraped by a real Prometheus, and seen in a real browser."""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.parse import urlencode
from urllib.request import urlopen

import psutil
import pytest
import yaml
from browser import CHROMIUM
from desk import CLI, PLAN, Desk
from devtools import View, seen
from places import ROOT

from numerai_ray.cli.main import run
from numerai_ray.runners.ray import monitoring
from numerai_ray.runners.ray.monitoring import STATES
from numerai_ray.system.process import INTERRUPTED

MONITORING = ROOT / "cluster" / "monitoring"


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
@pytest.mark.long
def test_broken_metrics_fail_no_trial_of_a_real_run(
    tmp_path: Path, market: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Gauges, counters and Ray's key-value store all raise; the round on Ray is decided as if nothing were."""

    def broken(*_args: object, **_kwargs: object) -> None:
        raise RuntimeError("the agent is gone")

    for name in ("Gauge", "Counter"):
        monkeypatch.setattr(f"ray.util.metrics.{name}", broken)
    monkeypatch.setattr(monitoring, "_store", broken)
    monkeypatch.setattr("numerai_ray.progress.round_state.LOOK_S", 0.05)
    desk = Desk(tmp_path, market)
    assert run(desk.arguments("--rounds", "1")) == 0
    (record,) = desk.rounds()
    assert all(variant["error"] is None for variant in record["variants"])


@pytest.mark.ray
@pytest.mark.long
def test_a_frozen_agent_holds_no_real_run_up(tmp_path: Path, market: Path) -> None:
    """Ray's own agent, which takes the metrics of a node, is stopped (SIGSTOP) once Ray runs, and stays so."""
    desk = Desk(tmp_path, market, {"base": {"model": {"params": {"n_estimators": 3000}}}})
    process = run_aside(desk)
    frozen: list[psutil.Process] = []
    try:
        deadline = time.monotonic() + 60
        while not frozen and process.poll() is None and time.monotonic() < deadline:
            if "Ray dashboard: " not in (desk.folder / "told.txt").read_text():
                time.sleep(0.05)
                continue
            frozen = [each for each in psutil.Process(process.pid).children(recursive=True) if is_agent(each)]
        assert frozen, (desk.folder / "told.txt").read_text()
        for each in frozen:
            each.suspend()
        began = time.monotonic()
        process.wait(timeout=180)
        took = time.monotonic() - began
    finally:
        for each in frozen:
            with suppress(psutil.NoSuchProcess):
                each.resume()
        process.kill()
    assert process.returncode == 0, (desk.folder / "told.txt").read_text()
    assert len(desk.rounds()) == 2
    assert all(variant["error"] is None for record in desk.rounds() for variant in record["variants"])
    assert took < 90, "nothing was waited for"


def is_agent(process: psutil.Process) -> bool:
    with suppress(psutil.Error):
        # The raylet, which starts it, has its command among its own arguments.
        known = ("dashboard/agent.py", "DashboardAgent")
        return process.name() != "raylet" and any(name in each for each in process.cmdline() for name in known)
    return False


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
@pytest.mark.long
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
            deadline = time.monotonic() + 180  # on a busy machine: Ray's start, and the first long fit to its end
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
