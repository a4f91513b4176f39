"""The dashboard in a real Chromium: sizes, themes, keyboard, accessibility, hundreds of variants, a page left open."""

import asyncio
import json
import random
import shutil
from collections.abc import Iterator
from dataclasses import replace
from importlib import resources
from pathlib import Path
from typing import Any

import pytest
from builders import History, experiment, finished_experiment
from dashboard import served
from driven_page import CHROMIUM, SIZES, Page, in_chromium

from numerai_ray.experiment.ledger import append_ledger
from numerai_ray.experiment.lock import experiment_lock
from numerai_ray.experiment.notes import append_note

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium (Debian package chromium)"),
]
DRAWN = "document.querySelectorAll('svg.chart').length >= 4 && document.querySelector('.zoom svg') !== null"
INTERACTION_MS = 200
MEASURING = """
window.press = (kind, text) =>
  [...document.querySelectorAll(kind)].find((each) => each.textContent.startsWith(text) && !each.hidden).click();
window.type = (text) => {
  const box = document.querySelector('input[type=search]');
  box.value = text;
  box.dispatchEvent(new Event('input'));
};
window.measured = (act) => {
  const began = performance.now();
  act();
  document.body.getBoundingClientRect();
  return new Promise((done) => requestAnimationFrame(() => setTimeout(() => done(performance.now() - began))));
};
0"""
ROUNDS, VARIANTS = 60, 8


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished experiment, one with hundreds of variants, and one that a test goes on with."""
    root = tmp_path_factory.mktemp("browser") / "experiments"
    done = finished_experiment(root / "capacity")
    append_note(done.paths.notes, "wider trees drift towards the benchmark")
    with_configs(done)
    experiment(root / "depth", {"tags": ["trees"]}).scout("max_depth", {3: 0.003, 8: 0.0045})
    many(experiment(root / "many", {"tags": ["trees", "wide"]}))
    (root / "baselines").mkdir()
    shutil.copy(root / "baseline.yaml", root / "baselines" / "small_lgbm_ender20.yaml")
    return root


@pytest.fixture(scope="module")
def address(folder: Path) -> Iterator[str]:
    with served(str(folder)) as found:
        yield found


def with_configs(history: History) -> None:
    for each in (each for record in history.records for each in record.variants):
        history.paths.config(each.id).parent.mkdir(exist_ok=True)
        history.paths.config(each.id).write_text(json.dumps({"model": {"params": {"num_leaves": len(each.id)}}}))


def many(history: History) -> None:
    """A ledger of 60 rounds with 8 variants each, made of one real round; every variant has its results."""
    record = history.scout("num_leaves", {7: 0.0029, 15: 0.0035, 63: 0.0044, 127: 0.0041})
    line, draw = json.loads(history.paths.ledger.read_text()), random.Random(1)
    delta = {
        "mean": 1e-4,
        "standard_error": 4e-4,
        "low": -6e-4,
        "high": 8e-4,
        "probability": 0.6,
        "p_value": 0.5,
        "judged": 8,
        "share_improved": 0.5,
        "thirds": [0.5, 0.5, 0.5],
        "eras": 200,
        "dropped": 0,
        "first_era": 200,
        "last_era": 1121,
    }
    results = history.paths.results(record.variants[1].id).read_text()
    with_configs(history)
    base, variant, mark = line["variants"][0], line["variants"][1], line["variants"][-1]
    lines = []
    for number in range(1, ROUNDS + 1):
        made = []
        for place in range(VARIANTS):
            value = 0.003 + draw.gauss(0, 6e-4)
            metrics = json.loads(json.dumps(variant["metrics"]))
            metrics["bmc_last"]["mean"] = metrics["bmc"]["mean"] = value
            metrics["corr"]["mean"] = 0.02 + draw.gauss(0, 2e-3)
            name = f"num_leaves={number * 10 + place}"
            evidence = {"to_base": {**delta, "mean": value - 0.003}, "to_best": delta}
            own = {"id": f"r{number:02d}-{name}", "name": name, "metrics": metrics, "evidence": evidence}
            made.append({**variant, **own, "changes": {"model.params.num_leaves": number * 10 + place}})
            history.paths.results(own["id"]).write_text(results)
            history.paths.config(own["id"]).write_text(name.replace("=", ": "))
        best = max(made, key=lambda each: each["metrics"]["bmc_last"]["mean"])
        decision = {**line["decision"], "winner": best["id"], "promoted": True, "gain": 1e-4}
        lines.append(json.dumps({**line, "number": number, "variants": [base, *made, mark], "decision": decision}))
    history.paths.ledger.write_text("\n".join(lines) + "\n")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", SIZES)
def test_every_view_fits_and_is_accessible(address: str, tmp_path: Path, size: str, scheme: str) -> None:
    axe = (resources.files("axe_core_python") / "axe.min.js").read_text(encoding="utf-8")
    views = {
        "list": ("#/", "document.querySelectorAll('tbody tr').length === 3"),
        "experiment": ("#/e/capacity", DRAWN),
        "compare": ("#/compare?exp=capacity&exp=depth", "document.querySelector('.zoom svg') !== null"),
    }

    async def work(page: Page) -> None:
        for name, (where, ready) in views.items():
            await page.open(address + where, size, scheme)
            await page.until(ready)
            await page.picture(tmp_path / f"{name}.png")
            wide = await page.script("document.documentElement.scrollWidth - document.documentElement.clientWidth")
            assert wide <= 0, f"{name} is wider than the screen"
            ground = await page.script("getComputedStyle(document.documentElement).backgroundColor")
            assert ground == {"light": "rgb(255, 255, 255)", "dark": "rgb(13, 17, 23)"}[scheme]
            await page.script(f"{axe};0")
            broken = await page.script(
                "axe.run(document, {runOnly: ['wcag2a', 'wcag2aa', 'wcag21aa', 'best-practice']})"
                ".then((found) => found.violations.map((each) => [each.id, each.nodes.map((node) => node.html)]))"
            )
            assert not broken, f"{name}: {broken}"
            hover = "[...document.querySelectorAll('svg.chart .mark')].every((each) => each.getAttribute('aria-label'))"
            assert await page.script(hover)
        assert not page.faults()

    in_chromium(work)


def test_the_keyboard_reaches_what_the_mouse_does(address: str) -> None:
    async def work(page: Page) -> None:
        await page.open(f"{address}#/e/capacity")
        await page.until(DRAWN)
        drawn = "document.querySelectorAll('.zoom svg path.line').length"
        before = await page.script(drawn)
        await page.script("document.querySelector('svg.chart .mark.k-variant[tabindex]').focus()")
        assert await page.script("!document.getElementById('tip').hidden"), "a focused mark tells what it is"
        await page.key("Enter")
        await page.until(f"{drawn} === {before} + 1")
        await page.script("document.querySelector('.zoom').focus()")
        whole = await page.script("document.querySelector('.zoom svg').getAttribute('aria-label')")
        for key, changed in (("+", True), ("ArrowRight", True), ("0", False)):
            await page.key(key)
            now = await page.script("document.querySelector('.zoom svg').getAttribute('aria-label')")
            assert (now.split(", ")[-1] != whole.split(", ")[-1]) == changed, key
        heads = "[...document.querySelectorAll('th button')].find((each) => each.textContent === 'CORR')"
        await page.script(f"{heads}.focus()")
        await page.key("Enter")
        await page.until(f"{heads}.closest('th').getAttribute('aria-sort') === 'descending'")
        values = await page.script(
            "[...document.querySelectorAll('table:has(caption) tbody tr')].map((row) => row.cells[10].textContent)"
        )
        known = [float(value) for value in values if value != "–"]
        assert known == sorted(known, reverse=True)
        assert values[-1] == "–", "unknown comes last"
        assert await page.script("document.activeElement.textContent") == "CORR", "and the focus stays"

    in_chromium(work)


def test_hundreds_of_variants_stay_quick_and_small(address: str) -> None:
    acts = {
        "filter": "type('=5')",
        "no filter": "type('')",
        "sort": "press('th button', 'BMC')",
        "show more": "press('button', 'Show 40 more')",
        "sort all": "press('th button', 'CORR')",
        "choose": "document.querySelectorAll('table:has(caption) tbody input')[5].click()",
        "column": "document.querySelectorAll('details.columns input')[1].click()",
        "zoom": "document.querySelector('[aria-label=\"Zoom in\"]').click()",
        "open": "dispatchEvent(new HashChangeEvent('hashchange'))",
        "theme": "document.getElementById('theme').click()",
    }

    async def work(page: Page) -> dict[str, float]:
        await page.open(f"{address}#/e/many")
        await page.until(DRAWN)
        assert await page.script("document.querySelectorAll('svg.chart .mark').length") > 2 * ROUNDS * VARIANTS
        took = {}
        await page.script(MEASURING)
        for name, act in acts.items():
            # The least of three: other processes have the machine in between.
            took[name] = min([await page.script(f"measured(() => {act})") for _ in range(3)])
        loaded = [each["params"] for each in page.events if each["method"] == "Network.loadingFinished"]
        assert 50_000 < sum(each["encodedDataLength"] for each in loaded) < 2e6, "all that the page loads"
        assert not page.faults()
        return took

    took: dict[str, float] = in_chromium(work)
    print({name: round(each) for name, each in took.items()})
    assert max(took.values()) < INTERACTION_MS, took


def test_a_page_left_open_goes_on_by_itself_and_leaks_nothing(folder: Path, address: str) -> None:
    history = experiment(folder / "live")
    first = history.scout("num_leaves", {7: 0.003, 15: 0.0035})
    with_configs(history)
    trial = {"variant": "r02-max_depth=3", "trial": "t", "folds_done": 1, "folds": 4, "primary": 0.0031}
    fit = {"name": "live/r02-max_depth=3/fold1", "trees": 120, "trees_in_all": 400, "trees_per_second": 12.5}
    running = {
        "round": 2,
        "stage": "scout",
        "dimension": "max_depth",
        "seconds_left": 75.0,
        "ray_dashboard": "http://127.0.0.1:8265",
        "trials": [{**trial, "error": None, "pruned": None, "stored": 0}],
        "fits": [{**fit, "unit": "trees", "node": "here"}],
        "machine": {"cores": 2, "cores_busy": 1.9, "memory_bytes": 2.5e10, "memory_used_bytes": 3.1e9},
    }

    async def metrics(page: Page) -> dict[str, float]:
        await page.call("HeapProfiler.collectGarbage")
        found = await page.call("Performance.getMetrics")
        return {each["name"]: each["value"] for each in found["metrics"]}

    async def work(page: Page) -> None:
        await page.call("Performance.enable")
        await page.open(f"{address}#/e/live")
        await page.until(DRAWN)
        history.paths.progress.parent.mkdir(exist_ok=True)
        with experiment_lock(history.paths.lock):
            history.paths.progress.write_text(json.dumps({"running": running}))
            await page.until("document.body.innerText.includes('Running now: round 2')")
            text = await page.script("document.querySelector('[aria-label=\"Running now\"]').innerText")
            for wanted in ("1 min 15 s", "1/4", "0.00310", "120/400 trees", "12.5/s", "1.9 of 2", "3.1 GB of 25.0 GB"):
                assert wanted in text, (wanted, text)
            link = "document.querySelector('[aria-label=\"Running now\"] a')?.href"
            assert await page.script(link) == "http://127.0.0.1:8265/"
            assert "ray get-auth-token" in text
            fit_link = "document.querySelector('[aria-label=\"Running now\"] table a')?.href"
            assert await page.script(fit_link) == "http://127.0.0.1:8265/#/cluster", "a fit's node leads to Ray's page"
            history.paths.progress.write_text(
                json.dumps({"running": {**running, "ray_dashboard": "javascript:alert(1)"}})
            )
            await page.until(f"{link} === undefined")
            for number in range(2, 6):
                append_ledger(history.paths.ledger, replace(first, number=number))
                await page.until(f"document.querySelectorAll('ol.rounds > li').length === {number}")
        await page.until("document.querySelector('.badge').textContent.includes('stopped')")
        # What an hour of updates does, in seconds: the page loads everything again a hundred times.
        before: dict[str, float] = {}
        for turn in range(110):
            await page.script("dispatchEvent(new HashChangeEvent('hashchange'))")
            await page.until(DRAWN)
            if turn == 9:
                before = await metrics(page)
        after = await metrics(page)
        for name in ("Nodes", "JSEventListeners"):
            assert after[name] <= 1.5 * before[name] + 200, (name, before[name], after[name])
        assert after["JSHeapUsedSize"] <= before["JSHeapUsedSize"] + 2e6
        assert not page.faults()

    in_chromium(work)


def test_the_page_comes_back_when_the_server_does(folder: Path, tmp_path: Path) -> None:
    async def work(page: Page) -> Any:
        with served(str(folder), "--port", "0") as first:
            await page.open(f"{first}#/e/capacity")
            await page.until(DRAWN)
            await page.until("document.getElementById('line').textContent === 'live'")
        await page.until("document.getElementById('line').textContent.includes('lost')")
        port = first.rsplit(":", 1)[1].strip("/")
        with served(str(folder), "--port", port):
            await page.until("document.getElementById('line').textContent === 'live'")
            await asyncio.sleep(0)

    in_chromium(work)


def test_no_element_is_shown_as_its_name(address: str) -> None:
    async def work(page: Page) -> None:
        for where in ("#/", "#/e/capacity", "#/e/depth", "#/compare?exp=capacity&exp=depth"):
            await page.open(address + where)
            await page.until("document.querySelector('main table td') !== null")
            await asyncio.sleep(0.5)
            text = await page.script("document.body.innerText")
            for wrong in ("[object", "undefined", "NaN", "null"):
                assert wrong not in text, where

    in_chromium(work)
