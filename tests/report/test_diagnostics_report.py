"""The report's diagnostics: a table a stage with the same columns, of what results files tell; a plot by group."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from builders import History, experiment, finished_experiment

from numerai_ray.report.plots.groups import groups_caption, groups_info
from numerai_ray.report.reading import Reading
from numerai_ray.report.sections.diagnostics import diagnostics_rows, diagnostics_section


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> History:
    return finished_experiment(tmp_path_factory.mktemp("ws") / "demo")


def reading(history: History) -> Reading:
    return Reading(history.loaded, history.paths, tuple(history.records))


def told(history: History, trial: str) -> dict:
    return json.loads(history.paths.results(trial).read_text())["diagnostics"]


def test_the_stage_that_ran_last_has_a_table(finished: History) -> None:
    parts = diagnostics_section(reading(finished))
    tables = [part.splitlines() for part in parts if part.startswith("|")]
    assert len(tables) == len([part for part in parts if part.startswith("### Diagnostics of ")]) == 1
    assert len({table[0] for table in tables}) == 1
    assert len({line.count("|") for table in tables for line in table}) == 1
    assert "`fncv3_features` (400 features)" in parts[0]
    assert parts[1] == "### Diagnostics of final"
    scouted = diagnostics_section(replace(reading(finished), history=tuple(finished.records[:3])))
    assert scouted[3].startswith("The 3 best of 8; the others stand in their `results/<id>.json`")


def test_a_row_says_what_the_results_file_says(finished: History) -> None:
    rows = diagnostics_rows(reading(finished), "scout")
    assert len({row.id for row in rows}) == len(rows)
    row = rows[0]
    value = told(finished, row.id)
    assert row.exposure_max == value["feature_exposure"]["max"]
    assert row.neutral_corr == value["feature_neutral_corr"]["mean"]
    assert row.exposed_to == "feature_a"
    assert row.features == ("feature_b 60.0%", "feature_a 40.0%")
    assert row.groups == ("rain 60%", "faith 40%")
    assert row.nearest == "r01-base 0.910"
    assert not any("learning_rate=0.02" in row.id for row in rows), "it failed"


def test_fits_that_tell_nothing_are_said_to(tmp_path: Path) -> None:
    history = experiment(tmp_path / "demo")
    history.scout("num_leaves", {63: 0.0047})
    file = history.paths.results("r01-num_leaves=63")
    value = json.loads(file.read_text())
    empty = {"kinds": [], "fits": 0, "silent_fits": 4, "top": [], "per_feature": {}, "by_group": {}}
    value["diagnostics"]["importance"] = empty
    file.write_text(json.dumps(value))
    table = next(part for part in diagnostics_section(reading(history)) if part.startswith("|"))
    (line,) = [line for line in table.splitlines() if "num_leaves=63" in line]
    assert line.endswith("| its fits tell none |")


def test_a_stack_is_shown_by_member_and_fold(tmp_path: Path) -> None:
    history = experiment(tmp_path / "demo")
    history.scout("num_leaves", {63: 0.0047})
    file = history.paths.results("r01-num_leaves=63")
    value = json.loads(file.read_text())
    assert not [part for part in diagnostics_section(reading(history)) if "Stack weights" in part]
    value["diagnostics"]["stack"] = [
        {"fold": 1, "weights": {"a": 0.5, "b": 0.5}, "fit_eras": 0, "learned": False},
        {"fold": 2, "weights": {"a": 0.8125, "b": 0.1875}, "fit_eras": 44, "learned": True},
    ]
    file.write_text(json.dumps(value))
    parts = diagnostics_section(reading(history))
    table = parts[parts.index("### Stack weights of scout") + 1].splitlines()
    assert table[0] == "| Configuration | Member | Fold 1 | Fold 2 |"
    assert table[2:] == [
        "| r01-num_leaves=63 | a | 0.500 | 0.812 |",
        "| r01-num_leaves=63 | b | 0.500 | 0.188 |",
        "| r01-num_leaves=63 | *learned from* | 0 eras: all alike | 44 eras |",
    ]


def test_the_plot_shows_the_best_beside_the_base(finished: History) -> None:
    info = groups_info(reading(finished))
    assert info is not None
    assert info.stage == "final"
    assert info.names == ("r05-winner", "r05-baseline")
    assert info.kinds == ("best", "baseline")
    assert info.groups == ("rain", "faith")
    assert info.importance[0] == (0.6, 0.4)
    assert "Stage final" in groups_caption(info)


def test_results_of_before_have_no_diagnostics_and_that_is_said(tmp_path: Path) -> None:
    history = experiment(tmp_path / "demo")
    history.scout("num_leaves", {63: 0.0047})
    for path in (history.paths.root / "results").glob("r01*.json"):
        value = json.loads(path.read_text())
        del value["diagnostics"]
        path.write_text(json.dumps(value))
    assert diagnostics_section(reading(history)) == ["Nothing was looked at yet."]
    assert groups_info(reading(history)) is None
