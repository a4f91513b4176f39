"""Planning and steering by hand: ``new``, ``plan``, ``round``, stopping at a stage, editing the plan, going on."""

import io
import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from desk import PLAN, Desk

from numerai_ray.cli.main import run
from numerai_ray.config import apply_overrides
from numerai_ray.config.plan import load_plan
from numerai_ray.config.plan_template import SPACES
from numerai_ray.config.shipped import find_shipped
from numerai_ray.experiment.paths import ExperimentPaths
from numerai_ray.rounds.time_model import AROUND_S, read_calibration
from numerai_ray.session.places import open_experiment

# Fewer stages and values, so that one experiment can be taken through all of it.
SHORT = {"rounds": {"variants": 2, "margin": 1.0e-4, "patience": 1}, "budget": {"rounds": 2}}


def output(capsys: pytest.CaptureFixture[str], *arguments: str) -> Any:
    capsys.readouterr()
    assert run([*arguments, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


# --- new -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", SPACES)
def test_new_writes_a_plan_that_suits_the_research(kind: str, tmp_path: Path, capsys: Any) -> None:
    for space in SPACES[kind]:  # type: ignore[index]
        folder = tmp_path / "experiments" / f"{kind}-{space}"
        flags = ["--idea", "Some idea of why it helps.", "--novelty", "What nobody has tried.", "--kind", kind]
        assert run(["new", str(folder), *flags, "--space", space]) == 0
        assert f"next: numerai-ray plan {folder}" in capsys.readouterr().out
        loaded = load_plan(folder / "experiment.yaml", lambda sort, name: find_shipped(sort, name, tmp_path))
        assert loaded.plan.search_space == space
        text = (folder / "experiment.yaml").read_text()
        assert all(word in text for word in ("interpretations:", "holdout_eras:", "scale:", "accept:", "core_hours"))


def test_new_asks_for_what_is_not_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO('Wider "trees": they help.\nNobody has tried that.\n'))
    vary = ["--vary", "model.params.num_leaves=15,63", "--vary", "data.target=target_ender_20,target_ender_60"]
    assert run(["new", str(tmp_path / "wide"), *vary, "--data-version", "v5.1"]) == 0
    assert "what should help" in capsys.readouterr().out
    plan = yaml.safe_load((tmp_path / "wide" / "experiment.yaml").read_text())
    assert plan["idea"] == 'Wider "trees": they help.'
    assert (plan["novelty"], plan["data_version"]) == ("Nobody has tried that.", "v5.1")
    values = {name: each["values"] for name, each in plan["search_space"]["dimensions"].items()}
    assert values == {"num_leaves": [15, 63], "target": ["target_ender_20", "target_ender_60"]}


def test_an_answer_that_is_refused_is_asked_for_again_and_the_others_are_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("Wider trees: they help.\ntoo short\nNobody has tried that.\n"))
    assert run(["new", str(tmp_path / "wide")]) == 0
    out, err = capsys.readouterr()
    assert "at least 10 characters, but 'too short' has 9" in out + err
    plan = yaml.safe_load((tmp_path / "wide" / "experiment.yaml").read_text())
    assert (plan["idea"], plan["novelty"]) == ("Wider trees: they help.", "Nobody has tried that.")


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--baseline", "small_lgbm_ender21"], "did you mean 'small_lgbm_ender20'?"),
        (["--space", "targetz"], "did you mean 'targets'?"),
        (["--vary", "model.parms.x=1"], "a round may vary"),
        (["--vary", "model.params.num_leaves=4,4"], "each value once"),
        (["--vary", "model.params.num_leaves"], "must be PATH=V1,V2"),
        (["--kind", "hyperparam"], "did you mean 'hyperparameters'?"),
        (["--feature-set", "a/b"], "'a/b'"),
        (["--idea", "trees"], "at least 10 characters"),
    ],
)
def test_a_flag_that_is_refused_is_refused_before_anything_is_asked(
    flags: list[str], words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("Wider trees: they help.\nNobody has tried that.\n"))
    assert run(["new", str(tmp_path / "wide"), *flags]) == 2
    out, err = capsys.readouterr()
    assert words in err
    assert "Novelty" not in out + err
    assert not (tmp_path / "wide").exists()


def test_answers_that_never_come_leave_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("Wider trees: they help.\n"))
    assert run(["new", str(tmp_path / "wide")]) == 2
    assert "--novelty is needed where nobody can be asked" in capsys.readouterr().err
    assert not (tmp_path / "wide").exists()


# --- a shipped experiment by its bare name ---------------------------------------------------------------------------


@pytest.mark.parametrize("command", ["run", "plan", "status", "leaderboard", "report"])
def test_a_bare_name_makes_no_second_folder(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    made = tmp_path / "experiments" / "quickstart"
    made.mkdir(parents=True)
    (made / "experiment.yaml").write_text(yaml.safe_dump(PLAN))
    monkeypatch.chdir(tmp_path)
    assert run([command, "quickstart"]) == 2
    assert "did you mean experiments/quickstart?" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["experiments"]


def test_a_shipped_experiment_that_is_put_in_place_is_told(tmp_path: Path, capsys: Any) -> None:
    _, loaded = open_experiment(tmp_path / "experiments" / "quickstart")
    assert loaded.name == "quickstart"
    err = capsys.readouterr().err
    assert "experiments/quickstart is new: its experiment.yaml is the one that comes with the package" in err


# --- plan ----------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_plan_counts_fits_new_stored_and_shared(tmp_path: Path, market: Path, capsys: Any) -> None:
    desk = Desk(tmp_path, market, SHORT)
    arguments = ("plan", str(desk.folder), "--data-dir", str(desk.data), "--in-process")
    fresh = output(capsys, *arguments)
    assert [each["stage"] for each in fresh["stages"]] == ["scout", "confirm", "final"]
    first, second, *later = fresh["rounds"]
    assert first["variants"] == ["base", "learning_rate=0.05", "learning_rate=0.2", "baseline"]
    assert (first["fits_new"], first["fits_stored"], first["fits_shared"]) == (12, 0, 0)
    assert (second["fits_new"], second["fits_shared"]) == (6, 6), "base and baseline are shared"
    assert [each["stage"] for each in later] == ["confirm", "final"]
    assert all(each["seconds"] > 0 for each in fresh["rounds"])
    around_s = read_calibration(ExperimentPaths(desk.folder)).start_s + AROUND_S
    assert fresh["seconds"] == pytest.approx(sum(each["seconds"] for each in fresh["rounds"]) + around_s, abs=0.1)
    assert fresh["memory_bytes"] > 10**8
    assert desk.fits() == {}, "planning stores nothing"

    assert desk.run("--rounds", "1") == 0
    assert len(desk.fits()) == first["fits_new"]
    other = desk.folder.parent / "other"
    other.mkdir()
    (other / "experiment.yaml").write_text((desk.folder / "experiment.yaml").read_text())
    again = output(capsys, "plan", str(other), "--data-dir", str(desk.data), "--no-calibrate")
    assert (again["rounds"][0]["fits_new"], again["rounds"][0]["fits_stored"]) == (0, 12)
    assert again["seconds"] is None, "nothing was measured"
    assert run(list(arguments)) == 0
    shown = capsys.readouterr().out
    assert "expected time" in shown and "peak memory" in shown


def test_plan_says_which_stage_changes_nothing_and_what_is_not_predicted(
    tmp_path: Path, market: Path, capsys: Any
) -> None:
    same = {"data": "full", "feature_set": "medium"}
    desk = Desk(tmp_path, market, {"stages": {"scout": same, "confirm": same, "final": {"feature_set": "all"}}})
    arguments = ["plan", str(desk.folder), "--data-dir", str(desk.data), "--in-process", "--no-calibrate"]
    notes = {each["stage"]: each["notes"] for each in output(capsys, *arguments)["stages"]}
    told = [[note for note in notes[stage] if "changes nothing" in note] for stage in ("scout", "confirm", "final")]
    words = "changes nothing against scout, whose results it repeats; set data, feature_set or overrides under"
    assert told == [[], [f"{words} stages.confirm if it is to tell more"], []]
    assert run(arguments) == 0
    shown = capsys.readouterr().out
    assert f"note: confirm: {words}" in shown
    assert shown.count("have no training eras before them and are not predicted") == 1
    assert "note: scout, confirm, final: validation eras 0001–0029 have no training eras" in shown


# --- one experiment, steered --------------------------------------------------------------------------------------


@pytest.mark.slow
def test_an_experiment_steered_by_hand(tmp_path: Path, market: Path, capsys: Any) -> None:
    """A round by hand, a stop after scouting, an edited plan, the end, and on after the end."""
    desk = Desk(tmp_path, market, SHORT)
    vary = ["round", str(desk.folder), "--vary", "num_leaves=5,9", "--data-dir", str(desk.data), "--in-process"]
    assert run([*vary, "--accept-suspect"]) == 0
    (by_hand,) = desk.rounds()
    assert (by_hand["kind"], by_hand["dimension"]) == ("manual", "num_leaves")
    variants = {each["name"]: each["changes"] for each in by_hand["variants"] if each["role"] == "variant"}
    assert variants == {
        "num_leaves=5": {"model.params.num_leaves": 5},
        "num_leaves=9": {"model.params.num_leaves": 9},
    }
    assert "(by hand)" in (desk.folder / "experiment.md").read_text()

    # a coupled path stays coupled
    vary[3] = "model.params.learning_rate=0.2"
    assert run([*vary, "--accept-suspect"]) == 0
    coupled = next(each for each in desk.rounds()[-1]["variants"] if each["role"] == "variant")
    assert coupled["changes"] == {"model.params.learning_rate": 0.2, "model.params.n_estimators": 10}

    # the plan is edited: that is recorded, and nothing that is still valid is trained again
    fits = desk.fits()
    dimensions = {"num_leaves": {"path": "model.params.num_leaves", "values": [5, 9, 12]}}
    edited = apply_overrides(SHORT, {"search_space": {"dimensions": dimensions}, "budget": {"rounds": 3}})
    desk.plan(edited)
    assert desk.run("--stop-after", "scout") == 0
    record = desk.rounds()[2]
    assert any(edit.startswith("search_space.dimensions.num_leaves.values") for edit in record["edits"])
    assert any(edit == "budget.rounds: 2 -> 3" for edit in record["edits"])
    assert {name: desk.fits()[name] for name in fits} == fits
    assert "*The plan was changed before round 3:" in (desk.folder / "experiment.md").read_text()
    assert {each["stage"] for each in desk.rounds()} == {"scout"}
    assert "Not finished" in (desk.folder / "experiment.md").read_text()

    # to the end, and on from there
    assert desk.run() == 0
    capsys.readouterr()
    assert run(["plan", str(desk.folder), "--data-dir", str(desk.data), "--in-process"]) == 0
    assert "nothing is left to run" in capsys.readouterr().out
    rounds = desk.rounds()
    assert [each["stage"] for each in rounds][-2:] == ["confirm", "final"]
    assert not any(each["edits"] for each in rounds[3:])
    ended = len(rounds)
    desk.plan(apply_overrides(edited, {"budget": {"rounds": ended + 3}, "rounds": {"proposer": "refine"}}))
    assert desk.run("--extend", "--rounds", "1") == 0
    more = desk.rounds()
    assert len(more) == ended + 1
    assert more[-1]["stage"] == "scout"
    assert more[-1]["base_changes"] == more[ended - 1]["decision"]["changes"], "it goes on around the winner"
    assert more[:ended] == rounds, "what was decided stays"
    assert desk.run() == 0
    assert desk.rounds()[-1]["stage"] == "final"
    prints = [v["fingerprint"] for r in desk.rounds() for v in r["variants"] if v["role"] == "variant"]
    scouts = [v for r in desk.rounds() if r["stage"] == "scout" for v in r["variants"] if v["role"] == "variant"]
    assert len({each["fingerprint"] for each in scouts}) == len(scouts), "no config is ever run twice"
    assert prints


def test_a_round_varies_what_the_search_space_does_not(tmp_path: Path, market: Path) -> None:
    desk = Desk(tmp_path, market, {"search_space": {"dimensions": PLAN["search_space"]["dimensions"]}})
    vary = ["--vary", "model.params.max_depth=2,3"]
    assert run(["round", str(desk.folder), *vary, "--data-dir", str(desk.data), "--in-process"]) == 0
    assert desk.rounds()[0]["dimension"] == "max_depth"
