"""What docs/models.md shows works as it stands there: commands, model file, config sections, numbers."""

import importlib
import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import yaml
from places import ROOT

import numerai_ray
from numerai_ray.cli.main import run
from numerai_ray.config import Config, apply_overrides, validate
from numerai_ray.models import MODELS

PAGE = (Path(numerai_ray.__file__).parent / "docs" / "models.md").read_text(encoding="utf-8")
COMMANDS = [line for block in re.findall(r"```bash\n(.*?)```", PAGE, re.S) for line in block.splitlines()]
SECTIONS = re.findall(r"```yaml\n(.*?)```", PAGE, re.S)


def test_every_command_runs(
    market: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "v5.2").symlink_to(market / "tiny")
    (code,) = re.findall(r"```python\n(.*?)```", PAGE, re.S)
    (tmp_path / "my_model.py").write_text(code)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("NUMERAI_RAY_DATA", raising=False)
    assert [command.split()[1] for command in COMMANDS] == ["check-model", "baseline"]
    for command in COMMANDS:
        program, name, *arguments = shlex.split(command)
        assert program == "numerai-ray"
        local = ["--in-process"] if name == "baseline" else []
        assert run([name, *arguments, *local]) == 0, (command, capsys.readouterr())
    assert [path.name for path in (tmp_path / "data" / "baselines").iterdir() if not path.name.startswith(".")]


@pytest.mark.parametrize("text", SECTIONS)
def test_every_section_is_a_config(text: str) -> None:
    values: dict[str, Any] = apply_overrides({}, yaml.safe_load(text))
    assert values.keys() <= Config.model_fields.keys()
    validate(Config, values, "docs/models.md")


def test_every_model_and_file_that_it_names_is_there() -> None:
    assert set(MODELS) <= set(re.findall(r"^\| `([a-z]+)` \|", PAGE, re.MULTILINE))
    named = re.findall(r"`(?:python )?((?:tests|experiments)/[\w/.]+)`", PAGE)
    assert len(named) >= 3
    assert not [name for name in named if not (ROOT / name).exists()]


def test_the_limits_of_its_numbers_are_those_that_are_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "tests" / "benchmarks"))
    speed = importlib.import_module("neutralization_speed")
    shape = f"{speed.N_ERAS} eras × {speed.N_ROWS:,} rows against {speed.N_FEATURES} features"
    assert shape in PAGE
    ours, theirs, ratio = map(float, re.search(r"takes ([\d.]+) s .*?([\d.]+) s \(([\d.]+) times", PAGE, re.S).groups())
    assert ratio == pytest.approx(theirs / ours, rel=0.02)
    assert ratio >= speed.SMALLEST_RATIO
    assert float(re.search(r"equal to ([\d.e-]+):", PAGE)[1]) <= speed.LARGEST_DIFFERENCE
