"""A page left open for hours: its updates played fast, as events, with flat memory in the server and in the browser."""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil
import pytest
from builders import experiment
from driven_page import CHROMIUM, Page, in_chromium

from numerai_ray.experiment.lock import experiment_lock

pytestmark = [
    pytest.mark.browser,
    pytest.mark.long,
    pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium (Debian package chromium)"),
]
# An hour at a look a second, in which the running round changed every time and a file of it every twentieth.
LOOKS, FILES_EVERY, ROUNDS = 3600, 20, 8
WARM = 600
SERVER_MB, HEAP_MB = 12.0, 3.0
# The command's own server, whose looks come as fast as they are made.
SERVER = """
import asyncio, sys
from pathlib import Path
from numerai_ray.web import Access, Sources, server
from numerai_ray.web.server import make_app
make = server.make_app
server.make_app = lambda sources, access: make(sources, access, look_s=0.002)
server.serve(Sources([sys.argv[1]], Path(sys.argv[2])), Access(), lambda address: print(address, flush=True))
"""
LISTENING = """
window.told = 0;
window.waiting = [];
window.after = (count) => new Promise((done) => {
  window.waiting.push(() => window.told > count && (done(), true));
  window.look();
});
window.look = () => { window.waiting = window.waiting.filter((each) => !each()); };
new EventSource('api/events').onmessage = () => { window.told += 1; window.look(); };
0"""


def running(turn: int) -> dict[str, Any]:
    trials = [
        {
            "variant": f"r02-num_leaves={at}",
            "trial": "t",
            "folds_done": turn % 5,
            "folds": 5,
            "primary": 0.003 + at / 1e5,
        }
        | {"error": None, "pruned": None, "stored": 0}
        for at in range(4)
    ]
    machine = {"cores": 2, "cores_busy": turn % 3, "memory_bytes": 2.5e10, "memory_used_bytes": 3e9 + turn}
    return {
        "round": 2,
        "stage": "scout",
        "dimension": "num_leaves",
        "seconds_left": float(LOOKS - turn),
        "ray_dashboard": None,
        "trials": trials,
        "fits": [],
        "machine": machine,
    }


def test_an_hour_of_updates_leaves_memory_flat(tmp_path: Path) -> None:
    history = experiment(tmp_path / "experiments" / "live")
    record = history.scout("num_leaves", {7: 0.003, 15: 0.0035})
    for each in record.variants:
        history.paths.config(each.id).parent.mkdir(exist_ok=True)
        history.paths.config(each.id).write_text(f"model: {{type: {each.name!r}}}")
    history.paths.progress.parent.mkdir(exist_ok=True)
    command = [sys.executable, "-c", SERVER, str(tmp_path / "experiments"), str(tmp_path / "cache")]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert server.stdout is not None
    address = server.stdout.readline().strip()
    assert re.match(r"http://", address)
    held = psutil.Process(server.pid)

    async def memory(page: Page) -> tuple[float, float, float]:
        await page.call("HeapProfiler.collectGarbage")
        found = {each["name"]: each["value"] for each in (await page.call("Performance.getMetrics"))["metrics"]}
        return held.memory_info().rss / 1e6, found["JSHeapUsedSize"] / 1e6, found["Nodes"]

    async def work(page: Page) -> None:
        await page.call("Performance.enable")
        await page.open(f"{address}#/e/live")
        await page.until("document.querySelectorAll('svg.chart').length >= 3")
        await page.script(LISTENING)
        measured = []
        ledger, partial = history.paths.ledger.read_text(), history.paths.root / "progress.partial"
        with experiment_lock(history.paths.lock):
            for turn in range(LOOKS):
                told = await page.script("told")
                partial.write_text(json.dumps({"running": running(turn)}))
                partial.replace(history.paths.progress)
                if turn % FILES_EVERY == 0:  # a round more, up to some, and from the beginning
                    rounds = [{**json.loads(ledger), "number": each + 1} for each in range(1 + turn // 20 % ROUNDS)]
                    partial.write_text("".join(f"{json.dumps(each)}\n" for each in rounds))
                    partial.replace(history.paths.ledger)
                await page.script(f"after({told})")
                if turn + 1 in (WARM, LOOKS):
                    await page.until("!document.querySelector('[aria-label=\"Running now\"]').hidden")
                    measured.append(await memory(page))
        assert await page.script("told") >= LOOKS, "each of them arrived"
        (rss, heap, nodes), (rss_after, heap_after, nodes_after) = measured
        print(
            f"server {rss:.1f} -> {rss_after:.1f} MB, page {heap:.2f} -> {heap_after:.2f} MB, {nodes} -> {nodes_after}"
        )
        assert rss_after - rss < SERVER_MB
        assert heap_after - heap < HEAP_MB
        assert not page.faults()
        assert nodes_after <= 1.5 * nodes + 300

    try:
        in_chromium(work)
    finally:
        server.terminate()
        server.wait(30)
