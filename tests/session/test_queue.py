"""Several experiments in one run: best first, within one budget, faults of one kept from the others; and history."""

import json
from pathlib import Path
from typing import Any

import pytest
import ray
import yaml
from desk import PLAN, Desk
from jsonschema import Draft202012Validator

from numerai_ray.cli.commands.schema import schema_of
from numerai_ray.cli.main import run
from numerai_ray.config import apply_overrides
from numerai_ray.errors import FitError
from numerai_ray.runners.ray import runner
from numerai_ray.session import queue
from numerai_ray.session.history import PastExperiment, Tried, Wanted, history_of
from numerai_ray.session.summary import summary_text

ONE_ROUND: dict[str, Any] = {"rounds": {"variants": 2, "margin": 1.0e-4, "patience": 1}, "budget": {"rounds": 1}}
LEAVES = PLAN["search_space"]["dimensions"]["num_leaves"]
TARGETS = {"path": "data.target", "values": ["target_teager2b_20", "target_jasper_20"]}


@pytest.fixture
def desk(tmp_path: Path, market: Path) -> Desk:
    """Two ideas beside the desk's own folder: ``leaves`` and ``other``."""
    made = Desk(tmp_path, market)
    for name, dimensions in {"leaves": {"num_leaves": LEAVES}, "other": {"target": TARGETS}}.items():
        folder = made.folder.parent / name
        folder.mkdir()
        plan = apply_overrides({**PLAN, "search_space": {"dimensions": dimensions}}, ONE_ROUND)
        plan["idea"] = f"The idea of {name} is that it helps."
        (folder / "experiment.yaml").write_text(yaml.safe_dump(plan))
    made.folder.joinpath("experiment.yaml").unlink()
    made.folder.rmdir()
    return made


def run_queue(desk: Desk, *more: str) -> int:
    return run(["run", *more, "--data-dir", str(desk.data), "--accept-suspect", "--in-process"])


def folders(desk: Desk) -> list[str]:
    return [str(desk.folder.parent / name) for name in ("leaves", "other")]


def events(text: str) -> list[dict[str, Any]]:
    found = [json.loads(line) for line in text.splitlines()]
    validator = Draft202012Validator(schema_of("run"))
    for each in found:
        validator.validate(each)
    return found


@pytest.mark.slow
def test_each_idea_gets_a_round_then_the_best_goes_on_and_one_summary_tells_all(desk: Desk, capsys: Any) -> None:
    assert run_queue(desk, *folders(desk), "--json") == 0
    told = events(capsys.readouterr().out)
    steps = [Path(each["experiment"]).name for each in told if each["event"] == "experiment"]
    assert steps[:2] == ["leaves", "other"]
    end = told[-1]
    assert end["event"] == "queue_ended"
    firsts = {Path(each["experiment"]).name: each["tried"][0] for each in end["experiments"]}
    clear = {name: first["verdict_overall"] == "clear gain" for name, first in firsts.items()}
    best = max(firsts, key=lambda name: (clear[name], max(firsts[name]["delta"], 0.0)))
    assert steps[2] == best
    assert all(each["state"] == "finished" for each in end["experiments"])
    summary = Path(end["summary"])
    assert summary == desk.folder.parent / "summary.md"
    text = summary.read_text()
    assert all(part in text for part in ("## What pays", "## What is noise", "## What to try next", "(leaves/"))

    # Nothing is left, so nothing runs again.
    assert run_queue(desk, *folders(desk), "--json") == 0
    (again,) = events(capsys.readouterr().out)
    assert again["reason"] == "nothing is left to run"


def test_a_queue_file_holds_the_budget_and_the_same_command_goes_on(desk: Desk, capsys: Any) -> None:
    file = desk.folder.parent / "queue.yaml"
    file.write_text("experiments: [leaves, other]\nrounds: 2\n")
    assert run_queue(desk, str(file), "--json") == 0
    end = events(capsys.readouterr().out)[-1]
    assert end["reason"] == "the 2 rounds are used up"
    assert [each["rounds"] for each in end["experiments"]] == [1, 1]
    assert "goes on with leaves, 1 round so far" in Path(end["summary"]).read_text()
    assert run_queue(desk, str(file), "--rounds", "1", "--json") == 0
    end = events(capsys.readouterr().out)[-1]
    assert sum(each["rounds"] for each in end["experiments"]) == 3


def test_a_plan_that_will_not_do_is_refused_before_anything_is_trained(desk: Desk, capsys: Any) -> None:
    plan = desk.folder.parent / "other" / "experiment.yaml"
    values = yaml.safe_load(plan.read_text())
    values["base"]["data"] = {"target": "target_nobody_20"}
    del values["search_space"]["dimensions"]["target"]
    values["search_space"]["dimensions"]["num_leaves"] = LEAVES
    plan.write_text(yaml.safe_dump(values))
    assert run_queue(desk, *folders(desk)) == 2
    assert "no target 'target_nobody_20'" in capsys.readouterr().err
    assert not list(desk.folder.parent.glob("*/results/rounds.jsonl"))


def test_a_fault_of_one_is_told_and_the_other_goes_on(desk: Desk, capsys: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    real = queue.run_rounds

    def faulty(session: Any, how_far: Any) -> Any:
        if session.paths.root.name == "leaves":
            raise FitError("the base cannot be trained")
        return real(session, how_far)

    monkeypatch.setattr(queue, "run_rounds", faulty)
    assert run_queue(desk, *folders(desk), "--json") == 3
    end = events(capsys.readouterr().out)[-1]
    assert end["problems"] == {folders(desk)[0]: "the base cannot be trained"}
    assert [each["state"] for each in end["experiments"]] == ["not started", "finished"]
    assert "the base cannot be trained" in Path(end["summary"]).read_text()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["leaves", "leaves"], "stands in the queue twice"),
        (["leaves", "other", "--extend"], "--extend: goes with one experiment"),
        (["leaves", "--hours", "1"], "--hours: goes with several experiments"),
        (["leaves", "other", "--hours", "0"], "--hours: must be above 0"),
        (["leaves", "queue.yaml"], "a queue file stands alone"),
        (["bad.yaml"], "unknown key; did you mean 'experiments'?"),
    ],
)
def test_what_is_asked_wrongly(arguments: list[str], words: str, desk: Desk, capsys: Any) -> None:
    root = desk.folder.parent
    (root / "bad.yaml").write_text("experiment: [leaves]\n")
    places = [each if each.startswith("--") or each.isdigit() else str(root / each) for each in arguments]
    assert run_queue(desk, *places) == 2
    assert words in capsys.readouterr().err


def test_history_finds_by_idea_dimension_target_and_outcome(desk: Desk, capsys: Any) -> None:
    assert run_queue(desk, *folders(desk), "--rounds", "2", "--json") == 0
    root = desk.folder.parent

    def names(**wanted: Any) -> list[str]:
        return [Path(each.experiment).name for each in history_of(root, Wanted(**wanted))]

    assert names() == ["leaves", "other"]
    assert names(words="IDEA of leaves") == ["leaves"]
    assert names(dimension="model.params.num_leaves") == ["leaves"]
    assert names(target="jasper") == ["other"]
    assert names(outcome="open") == ["leaves", "other"]
    assert names(outcome="no gain") == []
    plan = root / "other" / "experiment.yaml"
    plan.write_text(plan.read_text() + "tags: [labels]\n")
    assert names(words="labels") == ["other"]
    (root / "broken").mkdir()
    (root / "broken" / "experiment.yaml").write_text("idea: [")
    capsys.readouterr()
    assert run(["history", str(root), "--json"]) == 0
    value = json.loads(capsys.readouterr().out)
    Draft202012Validator(schema_of("history")).validate(value)
    assert "not valid YAML" in value["experiments"][0]["problem"]
    assert value["experiments"][1]["tried"][0]["dimension"] == "num_leaves"
    assert run(["history", str(root), "--outcome", "gian"]) == 2
    assert "did you mean 'gain'?" in capsys.readouterr().err
    assert run(["history", str(root)]) == 0
    assert "The idea of" in capsys.readouterr().out


def past(name: str, **values: Any) -> PastExperiment:
    return PastExperiment(f"experiments/{name}", idea="An idea that may help.", **values)


def test_the_summary_tells_what_pays_from_what_is_noise() -> None:
    wide = Tried("num_leaves", "scout", ("num_leaves=63",), "r01-num_leaves=63", 7e-4, "clear gain", "clear gain")
    luck = Tried("target", "scout", ("target=a",), "r01-target=a", 9e-4, "clear gain", "inside the noise")
    paid: dict[str, Any] = {"state": "finished", "outcome": "gain", "against": "the baseline"}
    found = [
        past("a", **paid, kind="gain", gain=6e-4, changes={"model.params.num_leaves": 63}, tried=(wide,)),
        past("b", **paid, kind="trade-off", gain=4e-4, changes={"post.rank": True}, stage="final"),
        past("c", state="finished", outcome="inside the noise", gain=5e-4, tried=(luck,)),
        past("d", state="stopped", rounds=1, tried=(wide,)),
    ]
    text = summary_text(found, "the 8 hours are over", {"experiments/e": "no disk"})
    pays = text.split("## What pays")[1].split("## ")[0]
    assert "a: num_leaves=63 brings +6.0e-4 over the baseline\n" in pays
    assert "b: rank=True brings +4.0e-4 over the baseline; better at a cost" in pays
    assert "d: num_leaves (scout), best r01-num_leaves=63, +7.0e-4, a clear gain so far" in pays
    assert "target" not in pays
    assert "c: target (scout), best r01-target=a, +9.0e-4: inside the noise" in text
    assert "Put together what pays: num_leaves=63 and rank=True" in text
    assert "`numerai-ray run experiments/d` goes on" in text
    assert "`experiments/e`: no disk" in text
    # Of what has rounds, a clear gain goes before a larger one that may be luck for the whole search.
    ordered = sorted(
        [past("x", rounds=1, tried=(luck,)), past("y", rounds=1, tried=(wide,)), past("z")], key=lambda e: e.promise()
    )
    assert [Path(each.experiment).name for each in ordered] == ["x", "y", "z"]


@pytest.mark.ray
@pytest.mark.slow
def test_one_ray_serves_all_of_them(desk: Desk, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    started: list[str] = []
    real = runner.connect

    def counted(settings: Any, *more: Any) -> Any:
        started.append(settings.experiment)
        return real(settings, *more)

    monkeypatch.setattr(runner, "connect", counted)
    arguments = ["run", *folders(desk), "--data-dir", str(desk.data), "--accept-suspect", "--rounds", "3", "--json"]
    assert run(arguments) == 0
    end = events(capsys.readouterr().out)[-1]
    assert sum(each["rounds"] for each in end["experiments"]) == 3
    assert all(each["rounds"] for each in end["experiments"])
    assert len(started) == 1
    assert not ray.is_initialized()
