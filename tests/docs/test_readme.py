"""The README's commands run as they stand there. Its first command, the whole quickstart, is run by ``.ci/run``."""

import re
import shlex
import shutil
from pathlib import Path

import pytest
import yaml
from desk import BASELINE, PLAN
from official_configs import write_config
from places import ROOT
from whole_program import app

from numerai_ray.cli.main import run

README = (ROOT / "README.md").read_text(encoding="utf-8")
COMMANDS = [line.strip() for block in re.findall(r"```bash\n(.*?)```", README, re.S) for line in block.splitlines()]


def test_the_first_two_commands_stand_alone() -> None:
    quickstart, tests = COMMANDS[:2]
    for command in (quickstart, tests):
        assert command.startswith("python3 -m venv .venv && .venv/bin/pip install ")
    assert quickstart.endswith(".venv/bin/numerai-ray run experiments/quickstart")
    assert "'.[test]'" in tests
    assert tests.endswith('.venv/bin/pytest -n 2 -m "not long"')
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    assert "README.md" in script, "the project's check takes its commands from the README"


@pytest.mark.slow
def test_every_other_command_runs(
    market: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """In order, in a folder with the files that the README speaks of."""
    version = tmp_path / "data" / "v5.2"
    version.mkdir(parents=True)
    for name in ("features", "train", "validation", "train_benchmark_models", "validation_benchmark_models"):
        (file,) = (market / "tiny").glob(f"{name}.*")
        shutil.copy(file, version)
    (tmp_path / "experiments" / "NAME").mkdir(parents=True)
    (tmp_path / "experiments" / "baselines").mkdir()
    plan = {**PLAN, "data_version": "v5.2", "budget": {"rounds": 1}}
    (tmp_path / "experiments" / "NAME" / "experiment.yaml").write_text(yaml.safe_dump(plan))
    (tmp_path / "experiments" / "baselines" / "tiny.yaml").write_text(yaml.safe_dump(BASELINE))
    files = {"full_data_path": "v5.2/full.parquet", "benchmark_data_path": "v5.2/full_benchmark_models.parquet"}
    write_config(tmp_path / "my_config.py", {"data": {"data_version": "v5.2", **files}})
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("NUMERAI_RAY_DATA", raising=False)
    commands = [shlex.split(line) for line in COMMANDS[2:] if line.startswith("numerai-ray ")]
    assert [command[1] for command in commands] == ["data", "run", "status", "train"]
    for command in commands:
        # Whether a fit runs on Ray or here makes no difference to results, and this is the faster test.
        local = ["--in-process", "--accept-suspect"] if command[1] == "run" else []
        local = ["--in-process"] if command[1] == "train" else local
        assert run([*command[1:], *local]) == 0, (command, capsys.readouterr().err)
    assert (tmp_path / "experiments" / "NAME" / "experiment.md").exists()
    assert (tmp_path / "out" / "results" / "small.json").exists()


def test_what_the_readme_names_exists() -> None:
    for path in re.findall(r"`((?:experiments|search_spaces|tests|cluster|\.ci)/[\w./-]+)`", README):
        if "NAME" not in path and path != "experiments/quickstart/experiment.md":
            assert (ROOT / path).exists(), path
    for picture in re.findall(r"!\[[^]]*]\(([^)]+)\)", README):
        assert (ROOT / picture).exists(), picture
    known = {command.name or command.callback.__name__ for command in app.registered_commands if command.callback}
    known |= {group.name for group in app.registered_groups}
    for command in re.findall(r"`numerai-ray (\w+)", README):
        assert command in known, command


def test_help_has_examples(capsys: pytest.CaptureFixture[str]) -> None:
    commands = [command.name or command.callback.__name__ for command in app.registered_commands if command.callback]
    for words in ([name] for name in commands):
        assert run([*words, "--help"]) == 0
        assert "Example" in capsys.readouterr().out, words
