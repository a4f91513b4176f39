"""Every shipped search space runs on the synthetic market: each dimension a round, in small."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from desk import Desk
from places import ROOT

from numerai_ray.models.registry import MODELS

SPACES = sorted((ROOT / "search_spaces").glob("*.yaml"))
# A hundredth of the trees and rows, because the market is that small; nothing else of a file is changed.
SHRUNK = {"n_estimators": 50, "iterations": 50, "max_train_samples": 100}
LIBRARIES = {"xgboost": "xgboost", "catboost": "catboost", "mlp": "torch"}


def shrunk(space: dict[str, Any]) -> dict[str, Any]:
    params = space.get("base", {}).get("model", {}).get("params", {})
    for name in SHRUNK.keys() & params.keys():
        params[name] = max(2, params[name] // SHRUNK[name])
    for dimension in space["dimensions"].values():
        by = SHRUNK.get(dimension["path"].rsplit(".", 1)[-1])
        if by:
            dimension["values"] = [value // by for value in dimension["values"]]
    return space


@pytest.mark.slow
@pytest.mark.parametrize("path", SPACES, ids=lambda path: path.stem)
def test_a_search_space_runs(path: Path, tmp_path: Path, market: Path, capsys: pytest.CaptureFixture[str]) -> None:
    space = shrunk(yaml.safe_load(path.read_text()))
    model = space.get("base", {}).get("model", {}).get("type", "lightgbm")
    if model not in MODELS:
        pytest.skip(f"this version has no model {model!r}")
    if model in LIBRARIES:
        pytest.importorskip(LIBRARIES[model])
    desk = Desk(tmp_path, market)
    plan = yaml.safe_load((desk.folder / "experiment.yaml").read_text())
    free = {stage: {"data": "full", "feature_set": None} for stage in ("scout", "confirm", "final")}
    rounds = len(space["dimensions"])
    # Three splits, because the market's first eras have no benchmark and a transform needs one.
    base = {"data": {"feature_set": "medium"}, "cv": {"n_splits": 3}, "model": {"params": {"learning_rate": 0.1}}}
    plan |= {"search_space": space, "base": base, "stages": free, "rounds": {"patience": rounds + 1}}
    (desk.folder / "experiment.yaml").write_text(yaml.safe_dump(plan, sort_keys=False))
    code = desk.run("--rounds", str(rounds))
    assert code == 0, capsys.readouterr()
    required = {name for name, dimension in space["dimensions"].items() if dimension.get("required", True)}
    for _ in range(rounds):  # a round may have mapped the range of one that won at its edge
        if required <= {record["dimension"] for record in desk.rounds()}:
            break
        assert desk.run("--rounds", "1") == 0, capsys.readouterr()
    assert required <= {record["dimension"] for record in desk.rounds()}
    for record in desk.rounds():
        variants = [variant for variant in record["variants"] if variant["role"] == "variant"]
        assert variants
        assert all(variant["error"] is None and variant["metrics"] for variant in variants), json.dumps(variants)


@pytest.mark.parametrize("path", SPACES, ids=lambda path: path.stem)
def test_every_value_says_why(path: Path) -> None:
    """A comment on the line of a list of values, or on each line of one that is written out."""
    lines = path.read_text().splitlines()
    assert lines[0].startswith("#")
    for number, line in enumerate(lines):
        if "values: [" in line or (line.strip().startswith("range:") and "values:" not in lines[number - 1]):
            assert "#" in line, line
        if line.rstrip().endswith("values:"):
            listed = [each for each in lines[number + 1 :] if each.strip().startswith("- ")]
            assert listed
            for each in listed:
                place = lines.index(each)
                assert "#" in each or lines[place - 1].strip().startswith("#"), each
