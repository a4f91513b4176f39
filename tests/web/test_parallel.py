"""Parallel coordinates of joint rounds: drawn, read with the keyboard, accessible in both themes; text stays text."""

import json
from importlib import resources
from pathlib import Path
from typing import Any

import pytest
from builders import experiment
from dashboard import served
from driven_page import CHROMIUM, SIZES, Page, in_chromium

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium (Debian package chromium)"),
]
EVIL = "<img src=x onerror=alert(1)>"
SPACE = {
    "dimensions": {
        "num_leaves": {"path": "model.params.num_leaves", "values": [7, 15, 31, 63]},
        "rows": {"path": "model.params.min_data_in_leaf", "range": {"low": 5, "high": 500, "scale": "log"}},
        "kind": {"path": "model.params.boosting", "values": ["gbdt", EVIL]},
    }
}
ROUNDS = {"proposer": "optuna", "joint": True, "metrics": ["bmc", "corr"]}
DRAWN = "document.querySelectorAll('svg.parallel path.way').length === 5"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A joint round whose variants differ in three dimensions, made of one real round."""
    history = experiment(tmp_path / "experiments" / "joint", {"search_space": SPACE, "rounds": ROUNDS})
    history.scout("num_leaves", {7: 0.003, 15: 0.0045, 31: 0.0035, 63: 0.004})
    line: dict[str, Any] = json.loads(history.paths.ledger.read_text())
    line |= {"kind": "joint", "dimension": "joint"}
    for each in line["variants"]:
        history.paths.config(each["id"]).parent.mkdir(exist_ok=True)
        history.paths.config(each["id"]).write_text(json.dumps({"model": {"params": {"num_leaves": len(each["id"])}}}))
    variants = [each for each in line["variants"] if each["role"] == "variant"]
    for at, each in enumerate(variants):
        each["changes"] |= {"model.params.min_data_in_leaf": 10 * 3**at}
        each["changes"] |= {"model.params.boosting": EVIL if at == 1 else "gbdt"}
        each["metrics"]["corr"]["mean"] = 0.02 - at * 1e-3
    history.paths.ledger.write_text(json.dumps(line) + "\n")
    return history.paths.root


def test_parallel_coordinates(folder: Path) -> None:
    axe = (resources.files("axe_core_python") / "axe.min.js").read_text(encoding="utf-8")

    async def work(page: Page) -> None:
        for size, scheme in ((size, scheme) for size in SIZES for scheme in ("light", "dark")):
            await page.open(f"{address}#/e/joint", size, scheme)
            await page.until(DRAWN)
            wide = await page.script("document.documentElement.scrollWidth - document.documentElement.clientWidth")
            assert wide <= 0
            await page.script(f"{axe};0")
            broken = await page.script(
                "axe.run(document, {runOnly: ['wcag2a', 'wcag2aa', 'wcag21aa', 'best-practice']})"
                ".then((found) => found.violations.map((each) => [each.id, each.nodes.map((node) => node.html)]))"
            )
            assert not broken
        assert await page.script("document.querySelectorAll('svg.parallel path.way.best').length") == 1
        front = 'document.querySelectorAll(\'svg[aria-label^="CORR against BMC"] [aria-label*="on the front"]\').length'
        assert await page.script(front) == 2, "the scatter marks it too"
        names = await page.script("document.querySelector('svg.parallel').textContent")
        assert "num_leaves" in names
        best = "document.querySelector('svg.parallel path.way.best')"
        told = await page.script(f"{best}.getAttribute('aria-label')")
        assert "num_leaves 15" in told
        assert EVIL[:20] in told
        assert await page.script("document.querySelector('main img') === null")
        curves = "document.querySelectorAll('.zoom svg path.line').length"
        await page.until(f"{curves} > 0")
        before = await page.script(curves)
        other = "document.querySelector('svg.parallel path.way[aria-label*=\"num_leaves=31\"]')"
        await page.script(f"{other}.focus()")
        assert await page.script("document.getElementById('tip').textContent.includes('num_leaves 31')")
        await page.key("Enter")
        await page.until(f"{curves} === {before} + 1")
        assert not page.faults()

    with served(str(folder.parent)) as address:
        in_chromium(work)
