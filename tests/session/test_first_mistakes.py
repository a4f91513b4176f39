"""The first mistakes of a newcomer: `plan` and `run` answer each in a moment, with the line to change and to what."""

import time
from pathlib import Path
from typing import Any

import pytest
from desk import Desk

from numerai_ray.cli.main import run

SECONDS = 2.0  # of this process: other programs may keep the machine busy
NARROW_FOLDS = {"n_splits": 20, "embargo_eras": 5}


def dimension(path: str, values: list[Any], **more: Any) -> dict[str, Any]:
    return {"search_space": {"dimensions": {"own": {"path": path, "values": values, **more}}}}


# mistake -> (what is written into the plan, the line, what to write there)
MISTAKES: dict[str, tuple[dict[str, Any], str, str]] = {
    "a target residualised to the benchmark, in a fold before the benchmark begins": (
        {"base": {"model": {"target_transform": {"type": "residual_to_benchmark"}}, "cv": NARROW_FOLDS}},
        "$.base.cv",
        "set cv.min_train_eras to 11",
    ),
    "a target by a name it does not have": (
        {"base": {"data": {"target": "target_ender20"}}},
        "$.base.data.target",
        "did you mean 'target_ender_20'?",
    ),
    "a feature set by a name it does not have": (
        {"stages": {"scout": {"feature_set": "smal"}}},
        "$.stages.scout.feature_set",
        "did you mean 'small'?",
    ),
    "the benchmark of another data version": (
        {"benchmark": "v53_lgbm_ender20"},
        "$.benchmark",
        "did you mean 'v52_lgbm_ender20'?",
    ),
    "a data version that is not there": ({"data_version": "v5.2"}, "$.data_version", "versions there: tiny"),
    "a parameter that the library does not have": (
        {"base": {"model": {"params": {"num_leafs": 3}}}},
        "$.base.model.params.num_leafs",
        "did you mean 'num_leaves'?",
    ),
    "a value that the library refuses": (
        dimension("model.params.feature_fraction", [0.5, 1.5]),
        "$.search_space.dimensions.own.values: 1.5",
        "feature_fraction must be <= 1.0",
    ),
    "threads among the parameters": (
        {"base": {"model": {"params": {"n_jobs": 4}}}},
        "$.base.model.params.n_jobs",
        "remove it",
    ),
    "a dimension without the whole path": (
        dimension("num_leaves", [3, 15]),
        "$.search_space.dimensions.own.path",
        "a round may vary",
    ),
    "an embargo for 20-day labels before 60-day ones": (
        {"base": {"data": {"target": "target_ender_60"}, "cv": {"embargo_eras": 5}}},
        "$.base.cv.embargo_eras",
        "at least 13 are needed; raise it",
    ),
    "feature sets to search, and set by the stages too": (
        dimension("data.feature_set", ["small", "medium"]),
        "$.stages.confirm",
        "feature_set: null keeps what the search found",
    ),
    "a number in quotes": (
        {"base": {"model": {"params": {"learning_rate": "0.1"}}}},
        "$.model.params.learning_rate",
        "write it without quotes",
    ),
    "one interpretation": (
        {"interpretations": {"week": {"data": {"target": "target_ender_20"}}}},
        "$.interpretations",
        "write it as base",
    ),
    "a target that is not there, in an interpretation": (
        {"interpretations": {"week": {}, "quarter": {"data": {"target": "target_ender60"}}}},
        "$.interpretations.quarter",
        "did you mean 'target_ender_60'?",
    ),
    "a parameter that the library does not have, in an interpretation": (
        {"interpretations": {"few": {}, "many": {"model": {"params": {"num_leafs": 63}}}}},
        "$.interpretations.many.model.params.num_leafs",
        "did you mean 'num_leaves'?",
    ),
    "leaves of more rows than there are to train on": (
        {"base": {"model": {"params": {"min_data_in_leaf": 10_000}}}},
        "$.base.model.params.min_data_in_leaf",
        "no tree splits",
    ),
    "a key of a stage that it does not have": (
        {"stages": {"scout": {"features": "small"}}},
        "$.stages.scout.features",
        "did you mean 'feature_set'?",
    ),
    "a baseline by a name it does not have": ({"baseline": "tinny"}, "$.baseline", "did you mean 'tiny'?"),
    "a holdout as long as the data": ({"holdout_eras": 110}, "$.base.cv", "holdout_eras: 110"),
}


@pytest.mark.parametrize("command", ["plan", "run"])
@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_first_mistake_is_answered_at_once_with_the_line_to_change(
    mistake: str, command: str, tmp_path: Path, market: Path, capsys: Any
) -> None:
    changes, line, remedy = MISTAKES[mistake]
    desk = Desk(tmp_path, market, changes)
    flags = ["--no-calibrate"] if command == "plan" else ["--in-process"]
    began = time.process_time()
    assert run([command, str(desk.folder), "--data-dir", str(desk.data), *flags]) == 2
    assert time.process_time() - began < SECONDS
    told = capsys.readouterr().err
    assert str(desk.folder / "experiment.yaml") in told
    assert line in told
    assert remedy in told
    assert not (desk.folder / "results").exists()
