"""``report.html``: one file that needs nothing else, safe against what users write, and seen in a real browser."""

import base64
import hashlib
import re
from pathlib import Path

import pytest
from builders import History, experiment, finished_experiment

from numerai_ray.report.writer import write_report


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
    assert max(columns) <= 6, "the leaderboard has the rest behind a toggle"


def test_nothing_is_fetched(finished: History) -> None:
    text = page(finished)
    for reference in re.findall(r'(?:src|srcset|href)="([^"]*)"', text):
        assert reference.startswith(("data:image/png;base64,", "#")) or re.match(
            r"(configs|logs|plots)/[^:]+$", reference
        )
    style = text.split("<style>")[1].split("</style>")[0]
    assert "url(" not in style
    assert "@import" not in style
    assert not re.search(r"<(link|iframe|object)|fetch\(|XMLHttpRequest|import[ (]", text)
    # The policy names the one script that runs; what the script draws lies in an element that is no script.
    policy = re.search(r"script-src ('sha256-[^']*')", text.split("<title>")[0])
    script = text.rsplit("<script>", 1)[1].split("</script>")[0]
    assert policy is not None
    assert policy[1] == f"'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}'"
    assert text.count("<script") == 2
    assert len(text) < 400_000


def test_it_says_what_the_paper_says(finished: History) -> None:
    text = page(finished)
    paper = finished.paths.report.read_text(encoding="utf-8")
    titles = re.findall(r"^##+ (.*)$", paper, re.MULTILINE)
    assert [re.sub("<.*?>", "", t) for t in re.findall(r"<h[23] id=.*?>(.*?)</h[23]>", text)] == titles[:-1]
    assert titles[-1] == "Appendix: further figures", "whose columns the page's leaderboard has"
    assert len(re.findall("<table[ >]", text)) == len(re.findall(r"^\|:?-", paper, re.MULTILINE)) - 1
    assert text.count("<figure") == paper.count("<picture>") == 7
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
