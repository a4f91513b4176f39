"""What makes a result doubtful, on real files and fits: a leak, eras too close together, labels that are missing."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from contracts import config, ignore
from desk import Desk

from numerai_ray.cli.main import run
from numerai_ray.data.files.build import build
from numerai_ray.data.leaks import leaks
from numerai_ray.data.synthetic.files import write_market
from numerai_ray.data.synthetic.market import MarketSpec
from numerai_ray.experiment.variant_output import data_flags
from numerai_ray.runners.in_process import InProcessRunner
from numerai_ray.training.catalog import Catalog
from numerai_ray.training.outcome import VariantOutcome
from numerai_ray.training.store.fits import FitStore

TARGET = "target_ender_20"


@pytest.fixture(scope="module")
def leaky(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A data root whose version ``tiny`` has a feature outside the medium set that is the target; and its name."""
    version = tmp_path_factory.mktemp("leaky") / "tiny"
    write_market(MarketSpec(eras=120, rows=60, features=30, seed=1), version)
    sets = json.loads((version / "features.json").read_text())["feature_sets"]
    feature = next(name for name in sets["all"] if name not in sets["medium"])
    for part in ("train", "validation"):
        table = pq.read_table(version / f"{part}.parquet")
        label = np.nan_to_num(table[TARGET].to_numpy() * 4, nan=2.0).astype(np.int8)
        place = table.column_names.index(feature)
        table = table.set_column(place, table.schema.field(feature), pa.array(4 - label))
        pq.write_table(table, version / f"{part}.parquet")
    build(version)
    return version.parent, feature


def test_a_leak_is_flagged_and_promoted_only_where_that_is_accepted(leaky: tuple[Path, str], tmp_path: Path) -> None:
    root, feature = leaky
    free = {stage: {"data": "full", "feature_set": None} for stage in ("scout", "confirm", "final")}
    space = {"dimensions": {"features": {"path": "data.feature_set", "values": ["all"]}}}
    for accepted in (False, True):
        desk = Desk(tmp_path / str(accepted), root)
        plan = yaml.safe_load((desk.folder / "experiment.yaml").read_text())
        plan |= {"search_space": space, "stages": free, "base": {"model": {"params": {"learning_rate": 0.1}}}}
        (desk.folder / "experiment.yaml").write_text(yaml.safe_dump(plan))
        flag = ["--accept-suspect"] if accepted else []
        command = ["run", str(desk.folder), "--data-dir", str(desk.data), "--in-process", "--rounds", "1"]
        assert run([*command, *flag]) == 0
        (record,) = desk.rounds()
        leaking = next(each for each in record["variants"] if each["role"] == "variant")
        assert f"suspect: {feature} equals {TARGET}" in leaking["flags"]
        assert any("is above 0.04, look for leakage" in each for each in leaking["flags"])
        assert record["decision"]["promoted"] == accepted
        assert ("1 set aside as suspect" in record["decision"]["reason"]) != accepted
        report = (desk.folder / "experiment.md").read_text()
        assert f"r01-features=all: suspect: {feature} equals {TARGET}." in report


def test_only_a_copy_is_a_leak(leaky: tuple[Path, str]) -> None:
    root, feature = leaky
    plan = Catalog(root).plan("x", "x", config({"data": {"feature_set": "all"}}))
    index = plan.index
    features = tuple(plan.fits[-1].features)
    assert feature in features
    assert leaks(index, features, (TARGET,)) == (f"suspect: {feature} equals {TARGET}",), "in reverse order, too"
    assert leaks(index, tuple(each for each in features if each != feature), (TARGET,)) == ()


@pytest.fixture(scope="module")
def outcome(market: Path, tmp_path_factory: pytest.TempPathFactory) -> VariantOutcome:
    runner = InProcessRunner(FitStore(tmp_path_factory.mktemp("store")), threads=1)
    return runner.run([Catalog(market).plan("base", "test/r1/base", config())], ignore)["base"]


def words(flags: Sequence[str]) -> str:
    return "; ".join(flags)


def test_an_honest_outcome_has_no_flags(outcome: VariantOutcome) -> None:
    assert data_flags(outcome) == ()
    assert data_flags(replace(outcome, error="failed", metrics=None)) == ()


@pytest.mark.parametrize("gap", [0, 4, 5])
def test_eras_closer_than_labels_overlap_are_suspect(outcome: VariantOutcome, gap: int) -> None:
    first, *rest = outcome.plan.folds.trainable
    near = replace(first, train_eras=(first.validation_eras[0] - gap - 1,))
    plan = replace(outcome.plan, folds=replace(outcome.plan.folds, trainable=(near, *rest)))
    found = data_flags(replace(outcome, plan=plan))
    close = f"suspect: training and validation eras are {gap} apart, labels overlap for 4"
    assert found == ((close,) if gap < 5 else ())


@pytest.mark.parametrize("share", [0.15, 0.25])
def test_missing_labels_and_benchmarks_are_told(outcome: VariantOutcome, share: float) -> None:
    flagged = share > 0.2
    rows = sum(fold.train_rows for fold in outcome.folds)
    dropped = round(rows * share / (1 - share))
    folds: tuple[Any, ...] = (replace(outcome.folds[0], dropped_rows=dropped), *outcome.folds[1:])
    found = words(data_flags(replace(outcome, folds=folds)))
    assert ("of the training rows have no label" in found) == flagged
    bmc = np.array(outcome.scores.bmc, copy=True)
    bmc[: round(len(bmc) * share)] = np.nan
    found = words(data_flags(replace(outcome, scores=replace(outcome.scores, bmc=bmc))))
    assert ("of the predicted eras have no benchmark or label to score with" in found) == flagged
