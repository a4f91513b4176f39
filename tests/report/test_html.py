"""``report.html``: one file that needs nothing else, safe against what users write, and seen in a real browser."""

import html
import json
import re
from pathlib import Path

import pytest
from browser import CHROMIUM, chromium
from builders import History, experiment, finished_experiment
from matplotlib.image import imread

from numerai_ray.report.writer import write_report

WIDTHS = {"desktop": (1280, 1000), "phone": (390, 844)}


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> History:
    history = finished_experiment(tmp_path_factory.mktemp("ws") / "demo")
    write_report(history.loaded, history.paths, history.records)
    return history


def page(history: History) -> str:
    return history.paths.html.read_text(encoding="utf-8")


def test_rounds_are_one_line_each_that_unfolds(finished: History) -> None:
    text = page(finished)
    rounds = re.findall(r'<details class="round"><summary>(.*?)</summary>', text, re.DOTALL)
    assert [re.sub("<.*?>", "", each).split(":")[0] for each in rounds] == ["Round 1", "Round 2", "Round 3"]
    assert "promoted: num_leaves=" in rounds[0]
    assert text.count("<details") == text.count("</details>")
    columns = [len(re.findall("<th[ >]", head)) for head in re.findall(r"<thead>.*?</thead>", text, re.DOTALL)]
    assert max(columns[:-1]) <= 6, "the appendix has the rest"


def test_nothing_is_fetched(finished: History) -> None:
    text = page(finished)
    for reference in re.findall(r'(?:src|srcset|href)="([^"]*)"', text):
        assert reference.startswith(("data:image/png;base64,", "#")) or re.match(r"(configs|logs)/[^:]+$", reference)
    style = text.split("<style>")[1].split("</style>")[0]
    assert "url(" not in style
    assert "@import" not in style
    assert not re.search(r"<(link|iframe|object)|fetch\(|XMLHttpRequest|import\(", text)


def test_it_says_what_the_paper_says(finished: History) -> None:
    text = page(finished)
    paper = finished.paths.report.read_text(encoding="utf-8")
    titles = re.findall(r"^##+ (.*)$", paper, re.MULTILINE)
    assert [re.sub("<.*?>", "", t) for t in re.findall(r"<h[23] id=.*?>(.*?)</h[23]>", text)] == titles
    assert text.count("<table>") == len(re.findall(r"^\|:?-", paper, re.MULTILINE))
    assert text.count("<figure") == paper.count("<picture>") == 6
    assert "figure-of-the-report" not in text
    assert '<span class="number">+9.1e-4</span>' in text, "no line ends within a number"


def test_what_users_write_is_shown_not_obeyed(tmp_path: Path) -> None:
    evil = "<script>alert(1)</script> [x](javascript:alert(2)) <img src=x onerror=alert(3)>"
    history = experiment(tmp_path / "demo", changes={"idea": evil, "novelty": evil})
    history.scout("max_depth", {3: f"refused {evil}"})
    write_report(history.loaded, history.paths, history.records)
    text = page(history).split("<main>")[1].split("</main>")[0]
    assert "<script" not in text
    assert "<img src=x" not in text
    assert 'href="javascript' not in text


@pytest.mark.parametrize(
    "idea",
    [
        "![a picture](https://example.com/who-reads-this.png)",
        "[![a picture](//example.com/a.png)](https://example.com)",
        "![reference][r]\n\n[r]: https://example.com/a.png",
        "![inline](data:image/svg+xml;base64,AAAA)",
    ],
)
def test_pictures_in_what_users_write_load_nothing(tmp_path: Path, idea: str) -> None:
    history = experiment(tmp_path / "demo", changes={"idea": idea, "novelty": idea})
    history.scout("max_depth", {3: f"refused {idea}"})
    write_report(history.loaded, history.paths, history.records)
    text = page(history)
    pictures = re.findall(r"<img [^>]*src=\"([^\"]*)", text)
    assert all(each.startswith("data:image/png;base64,") for each in pictures)
    assert "img-src data:" in text.split("<title>")[0], "and a browser would not load it"
    assert "default-src 'none'" in text.split("<title>")[0]


# --- in a browser ------------------------------------------------------------------------------------------------

PROBE = """
<pre id="probe"></pre><script>
const all = [...document.querySelectorAll("table")];
const ranked = all.find((table) => table.tHead.textContent.includes("Fits new"));
const names = Array.from(ranked.tHead.rows[0].cells).map((cell) => cell.textContent);
const column = names.findIndex((name) => name === "BMC");
const values = () => Array.from(ranked.tBodies[0].rows).map((row) => row.cells[column].textContent.trim());
const header = ranked.tHead.rows[0].cells[column];
header.click(); const down = values();
header.click(); const up = values();
const visible = Array.from(document.images).filter((image) => getComputedStyle(image).display !== "none");
document.getElementById("probe").textContent = JSON.stringify({
  overflow: document.documentElement.scrollWidth - document.documentElement.clientWidth,
  down, up, images: visible.length, loaded: visible.every((image) => image.complete && image.naturalWidth > 0),
  widest: Math.max(...visible.map((image) => image.getBoundingClientRect().width)),
  large: (() => {
    const plot = document.querySelector("figure > div");
    plot.click();
    return plot.classList.contains("large");
  })(),
  back: getComputedStyle(document.body).backgroundColor, smallest: parseFloat(getComputedStyle(document.body).fontSize),
});
</script>
"""


@pytest.mark.browser
@pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium (Debian package chromium)")
@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_in_chromium(finished: History, tmp_path: Path, width: str, theme: str) -> None:
    file = tmp_path / "page.html"
    file.write_text(page(finished).replace("</body>", f"{PROBE}</body>"), encoding="utf-8")
    # The narrowest window of a desktop browser is wider than a phone: the page is put into a frame of that width.
    across, down = WIDTHS[width]
    frame = tmp_path / "frame.html"
    frame.write_text(
        f'<body style="margin:0"><iframe src="page.html" width="{across}" height="{down}" frameborder="0">'
    )
    scheme = ["--blink-settings=preferredColorScheme=0"] if theme == "dark" else []
    window = [f"--window-size={max(across, 520)},{down}", *scheme]
    picture = tmp_path / "page.png"
    chromium([*window, f"--screenshot={picture}", frame.as_uri()], tmp_path / "profile")
    image = imread(picture)[:, :across, :3]
    assert (image.mean() > 0.7) == (theme == "light")
    dom = chromium([f"--window-size={max(across, 520)},{down}", *scheme, "--dump-dom", file.as_uri()], tmp_path / "p2")
    found = json.loads(html.unescape(dom.split('<pre id="probe">')[1].split("</pre>")[0]))
    assert found["overflow"] <= 0
    assert found["loaded"]
    assert found["images"] == 6
    assert found["widest"] <= max(across, 520), "a plot is seen as a whole before it is tapped"
    assert found["large"]
    assert found["back"] == ("rgb(255, 255, 255)" if theme == "light" else "rgb(13, 17, 23)")
    known = [float(value) for value in found["down"] if value != "–"]
    assert known == sorted(known, reverse=True)
    assert found["up"][: len(known)] == [v for v in found["down"] if v != "–"][::-1]
    assert found["down"][-1] == found["up"][-1] == "–"
