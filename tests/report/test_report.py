"""The report: its tables, its honesty about noise, its plots, and that any history gives one."""

import json
import math
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from builders import History, Market, experiment, finished_experiment
from report_text import head, section, text

from numerai_ray.experiment.ledger import read_ledger
from numerai_ray.experiment.scores import ScoreReader, with_evidence
from numerai_ray.metrics.scoring import summarize
from numerai_ray.metrics.significance import ALL_ERAS, Comparison, Series, e4, paired_delta
from numerai_ray.report.markdown import report_text
from numerai_ray.report.plots.registry import PLOTS
from numerai_ray.report.reading import Reading
from numerai_ray.report.sections.data import stage_facts
from numerai_ray.report.tables import cell, leaderboard, markdown_table, number, round_rows
from numerai_ray.report.writer import write_report
from numerai_ray.system.json_text import to_json

TIME_LINE = re.compile(r"^\*Time: .*\*$", re.MULTILINE)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> History:
    history = finished_experiment(tmp_path_factory.mktemp("ws") / "demo")
    write_report(history.loaded, history.paths, history.records)
    return history


def reading(history: History) -> Reading:
    return Reading(history.loaded, history.paths, tuple(history.records))


# --- noise -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("noise", "within"), [(0.02, True), (0.0002, False)])
def test_a_gain_is_called_noise_exactly_when_it_is(tmp_path: Path, noise: float, within: bool) -> None:
    history = experiment(tmp_path / "demo", market=Market(noise=noise))
    history.scout("num_leaves", {63: 0.0037 + 0.0008, 127: 0.0037})
    third = text(history).splitlines()[2]
    assert third.startswith("**Not settled:**" if within else "**Better")
    assert ("inside the noise" in third) == within
    assert ("clear of the noise" in third) == (not within)
    assert re.search(r"[+-]\d+\.\de-4 \[[+-]\d+\.\de-4, [+-]\d+\.\de-4\] \(90 % interval\)", third)
    table = next(line for line in text(history).splitlines() if "num_leaves=63](" in line)
    assert "inside the noise" not in table, "most differences are, so a table tells the others"
    assert ("clear gain" in table) == (not within)


def test_the_answer_gives_the_difference_and_interval_of_the_per_era_scores(finished: History) -> None:
    first, second = (
        Series(
            finished.market.eras,
            np.array(json.loads(finished.paths.results(name).read_text())["per_era"]["bmc"], float),
        )
        for name in ("r04-challenger", "r04-base")
    )
    delta = paired_delta(first, second, Comparison(ALL_ERAS, 4))
    assert delta is not None
    low, high = (f"{end * 1e4:+.1f}e-4" for end in (delta.low, delta.high))
    shown = f"{delta.mean * 1e4:+.1f}e-4 [{low}, {high}]"
    confirm = next(line for line in text(finished).splitlines() if line.startswith("| confirm |"))
    assert shown in confirm


def test_the_ledgers_evidence_is_shown_where_it_is_and_is_that_of_the_results_files(finished: History) -> None:
    record = finished.records[0]
    reader = ScoreReader(finished.paths)
    rest = with_evidence(record.variants[0], record.variants[1:-1], reader, Comparison(200, 4))
    assert all(each.evidence is not None for each in rest)
    in_ledger = replace(record, variants=(record.variants[0], *rest, record.variants[-1]))
    assert round_rows(in_ledger) == round_rows(record, reader)
    assert all(row.evidence is None for row in round_rows(record))


# --- tables ------------------------------------------------------------------------------------------------------


def test_rows_base_first_then_by_primary_failed_last_then_references(finished: History) -> None:
    rows = reading(finished).rows(finished.records[1])
    assert [row.role for row in rows] == ["base", "variant", "variant", "benchmark"]
    assert rows[1].primary > 0
    assert math.isnan(rows[2].primary)
    assert rows[2].status[0].startswith("failed: fold 2")
    first = reading(finished).rows(finished.records[0])
    primaries = [row.primary for row in first if row.role == "variant"]
    assert primaries == sorted(primaries, reverse=True)
    assert first[0].status == ("= baseline",)
    assert [row.winner for row in first] == [row.id == finished.records[0].decision.winner for row in first]
    for row in first[1:-1]:
        assert row.delta == pytest.approx(row.primary - first[0].primary)
        assert row.evidence is not None
        assert row.evidence.to_base.mean == pytest.approx(row.delta, abs=1e-12)
        assert row.evidence.to_base.low < row.delta < row.evidence.to_base.high
        assert (row.evidence.to_best is None) == (row is first[1])


def test_a_round_on_a_cluster_says_what_it_cost(finished: History) -> None:
    cost = {"core_hours": 3.2, "fit_core_hours": 2.9, "node_hours": 0.41, "nodes": 4}
    first, *rest = finished.records
    told = report_text(Reading(finished.loaded, finished.paths, (replace(first, cost=cost), *rest)), {})
    assert "3.20 core-hours of 4 nodes (0.41 node-hours), of which fits held 2.90" in told
    assert "core-hours of" not in text(finished), "what is not known is not told"


def test_a_known_configuration_costs_a_later_round_nothing(finished: History) -> None:
    base = reading(finished).rows(finished.records[1])[0]
    assert (base.fits_new, base.fits_stored, base.fit_seconds) == (0, 4, 0.0)
    assert "ran in round 1" in base.status


def test_table_shows_unknowns_and_cannot_be_broken_by_a_message(finished: History) -> None:
    record = finished.records[1]
    table = markdown_table(round_rows(record), {"model.params.learning_rate": 0.01}, {}, "BMC last 200")
    widths = {len(re.split(r"(?<!\\)\|", line)) for line in table.splitlines()}
    assert len(widths) == 1
    failed = next(line for line in table.splitlines() if "failed:" in line)
    assert failed.count("| – ") == 3
    assert "nan" not in table.lower()
    assert "learning_rate 0.01 → 0.005" in table
    assert "v52_lgbm_ender20" in table


def test_numbers() -> None:
    assert number(math.nan, 3) == "–"
    assert number(-1e-9, 3) == "0.000"
    assert e4(0.00021) == "+2.1e-4"
    assert cell("a|b\nc <d>") == "a\\|b c &lt;d>"


def test_leaderboard_lists_each_configuration_once_a_stage_best_first(finished: History) -> None:
    found = leaderboard(finished.records)
    assert [entry["stage"] for entry in found] == sorted(
        (e["stage"] for e in found), key=["final", "confirm", "scout"].index
    )
    assert len({(entry["stage"], entry["id"]) for entry in found}) == len(found)
    scouts = [entry for entry in found if entry["stage"] == "scout"]
    known = [entry["primary"] for entry in scouts if not math.isnan(entry["primary"])]
    assert known == sorted(known, reverse=True)
    assert math.isnan(scouts[-1]["primary"])
    winners = [entry["id"] for entry in scouts if entry["winner"]]
    assert winners == [finished.records[2].decision.winner]
    deep = next(entry for entry in scouts if entry["name"] == "max_depth=8")
    assert deep["all_changes"] == {**finished.records[2].base_changes, "model.params.max_depth": 8}
    assert leaderboard([]) == []
    json.loads(to_json({"rows": found}))


# --- the text ----------------------------------------------------------------------------------------------------


def test_finished_report_has_its_sections_and_only_relative_links_to_files_of_the_experiment(finished: History) -> None:
    report = finished.paths.report.read_text(encoding="utf-8")
    titles = re.findall(r"^##+ (.*)$", report, re.MULTILINE)
    assert titles == [
        "Plan", "Data and folds", "Method", "Scout rounds", "Round 1: num_leaves", "Round 2: learning_rate",
        "Round 3: max_depth", "Confirm", "Final", "Leaderboard", "Diagnostics", "Diagnostics of final",
        "What worked, what did not", "Threats to the result", "Reproduction",
        "Appendix: further figures",
    ]  # fmt: skip
    assert "Not finished" not in report
    assert str(finished.paths.root.parent) not in report
    for link in re.findall(r"\]\(([^)]*)\)", report) + re.findall(r'(?:src|srcset)="([^"]*)"', report):
        assert re.match(r"(configs|logs|plots)/[^/]+$", link), link
    for picture in re.findall(r'(?:src|srcset)="([^"]*)"', report):
        assert (finished.paths.root / picture).is_file()
    assert "fold 2: lightgbm refuses learning_rate" in section(report, "## Threats to the result")
    assert "drift: CORR rises while BMC falls" in section(report, "## Threats to the result")
    assert "`0123456789ab`" in section(report, "## Reproduction")


def test_a_plot_has_one_title_wherever_it_is_shown(finished: History) -> None:
    shown: dict[str, str] = {}

    def picture(name: str, title: str, caption: str) -> list[str]:
        shown[name] = title
        return [caption]

    report_text(reading(finished), {plot.name: "a caption" for plot in PLOTS}, picture)
    assert shown == {plot.name: plot.title for plot in PLOTS}


def test_same_history_same_text_apart_from_times(finished: History) -> None:
    again = [replace(record, started="2030-01-01T00:00:00+00:00", wall_s=1.0) for record in finished.records]
    other = Reading(finished.loaded, finished.paths, tuple(again))
    assert TIME_LINE.sub("", text(finished)) == TIME_LINE.sub("", report_text(other, {}))
    assert text(finished) != report_text(other, {})


def test_the_ledger_alone_gives_the_same_report(finished: History) -> None:
    from_disk = Reading(finished.loaded, finished.paths, tuple(read_ledger(finished.paths.ledger)))
    assert report_text(from_disk, {}) == text(finished)


def test_every_beginning_of_a_history_gives_a_report_that_says_it_is_not_finished(finished: History) -> None:
    for length in range(len(finished.records)):
        part = Reading(finished.loaded, finished.paths, tuple(finished.records[:length]))
        report = report_text(part, {})
        assert "\n> **Not finished:**" in head(report)
        assert "**Next.** `numerai-ray run demo`" in head(report)
        assert "nan" not in re.sub(r"\S*[a-z]nan\S*", "", report.lower()).split()


def test_zero_rounds(tmp_path: Path) -> None:
    history = experiment(tmp_path / "demo")
    path = write_report(history.loaded, history.paths, [])
    assert "no round has been decided" in path.read_text(encoding="utf-8")
    assert not history.paths.plots.exists()


def test_all_variants_failed(tmp_path: Path) -> None:
    history = experiment(tmp_path / "demo")
    history.scout("max_depth", {3: "refused", 8: "refused"})
    report = text(history)
    assert "no variant could be judged" in head(report)
    threats = section(report, "## Threats to the result")
    assert "Failed, so untried and not bad: r01-max_depth=3, r01-max_depth=8: refused." in threats


def test_a_removed_or_damaged_results_file_costs_its_numbers_only(tmp_path: Path) -> None:
    history = experiment(tmp_path / "demo")
    history.scout("num_leaves", {63: 0.0047})
    assert "interval unknown" not in head(text(history))
    history.paths.results("r01-num_leaves=63").write_text("{")
    assert "interval unknown" in head(text(history))
    history.paths.results("r01-base").unlink()
    assert "cannot be told" in text(history)
    assert ScoreReader(history.paths).read("r01-base") is None


def test_no_benchmark_at_all(tmp_path: Path) -> None:
    history = experiment(tmp_path / "demo", market=Market(first_benchmark_era=9999))
    history.scout("num_leaves", {63: 0.0047})
    report = write_report(history.loaded, history.paths, history.records).read_text(encoding="utf-8")
    assert "no scored era has the benchmark" in report
    assert "No era has a benchmark, so there is no BMC." in report
    assert not re.search(r"\bnan\b", report)


def test_data_section_says_which_eras_the_window_spans(finished: History) -> None:
    facts = stage_facts(reading(finished), "scout")
    assert facts["Last 200 scored eras"] == "0325–1121, every 4th era: a span of 797 weeks"
    assert facts["CORR but no benchmark"] == "10 (0161–0197)"
    assert facts["Eras with BMC"] == "231 (0201–1121)"
    assert facts["Not predicted"] == "0001–0157 (nothing to train on)"
    assert stage_facts(Reading(finished.loaded, finished.paths, ()), "final")["Eras with BMC"] == "–"


def test_constant_predictions_are_pointed_out(tmp_path: Path) -> None:
    history = experiment(tmp_path / "demo")
    record = history.scout("num_leaves", {63: 0.0047})
    metrics = record.variants[1].metrics
    assert metrics is not None
    constant = replace(record.variants[1], metrics=replace(metrics, corr=summarize([])))
    row = round_rows(replace(record, variants=(record.variants[0], constant)))[1]
    assert row.status == ("not judged: constant predictions in 231 eras: BMC 0, no CORR there",)
    some = replace(record.variants[1], metrics=replace(metrics, corr=replace(metrics.corr, n_eras=230)))
    row = round_rows(replace(record, variants=(record.variants[0], some)))[1]
    assert row.status == ("constant predictions in 1 eras: BMC 0, no CORR there",)


def test_a_final_below_the_baseline_and_a_synthetic_market_are_said(tmp_path: Path) -> None:
    market = {"eras": 400, "rows": 300, "features": 80, "seed": 7}
    history = experiment(tmp_path / "demo", changes={"market": market}, market=Market(noise=0.0002))
    history.scout("num_leaves", {63: 0.0047})
    history.confirm(0.0050)
    history.final(0.0020, baseline=0.0031)
    third = text(history).splitlines()[2]
    assert third.startswith("**Worse:** num_leaves=63 against the baseline: BMC -11.0e-4")
    assert "clear of the noise" in third
    assert "a loss clear of the noise" in head(text(history))
    assert "synthetic market" in section(text(history), "## Data and folds")


def test_a_round_says_its_interval_once(finished: History) -> None:
    for decision in re.findall(r"\*\*Decision:\*\*.*", text(finished)):
        verdicts = ("inside the noise", "clear gain", "clear loss")
        assert sum(decision.count(each) for each in verdicts) <= 1, decision


def test_best_value_at_the_end_of_its_list_is_pointed_out(tmp_path: Path) -> None:
    history = experiment(tmp_path / "demo", market=Market(noise=0.0002))
    history.scout("num_leaves", {63: 0.0041, 127: 0.0050})
    assert "add values" not in head(text(history)), "a search that is on finds out by itself"
    history.confirm(0.0050)
    history.final(0.0050)
    assert "--extend`: searches on: add values above num_leaves=127, the best" in head(text(history))
    assert text(history).count("**Next.**") == 1


def test_targets_of_base_and_best_are_told_and_no_empty_mark(tmp_path: Path) -> None:
    target = {"path": "data.target", "values": ["target_ender_60"], "why": "another label of the same stocks"}
    changes = {"search_space": {"dimensions": {"target": target}}}
    history = experiment(tmp_path / "demo", changes=changes, market=Market(noise=0.0002))
    kept_out = {"holdout_eras": "None"}
    record = history.scout("target", {"target_ender_60": 0.0052})
    story = replace(record, origin={**record.origin, **kept_out})
    report = report_text(Reading(history.loaded, history.paths, (story,)), {})
    assert "base target_ender_20, best target_ender_60" in section(report, "## Data and folds")
    # The base's labels span 4 weeks, the variant's 12: what is trained decides, not what the plan begins with.
    assert "smallest gap 19 eras, labels need 13" in section(report, "## Data and folds")
    assert "scored there need 13" in section(report, "## Threats to the result")
    assert "Fingerprint of the data file: `ba9876543210`" in section(report, "## Reproduction")
    assert "holdout_eras: `" not in report
