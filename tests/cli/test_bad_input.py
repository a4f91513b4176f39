"""Wrong arguments and wrong folders: one message that names the place, the value, the rule and the next step."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from bad_requests import Desk, check_refusal, make_market, refuse, set_desk, tree

from numerai_ray.cli.main import run


@pytest.fixture(scope="module")
def market(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_market(tmp_path_factory.mktemp("market"))


@pytest.fixture
def desk(tmp_path: Path, market: Path, monkeypatch: pytest.MonkeyPatch) -> Desk:
    monkeypatch.delenv("NUMERAI_RAY_DATA", raising=False)
    monkeypatch.chdir(tmp_path)
    return set_desk(tmp_path, market)


# name -> (arguments; {exp}, {data}, … stand for the desk's paths), words of the message
ARGUMENTS: dict[str, tuple[str, tuple[str, ...]]] = {
    "unknown command": ("rnu {exp}", ("No such command 'rnu'", "run")),
    "unknown data command": ("data biuld", ("No such command 'biuld'", "build")),
    "unknown option": ("run {exp} --inprocess", ("No such option: --inprocess", "--in-process")),
    "run without an experiment": ("run", ("Missing argument 'EXP…'",)),
    "train without a config": ("train --output-dir out", ("Missing option '--config'",)),
    "train without an output folder": ("train --config {official}", ("Missing option '--output-dir'",)),
    "compare without an experiment": ("compare", ("Missing argument",)),
    "too many arguments": ("status {exp} {exp}", ("unexpected extra argument",)),
    "no such experiment": ("run {experiments}/capacty", ("capacty", "no experiment.yaml", "did you mean 'capacity'?")),
    "status of no experiment": (
        "status nowhere/capasity",
        ("nowhere/capasity", "no experiment.yaml", "did you mean 'capacity'?"),
    ),
    "report of no experiment": ("report {experiments}/capacitty", ("capacitty", "did you mean 'capacity'?")),
    "compare of no experiment": ("compare {exp} {experiments}/quik", ("no round is decided yet", "run")),
    "an experiment that is a file": ("run {official}", ("official.py", "must be a folder", "a file")),
    "a plan for an experiment": ("run {plan}", ("experiment.yaml", "must be a folder", "a file", "capacity")),
    "report before the first round": ("report {exp}", ("no round is decided yet", "numerai-ray run")),
    "report of a shipped one never run": ("report quickstart", ("no experiment.yaml", "numerai-ray run")),
    "compare before the first round": ("compare {exp} --json", ("no round is decided yet", "numerai-ray run")),
    "rounds 0": ("run {exp} --rounds 0", ("--rounds", "must be 1 or more, but is 0")),
    "rounds as text": ("run {exp} --rounds many", ("--rounds", "valid integer")),
    "a round of two variables": (
        "round {exp} --data-dir {data} --in-process --vary model.params.num_leaves=4 --vary model.params.max_depth=3",
        ("--vary", "varies one variable, but 2 are given", "couple them"),
    ),
    "a round of nothing": ("round {exp} --data-dir {data} --in-process", ("Missing option '--vary'",)),
    "a round without values": (
        "round {exp} --data-dir {data} --in-process --vary model.params.num_leaves",
        ("--vary must be PATH=V1,V2", "'model.params.num_leaves'"),
    ),
    "a round of an empty list": ("round {exp} --vary model.params.num_leaves=", ("--vary must be PATH=V1,V2",)),
    "a round of broken YAML": ("round {exp} --vary model.params.num_leaves=4,[", ("--vary", "not valid YAML")),
    "a round of an unknown path": (
        "round {exp} --data-dir {data} --in-process --vary model.parms.num_leaves=4",
        ("--vary", "'model.parms.num_leaves'", "may vary"),
    ),
    "a round of mixed types": (
        "round {exp} --data-dir {data} --in-process --vary model.params.max_depth=4,deep",
        ("--vary", "of one type", "number and text"),
    ),
    "a round of a value that LightGBM refuses": (
        "round {exp} --data-dir {data} --in-process --vary model.params.num_leaves=4,1",
        ("1 problem", "--vary model.params.num_leaves", "LightGBM says", "num_leaves must be > 1"),
    ),
    "a round of no experiment": ("round {experiments}/capacty --vary x=1", ("did you mean 'capacity'?",)),
    "stop after an unknown stage": (
        "run {exp} --data-dir {data} --in-process --stop-after scuot",
        ("--stop-after", "'scuot'", "scout, confirm, final"),
    ),
    "stop after a stage that the plan lacks": (
        "run {exp} --data-dir {data} --in-process --stop-after scale",
        ("--stop-after", "'scale'", "scout, confirm, final"),
    ),
    "plan of no experiment": ("plan {experiments}/capacty", ("no experiment.yaml", "did you mean 'capacity'?")),
    "plan without data": ("plan {exp} --data-dir {out}", ("--data-dir", "no such folder", "data synth")),
    "new where one is": ("new {exp} --idea x --novelty y", ("experiment.yaml is there already", "another name")),
    "new of an unknown kind": (
        "new {out} --kind hyperparametrs",
        ("--kind", "'hyperparametrs'", "did you mean 'hyperparameters'?"),
    ),
    "new with too short an idea": (
        "new {out} --idea x --novelty nobody-has-tried",
        ("--idea", "at least 10 characters"),
    ),
    "new from an unknown baseline": (
        "new {out} --idea some-idea-that-helps --novelty nobody-has-tried --baseline small_lgbm_ender2",
        ("--baseline", "'small_lgbm_ender2'", "did you mean"),
    ),
    "new with an unknown space": (
        "new {out} --idea some-idea-that-helps --novelty nobody-has-tried --space target",
        ("--space", "'target'", "did you mean 'targets'?"),
    ),
    "new with a name that is none": (
        "new {experiments}/a:b --idea some-idea-that-helps --novelty nobody-has-tried",
        ("$.name", "a:b"),
    ),
    "step 0": ("data build --data-dir {data} --step 0", ("--step", "must be 1 or more, but is 0")),
    "offset at the step": ("data build --data-dir {data} --step 4 --offset 4", ("--offset", "below", "4")),
    "negative offset": ("data build --data-dir {data} --offset -1", ("--offset", "must be 0 or more, but is -1")),
    "version up the tree": ("data build --data-dir {data} --version ../x", ("--version", "'../x'", "v5.2")),
    "version empty": ("data synth --out {out} --version=", ("--version", "''", "v5.2")),
    "version a path": ("data synth --out {out} --version a/b", ("--version", "'a/b'", "v5.2")),
    "version hidden": ("data synth --out {out} --version ..", ("--version", "'..'", "v5.2")),
    "eras too few": ("data synth --out {out} --eras 5", ("--eras", "must be from 40 to 5000, but is 5")),
    "rows too few": ("data synth --out {out} --rows 3", ("--rows", "must be from 50 to 20000, but is 3")),
    "features too few": ("data synth --out {out} --features 2", ("--features", "must be from 10 to 5000, but is 2")),
    "seed negative": ("data synth --out {out} --seed -1", ("--seed", "must be from 0 to", "but is -1")),
    "build of no data": ("data build --data-dir {out}", ("--data-dir", "out", "no such folder", "data synth")),
    "build of no version": ("data build --data-dir {data} --version v9", ("--version", "no folder 'v9'", "v5.2")),
    "data folder that is not there": (
        "run {exp} --data-dir {out} --in-process",
        ("--data-dir", "out", "no such folder", "data synth"),
    ),
    "data folder that is a file": (
        "run {exp} --data-dir {official} --in-process",
        ("--data-dir", "official.py", "must be a folder", "a file"),
    ),
    "synth into a file": (
        "data synth --out {official} --eras 40 --rows 50",
        ("--out", "official.py", "must be a folder"),
    ),
    "output folder that is a file": (
        "train --config {official} --output-dir {plan} --data-dir {data} --in-process",
        ("--output-dir", "experiment.yaml", "must be a folder"),
    ),
    "output folder that cannot be made": (
        "train --config {official} --output-dir /proc/numerai-ray/out --data-dir {data} --in-process",
        ("--output-dir", "/proc/numerai-ray/out", "cannot be written"),
    ),
}


def arguments_of(text: str, desk: Desk) -> list[str]:
    paths = {"exp": desk.exp, "experiments": desk.experiments, "plan": desk.plan, "data": desk.data}
    return text.format(**paths, official=desk.official, out=desk.out).split(" ")


@pytest.mark.parametrize("name", ARGUMENTS)
def test_wrong_arguments(name: str, desk: Desk, capfd: pytest.CaptureFixture[str]) -> None:
    text, words = ARGUMENTS[name]
    refuse(desk, capfd, arguments_of(text, desk), words)


COMMANDS: dict[str, tuple[str, tuple[str, ...]]] = {
    "wrong option": ("run {exp} --round 2", ("No such option", "--rounds")),
    "wrong folder": ("status {experiments}/capacty", ("error: ", "did you mean 'capacity'?")),
    "wrong plan": ("run {exp} --data-dir {data} --in-process", ("1 problem", "$.bugdet", "did you mean 'budget'?")),
}


@pytest.mark.parametrize("name", COMMANDS)
def test_the_installed_command(name: str, desk: Desk) -> None:
    text, words = COMMANDS[name]
    desk.write_plan({"bugdet": {"rounds": 2}})
    before = tree(desk.root)
    command = [sys.executable, "-c", "from numerai_ray.cli import main; main()", *arguments_of(text, desk)]
    done = subprocess.run(command, cwd=desk.root, capture_output=True, text=True, timeout=120, check=False)
    check_refusal(done.returncode, done.stdout, done.stderr, words)
    assert done.stdout == ""
    assert tree(desk.root) == before


def test_the_environment_names_the_data_folder(
    desk: Desk, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NUMERAI_RAY_DATA", str(desk.official))
    words = ("$NUMERAI_RAY_DATA", "official.py", "must be a folder")
    refuse(desk, capfd, ["run", str(desk.exp), "--in-process"], words)


def test_errors_stay_off_stdout_with_json(desk: Desk, capfd: pytest.CaptureFixture[str]) -> None:
    """What programs read there is events alone, of which the last tells the error."""
    desk.write_plan({"rounds": {"variants": 0}})
    assert run([*desk.run_arguments(), "--json"]) == 2
    out, err = capfd.readouterr()
    assert "$.rounds.variants" in err
    assert json.loads(out.splitlines()[-1])["event"] == "error"


def test_the_right_request_is_not_refused(desk: Desk, capfd: pytest.CaptureFixture[str]) -> None:
    """The ground that every table of wrong requests stands on."""
    assert run([*desk.run_arguments(), "--rounds", "1"]) == 0
    assert run(desk.train_arguments()) == 0
    assert "error" not in capfd.readouterr().err
