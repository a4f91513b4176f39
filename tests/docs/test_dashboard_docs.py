"""What docs/dashboard.md shows works as it stands there: options, tags, notes, and the picture is small."""

import re
import shlex
from pathlib import Path

import pytest
import typer
import yaml
from builders import finished_experiment, loaded_plan
from places import PAGES
from whole_program import app

from numerai_ray.cli.main import run

PAGE = (PAGES / "dashboard.md").read_text(encoding="utf-8")


def test_every_option_and_variable_that_it_names_is_there() -> None:
    command = typer.main.get_command(app)
    parameters = [each for name in ("dashboard", "run") for each in command.commands[name].params]  # type: ignore[attr-defined]
    options = {name for each in parameters for name in (*each.opts, *each.secondary_opts)}
    named = set(re.findall(r"(?<![\w-])(--[a-z][a-z-]+)", PAGE)) - {"--json", "--logdir"}  # TensorBoard's own
    assert len(named) >= 6
    assert named <= options
    from numerai_ray.cli.commands.dashboard import TOKEN_VARIABLE  # noqa: PLC0415

    assert set(re.findall(r"NUMERAI_RAY_\w+", PAGE)) == {TOKEN_VARIABLE}


def test_its_tags_and_notes_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tags,) = re.findall(r"```yaml\n(tags: .*)\n```", PAGE)
    assert loaded_plan(tmp_path / "plan", yaml.safe_load(tags)).plan.tags == ["trees", "ender60"]
    finished_experiment(tmp_path / "experiments" / "quickstart")
    monkeypatch.chdir(tmp_path)
    lines = re.findall(r"^numerai-ray (note .*)$", PAGE, re.MULTILINE)
    assert len(lines) == 2
    for line in lines:
        assert run(shlex.split(line)) == 0


def test_the_picture_is_small() -> None:
    (name,) = re.findall(r"!\[.*?\]\((.*?)\)", PAGE)
    assert (PAGES / name).stat().st_size < 150_000
