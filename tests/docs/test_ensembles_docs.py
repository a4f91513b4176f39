"""What docs/ensembles.md shows works as it stands there: commands, Python, files, figures."""

import re
import shlex
from pathlib import Path

import ensemble_memory
import ensemble_noise
import ensemble_search
import pytest
import yaml
from desk import BASELINE, PLAN
from submission_desk import needs_python

import numerai_ray
from numerai_ray import Ensemble
from numerai_ray.cli.main import run
from numerai_ray.config import apply_overrides

ROOT = Path(__file__).resolve().parents[2]
PAGE = (Path(numerai_ray.__file__).parent / "docs" / "ensembles.md").read_text(encoding="utf-8")
COMMANDS = [line for block in re.findall(r"```bash\n(.*?)```", PAGE, re.S) for line in block.splitlines()]


@needs_python
@pytest.mark.slow
def test_commands_and_python(
    market: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("NUMERAI_RAY_DATA", raising=False)
    Path("data").mkdir()
    Path("data/tiny").symlink_to(market / "tiny")
    for folder, text in {"baselines": BASELINE, "capacity": apply_overrides(PLAN, {})}.items():
        Path("experiments", folder).mkdir(parents=True)
        name = "tiny.yaml" if folder == "baselines" else "experiment.yaml"
        Path("experiments", folder, name).write_text(yaml.safe_dump(text))
    assert run(["run", "experiments/capacity", "--in-process", "--accept-suspect", "--rounds", "1"]) == 0
    assert [command.split()[1] for command in COMMANDS] == ["ensemble", "export", "train"]
    for command in COMMANDS:
        program, *arguments = shlex.split(command)
        assert program == "numerai-ray"
        local = [] if arguments[0] == "ensemble" else ["--in-process"]
        assert run([*arguments, *local]) == 0, (command, capsys.readouterr())
    (code,) = re.findall(r"```python\n(.*?)```", PAGE, re.S)
    names: dict[str, object] = {}
    exec(code, names)
    found = names["ensemble"]
    assert isinstance(found, Ensemble)
    assert found.verdict in {"clear gain", "clear loss", "inside the noise", "no difference", "unknown"}
    assert len(found.weights) <= 4


def test_its_files_are_there_and_its_figures_are_within_the_limits() -> None:
    named = re.findall(r"`(?:python )?(tests/[\w/.]+)[^`]*`", PAGE)
    assert len(set(named)) == 3
    assert all((ROOT / name).exists() for name in named)
    share, limit, in_sample = map(
        float, re.search(r"claimed in\s+([\d.]+) %.*?limit is ([\d.]+) %.*?in (\d+) %", PAGE, re.S).groups()
    )
    assert limit == 100 * ensemble_noise.LARGEST_SHARE
    assert share <= limit < in_sample
    ours, plain = map(float, re.search(r"take ([\d.]+) s of processor time.*?takes (\d+) s", PAGE, re.S).groups())
    assert plain / ours >= ensemble_search.LEAST_RATIO
    peak, most = map(float, re.search(r"took ([\d.]+) GB at\s+their peak \(limit ([\d.]+) GB\)", PAGE).groups())
    assert peak <= most == round(ensemble_memory.memory_limit(500, 900, 5000) / 1e9, 2)
