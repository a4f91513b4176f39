"""The answer: one block, the same in every output; trade-offs come first, and losses have no p-value of a gain."""

import json
import math
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from builders import History, Market, experiment, finished_experiment
from desk import Desk

from numerai_ray.cli.commands import read, run
from numerai_ray.cli.main import run as command
from numerai_ray.experiment import answer as answer_module
from numerai_ray.experiment.answer import Answer, answer_of, experiment_answer
from numerai_ray.experiment.standing import Standing
from numerai_ray.metrics.scoring import EraScores
from numerai_ray.report.html import markdown_and_page
from numerai_ray.report.markdown import report_text
from numerai_ray.report.reading import Reading
from numerai_ray.system.json_text import without_nan


def answered(history: History) -> Answer:
    return answer_of(Standing(history.loaded, history.paths, tuple(history.records)))


class Dear(Market):
    """Variants of more BMC have less CORR."""

    def scores(self, bmc: float, trial: str) -> EraScores:
        made = super().scores(bmc, trial)
        return EraScores(made.corr - 12 * (bmc - 0.0037), made.bmc, made.benchmark_corr)


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory, market: Path) -> Desk:
    made = Desk(tmp_path_factory.mktemp("answer"), market, {"budget": {"rounds": 1}})
    assert made.run() == 0
    return made


def test_every_output_has_the_answer_of_the_one_function(
    desk: Desk, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[Answer] = []

    def counted(standing: Standing, folder: str | Path | None = None) -> Answer:
        made.append(answer_of(standing, folder))
        return made[-1]

    for module in (answer_module, read, run):
        if hasattr(module, "answer_of"):
            monkeypatch.setattr(module, "answer_of", counted)
    capsys.readouterr()
    assert desk.run("--json") == 0
    said = capsys.readouterr()
    told = {"run": json.loads(said.out.splitlines()[-1])["answer"]}
    for name in ("status", "report"):
        assert command([name, str(desk.folder), "--json"]) == 0
        told[name] = json.loads(capsys.readouterr().out)["answer"]
    assert len(made) >= 3
    one = without_nan(made[0].as_json())
    assert all(value == one for value in told.values())
    # The last lines of a run, the report and the page say the same words.
    assert all(line in said.err for line in made[0].lines())
    report = (desk.folder / "experiment.md").read_text()
    lead, _, rest = made[0].verdict.partition(": ")
    assert report.splitlines()[2] == f"**{lead}:** {rest}"
    page = re.sub(r"<[^>]*>", "", (desk.folder / "report.html").read_text().split("<main>")[1])
    assert made[0].verdict in page
    for row in made[0].table:
        assert f"| {row.title} |" in report


def test_a_trade_off_is_said_in_the_first_lines(tmp_path: Path) -> None:
    history = experiment(tmp_path / "demo", market=Dear(noise=0.0005))
    history.scout("num_leaves", {63: 0.0047, 127: 0.0041})
    found = answered(history)
    assert found.kind == "trade-off"
    assert found.flags[0] == "trade-off: it loses CORR and CORR Sharpe by more than noise does"
    _, _, first, _, second, *_ = report_text(Reading(history.loaded, history.paths, tuple(history.records)), {}).split(
        "\n"
    )
    assert first.startswith("**Better at a cost:** num_leaves=63 against the experiment's base: BMC +")
    assert re.match(r"- CORR falls from 0\.\d{5} to 0\.\d{5}: -1\d\d\.\de-4 \[.*\], a loss clear of the noise", second)


@pytest.mark.parametrize(
    ("kind", "gains", "noise"),
    [("gain", {63: 0.0047}, 0.0003), ("not settled", {63: 0.0042}, 0.02), ("no change", {63: 0.0030}, 0.0003)],
)
def test_each_kind_of_answer(tmp_path: Path, kind: str, gains: dict[int, float], noise: float) -> None:
    history = experiment(tmp_path / "demo", market=Market(noise=noise))
    history.scout("num_leaves", gains)
    found = answered(history)
    assert found.kind == kind
    assert found.next[0].command == "numerai-ray run demo"
    assert math.isnan(found.p_value) == (kind == "no change")
    if kind == "gain":
        assert found.p_value < 0.01
        assert 0 < found.expected <= found.gain
    if kind == "not settled":
        assert found.expected < found.gain / 2, "most of it is noise, and it is said so"


def test_a_loss_has_no_p_value_of_a_gain(tmp_path: Path) -> None:
    history = experiment(tmp_path / "demo", market=Market(noise=0.0002))
    history.scout("num_leaves", {63: 0.0047})
    history.confirm(0.0050)
    history.final(0.0020, baseline=0.0031)
    found = answered(history)
    assert found.kind == "loss"
    assert math.isnan(found.p_value)
    assert found.high < 0
    assert found.verdict.startswith("Worse: num_leaves=63 against the baseline: BMC -")


def test_before_the_first_round(tmp_path: Path) -> None:
    history = experiment(tmp_path / "demo")
    found = experiment_answer(history.loaded, history.paths, [], "there/demo")
    assert found.kind == "nothing yet"
    assert found.table == ()
    assert [step.command for step in found.next] == ["numerai-ray run there/demo"]


def test_the_table_has_means_of_the_same_eras(tmp_path: Path) -> None:
    history = finished_experiment(tmp_path / "demo")
    rows = {row.metric: row for row in answered(history).table}
    per_era: Any = json.loads(history.paths.results("r05-winner").read_text())["per_era"]
    assert rows["corr"].winner == pytest.approx(np.mean(per_era["corr"]))
    assert rows["bmc"].eras == sum(value is not None for value in per_era["bmc"]) == 231
    bmc = np.array([value for value in per_era["bmc"] if value is not None])
    assert rows["bmc_last_200_eras"].winner == pytest.approx(bmc[-200:].mean())
    assert rows["bmc_sharpe"].winner == pytest.approx(bmc.mean() / bmc.std())
    sharpe, corr = rows["bmc_sharpe"], rows["corr"]
    assert sharpe.difference is not None
    assert sharpe.difference.mean == pytest.approx(sharpe.winner - sharpe.baseline)
    assert corr.difference is not None
    assert corr.difference.mean == pytest.approx(corr.winner - corr.baseline)


def test_the_page_begins_with_the_answer(tmp_path: Path) -> None:
    history = finished_experiment(tmp_path / "demo")
    _, page = markdown_and_page(Reading(history.loaded, history.paths, tuple(history.records)), {})
    assert page.index("Not settled") < page.index("Next.") < page.index("<h2")


def test_the_leaderboard_and_the_answer_judge_by_one_rule(desk: Desk, capsys: pytest.CaptureFixture[str]) -> None:
    assert command(["leaderboard", str(desk.folder), "--json"]) == 0
    rows = {row["id"]: row for row in json.loads(capsys.readouterr().out)["rows"]}
    assert command(["status", str(desk.folder), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)["answer"]
    clear = {"gain", "trade-off", "too small"}
    said = rows[found["winner"]]["verdict_overall"]
    if found["kind"] not in ("no change", "loss"):
        assert (said == "clear gain") == (found["kind"] in clear)
    assert all(row["p_value"] is None for row in rows.values() if (row["delta"] or 0) < 0)
    assert {row["verdict_overall"] for row in rows.values() if row["role"] == "benchmark"} == {"unknown"}
