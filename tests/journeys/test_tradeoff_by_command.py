"""A target that pays by contribution and costs CORR, through the command line: every first line says what it is."""

import json
import re
from pathlib import Path

import pytest
from desk import Desk
from tradeoff_market import DEAR, tradeoff_desk, write_tradeoff_market

from numerai_ray.cli.main import run

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def market(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("tradeoff")
    write_tradeoff_market(root / "tiny")
    return root


def ran(desk: Desk, capsys: pytest.CaptureFixture[str]) -> tuple[str, str]:
    """What `plan` and `run` print."""
    where = [str(desk.folder), "--data-dir", str(desk.data)]
    capsys.readouterr()
    assert run(["plan", *where, "--no-calibrate"]) == 0
    planned = capsys.readouterr().out
    assert run(["run", *where, "--in-process"]) == 0
    return planned, capsys.readouterr().out


def test_a_trade_off_is_said_first_by_report_run_and_json(
    tmp_path: Path, market: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    desk = tradeoff_desk(tmp_path, market)
    planned, said = ran(desk, capsys)
    # What a round can tell is said before it runs, and the cheapest remedy.
    assert "Smallest gain told from noise in 4 of 5 cases" in planned
    assert "is below the smallest gain that a round can tell from noise" in " ".join(planned.split())
    assert "`rounds.seeds: 3` sees" in planned
    first, *_ = desk.rounds()
    (tried,) = [each for each in first["variants"] if each["role"] == "variant"]
    (base,) = [each for each in first["variants"] if each["role"] == "base"]
    assert tried["metrics"]["bmc"]["mean"] > base["metrics"]["bmc"]["mean"] + 40e-4
    assert tried["metrics"]["corr"]["mean"] < base["metrics"]["corr"]["mean"] - 80e-4
    assert first["decision"]["promoted"], "by margin alone it wins"
    assert "trade-off: loses CORR and CORR Sharpe by more than noise does" in tried["flags"]

    number = r"[+-]\d+\.\d"
    verdict = re.compile(
        rf"target={DEAR} against the baseline: BMC \+\d+\.\de-4 \[{number}e-4, {number}e-4\] .*; "
        r"a trade-off, as it loses CORR and CORR Sharpe\."
    )
    title, blank, third, *_ = (desk.folder / "experiment.md").read_text().splitlines()
    assert (title, blank) == ("# small", "")
    assert third.startswith("**Better at a cost:** ")
    assert verdict.search(third)

    lines = said.splitlines()
    answer = lines[next(at for at, line in enumerate(lines) if line.startswith("Better at a cost: ")) :]
    assert verdict.search(answer[0])
    assert answer[1].startswith("CORR falls from ")
    assert sum("trade-off" in line for line in answer) == 1, "it is said once"
    assert "`accept: pareto` in the plan promotes only what costs nothing" in said

    assert run(["report", str(desk.folder), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)["answer"]
    assert found["kind"] == "trade-off"
    assert verdict.search(found["verdict"])
    assert found["flags"] == ["trade-off: it loses CORR and CORR Sharpe by more than noise does"]
    assert [row["metric"] for row in found["table"]][:2] == ["bmc_last_200_eras", "bmc"]
    page = re.sub(r"<[^>]*>", "", (desk.folder / "report.html").read_text().split("<main>")[1])
    assert found["verdict"].removeprefix("Better at a cost: ") in page[:1500]


def test_pareto_does_not_promote_it(tmp_path: Path, market: Path, capsys: pytest.CaptureFixture[str]) -> None:
    desk = tradeoff_desk(tmp_path, market, accept="pareto")
    _, said = ran(desk, capsys)
    first, *rest = desk.rounds()
    assert first["decision"]["rule"] == "pareto/2"
    # On the few eras of a later stage the cost could be noise: it is not brought there.
    assert [len([v for v in record["variants"] if v["role"] == "variant"]) for record in rest] == [0, 0]
    assert not any(record["decision"]["promoted"] for record in (first, *rest))
    assert "1 set aside for what they cost" in first["decision"]["reason"]
    assert said.splitlines()[-3].startswith("No change counts: 1 variant in 1 round")
    assert (desk.folder / "experiment.md").read_text().splitlines()[2].startswith("**No change counts:**")
