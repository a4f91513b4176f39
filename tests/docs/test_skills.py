"""Skills do what they say: every command runs as it stands there, and every file, command and key is there."""

import json
import re
import shlex
import shutil
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml
from bad_requests import VERSION
from bad_requests import Desk as Finished
from desk import BASELINE, PLAN, Desk
from numerai_account import PUBLIC_ID, SECRET, Account
from numerai_server import NumeraiServer
from submission_desk import PYTHONS, needs_python
from whole_program import app

from numerai_ray.cli.commands.schema import schemas
from numerai_ray.cli.main import run
from numerai_ray.config import Config, apply_overrides, leaves, parse_yaml, validate
from numerai_ray.config.json_schema import file_schema
from numerai_ray.config.queue_plan import QueuePlan
from numerai_ray.mcp_server.tools import TOOLS
from numerai_ray.session.skills import Skill, skills
from numerai_ray.submission.numerai.upload import Waiting

SKILLS = {each.name: each for each in skills()}
# On a market this small and in this process.
IN_PROCESS = {"run", "plan", "round", "export"}
# Parameters of libraries, of the skill's own class and its rows; extras; the first word of a flag.
NOT_OURS = {"num_leaves", "alpha", "estimator", "names", "threads", "catboost", "mlp", "sklearn", "torch", "suspect"}


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
        assert "--json" in words, words


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
    for found in re.findall(r"`(?:model|data|cv|rounds|post|score|budget)\.([a-z_.]+)", text):
        if not found.endswith(("json", "pkl")):  # a file's name
            assert all(each in NOT_OURS or f'"{each}"' in every for each in found.split(".")), found
    for block in re.findall(r"```yaml\n(.*?)```", text, re.S):
        validate(Config, parse_yaml(block, name), name)


@pytest.mark.parametrize("name", SKILLS)
def test_every_word_in_backticks_is_a_key_or_a_value_of_an_answer_or_a_plan(name: str) -> None:
    every = json.dumps([schemas(), file_schema("plan"), file_schema("config")])
    named = re.findall(r"`([a-z][a-z_]*)`", SKILLS[name].text)
    assert len(named) > 5
    assert not [each for each in named if f'"{each}"' not in every and each not in NOT_OURS]


@pytest.mark.slow
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


@needs_python
@pytest.mark.slow
def test_the_submission_skill_s_commands_run(
    finished: Finished, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    """In order, on a server that speaks as Numerai does: from a finished experiment to a model that is followed."""
    shutil.copytree(finished.exp, tmp_path / "experiments" / "NAME")
    shutil.copytree(finished.experiments / "baselines", tmp_path / "experiments" / "baselines")
    (tmp_path / "data").symlink_to(finished.data)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("NUMERAI_RAY_DATA", raising=False)
    monkeypatch.setattr("numerai_ray.submission.numerai.upload.Waiting", partial(Waiting, sleep=lambda _s: None))
    seen: dict[str, Any] = {}
    with NumeraiServer({}).running() as server:
        for name, value in {"PUBLIC_ID": PUBLIC_ID, "SECRET_KEY": SECRET, "RAY_API_URL": server.url}.items():
            monkeypatch.setenv(f"NUMERAI_{name}", value)
        account = Account(server, versions=("v5.2", VERSION))
        for _, *words in commands(SKILLS["numerai-submission"]):
            given = [*words, "--python", PYTHONS[0]] if words[0] == "export" else words
            seen[" ".join(words[:2])] = answered(capsys, given)
        sent = list(server.received.values())
    assert seen["verify model.pkl"]["ok"]
    assert seen["verify model.pkl"]["equal"]
    assert sent == [Path("model.pkl").read_bytes()]
    assert seen["upload model.pkl"]["passed"]
    for file in set(re.findall(r"`(model\.[a-z.]+)`", SKILLS["numerai-submission"].text)):
        assert Path(file).is_file(), file
    (slot,) = [each for each in account.models.values() if each["name"] == "my_model"]
    assert {each["name"] for each in seen["upload --list"]["models"]} >= {"my_model", "ray_one"}
    assert slot["computePickleUpload"]["filename"].endswith("model.pkl")
    assert seen["follow --check"]["valid"]
    words_of = {each["model"]: each["word"] for each in seen["follow --json"]["models"]}
    assert words_of["my_model"] in ("too early", "no promise known")
    assert words_of["ray_one"] == "no promise known"
    assert all(f"`{word}`" in SKILLS["numerai-submission"].text for word in words_of.values())


def test_the_page_for_agents_names_what_is_there() -> None:
    page = (SKILLS["numerai-data"].file.parents[2] / "agents.md").read_text(encoding="utf-8")
    listed = [
        shlex.split(line) for block in re.findall(r"```bash\n(.*?)```", page, re.S) for line in block.splitlines()
    ]
    assert len(listed) > 8
    for words in listed:
        own = words[words.index("numerai-ray") + 1 :] if words[0] == "numerai-ray" else words[words.index("--") + 2 :]
        flags = {flag for each in COMMANDS[named(own)].params for flag in (*each.opts, *each.secondary_opts)}
        assert {word for word in own if word.startswith("--")} <= flags, words
    (queue,) = re.findall(r"```yaml\n(.*?)```", page, re.S)
    assert validate(QueuePlan, parse_yaml(queue, "agents.md"), "agents.md").hours == 8
    tools = {each.name for each in TOOLS}
    assert {"run", "round", "queue", "wait", "upload"} <= tools & set(re.findall(r"`(\w+)`", page))
