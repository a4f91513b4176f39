"""Skills do what they say: every command runs as it stands there, and every file, command and key is there."""

import json
import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml
from desk import BASELINE, PLAN, Desk

from numerai_ray.cli.commands.schema import schema_of, schemas
from numerai_ray.cli.main import app, run
from numerai_ray.config import Config, apply_overrides, leaves, parse_yaml, validate
from numerai_ray.config.json_schema import file_schema
from numerai_ray.session.skills import Skill, skills

SKILLS = {each.name: each for each in skills()}
# On a market this small and in this process; Numerai's account and its container have their own tests.
IN_PROCESS = {"run", "plan", "round", "export"}
# Parameters of libraries and of the skill's own class; ends of file names.
NOT_OURS = {"", "num_leaves", "alpha", "estimator", "json", "pkl"}
ELSEWHERE = {"export", "verify", "upload"}


def commands(skill: Skill) -> list[list[str]]:
    blocks = re.findall(r"```bash\n(.*?)```", skill.text, re.S)
    return [shlex.split(line) for block in blocks for line in block.splitlines() if line.strip()]


def known_commands() -> dict[str, Any]:
    def walk(command: Any, path: tuple[str, ...] = ()) -> dict[str, Any]:
        below = getattr(command, "commands", None)
        if below is None:
            return {" ".join(path): command}
        return {name: each for key, sub in below.items() for name, each in walk(sub, (*path, key)).items()}

    return walk(typer.main.get_command(app))


COMMANDS = known_commands()


def named(words: list[str]) -> str:
    two = " ".join(words[:2])
    return two if two in COMMANDS else words[0]


@pytest.fixture
def desk(tmp_path: Path, market: Path, monkeypatch: pytest.MonkeyPatch) -> Desk:
    """A folder as an agent finds it: data in ./data, a baseline of the small market under the default's name."""
    made = Desk(tmp_path, market)
    (made.data / "v5.2").symlink_to(market / "tiny")
    small = apply_overrides(BASELINE, {"data": {"version": "v5.2"}})
    (tmp_path / "experiments" / "baselines" / "small_lgbm_ender20.yaml").write_text(yaml.safe_dump(small))
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("NUMERAI_RAY_DATA", raising=False)
    return made


def answered(capsys: pytest.CaptureFixture[str], words: list[str]) -> Any:
    """What a command says as JSON, after it ended well; a run's events as a list."""
    capsys.readouterr()
    name = named(words)
    more = ["--in-process"] if name in IN_PROCESS else []
    more += ["--accept-suspect"] if name in ("run", "round") else []
    assert run([*words, *more]) == 0, (words, capsys.readouterr())
    out = capsys.readouterr().out
    if "--json" not in words:
        return out
    return [json.loads(line) for line in out.splitlines()] if name in ("run", "round") else json.loads(out)


def test_they_are_in_the_open_format() -> None:
    assert set(SKILLS) == {"numerai-experiment", "numerai-model", "numerai-submission", "numerai-data"}
    for name, skill in SKILLS.items():
        assert skill.file.parent.name == name
        assert re.fullmatch(r"[a-z0-9-]{1,64}", name)
        assert 20 < len(skill.description) <= 1024
        assert "Use it " in skill.description
        assert len(skill.text.splitlines()) < 150


def test_they_are_put_where_agents_look(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(["skills", "install"]) == 0
    assert (tmp_path / ".claude" / "skills" / "numerai-data" / "SKILL.md").read_text() == SKILLS["numerai-data"].text
    (tmp_path / "own" / "numerai-data").mkdir(parents=True)
    (tmp_path / "own" / "numerai-data" / "SKILL.md").write_text("an older one")
    capsys.readouterr()
    assert run(["skills", "install", "--to", "own", "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)["installed"]) == len(SKILLS)
    assert (tmp_path / "own" / "numerai-data" / "SKILL.md").read_text() == SKILLS["numerai-data"].text
    assert run(["skills", "list", "--json"]) == 0
    assert {each["name"] for each in json.loads(capsys.readouterr().out)["skills"]} == set(SKILLS)


@pytest.mark.parametrize("name", SKILLS)
def test_every_command_and_flag_is_there(name: str) -> None:
    listed = commands(SKILLS[name])
    assert listed
    for program, *words in listed:
        assert program == "numerai-ray"
        command = COMMANDS[named(words)]
        flags = {flag for each in command.params for flag in (*each.opts, *each.secondary_opts)}
        assert {word for word in words if word.startswith("--")} <= flags, words


@pytest.mark.parametrize("name", SKILLS)
def test_what_it_names_inline_is_there(name: str) -> None:
    """``numerai-ray …`` within sentences, config keys, and sections in YAML."""
    text = SKILLS[name].text
    for found in re.findall(r"`numerai-ray ([^`]+)`", text):
        words = found.split()
        flags = {flag for each in COMMANDS[named(words)].params for flag in (*each.opts, *each.secondary_opts)}
        assert {word for word in words if word.startswith("--")} <= flags, found
    keys = set(leaves(file_schema("plan")))
    every = " ".join(keys) + json.dumps(file_schema("plan")) + json.dumps(file_schema("config"))
    for section, key in re.findall(r"`(?:model|data|cv|rounds|post|score|budget)\.([a-z_]+)(?:\.([a-z_]+))?", text):
        for each in (section, key):
            assert each in NOT_OURS or f'"{each}"' in every, (section, key)
    for block in re.findall(r"```yaml\n(.*?)```", text, re.S):
        validate(Config, parse_yaml(block, name), name)


def test_keys_of_answers_that_it_names_are_in_their_schemas() -> None:
    whole = json.dumps(schemas())
    named_keys = {
        "history": ("idea", "dimensions", "targets", "outcome"),
        "status": ("state", "finished"),
        "leaderboard": ("verdict", "delta", "delta_low", "stage"),
        "plan": ("stages", "notes", "seconds", "memory_bytes"),
        "verify": ("ok", "equal"),
        "check-model": ("promises", "kept"),
        "data info": ("versions", "files", "feature_sets", "targets", "benchmarks", "problems"),
        "upload": ("passed", "failed"),
    }
    text = " ".join(skill.text for skill in SKILLS.values())
    for command, keys in named_keys.items():
        schema_of(command)
        for key in keys:
            assert f'"{key}"' in whole
            assert re.search(rf"`[^`]*\b{key}\b[^`]*`", text), key


def test_the_experiment_skill_runs_from_top_to_bottom(desk: Desk, capsys: Any) -> None:
    """From an idea to the extension of a finished experiment, each command as it stands."""
    small = {
        **PLAN,
        "baseline": "small_lgbm_ender20",
        "rounds": {"variants": 2, "patience": 1},
        "budget": {"rounds": 1},
    }
    small["search_space"] = {"dimensions": {"num_leaves": PLAN["search_space"]["dimensions"]["num_leaves"]}}
    other = Path("experiments/OTHER")
    other.mkdir()
    (other / "experiment.yaml").write_text(yaml.safe_dump(small))
    seen = {}
    for _, *words in commands(SKILLS["numerai-experiment"]):
        seen[named(words)] = answered(capsys, words)
        if words[0] == "new":  # what the skill says to do next: edit the plan
            written = yaml.safe_load(Path("experiments/NAME/experiment.yaml").read_text())
            assert written["idea"].startswith("Shallower trees")
            plan = {**small, "idea": written["idea"], "novelty": written["novelty"]}
            Path("experiments/NAME/experiment.yaml").write_text(yaml.safe_dump(plan))
    assert [row["outcome"] for row in seen["history"]["experiments"]] == ["open", "open"] or seen["history"]
    assert seen["status"]["state"] == "stopped"
    assert seen["leaderboard"]["rows"][0]["verdict"]
    assert Path("experiments/NAME/experiment.md").is_file()
    assert Path("experiments/summary.md").is_file()


def test_the_model_skill_s_class_keeps_every_promise(tmp_path: Path, monkeypatch: Any, capsys: Any) -> None:
    text = SKILLS["numerai-model"].text
    (code,) = re.findall(r"```python\n(.*?)```", text, re.S)
    (tmp_path / "my_model.py").write_text(code)
    monkeypatch.chdir(tmp_path)
    ((_, *words),) = commands(SKILLS["numerai-model"])
    assert answered(capsys, words)["kept"] is True


def test_the_data_skill_s_commands_run(desk: Desk, capsys: Any) -> None:
    for _, *words in commands(SKILLS["numerai-data"]):
        if words[:2] == ["data", "download"]:
            continue  # tests/data has a server that it is tried on
        answered(capsys, words)
    assert Path("data/practice/market_truth.json").is_file()


def test_the_submission_skill_goes_the_way_that_is_tried_on_a_server() -> None:
    """Its commands are those of tests/submission, which runs them on a container and a server of Numerai's kind."""
    assert {named(words) for _, *words in commands(SKILLS["numerai-submission"])} == ELSEWHERE
