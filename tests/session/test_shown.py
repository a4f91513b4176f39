"""What a notebook shows of an experiment, a round and a forecast is HTML that holds what they hold."""

import html
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pandas as pd
import pytest
from builders import History, finished_experiment
from desk import Desk

from numerai_ray import Experiment
from numerai_ray.experiment.answer import experiment_answer
from numerai_ray.session import shown


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> History:
    return finished_experiment(tmp_path_factory.mktemp("ws") / "demo")


class Page(HTMLParser):
    """A page whose tags are closed in order: ``tags``, and ``tables`` as rows of cells, the heads first."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: set[str] = set()
        self.tables: list[list[list[str]]] = []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag: str, _attrs: object) -> None:
        self.tags.add(tag)
        if tag == "table":
            self.tables.append([])
        elif tag == "tr":
            self.tables[-1].append([])
        elif tag in ("td", "th"):
            self.tables[-1][-1].append("")
        if tag != "br":
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] in ("td", "th"):
            self.tables[-1][-1][-1] += data


def test_a_round_shows_its_decision_and_a_line_a_configuration(finished: History) -> None:
    for record in Experiment.load(finished.paths.root).rounds:
        page = record._repr_html_()
        text = html.unescape(page)
        assert f"<b>round {record.number}</b> ({record.stage}" in text
        assert record.decision.reason in text
        ((head, *rows),) = Page(page).tables
        table = pd.DataFrame(rows, columns=head)
        names = table["configuration"].tolist()
        assert sorted(names) == sorted(each.name for each in record.variants)
        won = table[table.iloc[:, 0] == "★"]["configuration"].tolist()
        assert won == [each.name for each in record.variants if each.id == record.decision.winner]
        for variant in record.variants:
            row = table[table["configuration"] == variant.name].iloc[0]
            if variant.error:
                assert variant.error in row["status"]
            elif variant.metrics and variant.role != "benchmark":
                assert float(row["BMC, last eras"]) == pytest.approx(variant.metrics.primary, abs=6e-6)
                assert float(row["CORR"]) == pytest.approx(variant.metrics.corr.mean, abs=6e-5)


def test_what_users_wrote_is_shown_and_not_obeyed(finished: History) -> None:
    evil = "<script>alert(1)</script>"
    first = finished.records[0]
    variants = tuple(replace(each, error=evil, metrics=None) for each in first.variants)
    record = replace(first, variants=variants, decision=replace(first.decision, reason=evil), dimension=evil)
    assert "script" not in Page(record._repr_html_()).tags


def test_an_experiment_and_its_forecast_are_tables(
    tmp_path: Path, market: Path, finished: History, monkeypatch: pytest.MonkeyPatch
) -> None:
    experiment = Experiment.load(finished.paths.root)
    page = experiment._repr_html_()
    assert {"p", "table"} <= Page(page).tags
    assert "best so far" in page
    answer = experiment_answer(experiment.loaded, experiment.paths, experiment.rounds)
    lead, _, rest = answer.verdict.partition(": ")
    assert f"<b>{html.escape(lead)}</b>: {html.escape(rest)}</p>" in page
    doubtful = replace(answer, costs=("CORR is lower",), flags=("suspect: <b>a leak</b>",))
    monkeypatch.setattr(shown, "experiment_answer", lambda *_: doubtful)
    page = experiment._repr_html_()
    assert "<ul><li>CORR is lower</li><li>suspect: &lt;b&gt;a leak&lt;/b&gt;</li></ul>" in page
    desk = Desk(tmp_path, market)
    forecast = Experiment.load(desk.folder).forecast(calibrate=False, data=desk.data)
    stages, rounds = Page(forecast._repr_html_()).tables
    assert [row[0] for row in stages[1:]] == forecast.stages().index.tolist()
    column = rounds[0].index("fits_new")
    assert [int(row[column]) for row in rounds[1:]] == forecast.rounds()["fits_new"].tolist()
    assert forecast.rounds()["fits_new"].sum() > 0
    variants = rounds[0].index("variants")
    assert rounds[1][variants] == ", ".join(forecast.rounds()["variants"][0])
    assert rounds[1][rounds[0].index("seconds")] == "", "nothing was measured"
