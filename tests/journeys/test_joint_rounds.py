"""Several variables at once, and what Optuna says of them: whole experiments on a market whose answer is known."""

import json
from pathlib import Path

import pytest
from planted import experiment, make_root

from numerai_ray.cli.main import run

pytestmark = pytest.mark.slow

LEAVES_RANGE = {
    "path": "model.params.num_leaves",
    "range": {"low": 2, "high": 255, "scale": "log", "integer": True},
}
ROWS_RANGE = {
    "path": "model.params.min_data_in_leaf",
    "range": {"low": 15, "high": 25, "integer": True},
}
OPTUNA = {"proposer": "optuna", "variants": 3, "patience": 4}


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_root(tmp_path_factory.mktemp("planted"))


def test_joint_rounds_are_marked_in_every_table(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    space = {"dimensions": {"num_leaves": LEAVES_RANGE, "min_data_in_leaf": ROWS_RANGE}}
    plan = {"search_space": space, "rounds": {**OPTUNA, "joint": True, "focus_ratio": 1.5}, "budget": {"rounds": 4}}
    folder, rounds = experiment(root, "joint", "--rounds", "2", **plan)
    assert [record["kind"] for record in rounds] == ["joint", "joint"]
    for record in rounds:
        variants = [each for each in record["variants"] if each["role"] == "variant"]
        assert len(variants) == 3
        assert any(len(each["changes"]) == 2 for each in variants)
    folder, rounds = experiment(root, "joint", **plan)
    assert rounds[-1]["stage"] == "final"
    focused = [record for record in rounds if record["kind"] == "focus"]
    assert focused
    assert focused[0]["dimension"] == "num_leaves"
    assert "its importance is" in focused[0]["why"]

    assert (folder / "optuna.journal").stat().st_size > 0, "the studies are there for Optuna's own tools"

    joint = [each["id"] for r in rounds if r["kind"] == "joint" for each in r["variants"] if each["role"] == "variant"]
    report = (folder / "experiment.md").read_text()
    rows = [line for line in report.splitlines() if line.startswith("|")]
    for trial in joint:
        name = trial.split("-", 1)[1]
        shown = [line for line in rows if name in line and "several at once" in line]
        assert shown, f"{trial} is not marked in its round's table"
    assert ": several dimensions at once" in report
    assert "that the plan no longer has" not in report
    assert "What mattered, in the joint rounds (PED-ANOVA importances): num_leaves" in report
    assert "plots/importances-light.png" in report
    for theme in ("light", "dark"):
        assert (folder / "plots" / f"importances-{theme}.png").stat().st_size > 5000
    capsys.readouterr()
    assert run(["leaderboard", str(folder), "--json"]) == 0
    entries = json.loads(capsys.readouterr().out)["rows"]
    marked = {each["id"] for each in entries if "several at once" in each["status"]}
    assert marked == set(joint)
