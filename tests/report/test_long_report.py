"""A report of hundreds of rounds is paged: what a reader looks for is told in full, the rest together."""

import re
from pathlib import Path

import pytest
from builders import History, Market, experiment
from report_text import section, text

from numerai_ray.metrics import selection
from numerai_ray.metrics.selection import Search, luck, selected_p_value
from numerai_ray.report.sections import closing, method, rounds

MOVED = (1, 5)


@pytest.fixture(scope="module")
def long_search(tmp_path_factory: pytest.TempPathFactory) -> History:
    """Twelve rounds of a variant; two of them move the base, one has nothing to judge."""
    values = list(range(2, 14))
    space = {"dimensions": {"num_leaves": {"path": "model.params.num_leaves", "values": values}}}
    root = tmp_path_factory.mktemp("ws") / "long"
    history = experiment(root, {"search_space": space}, Market(eras=tuple(range(161, 401, 4)), noise=1e-6))
    for number, value in enumerate(values, start=1):
        level = 0.0037 + 0.001 * sum(number >= moved for moved in MOVED) - 1e-5 * (number not in MOVED)
        history.scout("num_leaves", {value: "refused" if number == 3 else level})
    return history


def titles(report: str) -> list[str]:
    return re.findall(r"^### (Rounds? [^:\n]*)", section(report, "## Scout rounds"), re.MULTILINE)


def test_a_search_of_ordinary_length_is_told_round_by_round(long_search: History) -> None:
    report = text(long_search)
    assert titles(report) == [f"Round {number}" for number in range(1, 13)]
    assert "more: `numerai-ray leaderboard" not in section(report, "## Appendix: further figures")
    assert "with less" not in report


def test_of_a_long_search_latest_rounds_and_moves_have_tables_the_rest_stands_together(
    long_search: History, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rounds, "MOST_ROUNDS", 5)
    monkeypatch.setattr(rounds, "LATEST_ROUNDS", 3)
    monkeypatch.setattr(closing, "MOST_TOLD", 4)
    monkeypatch.setattr(method, "MOST_FURTHER", 6)
    report = text(long_search)
    found = ["Round 1", "Rounds 2 to 4", "Round 5", "Rounds 6 to 9", "Round 10", "Round 11", "Round 12"]
    assert titles(report) == found
    together = report.split("### Rounds 2 to 4\n")[1].split("###")[0]
    assert "The base stayed. Of 2 variants num_leaves=" in together
    assert "1 variant could not be judged." in together
    assert "`numerai-ray leaderboard long`" in together
    assert "6 rounds with less" in section(report, "## What worked, what did not")
    appendix = section(report, "## Appendix: further figures")
    assert appendix.count("\n| r") == 6
    assert "The 6 best; 7 more: `numerai-ray leaderboard long`." in appendix


def test_a_long_search_is_judged_in_parts_as_in_one(monkeypatch: pytest.MonkeyPatch) -> None:
    search = Search((3, 4, 2, 5, 4, 4, 1), 5, 0.8)
    whole = [selected_p_value(tail, search) for tail in (1e-5, 0.002, 0.04, 0.6)], luck(search)
    monkeypatch.setattr(selection, "MOST_SUMS", 3)
    selection._reference.cache_clear()
    assert ([selected_p_value(tail, search) for tail in (1e-5, 0.002, 0.04, 0.6)], luck(search)) == whole


def test_the_page_has_every_variant_and_the_paper_none_of_its_bulk(
    long_search: History, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from numerai_ray.report.html import markdown_and_page  # noqa: PLC0415
    from numerai_ray.report.reading import Reading  # noqa: PLC0415

    monkeypatch.setattr(rounds, "MOST_ROUNDS", 5)
    monkeypatch.setattr(rounds, "LATEST_ROUNDS", 3)
    reading = Reading(long_search.loaded, long_search.paths, tuple(long_search.records))
    paper, page = markdown_and_page(reading, {})
    assert all(f"r{number:02d}-num_leaves={number + 1}" in page for number in range(1, 13))
    assert paper.count("\n### Round") == 7
    assert page.count('<details class="round">') == 5
    assert "Appendix" not in page
