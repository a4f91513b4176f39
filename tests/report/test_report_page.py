"""The report in a real Chromium: drawn figures with values to hover, a whole leaderboard, at a desk and on a phone."""

import asyncio
from importlib import resources
from pathlib import Path
from typing import Any

import pytest
from builders import History, finished_experiment
from driven_page import CHROMIUM, Page, in_chromium

from numerai_ray.report.page import MODULES, SHARED, script, shared_file
from numerai_ray.report.plots.registry import PLOTS, gathered
from numerai_ray.report.reading import Reading
from numerai_ray.report.writer import write_report

browser = pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium (Debian package chromium)")
# Cells whose text is wider than what a reader sees of them, by any parent that hides what overflows.
CUT_OFF = """
[...document.querySelectorAll('td, th, .number')].filter((cell) => cell.offsetParent).filter((cell) => {
  const box = cell.getBoundingClientRect(), wide = cell.closest('.wide');
  return cell.scrollWidth > cell.clientWidth + 1 && getComputedStyle(cell).display !== 'inline'
    || (!wide && box.right > innerWidth + 1);
}).map((cell) => cell.textContent)"""


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> History:
    history = finished_experiment(tmp_path_factory.mktemp("ws") / "demo")
    write_report(history.loaded, history.paths, history.records)
    return history


def test_every_module_imports_from_those_before_it_alone() -> None:
    for place, name in enumerate(MODULES[:-1]):
        text = shared_file(f"{name}.js").decode()
        found = [line for line in text.splitlines() if line.startswith("import ")]
        known = {f'"./{each}.js"' for each in MODULES[:place]}
        assert all(line.rstrip(";").rsplit(" from ", 1)[1] in known for line in found), name
    assert "import {" not in script()
    assert "export " not in script()
    assert "</script" not in script()
    assert all(shared_file(name) for name in SHARED)


def test_every_plot_of_the_registry_is_drawn_by_the_page_or_held_as_a_picture(finished: History) -> None:
    text = finished.paths.html.read_text(encoding="utf-8")
    reading = Reading(finished.loaded, finished.paths, tuple(finished.records))
    drawn = {plot.name for plot in PLOTS if f'data-figure="{plot.name}"' in text}
    assert drawn == set(gathered(reading))
    table = (resources.files("numerai_ray.report") / "page" / "report.js").read_text(encoding="utf-8")
    for name in drawn:
        assert f"{name}:" in table or f"{name}," in table or f'"{name}":' in table, name


@browser
@pytest.mark.browser
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", ["desktop", "phone"])
def test_it_fits_is_accessible_and_tells_values(finished: History, tmp_path: Path, size: str, scheme: str) -> None:
    axe = (resources.files("axe_core_python") / "axe.min.js").read_text(encoding="utf-8")

    async def work(page: Page) -> None:
        await page.open(finished.paths.html.as_uri(), size, scheme)
        await page.until("document.querySelectorAll('figure svg.chart').length > 5")
        await page.picture(tmp_path / "page.png")
        assert await page.script("document.documentElement.scrollWidth - document.documentElement.clientWidth") <= 0
        ground = await page.script("getComputedStyle(document.body).backgroundColor")
        assert ground == {"light": "rgb(255, 255, 255)", "dark": "rgb(13, 17, 23)"}[scheme]
        answer = "document.querySelector('table.answer').parentElement"
        assert await page.script(f"{answer}.scrollWidth <= {answer}.clientWidth + 1"), "the answer needs no scrolling"
        await page.script("document.querySelectorAll('details').forEach((each) => { each.open = true; })")
        await asyncio.sleep(0.3)
        assert await page.script(CUT_OFF) == []
        # Folded figures are drawn once they are opened; each tells its values by a mark or under the pointer.
        figures = await page.script(
            "[...document.querySelectorAll('[data-figure]')].map((each) => each.dataset.figure)"
        )
        for name in figures:
            assert await told(page, name), name
        await page.call("Input.dispatchMouseEvent", type="mouseMoved", x=1, y=1)
        await page.script(f"{axe};0")
        broken = await page.script(
            "axe.run(document, {runOnly: ['wcag2a', 'wcag2aa', 'wcag21aa', 'best-practice']})"
            ".then((found) => found.violations.map((each) => [each.id, each.nodes.map((node) => node.html)]))"
        )
        assert not broken, broken
        assert not page.faults()

    in_chromium(work)


async def told(page: Page, name: str) -> Any:
    """What the tooltip says over a figure's first mark, or in its middle."""
    place = await page.script(
        f"""(() => {{
          const figure = document.querySelector('[data-figure="{name}"]');
          const at = figure.querySelector('.mark') ?? figure.querySelector('svg.chart');
          at.scrollIntoView({{ block: 'center' }});
          const box = at.getBoundingClientRect();
          return [box.x + box.width / 2, box.y + box.height / 2];
        }})()"""
    )
    await page.call("Input.dispatchMouseEvent", type="mouseMoved", x=1, y=1)
    await page.call("Input.dispatchMouseEvent", type="mouseMoved", x=place[0], y=place[1])
    await asyncio.sleep(0.05)
    return await page.script("!document.getElementById('tip').hidden && document.getElementById('tip').textContent")


@browser
@pytest.mark.browser
def test_the_leaderboard_has_every_row_its_columns_behind_a_toggle_and_sorts(finished: History) -> None:
    async def work(page: Page) -> None:
        await page.open(finished.paths.html.as_uri())
        await page.until("document.querySelector('#leaderboard details.columns') !== null")
        board = "document.querySelector('#leaderboard')"
        heads = f"[...{board}.querySelectorAll('thead th')].map((each) => each.textContent)"
        assert len(await page.script(heads)) == 6
        await page.script(f"{board}.querySelector('details.columns').open = true; 0")
        await page.script(f"[...{board}.querySelectorAll('details input')].filter((each) => !each.checked)[0].click()")
        assert len(await page.script(heads)) == 7
        name = (await page.script(heads)).index("CORR")
        await page.script(f"{board}.querySelectorAll('thead button')[{name - 1}].click()")
        values = await page.script(
            f"[...{board}.querySelectorAll('tbody tr')].map((row) => row.cells[{name}].textContent)"
        )
        known = [float(value) for value in values if value != "–"]
        assert known == sorted(known, reverse=True)
        assert values[-1] == "–", "unknown comes last"
        assert not page.faults()

    in_chromium(work)
