"""A run watched from start to end on one page that is never loaded again, looked at in five moments.

The run stands still while it is looked at, so that each moment is the same on every machine. Pictures of each moment,
at a desk and on a phone, light and dark, lie in the test's folder (``--basetemp``).
"""

import asyncio
import base64
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from importlib import resources
from pathlib import Path
from typing import Any

import pytest
from dashboard import served
from driven_page import CHROMIUM, SIZES, Page, in_chromium
from places import ROOT

from numerai_ray.experiment.paths import ExperimentPaths
from numerai_ray.system.json_text import read_json

pytestmark = [
    pytest.mark.browser,
    pytest.mark.long,
    pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium (Debian package chromium)"),
]
PATIENCE_S = 600.0
NOW = "document.querySelector('[aria-label=\"Running now\"]')"


class Watched:
    """The quickstart's run in a process of its own."""

    def __init__(self, root: Path):
        here = root / "experiments"
        shutil.copytree(ROOT / "experiments" / "baselines", here / "baselines")
        (here / "quickstart").mkdir()
        shutil.copy(ROOT / "experiments" / "quickstart" / "experiment.yaml", here / "quickstart")
        self.paths = ExperimentPaths(here / "quickstart")
        command = [sys.executable, "-m", "numerai_ray", "run", str(self.paths.root), "--in-process"]
        self.process = subprocess.Popen([*command, "--data-dir", str(root / "data")], stdout=subprocess.DEVNULL)

    def running(self) -> dict[str, Any]:
        """The running round; empty where there is none."""
        return read_json(self.paths.progress).get("running") or {}

    def folds(self) -> int:
        """How many are done in the running round."""
        return sum(each["folds_done"] for each in self.running().get("trials", []))

    def decided(self) -> int:
        return self.paths.ledger.read_text().count("\n") if self.paths.ledger.exists() else 0

    async def at(self, moment: Callable[[], bool]) -> None:
        """Let it go on to a moment, and stand still there."""
        os.kill(self.process.pid, signal.SIGCONT)
        deadline = asyncio.get_running_loop().time() + PATIENCE_S
        while not moment():
            assert self.process.poll() is None, "the run ended before"
            assert asyncio.get_running_loop().time() < deadline
            await asyncio.sleep(0.01)
        os.kill(self.process.pid, signal.SIGSTOP)

    async def ended(self) -> None:
        os.kill(self.process.pid, signal.SIGCONT)
        assert await asyncio.to_thread(self.process.wait, PATIENCE_S) == 0

    def stop(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()


async def looked_at(page: Page, folder: Path, moment: str) -> None:
    """Pictures of all sizes and schemes; what no page may show, and what axe finds."""
    axe = (resources.files("axe_core_python") / "axe.min.js").read_text(encoding="utf-8")
    await page.script(f"{axe};0")
    for size, (width, height, mobile) in SIZES.items():
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": mobile}
        await page.call("Emulation.setDeviceMetricsOverride", **metrics)
        for scheme in ("light", "dark"):
            features = [{"name": "prefers-color-scheme", "value": scheme}]
            await page.call("Emulation.setEmulatedMedia", features=features)
            await asyncio.sleep(0.6)
            wide = await page.script("document.documentElement.scrollWidth - document.documentElement.clientWidth")
            assert wide <= 0, f"{moment} is wider than a {size}"
            text = await page.script("document.body.innerText")
            assert not [wrong for wrong in ("[object", "undefined", "NaN", "null") if wrong in text], moment
            broken = await page.script(
                "axe.run(document, {runOnly: ['wcag2a', 'wcag2aa', 'wcag21aa', 'best-practice']})"
                ".then((found) => found.violations.map((each) => [each.id, each.nodes.map((node) => node.html)]))"
            )
            assert not broken, f"{moment}, {size}, {scheme}: {broken}"
            whole = (await page.call("Page.getLayoutMetrics"))["cssContentSize"]
            clip = {"x": 0, "y": 0, "width": whole["width"], "height": whole["height"], "scale": 1}
            shot = await page.call("Page.captureScreenshot", captureBeyondViewport=True, clip=clip)
            (folder / f"{moment}-{size}-{scheme}.png").write_bytes(base64.b64decode(shot["data"]))
    assert not page.faults(), moment


def test_the_quickstart_is_watched_from_start_to_end(tmp_path: Path) -> None:
    async def work(page: Page) -> None:
        await page.open(f"{address}#/e/quickstart")
        await run.at(lambda: bool(run.running()))
        await page.until("document.querySelector('.badge.running') !== null")
        assert "the first one is on its way" in await page.script("document.body.innerText")
        await looked_at(page, tmp_path, "1-start")

        await run.at(lambda: run.folds() > 0)
        await page.until(f"{NOW}.innerText.includes('Running now: round 1, ')")
        folds = [f"{each['folds_done']}/{each['folds']}" for each in run.running()["trials"]]
        shown = f"[...{NOW}.querySelectorAll('tbody')[0].rows].map((row) => row.cells[2].textContent)"
        await page.until(f"JSON.stringify({shown}) === {json.dumps(json.dumps(folds, separators=(',', ':')))}")
        await looked_at(page, tmp_path, "2-first-round")

        await page.script(f"{NOW}.querySelector('.wide').focus()")
        await run.at(lambda: run.folds() > sum(int(each.split("/")[0]) for each in folds))
        await page.until(f"JSON.stringify({shown}) !== {json.dumps(json.dumps(folds, separators=(',', ':')))}")
        assert await page.script(f"document.activeElement === {NOW}.querySelector('.wide')"), "the focus stays"

        await run.at(lambda: run.decided() == 2)
        await page.until("document.querySelectorAll('ol.rounds > li').length === 2")
        assert "goes on where" not in await page.script("document.body.innerText"), "it goes on by itself"
        await looked_at(page, tmp_path, "3-between-rounds")

        await run.at(lambda: run.running().get("stage") == "confirm")
        await page.until(f"{NOW}.innerText.includes(', confirm')")
        await looked_at(page, tmp_path, "4-confirm")

        await run.ended()
        await page.until("document.querySelector('.badge.finished') !== null")
        await page.until(f"document.querySelectorAll('ol.rounds > li').length === {run.decided()}")
        assert await page.script(f"{NOW}.hidden")
        await page.until("document.querySelector('.zoom svg path.line') !== null")
        compared = "[...document.querySelectorAll('select')].map((each) => each.value)"
        assert "r08-winner" in await page.script(compared), "configs of the base and of the best are side by side"
        await looked_at(page, tmp_path, "5-finished")

    run = Watched(tmp_path)
    try:
        with served(str(run.paths.root.parent)) as address:
            in_chromium(work)
    finally:
        run.stop()
