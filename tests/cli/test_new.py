"""`new` at a terminal: what there is to choose, each answer checked where it is given, none of them lost."""

import io
import json
import shlex
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator

from numerai_ray.cli.commands import new as command
from numerai_ray.cli.commands.schema import schema_of
from numerai_ray.cli.main import run
from numerai_ray.config.json_schema import file_schema
from numerai_ray.config.plan import load_plan
from numerai_ray.config.shipped import find_shipped

SENTENCES = "Wider trees: they help a lot.\nNobody has tried it before.\n"
FLAGS = ["--idea", "Wider trees: they help a lot.", "--novelty", "Nobody has tried it before."]


@pytest.fixture
def root(market: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a data version, where questions are answered."""
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "v5.2").symlink_to(market / "tiny")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("NUMERAI_RAY_DATA", raising=False)
    monkeypatch.setattr(command, "_at_terminal", lambda: True)
    return tmp_path


def say(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(text))


def test_everything_is_asked_for_with_what_there_is_to_choose(
    root: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    say(monkeypatch, SENTENCES + "targets\ntarget_transforms\n\n\nsmall\ntarget_ender_60\n")
    assert run(["new", "experiments/wide"]) == 0
    out = capsys.readouterr().out
    for listed in (
        "targets: what is learned",
        "target_transforms: ",
        "small_lgbm_ender20_downsampled: lightgbm",
        "v5.2: is here",
        "small: ",
        "target_ender_60",
    ):
        assert f"  {listed}" in out
    plan = yaml.safe_load(Path("experiments/wide/experiment.yaml").read_text())
    assert plan["search_space"] == "target_transforms"
    assert plan["base"] == {"data": {"target": "target_ender_60"}}
    assert plan["stages"]["scout"]["feature_set"] == "small"
    assert plan["data_version"] == "v5.2"


def test_a_wrong_answer_is_asked_for_again_where_it_was_given(
    root: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    say(monkeypatch, SENTENCES + "target\ntargets\n\nsmall\nsmall_lgbm_ender20\n\nmedum\nmedium\nender\n\n")
    assert run(["new", "experiments/wide"]) == 0
    told = "".join(capsys.readouterr())
    assert "no kind of research named 'target'; did you mean 'targets'?" in told
    assert "no baseline named 'small'" in told
    assert "no feature set named 'medum'; did you mean 'medium'?" in told
    assert "no target named 'ender'" in told


def test_answers_before_one_that_never_came_are_given_back(
    root: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    say(monkeypatch, SENTENCES + "targets\n")
    assert run(["new", "experiments/wide", "--feature-set", "small"]) == 2
    told = capsys.readouterr().err
    assert "--space is needed where nobody can be asked" in told
    assert not Path("experiments/wide").exists()
    (line,) = [each for each in told.splitlines() if each.startswith("numerai-ray new")]
    monkeypatch.setattr(command, "_at_terminal", lambda: False)
    assert run(shlex.split(line)[1:]) == 0
    plan = yaml.safe_load(Path("experiments/wide/experiment.yaml").read_text())
    assert plan["idea"] == "Wider trees: they help a lot."
    assert plan["search_space"] == "targets"
    assert plan["stages"]["scout"]["feature_set"] == "small"


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--target", "target_ender20"], "no target named 'target_ender20'; did you mean 'target_ender_20'?"),
        (["--feature-set", "smal"], "no feature set named 'smal'; did you mean 'small'?"),
        (["--kind", "target"], "did you mean 'targets'?"),
        (["--data-version", "../x"], "'../x'"),
    ],
)
def test_flags_are_checked_like_answers(
    flags: list[str], words: str, root: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    say(monkeypatch, "")
    assert run(["new", "experiments/wide", *flags]) == 2
    assert words in capsys.readouterr().err
    assert not Path("experiments").exists()


def test_the_plan_names_its_schema_and_keeps_it(root: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    monkeypatch.setattr(command, "_at_terminal", lambda: False)
    assert run(["new", "experiments/wide", *FLAGS, "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    Draft202012Validator(schema_of("new")).validate(answer)
    text = Path(answer["plan"]).read_text()
    named = text.splitlines()[0].removeprefix("# yaml-language-server: $schema=file://")
    schema = json.loads(Path(named).read_text())
    assert schema == file_schema("plan")
    Draft202012Validator(schema).validate(yaml.safe_load(text))
    load_plan(Path(answer["plan"]), lambda kind, name: find_shipped(kind, name, Path("experiments/wide")))
