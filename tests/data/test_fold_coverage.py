"""Folds without the labels or benchmarks that they need are refused with the plan, and with a remedy that works."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from contracts import config, ignore

from numerai_ray.config import Config, apply_overrides
from numerai_ray.data.dataset import load_columns
from numerai_ray.errors import ConfigError
from numerai_ray.runners.in_process import InProcessRunner
from numerai_ray.submission.export.assembly import plan_refit
from numerai_ray.training.catalog import Catalog
from numerai_ray.training.store.fits import FitStore

# The market's benchmarks begin at era 15: of twenty folds, 2 and 3 train on eras before it.
TRANSFORM = {"model": {"target_transform": {"type": "residual_to_benchmark"}}}
NARROW = {"n_splits": 20, "embargo_eras": 5}

# name -> (changes of the config, words of the refusal, the change of cv that it names)
UNTAUGHT: dict[str, tuple[dict[str, Any], str, dict[str, int]]] = {
    "expanding": (
        {**TRANSFORM, "cv": NARROW},
        "folds 2, 3 train on eras 0001–0010, none of which has both target_ender_20 and v52_lgbm_ender20",
        {"min_train_eras": 11},
    ),
    "sampled eras": (
        {"model": {**TRANSFORM["model"], "era_sample": {"every": 4}}, "cv": NARROW},
        "folds 2, 3, 4 train on eras 0001–0013, none",
        {"min_train_eras": 16},
    ),
    "a window that moves": (
        {**TRANSFORM, "cv": {**NARROW, "mode": "walk_forward", "window_eras": 6}},
        "folds 2, 3 train on eras 0001–0010, none",
        {"n_splits": 5},
    ),
    "the official pipeline's folds": (
        {**TRANSFORM, "cv": {**NARROW, "embargo_unit": "retained"}},
        "folds 2, 3 train on eras 0001–0010, none",
        {"n_splits": 5},
    ),
    "a member of an ensemble": (
        {"ensemble": {"members": {"plain": {}, "residual": TRANSFORM}}, "cv": NARROW},
        "folds 2, 3 train on eras 0001–0010, none",
        {"min_train_eras": 11},
    ),
}


def changed(changes: Mapping[str, Any], cv: Mapping[str, int]) -> Config:
    return config(apply_overrides(changes, {"cv": cv}))


@pytest.mark.parametrize("name", UNTAUGHT)
def test_a_fold_with_nothing_to_learn_from_is_refused_with_a_remedy_that_works(
    name: str, market: Path, tmp_path: Path
) -> None:
    changes, words, remedy = UNTAUGHT[name]
    catalog = Catalog(market)
    with pytest.raises(ConfigError) as refusal:
        catalog.plan("x", "test/r1/x", config(changes))
    (problem,) = refusal.value.problems
    ((setting, value),) = remedy.items()
    assert problem.path == "$.cv"
    assert words in problem.message
    assert "known in eras 0015–0116" in problem.message
    assert f"set cv.{setting} to {value}: then the first fold that trains is fold " in problem.message
    plan = catalog.plan("x", "test/r1/x", changed(changes, remedy))
    outcome = InProcessRunner(FitStore(tmp_path), threads=1).run([plan], ignore)["x"]
    assert outcome.error is None
    assert outcome.metrics is not None
    if setting == "min_train_eras":
        with pytest.raises(ConfigError):
            catalog.plan("x", "test/r1/x", changed(changes, {setting: value - 1}))
        assert any(f"fewer than {value} training eras" in note for note in plan.notes)


def without(root: Path, market: Path, name: str, column: str, known: range) -> Catalog:
    """The market with a column that is known in some eras alone."""
    version = root / "tiny"
    version.mkdir()
    for file in (market / "tiny").glob("*"):
        if file.is_file() and file.name != name:
            (version / file.name).symlink_to(file)
    table = pq.read_table(market / "tiny" / name)
    eras = np.array([int(era) for era in table["era"].to_pylist()])
    values = np.where(np.isin(eras, known), table[column].to_numpy(), np.nan).astype(table[column].to_numpy().dtype)
    table = table.set_column(table.column_names.index(column), column, pa.array(values))
    pq.write_table(table, version / name)
    return Catalog(root)


def test_what_is_refitted_on_every_era_needs_no_folds(market: Path, tmp_path: Path) -> None:
    """The full file may have folds that the file of a scout round has not."""
    changes, _, _ = UNTAUGHT["expanding"]
    refit = plan_refit(config(changes), Catalog(market), FitStore(tmp_path))
    assert len(refit.plan.fits) == 1


FULL, BENCHMARKS = "full.parquet", "full_benchmark_models.parquet"
# name -> (file, column, eras in which it is known, changes of the config, words of the refusal)
UNKNOWN: dict[str, tuple[str, str, range, dict[str, Any], tuple[str, ...]]] = {
    "a target without labels": (
        FULL,
        "target_ender_60",
        range(0),
        {"data": {"target": "target_ender_60"}},
        ("folds 1, 2, 3 train on eras 0001–", "none of which has target_ender_60; known in no era", "use a target"),
    ),
    "a target whose labels begin late": (
        FULL,
        "target_ender_60",
        range(60, 120),
        {"data": {"target": "target_ender_60"}},
        ("folds 1, 2 train on eras 0001–0042", "known in eras 0060–0108", "set cv.min_train_eras to 43"),
    ),
    "a score whose target ends before the folds begin": (
        FULL,
        "target_ender_60",
        range(20),
        {"score": {"target": "target_ender_60"}},
        ("no score can be made", "0030–0116", "target_ender_60 and v52_lgbm_ender20", "known in eras 0015–0019"),
    ),
    "a benchmark that ends before the folds begin": (
        BENCHMARKS,
        "v52_lgbm_ender20",
        range(20),
        {},
        ("no score can be made", "known in eras 0015–0019", "use a target and benchmarks that are known there"),
    ),
    "a blend with a benchmark that is nowhere": (
        BENCHMARKS,
        "v52_lgbm_ender60",
        range(0),
        {"post": {"blend": {"v52_lgbm_ender60": 0.2}}},
        ("no score can be made", "v52_lgbm_ender20 and v52_lgbm_ender60", "known in no era of the file"),
    ),
}


@pytest.mark.parametrize("name", UNKNOWN)
def test_what_a_target_a_score_or_a_blend_lacks_everywhere_is_refused(name: str, market: Path, tmp_path: Path) -> None:
    file, column, known, changes, words = UNKNOWN[name]
    catalog = without(tmp_path, market, file, column, known)
    with pytest.raises(ConfigError) as refusal:
        catalog.plan("x", "test/r1/x", config(changes))
    for word in words:
        assert word in str(refusal.value)
    assert catalog.plan("x", "test/r1/x", config({"score": {"benchmark": "v52_lgbm_cyrusd20"}})).fits


@pytest.mark.parametrize("to", [["small"], ["small", "benchmark"]])
def test_eras_of_one_row_are_told_with_a_plan_that_neutralizes(to: list[str], market: Path, tmp_path: Path) -> None:
    (tmp_path / "tiny").mkdir()
    for file in (market / "tiny").glob("*"):
        if file.is_file() and file.name != FULL:
            (tmp_path / "tiny" / file.name).symlink_to(file)
    table = pq.read_table(market / "tiny" / FULL)
    eras = np.array([int(era) for era in table["era"].to_pylist()])
    first = np.append(True, np.diff(eras) != 0)
    pq.write_table(table.filter(pa.array(first | ~np.isin(eras, [5, 50, 90]))), tmp_path / "tiny" / FULL)
    plan = Catalog(tmp_path).plan("x", "test/r1/x", config({"post": {"neutralize": {"to": to}}}))
    note = "2 of 87 predicted eras, the first 0050, have a single row, which cannot be neutralized"
    assert [each for each in plan.notes if each.startswith(note)]
    outcome = InProcessRunner(FitStore(tmp_path), threads=1).run([plan], ignore)["x"]
    assert outcome.notes == plan.notes, "nothing more is found out"
    assert int(np.isnan(outcome.prediction).sum()) == 2
    assert not [each for each in Catalog(tmp_path).plan("x", "t/r1/x", config()).notes if "single row" in each]


@pytest.mark.parametrize("eras", ["numbers", "words", "none"])
def test_known_eras_are_those_of_the_rows_that_a_round_reads(market: Path, tmp_path: Path, eras: str) -> None:
    """Whatever the benchmark file says of eras: rows are matched by id, and theirs count."""
    catalog = without(tmp_path, market, BENCHMARKS, "v52_lgbm_ender20", range(30, 50))
    if eras != "numbers":
        table = pq.read_table(tmp_path / "tiny" / BENCHMARKS)
        error_text = pa.array([f"era {era}" for era in table["era"].to_pylist()])
        table = table.drop_columns(["era"])
        table = table.append_column("era", error_text) if eras == "words" else table
        pq.write_table(table, tmp_path / "tiny" / BENCHMARKS)
    own = config()
    index, coverage = catalog.index(own.data), next(iter(catalog._coverage.values()))
    columns = load_columns(index, own.data, ["target_ender_60"], ["v52_lgbm_ender20"])
    for found, values in (
        (coverage.target("target_ender_60"), columns.targets["target_ender_60"]),
        (coverage.benchmark("v52_lgbm_ender20"), columns.benchmarks["v52_lgbm_ender20"]),
    ):
        era_of_row = np.repeat(index.eras, np.diff(index.era_starts))
        assert found == {*era_of_row[np.isfinite(values)].tolist()}
        assert 0 < len(found) < len(index.eras)
