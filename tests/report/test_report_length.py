"""The report of seven rounds is at most 60 % as long as it was before it began with the answer, in words and pixels."""

from pathlib import Path

import pytest
from builders import History, experiment
from driven_page import CHROMIUM, Page, in_chromium

from numerai_ray.report.writer import write_report

# What seven rounds took then: words of the text, and pixels of the page on a desk.
WORDS, PIXELS, SHARE = 6200, 17_000, 0.6
SPACE = {
    "num_leaves": {"path": "model.params.num_leaves", "values": [7, 15, 63, 127]},
    "learning_rate": {
        "path": "model.params.learning_rate",
        "values": [0.005, 0.02],
        "coupled": {"model.params.n_estimators": "inverse"},
    },
    "max_depth": {"path": "model.params.max_depth", "values": [3, 8]},
    "columns": {"path": "model.params.colsample_bytree", "values": [0.05, 0.2]},
    "min_data": {"path": "model.params.min_data_in_leaf", "values": [1000, 10000]},
}


@pytest.fixture(scope="module")
def seven(tmp_path_factory: pytest.TempPathFactory) -> History:
    history = experiment(tmp_path_factory.mktemp("length") / "demo", {"search_space": {"dimensions": SPACE}})
    history.scout("num_leaves", {7: 0.0029, 15: 0.0035, 63: 0.0044, 127: 0.0041})
    history.scout("learning_rate", {0.005: 0.0045, 0.02: "fold 2: refused"})
    history.scout("max_depth", {3: 0.0040, 8: 0.0043})
    history.scout("columns", {0.05: 0.0049, 0.2: 0.0041})
    history.scout("min_data", {1000: 0.0047, 10000: 0.0045})
    history.confirm(0.0049)
    history.final(0.0046)
    assert len(history.records) == 7
    write_report(history.loaded, history.paths, history.records)
    return history


def test_words_of_seven_rounds(seven: History) -> None:
    assert len(seven.paths.report.read_text().split()) <= SHARE * WORDS


@pytest.mark.browser
@pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium (Debian package chromium)")
def test_pixels_of_seven_rounds(seven: History, tmp_path: Path) -> None:
    async def look(page: Page) -> None:
        await page.open(seven.paths.html.as_uri(), "desktop", "light")
        await page.until("document.querySelectorAll('figure svg.chart').length > 5")
        await page.picture(tmp_path / "page.png")
        assert 2_000 < await page.script("document.documentElement.scrollHeight") <= SHARE * PIXELS

    in_chromium(look)
